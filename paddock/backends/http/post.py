"""One POST to somebody's endpoint, in a thread: few at a time, never waiting long, no redirect followed."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

TIMEOUT_S = 15.0
POSTS_MAX = 16
_READ_BYTES_MAX = 65_536


class Poster:
    """`await poster(url, headers, body)` gives the status. Raises OSError when there was no answer."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=POSTS_MAX, thread_name_prefix="paddock-post")

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _post, url, headers, body)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, body=body, headers=dict(headers))
            response = connection.getresponse()
            response.read(_READ_BYTES_MAX)
            return response.status
        finally:
            connection.close()
    except (http.client.HTTPException, ValueError) as error:
        raise ConnectionError(f"no answer from {parts.hostname}: {error}") from error
