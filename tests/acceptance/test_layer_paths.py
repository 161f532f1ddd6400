"""Where each runtime looks for what layers bring: /opt, by language, in the order of the layers (spec 02 section 8)."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_custom_runtime import PRELUDE, PYTHON, create, create_from
from tests.acceptance.test_layers import publish
from tests.support import clients
from tests.support.runtimes import here, newest
from tests.support.server import RunningServer


def both(aws: Any, *paths: str, text: str, mode: int = 0o644) -> list[str]:
    """Two layers with a file at each path, whose text says PLACE and LAYER."""
    return [
        publish(aws, {path: text.replace("PLACE", path).replace("LAYER", layer) for path in paths}, mode)
        for layer in ("first", "second")
    ]


@pytest.mark.parametrize("runtime", here("python"))
def test_python(server: RunningServer, aws: Any, runtime: str) -> None:
    """The function's own shadows layers', layers' shadow what is installed with the runtime."""
    versioned = f"python/lib/{runtime}/site-packages"
    text = "X = 'PLACE LAYER'\n"
    paths = [f"{versioned}/a.py", "python/b.py", f"{versioned}/c.py", "python/c.py", "python/d.py", "python/boto3.py"]
    source = "import a, b, boto3, c, d\ndef handler(event, context):\n    return [m.X for m in (a, b, c, d, boto3)]\n"
    name = "layer-paths-" + runtime.replace(".", "")
    server.create(name, {"app.py": source, "d.py": "X = 'own'\n"}, Runtime=runtime, Layers=both(aws, *paths, text=text))
    assert server.invoke(name)[0] == [
        f"{versioned}/a.py second", "python/b.py second", f"{versioned}/c.py second", "own", "python/boto3.py second",
    ]  # fmt: skip


@pytest.mark.parametrize("runtime", here("nodejs"))
def test_nodejs(server: RunningServer, aws: Any, runtime: str) -> None:
    versioned = f"nodejs/node{runtime.removeprefix('nodejs').removesuffix('.x')}/node_modules"
    text = "module.exports = 'PLACE LAYER';\n"
    paths = [f"{versioned}/{one}/index.js" for one in "ac"] + [f"nodejs/node_modules/{one}/index.js" for one in "bcd"]
    source = """
const found = ["a", "b", "c", "d"].map((name) => require(name));
exports.handler = async () => found;
"""
    files = {"app.js": source, "node_modules/d/index.js": "module.exports = 'own';\n"}
    name = "layer-paths-" + runtime.replace(".", "")
    server.create(name, files, Runtime=runtime, Layers=both(aws, *paths, text=text))
    assert server.invoke(name)[0] == [
        f"{versioned}/a/index.js second", "nodejs/node_modules/b/index.js second", f"{versioned}/c/index.js second",
        "own",
    ]  # fmt: skip


@pytest.mark.parametrize("runtime", here("java"))
def test_java(server: RunningServer, aws: Any, tmp_path: Path, runtime: str) -> None:
    """Its handler comes from a layer's jar, and the later of two layers with the same jar counts."""
    if shutil.which("javac") is None:
        pytest.skip("no Java compiler on this machine")
    layers = []
    for layer in ("first", "second"):
        source = tmp_path / layer / "Own.java"
        source.parent.mkdir()
        source.write_text(f'public class Own {{ public String handle(Object e) {{ return "{layer}"; }} }}\n')
        subprocess.run(["javac", "--release", clients.JAVA_RELEASE, str(source)], check=True)
        jar = io.BytesIO()
        with zipfile.ZipFile(jar, "w") as archive:
            archive.write(source.with_suffix(".class"), "Own.class")
        layers.append(publish(aws, {"java/lib/own.jar": jar.getvalue()}))
    name = f"layer-paths-{runtime}"
    given = {"Runtime": runtime, "Handler": "Own::handle", "MemorySize": 512, "Timeout": 60}
    server.create(name, {"nothing.txt": ""}, Layers=layers, **given)
    assert server.invoke(name)[0] == "second"


SHARED = """
int which(void) { return NUMBER; }
"""


def library(directory: Path, number: int) -> bytes:
    """A shared library whose only function returns the number."""
    source, built = directory / f"which{number}.c", directory / f"libwhich{number}.so"
    source.write_text(SHARED.replace("NUMBER", str(number)))
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-nostdlib", "-o", built, source], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler on this machine")
    return built.read_bytes()


USING = """
import ctypes, subprocess
def use(event):
    found = subprocess.run(["layered"], capture_output=True, text=True).stdout.strip()
    return [found, ctypes.CDLL("libwhich.so").which()]
"""


@pytest.mark.skipif(not PYTHON.exists(), reason="the bootstrap is written in Python")
def test_programs_and_libraries_of_every_runtime(server: RunningServer, aws: Any, tmp_path: Path) -> None:
    """/opt/bin stands last on PATH, /opt/lib last on LD_LIBRARY_PATH."""
    layers = [
        publish(
            aws, {"bin/layered": f"#!/bin/sh\necho {number}\n", "lib/libwhich.so": library(tmp_path, number)}, 0o755
        )
        for number in (1, 2)
    ]
    name = "layer-paths-all"
    server.create(name, USING + "def handler(event, context):\n    return use(event)\n", Layers=layers)
    loop = "while True:\n    request_id, _, event = following()\n    respond(request_id, use(event))\n"
    create(server, f"{name}-custom", USING + loop, Layers=layers)
    for one in (name, f"{name}-custom"):
        assert server.invoke(one)[0] == ["2", 2], one
    if newest("nodejs"):
        source = """
const { execFileSync } = require("node:child_process");
const last = () => process.env.LD_LIBRARY_PATH.split(":").at(-1);
exports.handler = async () => [execFileSync("layered").toString().trim(), last()];
"""
        server.create(f"{name}-node", {"app.js": source}, Runtime=newest("nodejs"), Layers=layers)
        assert server.invoke(f"{name}-node")[0] == ["2", "/opt/lib"]


def test_a_bootstrap_of_a_layer(server: RunningServer, aws: Any, name: str) -> None:
    """It is looked for after the function's own."""
    echo = "while True:\n    request_id, _, event = following()\n    respond(request_id, 'LAYER')\n"
    layers = both(aws, "bootstrap", text=PRELUDE + echo, mode=0o755)
    for own, expected in (("nothing.txt", "second"), ("bootstrap", "own")):
        function = f"{name}-{expected}"
        source = PRELUDE + echo.replace("LAYER", "own") if own == "bootstrap" else ""
        create_from(server, function, {own: source}, Layers=layers)
        assert server.invoke(function)[0] == expected


STARTED = """
import os, sys, warnings
def handler(event, context):
    return [sys.flags.hash_randomization, sys.flags.optimize, sys.warnoptions, sys.dont_write_bytecode,
            os.environ["LD_LIBRARY_PATH"]]
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, [1, 0, [], False]),
        ({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}, [1, 0, [], True]),
        ({"PYTHONHASHSEED": "0", "PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error"}, [0, 2, ["error"], False]),
        ({"LD_LIBRARY_PATH": "/opt/elsewhere"}, [1, 0, [], False]),
    ],
    ids=["none", "honoured", "started", "path"],
)
def test_variables_that_are_read_at_the_start(
    server: RunningServer, request: pytest.FixtureRequest, variables: dict[str, str], expected: list[Any]
) -> None:
    name = f"layer-paths-{request.node.callspec.id}"
    server.create(name, STARTED, Environment={"Variables": variables})
    for _ in range(2):
        *found, path = server.invoke(name)[0]
        assert found == expected
        assert path == variables.get("LD_LIBRARY_PATH", path)
