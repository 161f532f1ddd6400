"""Identity from the kernel's randomness, fetched in blocks.

An Invoke needs a few identifiers, and a system call for each would cost more than making the text. So one call
fetches a block from which identifiers are cut; no byte is ever given out twice. The block belongs to one process:
after a fork a child must build its own SystemIds (Paddock's children exec or never make identifiers).
"""

from __future__ import annotations

import os

BLOCK_BYTES = 8192


class SystemIds:
    """interfaces.Ids over os.urandom. Not for use from several threads at once."""

    __slots__ = ("_block", "_position")

    def __init__(self) -> None:
        self._block = ""
        self._position = 0

    def uuid(self) -> str:
        """A version 4 UUID (RFC 9562): 122 random bits."""
        digits = self.hex(32)
        variant = "89ab"[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def hex(self, digits: int) -> str:
        if digits > 2 * BLOCK_BYTES:
            return os.urandom((digits + 1) // 2).hex()[:digits]
        start, end = self._position, self._position + digits
        if end > len(self._block):
            self._block = os.urandom(BLOCK_BYTES).hex()
            start, end = 0, digits
        self._position = end
        return self._block[start:end]
