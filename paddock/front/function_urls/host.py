"""Which function URL a request is for: `<id>.lambda-url.<region>.<domain>[:port]`, the domain being one of ours.

Any other domain is nobody's: a web site that points a name of its own to this machine must not become, for the user's
browser, the origin of somebody's function.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from paddock.model.function_url import URL_ID_CHARS

_HOST = re.compile(
    rf"(?P<id>[a-z0-9]{{{URL_ID_CHARS}}})\.lambda-url\."
    r"(?P<region>[a-z0-9-]{1,32})\.(?P<domain>[a-z0-9.-]+?)\.?(:[0-9]+)?"
)
_MARK = ".lambda-url."
LOCAL, AWS = "localhost", "on.aws"


@dataclass(frozen=True, slots=True)
class UrlHost:
    """name: the whole host name without a port, in lower case."""

    url_id: str
    region: str
    name: str


class Hosts:
    """domains: those that function URLs stand below, besides localhost and AWS's own."""

    def __init__(self, domains: Iterable[str] = ()) -> None:
        self._domains = frozenset((LOCAL, AWS, *(domain.lower() for domain in domains if domain)))

    def read(self, host: str) -> UrlHost | None:
        """None for a host that is no function URL's."""
        lower = host.lower()
        found = _HOST.fullmatch(lower) if _MARK in lower else None
        if found is None or found["domain"] not in self._domains:
            return None
        return UrlHost(found["id"], found["region"], f"{found['id']}{_MARK}{found['region']}.{found['domain']}")
