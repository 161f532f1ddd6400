"""Layers in functions that really run: merged in order at /opt, importable, read-only, and of bootstraps, too."""

from __future__ import annotations

import uuid
from typing import Any

from tests.support.server import RunningServer, zipped

SOURCE = """
import os, shared, only_first, only_second
def handler(event, context):
    try:
        open("/opt/new", "w")
        writable = True
    except OSError:
        writable = False
    return {
        "shared": shared.X, "first": only_first.X, "second": only_second.X, "writable": writable,
        "place": shared.__file__, "bin": os.access("/opt/bin/tool", os.X_OK), "file": open("/opt/swap/file").read(),
    }
"""


def publish(aws: Any, files: dict[str, str | bytes], mode: int = 0o644) -> str:
    made = aws.publish_layer_version(LayerName=f"l-{uuid.uuid4().hex[:8]}", Content={"ZipFile": zipped(files, mode)})
    arn: str = made["LayerVersionArn"]
    return arn


def test_layers_are_merged_in_order(server: RunningServer, aws: Any, name: str) -> None:
    first = publish(aws, {"python/shared.py": "X = 1", "python/only_first.py": "X = 1", "swap": "a file"}, 0o755)
    second = publish(
        aws, {"python/shared.py": "X = 2", "python/only_second.py": "X = 2", "bin/tool": "#!", "swap/file": "s"}, 0o755
    )
    server.create(name, SOURCE, Layers=[first, second])
    expected = {
        "shared": 2, "first": 1, "second": 2, "writable": False, "place": "/opt/python/shared.py", "bin": True,
        "file": "s",
    }  # fmt: skip
    assert server.invoke(name)[0] == expected
    for arn in (first, second):
        layer, _, number = arn.rpartition(":")
        aws.delete_layer_version(LayerName=layer, VersionNumber=int(number))
    aws.update_function_configuration(FunctionName=name, MemorySize=256)
    aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    assert server.invoke(name)[0] == expected, "a deleted layer stays with the functions that have it"


def test_one_layer_and_then_another(server: RunningServer, aws: Any, name: str) -> None:
    one, two = (publish(aws, {"python/lib.py": f"X = {number}"}) for number in (1, 2))
    source = "import lib\ndef handler(event, context):\n    return lib.X\n"
    server.create(name, source, Layers=[one])
    assert server.invoke(name)[0] == 1
    aws.update_function_configuration(FunctionName=name, Layers=[two])
    aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    assert server.invoke(name)[0] == 2
    aws.update_function_configuration(FunctionName=name, Layers=[])
    aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    assert server.invoke(name)[1]["FunctionError"] == "Unhandled"
