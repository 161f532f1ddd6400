"""Extensions for tests: an extension's side of the API in Python, and layers that bring them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from tests.support.server import RunningServer, zipped

# An extension's side of the API: register(*events), following() for the next event, say() for the log.
PRELUDE = """#!/usr/bin/python3
import http.client, json, os, signal, sys, time
NAME = os.path.basename(sys.argv[0])
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
ID = {}
def call(method, path, body=None, headers={}):
    api.request(method, path, body, {**ID, **headers})
    answer = api.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode()
def register(*events):
    body = json.dumps({"events": events})
    status, headers, text = call("POST", "/2020-01-01/extension/register", body, {"Lambda-Extension-Name": NAME})
    assert status == 200, text
    ID["Lambda-Extension-Identifier"] = headers["Lambda-Extension-Identifier"]
    return json.loads(text)
def following():
    status, headers, text = call("GET", "/2020-01-01/extension/event/next")
    assert status == 200, text
    return json.loads(text)
def say(*what):
    print(NAME, *what, flush=True)
"""


def layer(server: RunningServer, files: Mapping[str, str | bytes]) -> str:
    """The ARN of a layer whose extensions these are."""
    made = server.client("lambda").publish_layer_version(
        LayerName=f"l-{uuid.uuid4().hex[:8]}",
        Content={"ZipFile": zipped({f"extensions/{name}": text for name, text in files.items()}, 0o755)},
    )
    arn: str = made["LayerVersionArn"]
    return arn


def extension(text: str) -> str:
    """The whole program: what it does, after the prelude."""
    return PRELUDE + text
