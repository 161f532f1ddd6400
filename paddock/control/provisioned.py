"""Provisioned concurrency: what a version or an alias may be given, and which pools that comes to (spec 01 §7).

The configuration is the function's, durable and changed with it; the environments are the fleet's, which is told of
each change and begins anew after a restart. So what is READY before a restart is IN_PROGRESS after it for a moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from paddock.control import pools
from paddock.control.catalogue import Catalogue
from paddock.interfaces import Clock, Fleet
from paddock.model import provisioned as rules
from paddock.model.arn import FunctionRef
from paddock.model.errors import ClientError, InvalidParameterValue, ResourceNotFound
from paddock.model.function import Function
from paddock.model.provisioned import PoolState, ProvisionedConfig, ProvisionedState, ProvisionedStatus
from paddock.model.quotas import Quotas

_WRONG_KIND = "The function resource provided must be an alias or a published version."


class ProvisionedConcurrency:
    """`ref` names a version or an alias. Errors are those of model.errors."""

    def __init__(self, catalogue: Catalogue, fleet: Fleet, clock: Clock, quotas: Quotas) -> None:
        self._catalogue = catalogue
        self._fleet = fleet
        self._clock = clock
        self._quotas = quotas

    async def put(self, ref: FunctionRef, executions: int) -> ProvisionedState:
        """In progress when this returns. Raises ResourceNotFound, ResourceConflict, InvalidParameterValue."""
        if ref.is_latest:
            raise InvalidParameterValue(pools.UNPUBLISHED)
        config = ProvisionedConfig(executions=executions, last_modified=self._clock.now())

        def changed(function: Function, claimed_by_all: int) -> Function:
            pools.check(function, ref)
            pools.check_room(function, ref.qualifier, executions, claimed_by_all, self._quotas)
            return replace(function, provisioned={**function.provisioned, ref.qualifier: config})

        self._named(ref)
        after = await self._catalogue.claim(replace(ref, qualifier=""), changed)
        told = self._state(after, ref.qualifier, config)
        return replace(told, status=ProvisionedStatus.IN_PROGRESS, reason="")

    def get(self, ref: FunctionRef) -> ProvisionedState:
        """Raises ResourceNotFound, InvalidParameterValue, ProvisionedConcurrencyConfigNotFoundException."""
        function = self._readable(ref)
        config = function.provisioned.get(ref.qualifier)
        if config is None:
            raise ClientError(
                "No Provisioned Concurrency Config found for this function",
                code="ProvisionedConcurrencyConfigNotFoundException",
                status=404,
            )
        return self._state(function, ref.qualifier, config)

    def all_of(self, ref: FunctionRef) -> Sequence[tuple[FunctionRef, ProvisionedState]]:
        """Of every qualifier, in the order of their names. Raises ResourceNotFound."""
        function = self._catalogue.get(replace(ref, qualifier=""))
        return [
            (replace(ref, qualifier=qualifier), self._state(function, qualifier, config))
            for qualifier, config in sorted(function.provisioned.items())
        ]

    async def delete(self, ref: FunctionRef) -> None:
        """One that is not there is no error. Raises ResourceNotFound, InvalidParameterValue."""
        self._readable(ref)

        def changed(function: Function) -> Function:
            if ref.qualifier not in function.provisioned:
                return function
            left = {q: config for q, config in function.provisioned.items() if q != ref.qualifier}
            return replace(function, provisioned=left)

        await self._catalogue.change(replace(ref, qualifier=""), changed)

    def _readable(self, ref: FunctionRef) -> Function:
        if ref.is_latest:
            raise InvalidParameterValue(_WRONG_KIND)
        return self._named(ref)

    def _named(self, ref: FunctionRef) -> Function:
        """The function, with that version or alias. Raises ResourceNotFound."""
        try:
            return self._catalogue.get(ref)
        except ResourceNotFound:
            if ref.qualifier.isdecimal():
                raise
            raise ResourceNotFound(f"Cannot find alias arn: {ref.arn}") from None

    def _state(self, function: Function, qualifier: str, config: ProvisionedConfig) -> ProvisionedState:
        return rules.state(config, tuple(self._pools(function, qualifier)))

    def _pools(self, function: Function, qualifier: str) -> Iterator[PoolState]:
        for number in pools.shares_of(function, qualifier):
            version = replace(function.versions[number], provisioned_for=qualifier)
            yield self._fleet.provisioned(version)
