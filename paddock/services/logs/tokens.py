"""The opaque texts of CloudWatch Logs: event ids and the tokens that pages are read on with."""

from __future__ import annotations

import base64
import binascii
import re

from paddock.model.errors import ClientError
from paddock.observe.log_store import Position
from paddock.services.logs.desk import invalid

_TOKEN = re.compile(r"([fb])/(\d{20})(\d{36})/s\Z")
_INTEGER_MAX = 2**63 - 1


def event_id(position: Position) -> str:
    """56 digits, unique in a region, ordered as the events are."""
    return f"{max(position.timestamp_ms, 0):020d}{position.id:036d}"


def forward(position: Position) -> str:
    """Go on with the events after this position."""
    return f"f/{event_id(position)}/s"


def backward(position: Position) -> str:
    """Go on with the events before this position."""
    return f"b/{event_id(position)}/s"


def parse(token: str) -> tuple[bool, Position]:
    """(forward?, position). Raises InvalidParameterException for a text we never gave out."""
    found = _TOKEN.match(token)
    if not found:
        raise bad_token()
    position = Position(int(found[2]), int(found[3]))
    if max(position.timestamp_ms, position.id) > _INTEGER_MAX:
        raise bad_token()
    return found[1] == "f", position


def page_token(mark: str) -> str:
    """A token for a list: the name it goes on after."""
    return base64.urlsafe_b64encode(mark.encode()).decode()


def page_mark(token: str) -> str:
    """What page_token was given. Raises InvalidParameterException."""
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise bad_token() from error


def bad_token() -> ClientError:
    return invalid("The specified nextToken is invalid.")
