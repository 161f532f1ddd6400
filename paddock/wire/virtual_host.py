"""S3's virtual-host style: the bucket stands in the host name, `photos.s3.us-east-1.amazonaws.com/cat.jpg`.

`path_style` gives such a request the path that path style has, `/photos/cat.jpg`. Besides AWS's names these carry a
bucket: `<bucket>.s3.<any host>` and `<bucket>.localhost`, unless the label is the endpoint name of another service
(`lambda.localhost`) or the name says that it is something else (`<id>.lambda-url.<region>.localhost`).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

from paddock.wire.messages import Request

HOSTS_REMEMBERED_MAX = 1_024

_S3_HOST = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.s3[.-](?P<rest>[a-z0-9.-]+)\Z")
_LOCALHOST = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9-]{1,61}[a-z0-9])\.localhost\Z")
_NOT_BUCKETS = ("lambda-url", "execute-api")


class VirtualHosts:
    """names: endpoint names of services, which are no buckets."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names | {"s3"}
        self._buckets: dict[str, str] = {}

    def path_style(self, request: Request) -> Request:
        """The request as it would be in path style; itself when its host carries no bucket."""
        host = request.headers.get("host")
        bucket = self._buckets.get(host)
        if bucket is None:
            bucket = self._bucket_of(host.rpartition(":")[0] if host[-1:].isdigit() and ":" in host else host)
            if len(self._buckets) >= HOSTS_REMEMBERED_MAX:
                self._buckets.clear()
            self._buckets[host] = bucket
        if not bucket:
            return request
        path = request.path if request.path.startswith("/") else "/"
        return replace(request, path=f"/{bucket}{path}")

    def _bucket_of(self, host: str) -> str:
        host = host.lower().rstrip(".")
        if any(f".{label}." in f".{host}." for label in _NOT_BUCKETS):
            return ""
        found = _S3_HOST.match(host)
        if found is None:
            found = _LOCALHOST.match(host)
            if found is None or found["bucket"] in self._names:
                return ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return found["bucket"]
        return ""
