"""examples/workloads: programs of the kinds that benchmarks measure, each result checked in another way."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from tests.support.packages import installed
from tests.support.server import RunningServer

WORKLOADS = Path(__file__).parents[2] / "examples" / "workloads"
PACKED = {"frames": "pandas", "plot": "matplotlib"}
PNG = b"\x89PNG\r\n\x1a\n"


def sealed(found: Any) -> bool:
    """By another library."""
    key = PBKDF2HMAC(hashes.SHA256(), 32, b"and salt", 20_000).derive(b"a password")
    seal = hmac.HMAC(key, hashes.SHA256())
    seal.update(bytes(range(256)) * 256 * 32)
    return bool(found == {"key": key.hex(), "seal": seal.finalize().hex()})


def page(found: Any) -> bool:
    rows = "".join(f"<tr><td>{i}</td><td>&lt;row &amp; {i}&gt;</td></tr>" for i in range(10_000))
    text = f"<!doctype html><title>A table</title><table>{rows}</table>"
    return bool(found == {"bytes": len(text), "digest": hashlib.sha256(text.encode()).hexdigest()})


CHECKS: dict[str, tuple[int, Callable[[Any], bool]]] = {
    "floats": (100_000, lambda it: abs(it["sum"] - 100_000 - sum(math.sqrt(i) for i in range(100_000))) < 1e-3),
    "matrix": (80, lambda it: it["trace"] == sum((i + j) ** 2 for i in range(80) for j in range(80))),
    "linear": (80, lambda it: it["error"] < 1e-9),
    "primes": (1_000_000, lambda it: it == {"count": 78_498, "largest": 999_983}),
    "cipher": (32, sealed),
    "compress": (4, lambda it: it["same"] and it["written"] == 4 << 18 and it["packed"] < it["written"] * 0.6),
    "documents": (9_000, lambda it: it["adults"] == 7_200),
    "pages": (10_000, page),
    "graph": (2_000, lambda it: abs(it["sum"] - 1) < 1e-6 and it["first"] < 10 and it["steps"] > 5),
    "words": (5_000, lambda it: it["words"] == 60_000 and it["most"][0] == "paddock"),
    "logistic": (2_000, lambda it: it["accuracy"] > 0.95),
    "genome": (30_000, lambda it: "GATTACA" * 6 in it["repeat"] and it["longest"] == len(it["repeat"])),
    "queries": (9_700, lambda it: it["total"] == sum(i * 31 % 1000 for i in range(9_700))),
    "frames": (70_000, lambda it: it["groups"] == 3 and it["total"] == sum(i * 31 % 1000 for i in range(70_000))),
    "plot": (100, lambda it: base64.b64decode(it).startswith(PNG) and len(it) > 10_000),
}


def test_every_workload_is_checked() -> None:
    assert {path.stem for path in WORKLOADS.glob("*.py")} == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_workload(server: RunningServer, tmp_path: Path, name: str) -> None:
    files: dict[str, str | bytes] = {f"{name}.py": (WORKLOADS / f"{name}.py").read_bytes()}
    if name in PACKED:
        files |= installed(tmp_path / "package", PACKED[name])
    function = f"workload-{name}"
    server.create(function, files, Handler=f"{name}.handler", MemorySize=1769, Timeout=120)
    size, is_right = CHECKS[name]
    for _ in range(2):  # cold and warm
        found_result, answer = server.invoke(function, {"n": size})
        assert "FunctionError" not in answer, found_result
        assert is_right(found_result), found_result
