"""A botocore client's own request through wire to an operation, and the answer back through botocore's own parser."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from paddock.model.caller import Caller
from paddock.model.errors import ServiceError
from paddock.services.service import Call, Mount, operations_of
from paddock.wire import constraints, protocol
from paddock.wire.messages import Headers, Request
from paddock.wire.service import ServiceModel, load_service
from tests.support.shapes import misfits

NOW_MS = 1_768_478_400_000
ACCOUNT = "123456789012"


class StillClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at_ms = NOW_MS

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)

    def monotonic(self) -> float:
        return self.at_ms / 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


class CountingIds:
    """Ids that never repeat and are the same in every run."""

    def __init__(self) -> None:
        self.given = 0

    def uuid(self) -> str:
        digits = self.hex(32)
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def hex(self, digits: int) -> str:
        self.given += 1
        return f"{self.given * 0x9E3779B97F4A7C15F39CC0605CEDC835:032x}"[-digits:].rjust(digits, "0")


@functools.cache
def model_of(name: str) -> ServiceModel:
    """Read once: a model has megabytes."""
    return load_service(name)


class Refused(AssertionError):
    """What the operation raised: (code, message)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class Client:
    """One service, called as a boto3 client would be. Raises Refused with the code as it stands on the wire."""

    def __init__(self, mount: Mount, caller: Caller | None = None) -> None:
        self.mount = mount
        self.caller = caller or Caller(account=ACCOUNT, region="us-east-1")
        self.model = model_of(mount.service.name)
        self.operations = operations_of(tuple(self.model.operation_names), *mount.service.modules)

    async def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        model = self.model.operation(operation)
        request = self._request(model, params)
        name, labels = protocol.route(self.model, request)
        assert name == operation
        parsed = protocol.parse(self.model, name, request, labels)
        broken = constraints.violations(model, parsed)
        if broken:
            raise Refused("ValidationException", constraints.message(broken))
        try:
            output = await self.operations[name](
                self.mount.desk, Call(caller=self.caller, request_id="r-1", params=parsed, operation=name)
            )
        except ServiceError as error:
            raise self._refused(error) from error
        assert output is None or isinstance(output, Mapping)
        shown = {member: value for member, value in (output or {}).items() if value is not None}
        assert misfits(model.output_shape, shown) == []
        response = protocol.serialize(self.model, name, output or {}, "r-1")
        assert isinstance(response.body, bytes)
        answer = {"status_code": response.status, "headers": dict(response.headers), "body": response.body}
        result: dict[str, Any] = create_parser(self.model.protocol).parse(answer, model.output_shape)
        result.pop("ResponseMetadata", None)
        return result

    def _request(self, model: Any, params: Mapping[str, Any]) -> Request:
        made = create_serializer(self.model.protocol).serialize_to_request(params, model)
        body = made["body"]
        body = urlencode(body) if isinstance(body, dict) else body
        path, _, query = made["url_path"].partition("?")  # S3's subresources stand in its paths
        query = "&".join(filter(None, (query, urlencode(made["query_string"], doseq=True))))
        return Request(
            method=made["method"],
            path=path,
            query=query,
            headers=Headers([(name, str(value)) for name, value in made["headers"].items()]),
            body=body.encode() if isinstance(body, str) else body,
        )

    def _refused(self, error: ServiceError) -> Refused:
        response = protocol.serialize_error(
            self.model, None, code=error.code, message=error.message, status=error.status, fault=error.fault,
            members=error.members, request_id="r-1",
        )  # fmt: skip
        assert isinstance(response.body, bytes)
        answer = {
            "status_code": response.status,
            "headers": {name.lower(): value for name, value in response.headers},
            "body": response.body,
        }
        found = create_parser(self.model.protocol).parse(answer, None)["Error"]
        return Refused(found["Code"], found["Message"])


async def refused(client: Client, operation: str, **params: Any) -> tuple[str, str]:
    """(code, message) of a call that must fail."""
    with pytest.raises(Refused) as caught:
        await client(operation, **params)
    return caught.value.code, caught.value.message


def database(tmp_path: Path) -> Path:
    return tmp_path / "test.db"
