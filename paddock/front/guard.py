"""Keeps web pages in the user's browser away from a server that trusts whoever reaches it.

On loopback any credentials are accepted (decision 3), and a page of any site can make the browser send requests to
127.0.0.1. Two marks give such requests away, and a page can forge neither:

- Origin and Sec-Fetch-Site, which browsers add to what pages send. A page served from loopback is the user's own.
- Host. With DNS rebinding a site makes its own name point to 127.0.0.1: for the browser that is the same origin, but
  the name it sends is still the site's.

SDKs, the CLI and curl send no Origin and name the address they connect to.

Known caveat: a page the user serves from loopback may do everything, as any program of the user may.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from paddock.model.errors import AccessDenied
from paddock.wire.messages import Headers

HOSTS_REMEMBERED_MAX = 1024

_LOCAL_NAMES = ("localhost",)
_SUFFIXES = (".localhost", ".amazonaws.com", ".amazonaws.com.cn", ".localhost.localstack.cloud")


class Guard:
    """`check` raises AccessDenied. host_names: further names this server is reached by (settings)."""

    def __init__(self, host_names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in host_names) | {*_LOCAL_NAMES}
        # Clients send the same few hosts over and over; remembering only good ones leaves nothing to fill it with
        # but subdomains, and those it forgets all at once.
        self._good: set[str] = set()

    def check(self, headers: Headers, *, is_shared: bool = False) -> None:
        """Refuse what a foreign page sent, and hosts that are not ours. is_shared: with that page, by a CORS rule."""
        host = headers.get("host")
        if host not in self._good:
            if not self._is_ours(host):
                raise AccessDenied(
                    f"This server does not answer for the host {_shown(host)}. Use its IP address or localhost, or add "
                    "the name to its host names."
                )
            if len(self._good) >= HOSTS_REMEMBERED_MAX:
                self._good.clear()
            self._good.add(host)
        origin = headers.get("origin")
        if origin:
            if not is_shared and not _is_loopback_origin(origin):
                raise AccessDenied(f"Requests from web pages are refused; this one came from {_shown(origin)}.")
        elif headers.get("sec-fetch-site").lower() == "cross-site":
            raise AccessDenied("Requests from other web sites are refused.")

    def _is_ours(self, host: str) -> bool:
        # Without a Host there is no browser: HTTP/1.0, the server below demands one of HTTP/1.1.
        if not host:
            return True
        name = _name_of(host)
        return name is not None and (_is_address(name) or name in self._names or name.endswith(_SUFFIXES))


def _name_of(host: str) -> str | None:
    """The name in `name`, `name:port` or `[address]:port`, lower case; None when it is none of these."""
    if host.startswith("["):
        address, bracket, port = host[1:].partition("]")
        name, port_ok = address, bool(bracket) and (port == "" or (port[0] == ":" and port[1:].isdecimal()))
    else:
        name, colon, port = host.partition(":")
        port_ok = not colon or port.isdecimal()
    return name.lower().rstrip(".") if port_ok and name else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_foreign(headers: Headers) -> bool:
    """Whether a page of another site sent it."""
    origin = headers.get("origin")
    return bool(origin) and not _is_loopback_origin(origin)


def _is_loopback_origin(origin: str) -> bool:
    """scheme://host[:port] with a host that can only be this machine. `null` (sandboxed pages, files) is not."""
    try:
        name = (urlsplit(origin).hostname or "").rstrip(".")
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


def _shown(value: str) -> str:
    return ascii(value[:128])
