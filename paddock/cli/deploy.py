"""What `paddock dev` asks of the server: a function as wanted, its code, a layer with a debugger, and a development."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.cli.client import Client, Refused, telling
from paddock.cli.project import is_ignored

DEVELOP_PATH = "/_paddock/develop"
DEBUG_LAYER = "paddock-debugpy"
SETTLE_INTERVAL_S = 0.02
SETTLE_TIMEOUT_S = 120.0
ANSWER_BYTES_MAX = 65_536
TIMEOUT_S = 30.0

Pause = Callable[[float], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """None and empty: as it is, or as Lambda's defaults say."""

    name: str
    runtime: str
    handler: str
    environment: Mapping[str, str] | None = None
    timeout_s: int | None = None
    memory_mb: int | None = None


class Function:
    """One function of the server, as the developer wants it."""

    def __init__(self, client: Client, wish: Wish, pause: Pause) -> None:
        self._client = client
        self._wish = wish
        self._pause = pause
        self._lambda: Any = client.of("lambda")
        self.arn = ""
        self.is_new = False
        self._layers_before: list[str] = []
        self._sha256 = ""

    def put(self, package: bytes) -> None:
        """Create it, or bring it to the wish. Raises Refused."""
        with telling(self._client.endpoint):
            try:
                found = self._lambda.get_function_configuration(FunctionName=self._wish.name)
            except self._lambda.exceptions.ResourceNotFoundException:
                found = None
            if found is None:
                self._create(package)
            else:
                self.arn, self._sha256 = found["FunctionArn"], found["CodeSha256"]
                self._layers_before = [layer["Arn"] for layer in found.get("Layers", ())]
                self._settled()
                self._configure(found)
                self.upload(package)

    def _create(self, package: bytes) -> None:
        wish = self._wish
        given: dict[str, Any] = {
            "FunctionName": wish.name,
            "Runtime": wish.runtime,
            "Handler": wish.handler,
            "Role": f"arn:aws:iam::{self._client.account}:role/paddock-dev",
            "Code": {"ZipFile": package},
            "Description": "made by paddock dev",
        }
        made = self._lambda.create_function(**given, **self._settings())
        self.arn, self._sha256, self.is_new = made["FunctionArn"], made["CodeSha256"], True
        self._settled()

    def _settings(self) -> dict[str, Any]:
        wish = self._wish
        given: dict[str, Any] = {}
        if wish.environment is not None:
            given["Environment"] = {"Variables": dict(wish.environment)}
        if wish.timeout_s is not None:
            given["Timeout"] = wish.timeout_s
        if wish.memory_mb is not None:
            given["MemorySize"] = wish.memory_mb
        return given

    def _configure(self, found: Mapping[str, Any]) -> None:
        wanted = {"Runtime": self._wish.runtime, "Handler": self._wish.handler, **self._settings()}
        shown = {**found, "Environment": {"Variables": found.get("Environment", {}).get("Variables", {})}}
        if any(shown.get(name) != value for name, value in wanted.items()):
            self._lambda.update_function_configuration(FunctionName=self._wish.name, **wanted)
            self._settled()

    def upload(self, package: bytes) -> bool:
        """Its code from now on; False when it is that already. Raises Refused."""
        digest = base64.b64encode(hashlib.sha256(package).digest()).decode()
        if digest == self._sha256:
            return False
        with telling(self._client.endpoint):
            self._lambda.update_function_code(FunctionName=self._wish.name, ZipFile=package)
            self._settled()
        self._sha256 = digest
        return True

    def _settled(self) -> None:
        for _ in range(int(SETTLE_TIMEOUT_S / SETTLE_INTERVAL_S)):
            found = self._lambda.get_function_configuration(FunctionName=self._wish.name)
            if found["State"] == "Failed" or found.get("LastUpdateStatus") == "Failed":
                reason = found.get("LastUpdateStatusReason") or found.get("StateReason") or "for no reason that it says"
                raise Refused(f"The server cannot run this: {reason}", "Failed")
            if found["State"] != "Pending" and found.get("LastUpdateStatus") != "InProgress":
                return
            self._pause(SETTLE_INTERVAL_S)
        raise Refused(f"{self._wish.name} did not become ready within {SETTLE_TIMEOUT_S:.0f} s.")

    # -- a debugger in a layer

    def add_debugger(self, package: Path) -> None:
        """Raises Refused."""
        with telling(self._client.endpoint):
            arn = self._layer(package)
            self._layers([*self._layers_before, arn])

    def remove_debugger(self) -> None:
        with telling(self._client.endpoint):
            self._layers(self._layers_before)

    def _layers(self, arns: list[str]) -> None:
        self._settled()
        self._lambda.update_function_configuration(FunctionName=self._wish.name, Layers=arns)
        self._settled()

    def _layer(self, package: Path) -> str:
        """One of this very package, which may be there from the last time."""
        content = _zipped(package)
        digest = hashlib.sha256(content).hexdigest()[:16]
        for found in self._lambda.list_layer_versions(LayerName=DEBUG_LAYER)["LayerVersions"]:
            if found.get("Description") == digest:
                return str(found["LayerVersionArn"])
        made = self._lambda.publish_layer_version(
            LayerName=DEBUG_LAYER, Description=digest, Content={"ZipFile": content}
        )
        return str(made["LayerVersionArn"])

    # -- beside Lambda's API

    def develop(self, **wanted: Any) -> dict[str, Any]:
        """Say what the developer wants; see services/lambda_/developing.py. Raises Refused."""
        body = json.dumps({"FunctionArn": self.arn, **wanted}).encode()
        request = urllib.request.Request(self._client.endpoint + DEVELOP_PATH, data=body, method="POST")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                told: dict[str, Any] = json.loads(answer.read(ANSWER_BYTES_MAX))
                return told
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(ANSWER_BYTES_MAX)
            try:
                document = json.loads(said)
                message, code = document["Message"], document.get("Code", "Refused")
            except (ValueError, KeyError, TypeError, AttributeError):
                message, code = f"{DEVELOP_PATH} answers {error.code}: this server cannot do it.", "Refused"
            raise Refused(message, code) from None
        except OSError as error:
            raise Refused(f"No answer from {self._client.endpoint} ({getattr(error, 'reason', error)}).") from None


def _zipped(package: Path) -> bytes:
    """python/NAME/... as a layer has it; the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(package.rglob("*")):
            inner = path.relative_to(package)
            if path.is_file() and not any(is_ignored(part, True) for part in inner.parts[:-1]):
                entry = zipfile.ZipInfo(f"python/{package.name}/{inner.as_posix()}")
                entry.external_attr = 0o100644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()
