"""Form fields of a query-protocol request: the body of a POST, or the query string of a GET."""

from __future__ import annotations

from urllib.parse import parse_qsl

from paddock.wire.errors import Malformed
from paddock.wire.messages import Request

FIELDS_MAX = 10_000


def form_fields(request: Request) -> dict[str, str]:
    """Decoded fields; the first of a repeated name wins. Raises Malformed."""
    try:
        text = request.body.decode("utf-8") if request.body else request.query
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Malformed("The form could not be read", code="MalformedInput") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields
