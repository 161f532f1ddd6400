"""How each function's asynchronous events are treated, and what event mode asks about functions.

A configuration hangs on `$LATEST`, a version or an alias, and holds for events sent to exactly that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from paddock.control.catalogue import Catalogue
from paddock.control.permissions import Permissions
from paddock.interfaces import Clock
from paddock.model.arn import FunctionRef, parse_function_ref
from paddock.model.delivery import TargetEvent
from paddock.model.errors import ResourceNotFound, ServiceError
from paddock.model.event_invoke import EventInvokeConfig
from paddock.model.function import LATEST, Function, FunctionVersion
from paddock.model.permission import Asker


class EventInvokes:
    """Errors are those of model.errors."""

    def __init__(self, catalogue: Catalogue, permissions: Permissions, clock: Clock) -> None:
        self._catalogue = catalogue
        self._permissions = permissions
        self._clock = clock

    # -- configurations

    def get(self, ref: FunctionRef) -> EventInvokeConfig:
        """Raises ResourceNotFound, also for a function that is not there."""
        found = self._of(ref)
        if found is None:
            raise ResourceNotFound(f"The function {qualified(ref)} doesn't have an EventInvokeConfig")
        return found

    def check(self, ref: FunctionRef) -> None:
        """Raises ResourceNotFound when there is no such function, version or alias."""
        self._function(ref)

    def all_of(self, ref: FunctionRef) -> Sequence[tuple[FunctionRef, EventInvokeConfig]]:
        """Of every qualifier, in the order of their names. Raises ResourceNotFound."""
        function = self._function(ref)
        return [
            (replace(ref, qualifier=qualifier), config)
            for qualifier, config in sorted(function.event_invokes.items())
        ]  # fmt: skip

    async def put(
        self, ref: FunctionRef, change: Callable[[EventInvokeConfig | None], EventInvokeConfig]
    ) -> EventInvokeConfig:
        """Replace what is there (None: nothing) by what `change` makes of it. Raises ResourceNotFound."""
        qualifier = ref.qualifier or LATEST
        self._function(ref)

        def changed(function: Function) -> Function:
            config = replace(change(function.event_invokes.get(qualifier)), last_modified=self._clock.now())
            return replace(function, event_invokes={**function.event_invokes, qualifier: config})

        after = await self._catalogue.change(replace(ref, qualifier=""), changed)
        return after.event_invokes[qualifier]

    async def delete(self, ref: FunctionRef) -> None:
        """Raises ResourceNotFound when there is none."""
        self.get(ref)
        qualifier = ref.qualifier or LATEST

        def changed(function: Function) -> Function:
            left = {name: config for name, config in function.event_invokes.items() if name != qualifier}
            return replace(function, event_invokes=left)

        await self._catalogue.change(replace(ref, qualifier=""), changed)

    # -- recursion

    def recursion_allowed(self, ref: FunctionRef) -> bool:
        """Raises ResourceNotFound."""
        return self._catalogue.get(replace(ref, qualifier="")).recursion_allowed

    async def allow_recursion(self, ref: FunctionRef, is_allowed: bool) -> None:
        """Raises ResourceNotFound."""
        await self._catalogue.change(ref, lambda function: replace(function, recursion_allowed=is_allowed))

    # -- what event mode asks (invoke.asynchronous.Functions)

    def runnable_at(self, arn: str) -> FunctionVersion:
        return self._catalogue.resolve(ref_at(arn))

    def event_invoke_at(self, arn: str) -> EventInvokeConfig | None:
        return self._of(ref_at(arn))

    def reserved_at(self, arn: str) -> int | None:
        ref = ref_at(arn)
        return self._catalogue.reserved(ref.account, ref.region, ref.name)

    def permits(self, arn: str, event: TargetEvent) -> bool:
        asker = Asker(service=event.principal, source_arn=event.source_arn, source_account=event.source_account)
        return self._permissions.permits(arn, asker)

    def exists_at(self, arn: str) -> bool:
        """Whether there is such a function, and the version or alias that is named."""
        try:
            self._catalogue.version(ref_at(arn))
        except ServiceError:
            return False
        return True

    def _of(self, ref: FunctionRef) -> EventInvokeConfig | None:
        try:
            function = self._catalogue.get(replace(ref, qualifier=""))
        except ResourceNotFound:
            return None
        return function.event_invokes.get(ref.qualifier or LATEST)

    def _function(self, ref: FunctionRef) -> Function:
        """With the version or alias that is named."""
        try:
            return self._catalogue.get(ref)
        except ResourceNotFound:
            raise ResourceNotFound("The function doesn't exist.") from None


def ref_at(arn: str) -> FunctionRef:
    """The function that a full ARN names, whoever's it is. Raises ResourceNotFound for what is no such ARN."""
    parts = arn.split(":")
    if len(parts) < 7:
        raise ResourceNotFound(f"Function not found: {arn}")
    return parse_function_ref(arn, account=parts[4], region=parts[3])


def qualified(ref: FunctionRef) -> str:
    return f"{ref.function_arn}:{ref.qualifier or LATEST}"
