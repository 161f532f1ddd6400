"""How a function runs while its developer is at it: its code is a directory as it is now, or a debugger holds it.

Nothing of this is stored. It lasts as long as the developer's command says so, and what it changes is a version as one
invocation sees it: where its code lies, its build, its time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from paddock.model.function import FunctionVersion

DIRECTORY_PREFIX = "directory:"
"""Of a CodeArtifact's digest, at an invocation only: the rest is an absolute path to be mounted as it is."""

DEBUG_TIME_S = 86_400
"""A debugger may hold an event for this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Development:
    """directory: an absolute path, "" for the code that the function has. debug_port: on this machine's loopback, None
    without a debugger. generation: with another one, everything is loaded anew.
    """

    directory: str = ""
    debug_port: int | None = None
    generation: int = 0


def developed(version: FunctionVersion, development: Development) -> FunctionVersion:
    """$LATEST as its developer has it run."""
    code = version.code
    if development.directory:
        code = replace(code, digest=DIRECTORY_PREFIX + development.directory)
    is_debugged = development.debug_port is not None
    return replace(
        version,
        code=code,
        build_id=f"{version.build_id}-{development.generation}{'-debug' if is_debugged else ''}",
        timeout_s=DEBUG_TIME_S if is_debugged else version.timeout_s,
        is_debugged=is_debugged,
    )


def is_developed(version: FunctionVersion) -> bool:
    """Whether it is a version as its developer has it run."""
    return version.is_debugged or is_directory(version.code.digest)


def is_directory(digest: str) -> bool:
    return digest.startswith(DIRECTORY_PREFIX)
