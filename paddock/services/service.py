"""What a service is to the rest of the house: a name and its operations.

An operation is one async function named as the operation in snake case (`create_function`). It takes the
service's desk (what it may ask) and the Call, and returns the output shape's members, or a Reply when it has
response headers of its own. There is no registration: `operations_of` reads the modules, and a house test
demands that every operation in botocore's model is a function or stands in the service's NOT_YET.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import msgspec
from botocore import xform_name

from paddock.model.caller import Caller
from paddock.wire.messages import Headers

Params = Mapping[str, Any]
_NO_HEADERS = Headers()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One parsed and validated request. `params` has the input shape's members (blobs as bytes, a streaming payload
    as a wire.streamed.StreamedBody).

    trace_id: the X-Amzn-Trace-Id header as it came, which no service model describes, or "". source_ip: the client's
    address, "" on a unix socket. headers: all of them, for what the model leaves out. operation: its name.
    """

    caller: Caller
    request_id: str
    params: Params
    trace_id: str = ""
    source_ip: str = ""
    headers: Headers = _NO_HEADERS
    operation: str = ""


class Reply(msgspec.Struct, frozen=True):
    """Output members plus response headers that the service model does not know.

    status: the HTTP status where it is not the model's.
    """

    output: Params
    headers: tuple[tuple[str, str], ...] = ()
    status: int | None = None


Operation = Callable[[Any, Call], Awaitable[Params | Reply | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """name: botocore's service name. modules: where its operations stand. not_yet: the rest of the model.

    self_limited: operations that bound their own time (an Invoke by its function's timeout); the front sets no
    further limit on these. light: those of them that await nothing but futures, and so need no task (wire/errand.py).
    """

    name: str
    modules: tuple[ModuleType, ...]
    not_yet: frozenset[str]
    self_limited: frozenset[str] = frozenset()
    light: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Mount:
    """A service together with the desk its operations are handed."""

    service: Service
    desk: Any


class InProcess:
    """A service's operations for those who live in the same process: members in, members out, nothing on a wire.

    model: the service model's operation names. new_id: a request id.
    """

    def __init__(self, mount: Mount, model: tuple[str, ...], new_id: Callable[[], str]) -> None:
        self._desk = mount.desk
        self._operations = operations_of(model, *mount.service.modules)
        self._new_id = new_id

    async def __call__(self, operation: str, params: Params, *, account: str, region: str) -> Params:
        """Raises what the operation raises."""
        caller = Caller(account=account, region=region)
        call = Call(caller=caller, request_id=self._new_id(), params=params, operation=operation)
        output = await self._operations[operation](self._desk, call)
        return output.output if isinstance(output, Reply) else output or {}


def operations_of(modelled: tuple[str, ...], *modules: ModuleType) -> dict[str, Operation]:
    """Modelled operation name -> the async function of that name (in snake case) in `modules`."""
    by_snake = {xform_name(name): name for name in modelled}
    found: dict[str, Operation] = {}
    for module in modules:
        for attribute, value in vars(module).items():
            if attribute in by_snake and inspect.iscoroutinefunction(value) and value.__module__ == module.__name__:
                found[by_snake[attribute]] = value
    return found
