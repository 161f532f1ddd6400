"""Environments that have to do with a snapshot: templates, of which one is taken, and those restored from one.

A template is initialised and never sees an event. A restored environment begins where the template stopped; from its
first event on it is like any other, but that one whose runtime is lost is ended: the next one is restored sooner than
this one would be initialised.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from paddock.interfaces import Sandbox, SandboxFailed
from paddock.model.environment import EnvironmentState
from paddock.model.errors import ServiceError
from paddock.model.function import FunctionVersion
from paddock.observe.invocation_log import InitPhase, Measured
from paddock.worker import failures
from paddock.worker.environment import Environment
from paddock.worker.failures import Failure
from paddock.worker.runtimes.python.bootstrap import RESTORED, TAKEN
from paddock.worker.snapshots import (
    INIT_TIMEOUT_S_MIN,
    MEMORY_FACTOR,
    RESTORE_TIMEOUT_S,
    Image,
    RestoreFailed,
    Snapshots,
    hand_over,
    new_file,
    not_restored,
    not_taken,
)

log = logging.getLogger("paddock.snapshots")


class _WithImage(Environment):
    def __init__(self, *given: Any, image: Image, **named: Any) -> None:
        super().__init__(*given, **named)
        self._image = image

    async def _connect(self) -> None:
        """The image goes ahead of everything else, once all that it maps is there."""
        await self._assigning
        hand_over(self._sandbox.channel, self._image)
        await super()._connect()


class Template(_WithImage):
    """Writes itself into the image's file. It ends after that, whatever came of it."""

    async def start(self) -> None:
        """Returns once the snapshot is written. Raises SandboxFailed, and ServiceError for a failed initialisation."""
        await self._assign(self.version.memory_mb * MEMORY_FACTOR)
        self._journal.init_start()
        failure, took_ms = await self._initialise(max(INIT_TIMEOUT_S_MIN, float(self.version.timeout_s)))
        init = InitPhase(duration_ms=took_ms, initialization_type=self.version.initialization_type)
        if failure is not None:
            status = "timeout" if failure.kind == "timeout" else "error"
            self._journal.init_failed(replace(init, status=status, error_type=failure.error_type), failure)
            raise not_taken(failure)
        self._journal.init_done(init)

    def told_of_snapshot(self, kind: int) -> None:
        if kind == TAKEN and self._first_next is not None and not self._first_next.done():
            self._first_next.set_result(None)

    def asked_next(self) -> None:
        """It did not stop for a snapshot."""
        if self._first_next is not None and not self._first_next.done():
            self._first_next.set_result(failures.no_snapshot())


class Restored(_WithImage):
    """Becomes what the image's file holds."""

    def __init__(self, *given: Any, image: Image, **named: Any) -> None:
        super().__init__(*given, image=image, **named)
        self._has_come_to_life = False
        self._restore_ms: float | None = None

    async def start(self) -> None:
        """Raises RestoreFailed, which the version can do without, and ServiceError when its own hooks fail."""
        try:
            await self._assign(self.version.memory_mb)
            self._journal.restore_start()
            failure, took_ms = await self._initialise(RESTORE_TIMEOUT_S)
            if failure is not None and not self._has_come_to_life:
                raise RestoreFailed(f"its snapshot did not come to life: {failure.cause or failure.error_type}")
            self._journal.restore_done(took_ms, failure)
            if failure is not None:
                raise not_restored(failure)
        except (SandboxFailed, ServiceError):
            self.shut_down()
            raise
        self._restore_ms = took_ms
        if self.state is EnvironmentState.INITIALIZING:
            self._become_ready()

    def told_of_snapshot(self, kind: int) -> None:
        self._has_come_to_life = kind == RESTORED or self._has_come_to_life

    async def _reset(self, reason: str) -> None:
        self._needs_init = True
        self.shut_down()

    def _measured(self, failure: Failure | None, duration_ms: float, init_ms: float | None) -> Measured:
        restore_ms, self._restore_ms = self._restore_ms, None
        return msgspec.structs.replace(super()._measured(failure, duration_ms, init_ms), restore_ms=restore_ms)


def kind_of(image: Image | None) -> Callable[..., Environment]:
    """What makes an environment that has to do with that image, or with none."""
    if image is None:
        return Environment
    return partial(Template if image.is_new else Restored, image=image)


class Templates:
    """Takes snapshots. cell: a waiting sandbox for a version, its code unpacked. template: an environment in it."""

    def __init__(
        self,
        snapshots: Snapshots,
        *,
        cell: Callable[[FunctionVersion], Awaitable[Sandbox]],
        template: Callable[[Sandbox, FunctionVersion, Image], Environment],
        monotonic: Callable[[], float],
    ) -> None:
        self._snapshots = snapshots
        self._cell = cell
        self._template = template
        self._monotonic = monotonic

    async def take(self, version: FunctionVersion) -> None:
        """Initialise it once, in a sandbox of its own that ends with that. Raises ServiceError when that fails.

        That the machine has no room for a snapshot, or no way, is no error: the version starts without.
        """
        key = version.environment_key
        file = new_file()
        self._snapshots.in_making.add(key)
        try:
            sandbox = await self._cell(version)
            began = self._monotonic()
            await self._initialised(self._template(sandbox, version, Image(file=file, is_new=True)))
            kept, file = file, -1
            if not self._snapshots.keep(key, kept, sandbox.lineage, self._monotonic() - began):
                log.warning("%s: its snapshot is larger than all snapshots may be", version.version_arn)
        except (SandboxFailed, OSError) as error:
            log.warning("%s: no snapshot: %s", version.version_arn, error)
            self._snapshots.failed(key)
        finally:
            self._snapshots.in_making.discard(key)
            if file >= 0:
                os.close(file)

    @staticmethod
    async def _initialised(template: Environment) -> None:
        """Returns when nothing of it is left."""
        ended, then = asyncio.Event(), template.on_terminated

        def terminated(environment: Environment) -> None:
            if then is not None:
                then(environment)
            ended.set()

        template.on_terminated = terminated
        try:
            await template.start()
        finally:
            template.shut_down()
            await ended.wait()

    async def retake(self, version: FunctionVersion) -> None:
        """In the background: what the last one stood on has gone since the version was published."""
        try:
            await self.take(version)
        except ServiceError as error:
            log.warning("%s: no new snapshot: %s", version.version_arn, error.message)
            self._snapshots.failed(version.environment_key)
