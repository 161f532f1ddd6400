"""Signing profiles in the data directory, as `paddock sign` writes them.

<directory>/<name>/<version>.key     the private key; for whoever signs, never read by the server
<directory>/<name>/<version>.pub     the public key
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

_ARN = re.compile(r"arn:aws:signer:[a-z0-9-]+:\d{12}:/signing-profiles/([A-Za-z0-9_]{2,64})/([0-9a-f]{10})", re.ASCII)


class FilePublishers:
    """control.code_signing.Publishers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def key_of(self, profile: str) -> bytes | None:
        found = _ARN.fullmatch(profile)
        if found is None:
            return None
        path = self._directory / found[1] / f"{found[2]}.pub"
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            return None
