"""A queue that stands outside Paddock: as much of SQS's JSON protocol as pollers speak, over HTTP, in memory.

It has one queue, `q`. Visibility is real time; a long poll waits for a message.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

QUEUE_ARN = "arn:aws:sqs:us-east-1:000000000000:q"


class OutsideSqs:
    def __init__(self, visibility_s: int = 30) -> None:
        self._visibility_s = visibility_s
        self._changed = threading.Condition()
        self._messages: list[dict[str, Any]] = []
        self._number = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                operation = self.headers["X-Amz-Target"].rpartition(".")[2]
                status, answer = outer.answer(operation, json.loads(self.rfile.read(length)))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that was killed in the middle of a request is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> OutsideSqs:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def bodies(self) -> list[str]:
        """What is in the queue, seen or unseen."""
        with self._changed:
            return [message["Body"] for message in self._messages]

    def send(self, *bodies: str) -> None:
        with self._changed:
            for body in bodies:
                self._number += 1
                digest = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
                self._messages.append(
                    {"MessageId": f"m-{self._number}", "Body": body, "MD5OfBody": digest, "visible": 0.0, "received": 0}
                )
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._messages = []

    def answer(self, operation: str, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match operation:
            case "GetQueueUrl" if params["QueueName"] == "q":
                return 200, {"QueueUrl": f"{self.endpoint}/000000000000/q"}
            case "GetQueueAttributes":
                return 200, {"Attributes": {"VisibilityTimeout": str(self._visibility_s)}}
            case "ReceiveMessage":
                return 200, {"Messages": self._receive(params)}
            case "DeleteMessageBatch" | "ChangeMessageVisibilityBatch":
                self._change(operation, params["Entries"])
                return 200, {"Successful": [{"Id": entry["Id"]} for entry in params["Entries"]], "Failed": []}
        code = "com.amazonaws.sqs#QueueDoesNotExist"
        return 400, {"__type": code, "message": "The specified queue does not exist."}

    def _receive(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        deadline = time.monotonic() + params["WaitTimeSeconds"]
        with self._changed:
            while True:
                now = time.monotonic()
                found = [m for m in self._messages if m["visible"] <= now][: params["MaxNumberOfMessages"]]
                if found or now >= deadline:
                    break
                self._changed.wait(min(0.1, deadline - now))
            for message in found:
                message["received"] += 1
                message["visible"] = now + params.get("VisibilityTimeout", self._visibility_s)
                message["ReceiptHandle"] = f"{message['MessageId']}/{message['received']}"
                message["Attributes"] = {"ApproximateReceiveCount": str(message["received"])}
            hidden = ("visible", "received")
            return [{name: value for name, value in m.items() if name not in hidden} for m in found]

    def _change(self, operation: str, entries: list[dict[str, Any]]) -> None:
        named = {entry["ReceiptHandle"]: entry for entry in entries}
        with self._changed:
            if operation == "DeleteMessageBatch":
                self._messages = [m for m in self._messages if m.get("ReceiptHandle") not in named]
                return
            for message in self._messages:
                if message.get("ReceiptHandle") in named:
                    entry = named[message["ReceiptHandle"]]
                    message["visible"] = time.monotonic() + entry["VisibilityTimeout"]
