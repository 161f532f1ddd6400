"""Services that botocore knows and Paddock does not serve: recognised so that the refusal fits the client.

A client of SQS expects an error in SQS's protocol; anything else surfaces as a parser's complaint. The models are
read when first asked for, away from the event loop, and only few are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from botocore.loaders import Loader

from paddock.wire.service import ServiceModel, load_service

MODELS_KEPT_MAX = 8


class Unmounted:
    """botocore's other services by name. `find` gives None for names that are no service or not spoken."""

    def __init__(self) -> None:
        self._names: frozenset[str] | None = None
        self._kept: dict[str, ServiceModel | None] = {}

    @property
    def kept(self) -> Mapping[str, ServiceModel | None]:
        """The models in memory, oldest first."""
        return self._kept

    async def find(self, name: str) -> ServiceModel | None:
        """The model of the service of that name (in a credential scope: its signing name, most often the same)."""
        if self._names is None:
            self._names = frozenset(await asyncio.to_thread(Loader().list_available_services, "service-2"))
        if name not in self._names:
            return None
        if name not in self._kept:
            model = await asyncio.to_thread(_load, name)
            if len(self._kept) >= MODELS_KEPT_MAX:
                self._kept.pop(next(iter(self._kept)))
            self._kept[name] = model
        return self._kept[name]


def _load(name: str) -> ServiceModel | None:
    try:
        return load_service(name)
    except ValueError:
        return None
