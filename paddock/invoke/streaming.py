"""A response that is read while its function still writes it.

    runtime -> Runtime API or frames -> ResponseStream.put ... ResponseStream.pieces -> event stream or HTTP -> client

Between the two stands a small buffer. While it is full the worker reads nothing from the runtime, so a slow client
slows the function down instead of filling the memory. A client that goes away does not stop the function: what it
still writes is thrown away, and it ends as it would have. A function that does not stream leaves the stream empty; its
result tells.

AWS lets the first 6 MB pass at once and 2 MB a second after that (spec 03 section 2). Here that is a choice
(`streamed_bytes_per_s`); the reader is then made to wait, and the full buffer does the rest.

The permit is held as long as the function runs, as for every invocation, because it is the dispatcher who runs it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from paddock.interfaces import Clock
from paddock.invoke.dispatcher import Dispatcher
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.quotas import Quotas

HELD_BYTES_MAX = 262_144


class Throttle:
    """How fast one response may leave: burst_bytes at once, then bytes_per_s, which also fill up what is at once."""

    def __init__(self, burst_bytes: int, bytes_per_s: int, clock: Clock) -> None:
        self._burst_bytes = burst_bytes
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._left_bytes = float(burst_bytes)
        self._at_s = clock.monotonic()

    async def passed(self, size: int) -> None:
        """So many bytes have been read: wait as long as they were too early."""
        now_s = self._clock.monotonic()
        filled = self._left_bytes + (now_s - self._at_s) * self._bytes_per_s
        self._left_bytes, self._at_s = min(self._burst_bytes, filled) - size, now_s
        if self._left_bytes < 0:
            await self._clock.sleep(-self._left_bytes / self._bytes_per_s)


class ResponseStream:
    """interfaces.ResponseSink for the worker; for the client's side what stands below.

    has_begun: the function streams, and content_type is known. throttle: None for as fast as it is read.
    """

    def __init__(self, bytes_max: int, throttle: Throttle | None = None) -> None:
        self.has_begun = False
        self.content_type = ""
        self.taken_bytes = 0
        self.bytes_max = bytes_max
        self._throttle = throttle
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._is_over = False
        self._is_abandoned = False
        self._moved = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    # -- interfaces.ResponseSink

    def begin(self, content_type: str) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.content_type = content_type
            self._moved.set()

    def put(self, piece: bytes) -> bool:
        self.taken_bytes += len(piece)
        if self._is_over or self._is_abandoned or self.is_exceeded or not piece:
            return True
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        self._moved.set()
        if self._held_bytes >= HELD_BYTES_MAX:
            self._room.clear()
            return False
        return True

    async def room(self) -> None:
        await self._room.wait()

    @property
    def is_exceeded(self) -> bool:
        return self.taken_bytes > self.bytes_max

    # -- the client's side

    def end(self) -> None:
        """Nothing more will come."""
        self._is_over = True
        self._moved.set()
        self._room.set()

    async def begun(self) -> None:
        """Until the function streams, or is over."""
        while not (self.has_begun or self._is_over):
            await self._more()

    async def next_piece(self) -> bytes:
        """All that is there, at least one byte; b"" at the end."""
        while not self._pieces and not self._is_over:
            await self._more()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held_bytes = 0
        self._room.set()
        if self._throttle is not None and piece:
            await self._throttle.passed(len(piece))
        return piece

    def abandon(self) -> None:
        """Nobody reads any more."""
        self._is_abandoned = True
        self._pieces.clear()
        self._held_bytes = 0
        self._room.set()

    async def _more(self) -> None:
        self._moved.clear()
        await self._moved.wait()


class StreamedInvocation:
    """An invocation that runs, whose answer has begun or is over. Read it to its end, or abandon it."""

    def __init__(self, stream: ResponseStream, task: asyncio.Task[InvocationResult]) -> None:
        self.stream = stream
        self._task = task

    @classmethod
    async def start(
        cls, dispatcher: Dispatcher, invocation: Invocation, quotas: Quotas, clock: Clock
    ) -> StreamedInvocation:
        """Raises what the dispatcher raises before the function answers."""
        rate = quotas.streamed_bytes_per_s
        throttle = Throttle(quotas.streamed_burst_bytes, rate, clock) if rate else None
        stream = ResponseStream(quotas.streamed_bytes_max, throttle)
        task = asyncio.get_running_loop().create_task(dispatcher.run(invocation, stream))

        def ended(_: asyncio.Task[InvocationResult]) -> None:
            stream.end()
            if not task.cancelled():
                task.exception()  # whoever reads to the end sees it, and perhaps nobody does

        task.add_done_callback(ended)
        try:
            await stream.begun()
        except BaseException:
            stream.abandon()
            raise
        if not stream.has_begun:
            await task
        return cls(stream, task)

    async def result(self) -> InvocationResult:
        """Of an invocation that is over. Raises what the dispatcher raises."""
        return await self._task
