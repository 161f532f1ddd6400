"""What `paddock dev` asks for beside Lambda's API: a directory as a function's code, a debugger in it.

    POST /_paddock/develop
    {"FunctionArn": ..., "Directory": "/home/me/hello", "DebugPort": 5678, "Generation": 3}    -> {"DebugPort": 5678}
    {"FunctionArn": ..., "End": true}                                                          -> {}

Said again within thirty seconds it goes on; another Generation loads everything anew. Directory and DebugPort may be
absent; DebugPort 0 takes a free one. A directory must be one of the operator's dev_directories, or lie below one. The
front lets neither web pages nor functions come here.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from paddock.model.arn import parse_function_ref
from paddock.model.development import Development
from paddock.model.errors import InvalidParameterValue, ServiceError
from paddock.model.function import FunctionVersion
from paddock.services.lambda_.desk import Desk
from paddock.wire.http1_request import BodyTooLarge, IncomingRequest
from paddock.wire.messages import Response

PATH = "/_paddock/develop"
BODY_BYTES_MAX = 16_384
ARN_PARTS = 7
DEBUGGED = ("python", "nodejs")

Develop = Callable[[FunctionVersion, frozenset[str], Development], Awaitable[Development]]


class Asked(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """The request."""

    function_arn: str
    directory: str = ""
    debug_port: int | None = None
    generation: int = 0
    end: bool = False


class Developing:
    """`await developing(incoming)`. directories: that the operator allows, and what is below them."""

    def __init__(
        self, desk: Desk, directories: Sequence[str], develop: Develop, release: Callable[[str], Awaitable[None]]
    ) -> None:
        self._desk = desk
        self._directories = directories
        self._develop = develop
        self._release = release

    async def __call__(self, incoming: IncomingRequest) -> Response:
        try:
            asked = msgspec.json.decode(await incoming.read(BODY_BYTES_MAX), type=Asked)
            return _said(200, await self._answer(asked))
        except BodyTooLarge:
            return _said(413, {"Message": f"At most {BODY_BYTES_MAX} bytes."})
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            return _said(400, {"Message": str(error)})
        except ServiceError as error:
            return _said(error.status, {"Code": error.code, "Message": error.message})

    async def _answer(self, asked: Asked) -> dict[str, Any]:
        parts = asked.function_arn.split(":")
        if len(parts) != ARN_PARTS:
            raise InvalidParameterValue("FunctionArn is a function's whole ARN without a qualifier.")
        ref = parse_function_ref(asked.function_arn, region=parts[3], account=parts[4])
        function = self._desk.catalogue.get(ref)
        if asked.end:
            await self._release(ref.function_arn)
            return {}
        version = self._desk.catalogue.resolve(ref)
        if asked.debug_port is not None and not version.runtime.startswith(DEBUGGED):
            raise InvalidParameterValue(f"There is no debugger for {version.runtime}; there is for Python and Node.js.")
        if asked.directory and version.image is not None:
            raise InvalidParameterValue(
                "A directory can be the code of a function from a zip, not of one from an image."
            )
        if asked.directory:
            self._check(asked.directory)
        wanted = Development(directory=asked.directory, debug_port=asked.debug_port, generation=asked.generation)
        taken = await self._develop(version, function.builds, wanted)
        return {"DebugPort": taken.debug_port}

    def _check(self, path: str) -> None:
        """The jailer's zygotes check it again, and that no link leads out of it."""
        below = any(path == one.rstrip("/") or path.startswith(one.rstrip("/") + "/") for one in self._directories)
        if not below or path != os.path.normpath(path):
            allowed = ", ".join(self._directories) or "none"
            text = f"This server does not mount {path}: its dev_directories are {allowed}."
            raise InvalidParameterValue(text)


def _said(status: int, document: dict[str, Any]) -> Response:
    return Response(status=status, headers=(("Content-Type", "application/json"),), body=msgspec.json.encode(document))
