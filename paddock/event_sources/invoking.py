"""How a poller runs its function: resolved anew for each batch, through the same admission as every Invoke."""

from __future__ import annotations

import re

from paddock.control.catalogue import Catalogue
from paddock.interfaces import Clock, Ids
from paddock.invoke.dispatcher import Dispatcher
from paddock.model.arn import FunctionRef, parse_function_ref
from paddock.model.errors import ResourceConflict, ResourceNotFound
from paddock.model.event_source import EventSourceMapping
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.lineage import Lineage

_TRACE = re.compile(rb'"AWSTraceHeader": ?"([^"\\]{1,1024})"')


class FunctionInvoker:
    """poller.Invoker over the catalogue and the dispatcher."""

    def __init__(self, catalogue: Catalogue, dispatcher: Dispatcher, clock: Clock, ids: Ids) -> None:
        self._catalogue = catalogue
        self._dispatcher = dispatcher
        self._clock = clock
        self._ids = ids

    def ready(self, mapping: EventSourceMapping) -> bool:
        try:
            self._catalogue.resolve(_ref(mapping))
        except (ResourceNotFound, ResourceConflict):
            return False
        return True

    async def invoke(self, mapping: EventSourceMapping, event: bytes) -> InvocationResult:
        now = self._clock.now()
        return await self._dispatcher.run(
            Invocation(
                request_id=self._ids.uuid(),
                version=self._catalogue.resolve(_ref(mapping)),
                invoked_arn=mapping.function_arn,
                payload=event,
                trace_id=trace_in(event) or f"Root=1-{int(now.timestamp()):08x}-{self._ids.hex(24)};Sampled=0",
                received_at=now,
            )
        )


def trace_in(event: bytes) -> str:
    """The trace header of the record that has the longest chain of executions behind it, or "": loops stay visible."""
    found = (text.decode("latin-1") for text in _TRACE.findall(event))
    return max(found, key=lambda text: Lineage.of(text).executions, default="")


def _ref(mapping: EventSourceMapping) -> FunctionRef:
    return parse_function_ref(mapping.function_arn, account=mapping.account, region=mapping.region)
