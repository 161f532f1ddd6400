"""What pip installs for a function, as the files of its package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def installed(directory: Path, *wanted: str) -> dict[str, str | bytes]:
    """Wheels for the Python that runs the tests. wanted: as after `pip install`. Skips the test where that fails."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(directory), "--only-binary=:all:"]
    options = ["--no-compile", "--disable-pip-version-check"]
    done = subprocess.run([*command, *options, *wanted], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"{' '.join(wanted)} cannot be installed here: " + done.stderr.decode()[-200:])
    found = (path for path in directory.rglob("*") if path.is_file())
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in found
        if not {"tests", "__pycache__"} & set(path.relative_to(directory).parts)
    }
