"""`paddock health` against real sockets on loopback."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from paddock.cli import health


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_healthy_server_is_shown() -> None:
    with answering(200, b'{"status":"ok"}') as endpoint:
        assert health.ask(endpoint + "/") == '{\n  "status": "ok"\n}'


def test_proxies_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, b"{}") as endpoint:
        assert health.ask(endpoint) == "{}"


@pytest.mark.parametrize(
    ("status", "body", "said"), [(503, b"", "answers 503"), (404, b"", "something else"), (200, b"<html>", "JSON")]
)
def test_something_else_is_told(status: int, body: bytes, said: str) -> None:
    with answering(status, body) as endpoint, pytest.raises(health.Unhealthy, match=said):
        health.ask(endpoint)


def test_nobody_is_told_how_to_start() -> None:
    with answering(200, b"{}") as endpoint:
        pass
    with pytest.raises(health.Unhealthy, match=r"Connection refused.*paddock up"):
        health.ask(endpoint)


def test_an_address_that_is_no_address() -> None:
    with pytest.raises(health.Unhealthy, match=r"http://127\.0\.0\.1:4566"):
        health.ask("file:///etc/passwd")
