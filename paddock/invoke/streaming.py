"""A response that is read while its function still writes it.

    runtime -> Runtime API or frames -> ResponseStream.put ... ResponseStream.pieces -> event stream or HTTP -> client

Between the two stands a small buffer. While it is full the worker reads nothing from the runtime, so a slow client
slows the function down instead of filling the memory. A client that goes away does not stop the function: what it
still writes is thrown away, and it ends as it would have. A function that does not stream leaves the stream empty; its
result tells.

The permit is held as long as the function runs, as for every invocation, because it is the dispatcher who runs it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from paddock.invoke.dispatcher import Dispatcher
from paddock.model.invocation import Invocation, InvocationResult

HELD_BYTES_MAX = 262_144


class ResponseStream:
    """interfaces.ResponseSink for the worker; for the client's side what stands below.

    has_begun: the function streams, and content_type is known.
    """

    def __init__(self, bytes_max: int) -> None:
        self.has_begun = False
        self.content_type = ""
        self.taken_bytes = 0
        self.bytes_max = bytes_max
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
    async def start(cls, dispatcher: Dispatcher, invocation: Invocation, bytes_max: int) -> StreamedInvocation:
        """Raises what the dispatcher raises before the function answers. bytes_max: of a streamed response."""
        stream = ResponseStream(bytes_max)
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
