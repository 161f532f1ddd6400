"""The environment variables of an execution environment: what gives way to whom."""

from __future__ import annotations

import pytest

from paddock.model.function import LoggingConfig
from paddock.worker.variables import variables
from tests.unit.worker.world import CREDENTIALS, version

RESERVED = (
    "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_DEFAULT_REGION AWS_LAMBDA_FUNCTION_NAME "
    "AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME "
    "AWS_LAMBDA_INITIALIZATION_TYPE AWS_LAMBDA_RUNTIME_API LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR _HANDLER "
    "AWS_EXECUTION_ENV"
).split()
DEFAULTS = "LANG TZ PATH LD_LIBRARY_PATH AWS_ENDPOINT_URL AWS_XRAY_CONTEXT_MISSING LC_CTYPE PYTHONPATH".split()


def made(managed: bool = True, **changes: object) -> dict[str, str]:
    stream = "2026/01/15/[$LATEST]ab"
    return variables(version(**changes), stream=stream, endpoint_port=8321, managed=managed, credentials=CREDENTIALS)


def test_what_a_function_finds() -> None:
    found = made(memory_mb=256, region="eu-west-1", handler="m.f")
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == "fn"
    assert found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert found["AWS_LAMBDA_LOG_STREAM_NAME"] == "2026/01/15/[$LATEST]ab"
    assert found["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/fn"
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert found["_HANDLER"] == "m.f"
    assert found["AWS_ENDPOINT_URL"] == "http://169.254.100.1:8321"
    assert found["AWS_LAMBDA_RUNTIME_API"] == "169.254.100.1:9001"
    assert found["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12"
    assert all(isinstance(value, str) for value in found.values())


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_values_win(name: str) -> None:
    assert made(environment={name: "mine"})[name] == made()[name] != "mine"


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_give_way(name: str) -> None:
    assert name in made()
    assert made(environment={name: "mine"})[name] == "mine"


def test_the_customers_own_come_along() -> None:
    assert made(environment={"STAGE": "test", "EMPTY": ""}).items() >= {"STAGE": "test", "EMPTY": ""}.items()


def test_a_custom_runtime_gets_nothing_of_python() -> None:
    found = made(managed=False, runtime="provided.al2023")
    assert not found.keys() & {"AWS_EXECUTION_ENV", "PYTHONPATH", "LC_CTYPE"}


def test_json_logging_adds_its_two() -> None:
    assert not made().keys() & {"AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"}
    plain = made(logging=LoggingConfig(format="JSON"))
    assert (plain["AWS_LAMBDA_LOG_FORMAT"], plain["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "INFO")
    assert made(logging=LoggingConfig(format="JSON", application_level="WARN"))["AWS_LAMBDA_LOG_LEVEL"] == "WARN"
    forged = made(logging=LoggingConfig(format="JSON"), environment={"AWS_LAMBDA_LOG_FORMAT": "Text"})
    assert forged["AWS_LAMBDA_LOG_FORMAT"] == "JSON"
