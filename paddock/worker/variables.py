"""The environment variables of an execution environment (spec 02 section 2)."""

from __future__ import annotations

from collections.abc import Mapping

from paddock.model.function import FunctionVersion
from paddock.model.session import Credentials
from paddock.worker.facts import RuntimeFacts
from paddock.worker.runtimes.wrapper import EXEC_WRAPPER, LIBRARY_PATH
from paddock.worker.sandbox.pid1 import RUNTIME_ADDRESS, RUNTIME_PORT

_RUNTIME_ONLY = frozenset(
    """AWS_EXECUTION_ENV AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_XRAY_CONTEXT_MISSING
    AWS_XRAY_DAEMON_ADDRESS LAMBDA_RUNTIME_DIR LAMBDA_TASK_ROOT PWD""".split()
)

DEBUG_VARIABLE = "_PADDOCK_DEBUG_PORT"
"""Tells a managed runtime to let a debugger in before it loads the function; the function does not see it."""

DEBUG_PORT = 5678
"""In the environment's own network."""


def may_speak_http(version: FunctionVersion, runtime: RuntimeFacts) -> bool:
    """Also where a program of the function's own starts its managed runtime, or something else in its place."""
    return runtime.transport == "http" or bool((version.environment or {}).get(EXEC_WRAPPER))


def of_extensions(assigned: Mapping[str, str]) -> dict[str, str]:
    """What extensions find of the function's variables: all but those of the runtime alone."""
    return {k: v for k, v in assigned.items() if k not in _RUNTIME_ONLY and not k.startswith("_")}


_IMAGE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def boot_settings(version: FunctionVersion, environment: Mapping[str, str], request_id: str) -> dict[str, object]:
    """What a bootstrap is told. request_id: of the event within which it boots, "" for none."""
    if (image := version.image) is None:
        return {"environment": environment, "handler": version.handler}
    program, directory = version.image_config.program(image), version.image_config.directory(image)
    told = {"program": program, "directory": directory, "request_id": request_id}
    return {"environment": {**environment, "PWD": directory}, "image": told}


def variables(
    version: FunctionVersion, *, stream: str, endpoint_port: int, managed: bool, credentials: Credentials
) -> dict[str, str]:
    """Everything a function finds in its environment.

    Unreserved defaults give way to the customer's own values, reserved ones never do. credentials: a session's of the
    function's role.
    """
    unreserved = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "LD_LIBRARY_PATH": LIBRARY_PATH,
        "AWS_ENDPOINT_URL": f"http://{RUNTIME_ADDRESS}:{endpoint_port}",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    }
    if managed and version.runtime.startswith("nodejs"):
        major = version.runtime.removeprefix("nodejs").removesuffix(".x")
        unreserved["NODE_PATH"] = (
            f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:"
            "/var/runtime/node_modules:/var/runtime:/var/task"
        )
    elif version.image is not None:  # which knows better where its programs and libraries are
        del unreserved["LANG"], unreserved["TZ"], unreserved["LD_LIBRARY_PATH"]
        unreserved |= {"PATH": _IMAGE_PATH, **version.image.environment}
    elif managed and version.runtime.startswith("ruby"):
        abi = version.runtime.removeprefix("ruby") + ".0"
        unreserved["GEM_PATH"] = f"/var/task/vendor/bundle/ruby/{abi}:/opt/ruby/gems/{abi}:/var/runtime"
        unreserved["RUBYLIB"] = "/var/task:/var/runtime/lib:/opt/ruby/lib"
    elif managed and version.runtime.startswith("python"):
        unreserved["LC_CTYPE"] = "C.UTF-8"
        unreserved["PYTHONPATH"] = "/var/runtime"
    reserved = {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_SESSION_TOKEN": credentials.session_token,
        "AWS_REGION": version.region,
        "AWS_DEFAULT_REGION": version.region,
        "AWS_LAMBDA_FUNCTION_NAME": version.name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(version.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": version.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_LAMBDA_INITIALIZATION_TYPE": version.initialization_type,
        "AWS_LAMBDA_RUNTIME_API": f"{RUNTIME_ADDRESS}:{RUNTIME_PORT}",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "PWD": "/var/task",
        "SHLVL": "0",
        "_HANDLER": version.handler,
    }
    if version.is_debugged:
        reserved[DEBUG_VARIABLE] = str(DEBUG_PORT)
    if managed:
        reserved["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{version.runtime}"
    if version.image is not None:
        del reserved["_HANDLER"]  # its entry point, if any, knows what that is
    if version.logging.format == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        reserved["AWS_LAMBDA_LOG_LEVEL"] = version.logging.application_level or "INFO"
    return {**unreserved, **(version.environment or {}), **reserved}
