"""What a machine can start, as the jailer tells the server."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from paddock.model.image import IMAGE_RUNTIME
from paddock.worker.facts import RuntimeFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOffer:
    """A runtime this machine can start: its identifier, label, family and transport ("frames" or "http").

    home: the userland that it lives in, "" for the host's /usr; with another it is another version of the runtime.
    """

    name: str
    label: str
    family: str
    transport: str
    home: str = ""

    def facts(self, region: str) -> RuntimeFacts:
        if self.family == IMAGE_RUNTIME:  # what an image runs on is its own business
            return RuntimeFacts(self.name, label=self.name, arn="", transport=self.transport, managed=False)
        digest = hashlib.sha256(f"{self.label}{self.home}".encode()).hexdigest()
        return RuntimeFacts(
            name=self.name,
            label=self.label,
            arn=f"arn:aws:lambda:{region}::runtime:{digest}",
            transport=self.transport,
            managed=self.family != "provided",
        )
