"""Snapshots: initialised versions as sealed files in memory, from which new environments become what they hold.

A snapshot is data that a version's own code wrote in its own sandbox, and that only environments of that very version,
in sandboxes made like all others, turn into. Nobody else reads it: not the jailer, not a zygote, not the server. The
server makes the file, gives it to the template, ends the template, and seals the file against every further change; a
file that cannot be sealed is thrown away. No descriptor is ever taken from a template, and each restored environment
gets an open file of its own, to read.

    take      Image(file, is_new=True) -> Environment -> the template's end -> keep()
    restore   find() -> Image(file) -> Environment

It fits only sandboxes of the lineage that it was taken in: forks of one zygote, which share their addresses. After
that zygote's end, or a restart of the server, the next start of the version initialises as any other, and a new
snapshot is taken in the background. The same is done when a restore fails for any reason but the function's own.

All count in the memory budget. What is over their share of it goes, least worth first (worker/pool.py): seconds saved
in proportion to bytes, and how often it is used.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

from paddock.interfaces import SandboxFailed
from paddock.model.development import is_developed
from paddock.model.errors import ServiceError
from paddock.model.function import (
    LATEST,
    SNAP_START_EPHEMERAL_MB_MAX,
    SNAP_START_PYTHON_MIN,
    FunctionVersion,
)
from paddock.worker.failures import OUT_OF_MEMORY, Failure
from paddock.worker.frames import encode
from paddock.worker.pool import EnvironmentKey, worth
from paddock.worker.runtimes.python.bootstrap import RESTORE, SNAPSHOT, TAKE

INIT_TIMEOUT_S_MIN = 130.0
"""An initialisation for a snapshot may take so long, or as long as the function's own timeout where that is more."""

RESTORE_TIMEOUT_S = 10.0
MEMORY_FACTOR = 2
"""A template has room for its memory and for the file with its copy."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_BLOCK_BYTES = 512
_PYTHON = re.compile(r"python3\.(\d+)")

ASKED, PUBLISHED = "asked", "published"
"""Whose snapshots are taken: those that are asked for, every published version's, or (any other word) all."""
_FAILURES_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What an environment is given: the file, and whether it is to be written or to be restored from."""

    file: int
    is_new: bool = False


class RestoreFailed(SandboxFailed):
    """The snapshot did not come to life; the version can start without it."""


def not_taken(failure: Failure) -> ServiceError:
    """Why a version with SnapStart is Failed: the code is a StateReasonCode, the reason for the function's author."""
    if failure.kind == "timeout":
        return ServiceError("The function's initialization timed out.", code="FunctionError.InitTimeout")
    if failure.error_type == OUT_OF_MEMORY:
        return ServiceError(
            "The function's initialization ran out of memory.", code="FunctionError.InitResourceExhausted"
        )
    text = failure.payload.decode("utf-8", "replace")[:2000] or failure.cause
    return ServiceError(f"{failure.error_type}: {text}", code="FunctionError.RuntimeInitError")


def not_restored(failure: Failure) -> ServiceError:
    """The function's own hooks failed after the restore: what the caller of Invoke is told."""
    if failure.kind == "timeout":
        text = f"The snapshot could not be restored within {RESTORE_TIMEOUT_S:.0f} s."
        return ServiceError(text, code="SnapStartTimeoutException", status=408, fault="client")
    text = "The function's after-restore hook failed: " + failure.payload.decode("utf-8", "replace")[:2000]
    return ServiceError(text, code="SnapStartException", status=400, fault="client")


@dataclass(slots=True, kw_only=True)
class _Snapshot:
    file: int
    lineage: int
    size_bytes: int
    saved_s: float
    used_at: float
    uses: int = 1


def is_for_snapshots(version: FunctionVersion, whose: str) -> bool:
    """Whether it starts from snapshots: asked for, or because the operator lets it and it is of a kind that can."""
    if version.starts_by_snapshot or whose == ASKED:
        return version.starts_by_snapshot
    if is_developed(version):  # what was initialised is not what lies there now
        return False
    python = _PYTHON.fullmatch(version.runtime)
    is_fit = python is not None and int(python[1]) >= SNAP_START_PYTHON_MIN and version.architecture == "x86_64"
    has_more = version.file_systems or version.tenant_isolation or version.provisioned_for or version.image is not None
    is_large = version.ephemeral_mb > SNAP_START_EPHEMERAL_MB_MAX
    return is_fit and not has_more and not is_large and (version.version != LATEST or whose != PUBLISHED)


