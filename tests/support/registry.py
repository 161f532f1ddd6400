"""A registry on loopback, as bad as a test wants it.

    with Registry() as registry:
        registry.put("team/app", "1", image)
        uri = f"{registry.host}/team/app:1"

users: with any, a token is needed, which its own service gives to who knows a password. faults: what happens to a
request whose path contains a text: an int is a status, "truncate", "corrupt", "hang" (until the end), "elsewhere" (a
redirect to a second server, which notes what headers came along).
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from tests.support.images import OCI, Image, index

TOKEN = "a-token-for-"
WAIT_S = 30.0


class Registry:
    def __init__(self, **users: str) -> None:
        self.users = users
        self.faults: dict[str, int | str] = {}
        self.asked: list[str] = []
        self.elsewhere: list[dict[str, str]] = []
        self._manifests: dict[str, tuple[str, bytes]] = {}
        self._blobs: dict[str, bytes] = {}
        self._over = threading.Event()
        self._noted = threading.Condition()
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), self._handler(far)) for far in (False, True)]
        for server in self._servers:
            server.daemon_threads = True

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._servers[0].server_port}"

    def put(self, name: str, tag: str, *images: Image) -> None:
        """One image, or an index of several."""
        for image in images:
            kind = json.loads(image.manifest).get("mediaType", "")
            self._manifests[f"{name}/{image.digest}"] = (kind, image.manifest)
            self._blobs |= image.blobs
            self._manifests[f"{name}/{tag}"] = (kind, image.manifest)
        if len(images) > 1:
            self._manifests[f"{name}/{tag}"] = (f"{OCI}.index.v1+json", index(images))

    def replace(self, digest: str, content: bytes) -> None:
        self._blobs[digest] = content

    def asked_for(self, text: str) -> int:
        return sum(text in path for path in self.asked)

    def wait_for(self, text: str, count: int) -> None:
        """Until it was asked so often for paths with the text in them."""
        with self._noted:
            assert self._noted.wait_for(lambda: self.asked_for(text) >= count, WAIT_S)

    def __enter__(self) -> Registry:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    # -- one request

    def answer(self, path: str, headers: dict[str, str], far: bool) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(path)
        if far:
            self.elsewhere.append(headers)
        else:
            with self._noted:
                self.asked.append(parts.path)
                self._noted.notify_all()
        if parts.path == "/token":
            return self._token(parse_qs(parts.query), headers)
        fault = next((fault for text, fault in self.faults.items() if text in parts.path and not far), 0)
        if fault == "hang":
            self._over.wait(60)
        if isinstance(fault, int) and fault:
            return fault, {}, b"{}"
        name, _, what = parts.path.removeprefix("/v2/").rpartition("/")
        name, _, kind = name.rpartition("/")
        if self.users and not far and headers.get("authorization") != f"Bearer {TOKEN}{name}":
            realm = f'Bearer realm="http://{self.host}/token",service="the registry",scope="repository:{name}:pull"'
            return 401, {"WWW-Authenticate": realm}, b"{}"
        if fault == "elsewhere":
            return 307, {"Location": f"http://127.0.0.1:{self._servers[1].server_port}{path}?secret=signed"}, b""
        if kind == "manifests":
            media_type, content = self._manifests.get(f"{name}/{what}", ("", b""))
        else:
            media_type, content = "application/octet-stream", self._blobs.get(what, b"")
        if not content:
            return 404, {}, b"{}"
        if fault == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        return 200, {"Content-Type": media_type, **({"X-Cut": "1"} if fault == "truncate" else {})}, content

    def _token(self, query: dict[str, list[str]], headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        pair = base64.b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
        user, _, password = pair.partition(":")
        if query.get("service") != ["the registry"] or self.users.get(user) != password:
            return 401, {}, b"{}"
        name = query["scope"][0].split(":")[1]
        return 200, {}, json.dumps({"token": TOKEN + name}).encode()

    def _handler(self, far: bool) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, fields, body = registry.answer(self.path, headers, far)
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if "X-Cut" in fields else body)
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
