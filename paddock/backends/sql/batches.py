"""Many small works of one kind as one: what is asked for in one turn of the event loop shares a statement and a wait.

    add(a)  add(b)  add(c)      the loop turns once      write(lambda tx: work(tx, [a, b, c]))      three futures done

A work of its own costs a savepoint, a closure and a wake-up; that is more than the row that it writes. Whatever
fails, fails for all of the batch: so only what cannot fail by itself is done in batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from paddock.interfaces import Tx

T = TypeVar("T")
R = TypeVar("R")

Write = Callable[[Callable[[Tx], Any]], Coroutine[Any, Any, Any]]
"""interfaces.Store.write."""

BATCH_MAX = 256


class Batches(Generic[T, R]):
    """write: of a store. work: a result for each item, in their order. Belongs to the event loop that first asks."""

    def __init__(self, write: Write, work: Callable[[Tx, Sequence[T]], Sequence[R]]) -> None:
        self._write = write
        self._work = work
        self._items: list[T] = []
        self._futures: list[asyncio.Future[R]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writes: set[asyncio.Task[Sequence[R]]] = set()

    def add(self, item: T) -> asyncio.Future[R]:
        """Done once it is durable; raises what the store raises. Whoever gives the future up does not undo the work.

        Call from the event loop's thread.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._items.append(item)
        self._futures.append(future)
        if len(self._items) == 1:
            loop.call_soon(self._flush)
        elif len(self._items) == BATCH_MAX:
            self._flush()
        return future

    def _flush(self) -> None:
        items, self._items = self._items, []
        futures, self._futures = self._futures, []
        if items:
            write = asyncio.get_running_loop().create_task(self._write(lambda tx: self._work(tx, items)))
            self._writes.add(write)
            write.add_done_callback(partial(self._done, futures))

    def _done(self, futures: Sequence[asyncio.Future[R]], write: asyncio.Task[Sequence[R]]) -> None:
        self._writes.discard(write)
        if write.cancelled():
            for future in futures:
                future.cancel()
            return
        error = write.exception()
        results: Sequence[R | None] = [None] * len(futures) if error is not None else write.result()
        for future, result in zip(futures, results, strict=True):
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # a None among them is what the work gave