def new_file() -> int:
    """A descriptor of an empty file in memory that can be sealed. Raises OSError."""
    return os.memfd_create("snapshot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def hand_over(channel: socket.socket, image: Image) -> None:
    """The first that a runtime hears. To restore it gets the file opened anew, to read: it shares no offset and no
    flags with a sibling. Raises SandboxFailed.
    """
    word = TAKE if image.is_new else RESTORE
    try:
        file = os.dup(image.file) if image.is_new else os.open(f"/proc/self/fd/{image.file}", os.O_RDONLY)
        try:
            socket.send_fds(channel, [encode(SNAPSHOT, word, b"")], [file])
        finally:
            os.close(file)
    except OSError as error:
        raise SandboxFailed(f"a snapshot could not be handed over: {error.strerror}") from error


class Snapshots:
    """Those that are held. monotonic: seconds; budget_bytes: for all of them together."""

    def __init__(self, budget_bytes: int, monotonic: Callable[[], float]) -> None:
        self._budget = budget_bytes
        self._monotonic = monotonic
        self._held: dict[EnvironmentKey, _Snapshot] = {}
        self._failures: dict[EnvironmentKey, int] = {}
        self.in_making: set[EnvironmentKey] = set()

    @property
    def bytes(self) -> int:
        return sum(one.size_bytes for one in self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def find(self, key: EnvironmentKey, lineage: int) -> Image | None:
        """For a sandbox of that lineage. One of another lineage is of no use to anybody any more, and is dropped."""
        found = self._held.get(key)
        if found is None:
            return None
        if found.lineage != lineage:
            self.drop(key)
            return None
        found.used_at = self._monotonic()
        found.uses += 1
        return Image(file=found.file)

    def keep(self, key: EnvironmentKey, file: int, lineage: int, saved_s: float) -> bool:
        """Seal and hold it, unless it is too large for all of the budget; the file is ours from now on.

        Call it when nothing of the template is left: what it still had mapped would keep the seal off. Raises OSError.
        """
        try:
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            size_bytes = os.fstat(file).st_blocks * _BLOCK_BYTES
        except OSError:
            os.close(file)
            raise
        if size_bytes > self._budget:
            os.close(file)
            self._failures[key] = _FAILURES_MAX  # it would be the same again
            return False
        self.drop(key)
        now = self._monotonic()
        self._held[key] = _Snapshot(file=file, lineage=lineage, size_bytes=size_bytes, saved_s=saved_s, used_at=now)
        self.shed(self.bytes - self._budget, but=key)
        return True

    def shed(self, bytes_wanted: int, but: EnvironmentKey = ()) -> None:
        """Let go of the least worth until so many bytes are free."""
        now = self._monotonic()
        ranked = sorted((one for one in self._held.items() if one[0] != but), key=lambda item: _worth(item[1], now))
        for key, snapshot in ranked:
            if bytes_wanted <= 0:
                return
            bytes_wanted -= snapshot.size_bytes
            self.drop(key)

    def wants(self, key: EnvironmentKey) -> bool:
        """Whether one should be taken: there is none, nobody is at it, and it has a chance."""
        is_hopeless = self._failures.get(key, 0) >= _FAILURES_MAX
        return key not in self._held and key not in self.in_making and not is_hopeless

    def failed(self, key: EnvironmentKey) -> None:
        """It could not be taken, or does not come to life. A few times are tried."""
        self.drop(key)
        self._failures[key] = self._failures.get(key, 0) + 1

    def drop(self, key: EnvironmentKey) -> None:
        """Forget it; absent is not an error. Environments that were restored from it keep what they have."""
        found = self._held.pop(key, None)
        if found is not None:
            os.close(found.file)

    def drop_others(self, function_arn: str, keep_builds: frozenset[str]) -> None:
        """Those of the function's builds that nobody may ask for any more."""
        _, _, _, region, account, _, name = function_arn.split(":")
        for key in [*self._held, *self._failures]:
            if key[:3] == (account, region, name) and key[-1] not in keep_builds:
                self.drop(key)
                self._failures.pop(key, None)

    def close(self) -> None:
        for key in list(self._held):
            self.drop(key)


def _worth(snapshot: _Snapshot, now: float) -> float:
    idle_s = max(1.0, now - snapshot.used_at)
    return worth(snapshot.uses / idle_s, snapshot.saved_s, snapshot.size_bytes)
