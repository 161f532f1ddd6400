"""NextMarker: where the next page begins, opaque to clients. Ours is the name or number of the last item shown."""

from __future__ import annotations

import base64
import binascii

from paddock.model.errors import InvalidParameterValue

_AFTER_ALL = 1 << 62


def written(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode()


def read(marker: str) -> str:
    """The position a Marker of ours stands for. Raises InvalidParameterValue."""
    try:
        return base64.b64decode(marker, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise invalid(marker) from error


def read_number(marker: str) -> int:
    """A version's number, 0 for $LATEST; -1 for no marker, which is before everything."""
    position = read(marker)
    if not position:
        return -1
    if not position.isascii() or not position.isdecimal():
        raise invalid(marker)
    return int(position)


def read_version(marker: str) -> tuple[str, int]:
    """(name of a function, number) as of written(f"{name}:{number}"); a name alone is after all its versions."""
    name, colon, number = read(marker).partition(":")
    if not colon:
        return (name, _AFTER_ALL) if name else ("", -1)
    if not number.isascii() or not number.isdecimal():
        raise invalid(marker)
    return name, int(number)


def invalid(marker: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"Invalid Marker: {marker}")
