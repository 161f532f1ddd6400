"""Debuggers, as editors speak: the Debug Adapter Protocol to debugpy, the inspector's WebSocket to Node.js."""

from __future__ import annotations

import base64
import itertools
import json
import os
import socket
import struct
import urllib.request
from collections.abc import Callable
from typing import Any

PATIENCE_S = 100.0
Message = dict[str, Any]


class Dap:
    """One connection to a debug adapter."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._file = self._socket.makefile("rb")
        self._numbers = itertools.count(1)
        self.told: list[Message] = []

    def ask(self, command: str, **arguments: Any) -> int:
        number = next(self._numbers)
        body = json.dumps({"seq": number, "type": "request", "command": command, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return number

    def wait(self, is_it: Callable[[Message], Any]) -> Message:
        """The first message like that, of those told already too."""
        for message in self.told:
            if is_it(message):
                self.told.remove(message)
                return message
        while True:
            message = self._next()
            if is_it(message):
                return message
            self.told.append(message)

    def answer(self, number: int) -> Message:
        found = self.wait(lambda one: one.get("request_seq") == number)
        assert found["success"], found
        body: Message = found.get("body") or {}
        return body

    def event(self, name: str) -> Message:
        body: Message = self.wait(lambda one: one.get("event") == name).get("body") or {}
        return body

    def _next(self) -> Message:
        size = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
        assert size, "the adapter has hung up"
        message: Message = json.loads(self._file.read(size))
        return message

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Inspector:
    """One connection to Node.js' inspector, found by its list of targets."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE_S) as answer:
            self.targets = json.load(answer)
        path = self.targets[0]["webSocketDebuggerUrl"].partition(f":{port}")[2]
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b"101" in self._file.readline()
        while self._file.readline().strip():
            pass
        self._numbers = itertools.count(1)
        self.told: list[Message] = []

    def ask(self, method: str, **params: Any) -> Message:
        number = next(self._numbers)
        self._send(json.dumps({"id": number, "method": method, "params": params}).encode())
        found = self.wait(lambda one: one.get("id") == number)
        assert "error" not in found, found
        result: Message = found["result"]
        return result

    def event(self, name: str) -> Message:
        params: Message = self.wait(lambda one: one.get("method") == name)["params"]
        return params

    def wait(self, is_it: Callable[[Message], Any]) -> Message:
        for message in self.told:
            if is_it(message):
                self.told.remove(message)
                return message
        while True:
            message = self._next()
            if is_it(message):
                return message
            self.told.append(message)

    def _send(self, data: bytes) -> None:
        """One masked text frame."""
        size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack("!H", len(data))
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self._socket.sendall(b"\x81" + size + mask + masked)

    def _next(self) -> Message:
        _, size = self._file.read(2)
        if size == 126:
            (size,) = struct.unpack("!H", self._file.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._file.read(8))
        message: Message = json.loads(self._file.read(size))
        return message

    def close(self) -> None:
        self._file.close()
        self._socket.close()
