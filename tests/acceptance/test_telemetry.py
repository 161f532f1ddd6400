"""Extensions that listen to what the platform says, in real sandboxes; and published tools that rely on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import until
from tests.support.extensions import extension, layer
from tests.support.server import ROOT, RunningServer, zipped

PYTHON = Path("/usr/bin/python3")
POWERTOOLS = "aws-lambda-powertools[tracer]==3.37.0"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the extensions of these tests are written in Python")

# Its name says how it listens: http, tcp or logs. What it is told, it leaves in /tmp for the function to return.
LISTENER = extension(
    """
import http.server, socket, threading

def keep(records):
    with open("/tmp/" + NAME, "a") as file:
        file.writelines(json.dumps(record) + "\\n" for record in records)

class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        keep(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

def lines(server):
    while True:
        connection, _ = server.accept()
        for line in connection.makefile():
            keep([json.loads(line)])

if NAME == "tcp":
    server = socket.create_server(("169.254.100.1", 0))
    port, serve = server.getsockname()[1], lambda: lines(server)
    destination = {"protocol": "TCP", "URI": f"tcp://sandbox.localdomain:{port}"}
else:
    server = http.server.ThreadingHTTPServer(("sandbox.localdomain", 0), Sink)
    port, serve = server.server_address[1], server.serve_forever
    destination = {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{port}/x"}
threading.Thread(target=serve, daemon=True).start()
register("INVOKE")
api_path, schema = {"logs": ("/2020-08-15/logs", "2021-03-18")}.get(NAME, ("/2022-07-01/telemetry", "2022-12-13"))
asked = {"schemaVersion": schema, "types": ["platform", "function"], "buffering": {"timeoutMs": 25},
         "destination": destination}
status, _, text = call("PUT", api_path, json.dumps(asked))
assert (status, text) == (200, '"OK"'), text
while True:
    following()
"""
)

SOURCE = """
import json, os, time
print("loading")
def handler(event, context):
    print("handling", event)
    deadline = time.monotonic() + 10
    while True:
        told = {name: [json.loads(line) for line in open("/tmp/" + name)] if os.path.exists("/tmp/" + name) else []
                for name in ("http", "tcp", "logs")}
        seen = [any(each["type"] == event["until"] for each in records) for records in told.values()]
        if not event["until"] or all(seen) or time.monotonic() > deadline:
            return told
        time.sleep(0.02)
"""


def test_what_they_are_told(server: RunningServer, name: str) -> None:
    arn = layer(server, dict.fromkeys(("http", "tcp", "logs"), LISTENER))
    server.create(name, SOURCE, Layers=[arn])
    _, first = server.invoke(name, {"until": ""})
    told, answer = server.invoke(name, {"until": "platform.report"})
    assert "FunctionError" not in answer, told
    request_id = first["ResponseMetadata"]["RequestId"]
    for way in ("http", "tcp"):
        records = told[way]
        types = [each["type"] for each in records]
        assert types[0] == "platform.initStart"
        assert {"platform.telemetrySubscription", "platform.extension", "platform.initReport"} <= set(types)
        first_report = types.index("platform.report")
        assert [kind for kind in types[:first_report] if kind in ("platform.start", "platform.runtimeDone")] == [
            "platform.start",
            "platform.runtimeDone",
        ]
        report = records[first_report]["record"]
        assert (report["requestId"], report["status"]) == (request_id, "success")
        assert {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs"} == set(
            report["metrics"]
        )
        lines = [each["record"] for each in records if each["type"] == "function"]
        assert lines[:2] == ["loading", "handling {'until': ''}"]
    logs = [each["type"] for each in told["logs"]]
    assert "platform.initStart" not in logs
    assert logs.index("platform.start") < logs.index("platform.runtimeDone") < logs.index("platform.end")
    assert "platform.logsSubscription" in logs


def test_parameters_and_secrets_by_an_extension(server: RunningServer, name: str) -> None:
    example = ROOT / "examples/parameters_secrets"
    arn = layer(server, {"parameters-and-secrets": (example / "extensions/parameters-and-secrets").read_bytes()})
    server.client("ssm").put_parameter(Name="/app/colour", Value="blue", Type="SecureString")
    server.client("secretsmanager").create_secret(Name=name, SecretString="s3cret")
    server.create(name, (example / "app.py").read_text(), Layers=[arn])
    event = {"parameter": "/app/colour", "secret": name}
    assert server.invoke(name, event)[0] == {"parameter": "blue", "secret": "s3cret"}
    server.client("ssm").put_parameter(Name="/app/colour", Value="red", Type="SecureString", Overwrite=True)
    assert server.invoke(name, event)[0]["parameter"] == "blue", "it is kept for a while"


POWERFUL = """
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities import parameters
logger = Logger(service="shop")
metrics = Metrics(namespace="Shop", service="shop")
tracer = Tracer(service="shop", disabled=True)
colour = parameters.get_parameter("/shop/colour", decrypt=True)

@logger.inject_lambda_context(log_event=True)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    metrics.add_metric(name="Orders", unit="Count", value=event["orders"])
    logger.info("taken", extra={"orders": event["orders"]})
    both = [parameters.get_parameters("/shop", decrypt=True), parameters.get_secret(event["secret"], transform="json")]
    return [logger.get_correlation_id() or context.aws_request_id, colour, *both]
"""


def test_powertools(server: RunningServer, name: str, tmp_path: Path) -> None:
    wheels = tmp_path / "python"
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(wheels), POWERTOOLS]
    if subprocess.run([*install, "--only-binary", ":all:"], capture_output=True).returncode:
        pytest.skip("Powertools cannot be installed from PyPI here")
    files: dict[str, str | bytes] = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in wheels.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    made = server.client("lambda").publish_layer_version(LayerName=name, Content={"ZipFile": zipped(files)})
    ssm = server.client("ssm")
    ssm.put_parameter(Name="/shop/colour", Value="blue", Type="SecureString")
    ssm.put_parameter(Name="/shop/size", Value="9", Type="String")
    server.client("secretsmanager").create_secret(Name=name, SecretString='{"key": "s3cret"}')
    server.create(name, POWERFUL, Layers=[made["LayerVersionArn"]], MemorySize=512)
    found, answer = server.invoke(name, {"orders": 3, "secret": name})
    assert "FunctionError" not in answer, found
    request_id, *given = found
    assert given == ["blue", {"colour": "blue", "size": "9"}, {"key": "s3cret"}]

    def told() -> list[dict[str, Any]]:
        events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        found = [json.loads(event["message"]) for event in events if event["message"].startswith("{")]
        return found if len(found) >= 4 else []

    found = until(told)
    (taken,) = [each for each in found if each.get("message") == "taken"]
    assert taken["function_request_id"] == request_id
    assert (taken["service"], taken["orders"], taken["cold_start"]) == ("shop", 3, True)
    metrics = [each for each in found if "_aws" in each]
    (orders,) = [each for each in metrics if "Orders" in each]
    assert orders["Orders"] == [3.0]
    assert orders["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Shop"
    assert any("ColdStart" in each for each in metrics)
