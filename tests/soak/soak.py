"""The soak: many clients invoke many functions while parts of Paddock are killed and functions are changed.

Every answer is checked against all that it may be: the right function's, of a generation of code that was possible at
some moment between question and answer, to this very event; or the failure that was asked for; or the end of an
environment, at most as many as were killed; or, while a function is deleted and made again, that it is not there.
An answer of class 500 may come only to what was under way while a zygote, the jailer or the server was killed, and is
counted; so is a connection that ended then. Silence is a fault at any time. So is any process, namespace, mount or
control group that the killed jailer or server has left, before the next one starts on the same data.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.soak.client import Connection, NoAnswer, Silence
from tests.soak.functions import SLEEPER, Kind, kinds
from tests.soak.kernel import (
    Holdings,
    children_of,
    holdings,
    inits_of,
    kill,
    mother_of,
    rss_kb,
    runtimes_of,
    zygotes_of,
)
from tests.support.server import ROLE, RunningServer
from tests.support.traces import Traces, mounts_of, traces

CLIENTS = 16
BURST = 32
SETTINGS = {"environment_idle_timeout_s": 1, "keep_alive": "fixed", "concurrency_limit": BURST}
INVOCATIONS_PER_ACTION = 20
DECK = ("runtime",) * 8 + ("init",) * 6 + ("zygote", "mother") + ("update",) * 3 + ("recreate",) * 2
WHOLE = ("jailer", "server")
INVOCATIONS_PER_WHOLE = 400
"""One of them is killed, in turn, that often, and only in the first half: the other half shows what one server gathers
in a long life."""
GONE_S = 45.0
FUNCTIONS = "/2015-03-31/functions"
SETTLE_S = 30.0
SAME_READINGS = 10
NOT_THERE = {404, 409}


@dataclass(frozen=True, kw_only=True)
class Size:
    invocations: int
    functions: int


@dataclass(kw_only=True)
class Book:
    """What a function may answer. states: generations of its code, None for "is not there", in the order of changes.

    settled: index of the last one that was reached for certain; each after it may be in force already.
    """

    name: str
    kind: Kind
    states: list[int | None] = field(default_factory=list)
    settled: int = 0
    is_changing: bool = False
    outages: int = 0  # that there had been when its change began

    def settle(self) -> None:
        self.settled = len(self.states) - 1


@dataclass(kw_only=True)
class Report:
    outcomes: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    took_s: float = 0.0
    rss_halfway_kb: int = 0
    log: str = ""
    before: Holdings | None = None
    after: Holdings | None = None

    def text(self) -> str:
        done = sum(self.outcomes.values())
        lines = [f"{done} invocations in {self.took_s:.1f} s: {done / max(self.took_s, 0.001):.0f}/s"]
        lines += [f"answers: {dict(sorted(self.outcomes.items()))}", f"actions: {dict(sorted(self.actions.items()))}"]
        if self.before is not None and self.after is not None:
            after = dataclasses.asdict(self.after)
            lines += [f"{name}: {value} -> {after[name]}" for name, value in dataclasses.asdict(self.before).items()]
        lines += [f"rss halfway: {self.rss_halfway_kb} kB", f"faults: {len(self.faults)}"]
        lines += [f"  {count} x {kind}" for kind, count in Counter(fault[:40] for fault in self.faults).most_common(20)]
        lines += self.faults[:20]
        if self.faults:
            lines += ["the server's log:", *self.log.splitlines()[-60:]]
        return "\n".join(lines)


class Soak:
    """One run against a server started with SETTINGS. Afterwards `report` says what was found."""

    def __init__(self, server: RunningServer, size: Size, seed: int) -> None:
        self.report = Report()
        self._server = server
        self._size = size
        self._chance = random.Random(seed)
        self._books: list[Book] = []
        self._generation = 0
        self._begun = 0
        self._ends_begun = 0  # of a zygote, or of all
        self._ends_over = 0
        self._outages = 0
        self._up = asyncio.Event()
        self._up.set()
        self._one_outage = asyncio.Lock()
        self._deck: list[str] = []
        times = max(len(WHOLE), size.invocations // 2 // INVOCATIONS_PER_WHOLE * 2)
        self._whole = {n * size.invocations // (2 * times + 2): WHOLE[n % len(WHOLE)] for n in range(1, times + 1)}
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: list[Connection] = []
        self._control = self._connection()

    async def run(self) -> Report:
        try:
            await self._run()
        except NoAnswer as error:
            self.report.faults.append(f"the server is gone: {error}")
        finally:
            for connection in self._connections:
                connection.close()
        return self.report

    def _connection(self) -> Connection:
        made = Connection(lambda: self._server.endpoint)
        self._connections.append(made)
        return made

    async def _run(self) -> None:
        await self._create_all()
        self.report.before = await self._at_rest(None)
        began = time.monotonic()
        await asyncio.gather(*(self._client(serial) for serial in range(CLIENTS)))
        self.report.took_s = time.monotonic() - began
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._control.close()  # it was idle for so long that the server may have closed it
        await self._each_answers()
        await self._burst()
        self.report.after = await self._at_rest(self.report.before)
        self._judge()

    # -- the functions

    async def _create_all(self) -> None:
        _, health = await self._control.json("GET", "/health")
        offered = kinds(health["runtimes"])
        for number in range(self._size.functions):
            kind = offered[number % len(offered)]
            self._books.append(Book(name=f"f{number}-{kind.name}", kind=kind))
        self._sleeper = Book(name="sleeper", kind=SLEEPER)
        connections = [self._connection() for _ in self._all()]
        await asyncio.gather(*(self._create(book, own) for book, own in zip(self._all(), connections, strict=True)))
        for connection in connections:  # the server would, after a while, and then holds less than before
            connection.close()
            self._connections.remove(connection)
        await self._each_answers()

    def _all(self) -> list[Book]:
        return [*self._books, self._sleeper]

    async def _each_answers(self) -> None:
        """One event to each, one after the other."""
        for book in self._books:
            await self._invoke(self._control, book, f"each{self._generation}", False)

    async def _create(self, book: Book, connection: Connection) -> None:
        def content(generation: int) -> tuple[str, str, dict[str, Any]]:
            code = {"ZipFile": base64.b64encode(book.kind.package(book.name, generation)).decode()}
            given = {"FunctionName": book.name, "Role": ROLE, "Code": code, **book.kind.configuration()}
            return "POST", FUNCTIONS, given

        await self._change(book, connection, content)

    async def _update(self, book: Book, connection: Connection) -> None:
        def content(generation: int) -> tuple[str, str, dict[str, Any]]:
            code = base64.b64encode(book.kind.package(book.name, generation)).decode()
            return "PUT", f"{FUNCTIONS}/{book.name}/code", {"ZipFile": code}

        await self._change(book, connection, content)

    async def _change(
        self, book: Book, connection: Connection, content: Callable[[int], tuple[str, str, dict[str, Any]]]
    ) -> None:
        """Make it so and wait until it is; again when a zygote's end came between."""
        for _ in range(5):
            over = self._ends_over
            self._generation += 1
            book.states.append(self._generation)
            method, path, given = content(self._generation)
            status, told = await connection.json(method, path, given)
            state = await self._settled(book, connection) if status < 300 else f"{status} {told}"
            if state == "Successful":
                book.settle()
                return
            self.report.actions["changes that failed"] += 1
            if self._ends_begun == over:
                self.report.faults.append(f"{method} {path}: {state}")
            if method == "POST":
                await connection.ask("DELETE", f"{FUNCTIONS}/{book.name}")
        self.report.faults.append(f"{book.name}: no change of it succeeds")

    async def _settled(self, book: Book, connection: Connection) -> str:
        """Successful, or what came of it instead."""
        while True:
            status, told = await connection.json("GET", f"{FUNCTIONS}/{book.name}/configuration")
            if status != 200:
                return f"{status} {told}"
            update = told.get("LastUpdateStatus")  # there is none before it has first been Active
            if told["State"] == "Active" and update == "Successful":
                return "Successful"
            if "Failed" in (told["State"], update):
                return f"{told['State']} {update}: {told.get('StateReason') or told.get('LastUpdateStatusReason')}"
            await asyncio.sleep(0.02)

    async def _recreate(self, book: Book, connection: Connection) -> None:
        book.states.append(None)
        status, _, body = await connection.ask("DELETE", f"{FUNCTIONS}/{book.name}")
        if status != 204 and not (status == 404 and self._outages > book.outages):
            self.report.faults.append(f"delete of {book.name}: {status} {body!r}")
        book.settle()
        await self._create(book, connection)

    # -- the clients

    async def _client(self, serial: int) -> None:
        chance = random.Random(self._chance.random())
        connection = self._connection()
        while self._begun < self._size.invocations:
            await self._up.wait()
            self._begun += 1
            number = self._begun
            if self._is_second_half and not self.report.rss_halfway_kb:
                self.report.rss_halfway_kb = rss_kb(self._server.server_pid)
            book = chance.choice(self._books)
            await self._invoke(connection, book, f"{serial}-{number}", chance.random() < book.kind.fails)
            if number in self._whole:
                self._begin(self._kill_whole(self._whole[number]))
            if number % INVOCATIONS_PER_ACTION == 0:
                self._begin(self._act_quietly())
        connection.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if (error := task.exception()) is not None:
            self.report.faults.append(f"{task.get_coro()}: {error!r}")

    @property
    def _is_second_half(self) -> bool:
        return self._begun >= self._size.invocations // 2

    async def _invoke(self, connection: Connection, book: Book, token: str, fail: bool) -> None:
        first, over, outages = book.settled, self._ends_over, self._outages
        event = json.dumps({"token": token, "fail": fail}).encode()
        try:
            status, headers, body = await connection.ask("POST", f"{FUNCTIONS}/{book.name}/invocations", event)
        except NoAnswer as error:
            is_told = self._outages > outages and not isinstance(error, Silence)
            self.report.outcomes["cut off" if is_told else "none"] += 1
            if not is_told:
                self.report.faults.append(f"no answer: {error}")
            return
        possible = book.states[first:]
        outcome = self._outcome(book, token, fail, possible, status, headers, body)
        if outcome == "5xx" and self._ends_begun == over:
            self.report.faults.append(f"{book.name} without an end of anything: {status} {body!r}")
        self.report.outcomes[outcome] += 1
        if outcome == "wrong":
            found = f"{status} {headers.get('x-amz-function-error', '')} {body[:300]!r}"
            self.report.faults.append(f"{book.name} {token} fail={fail} may be {possible}: {found}")

    @staticmethod
    def _outcome(
        book: Book,
        token: str,
        fail: bool,
        possible: list[int | None],
        status: int,
        headers: dict[str, str],
        body: bytes,
    ) -> str:
        if status >= 500:
            return "5xx"
        if status in NOT_THERE and None in possible:
            return "not there"
        if status != 200:
            return "wrong"
        told = json.loads(body)
        if "x-amz-function-error" not in headers:
            given = {(book.name, generation, token) for generation in possible}
            is_right = not fail and (told["name"], told["generation"], told["token"]) in given
            return "right" if is_right else "wrong"
        if fail and book.kind.expects(body, token):
            return f"failed as asked: {book.kind.error_type}"
        is_end = told["errorType"] == "Runtime.ExitError" and "signal: killed" in told["errorMessage"]
        return "killed" if is_end else "wrong"

    # -- what is done to them

    async def _act(self) -> None:
        if not self._deck:
            self._deck = list(DECK)
            self._chance.shuffle(self._deck)
        action = self._deck.pop()
        if action in ("update", "recreate"):
            await self._change_one(self._update if action == "update" else self._recreate, action)
        elif action in ("zygote", "mother"):
            await self._kill_zygote(action)
        else:
            self._kill_environment(action)

    async def _act_quietly(self) -> None:
        try:
            await self._act()
        except NoAnswer as error:
            self.report.faults.append(f"no answer: {error}")

    async def _change_one(self, change: Callable[[Book, Connection], Awaitable[None]], action: str) -> None:
        free = [book for book in self._books if not book.is_changing]
        if not free:
            return
        book = self._chance.choice(free)
        book.is_changing, book.outages = True, self._outages
        connection = self._connection()
        try:
            await self._through(lambda: change(book, connection))
            self.report.actions[action] += 1
        except NoAnswer as error:
            self.report.faults.append(f"no answer to {action}: {error}")
        finally:
            book.is_changing = False
            connection.close()

    def _kill_environment(self, which: str) -> None:
        """The first process of one, or the one that runs its function."""
        found = runtimes_of if which == "runtime" else inits_of
        pairs = [(pid, zygote) for zygote in zygotes_of(self._server) for pid in found(zygote)]
        if pairs and kill(*self._chance.choice(pairs)):
            self.report.actions[f"kill of {which}"] += 1

    async def _kill_zygote(self, which: str) -> None:
        """It, or its mother of environments, which ends it, too.

        That is over once the server has answered after it was gone: by then the server has seen it.
        """
        deadline = time.monotonic() + GONE_S
        while not (victims := self._victims(which)) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)  # there is none during an outage, and for a while after it
        if not victims:
            return
        zygote, victim, parent = self._chance.choice(victims)
        self._ends_begun += 1
        if not kill(victim, parent):
            self._ends_over += 1
            return
        self.report.actions[f"kill of {which}"] += 1
        while zygote in children_of(self._server.pid):
            await asyncio.sleep(0.005)
        connection = self._connection()
        for _ in range(2):
            await self._through(lambda: connection.ask("GET", "/health"))
        connection.close()
        self._ends_over += 1

    def _victims(self, which: str) -> list[tuple[int, int, int]]:
        """(zygote, who is to be killed, whose child that is) of each zygote that is up."""
        zygotes = zygotes_of(self._server)
        if which == "zygote":
            return [(zygote, zygote, self._server.pid) for zygote in zygotes]
        return [(zygote, mother, zygote) for zygote in zygotes if (mother := mother_of(zygote))]

    async def _kill_whole(self, which: str) -> None:
        """kill -9 of the jailer or of the server: all the rest ends with it. Then a new Paddock on the same data.

        One after the other: the event at whose end one begins may have been cut off by the one before.
        """
        async with self._one_outage:
            await self._kill_whole_alone(which)

    async def _kill_whole_alone(self, which: str) -> None:
        self._up.clear()
        self._ends_begun += 1
        self._outages += 1
        try:
            before = await asyncio.to_thread(traces, self._server)
            await asyncio.to_thread(self._server.kill_jailer if which == "jailer" else self._server.kill)
            self.report.actions[f"kill of {which}"] += 1
            await self._nothing_left(before, which)
            await asyncio.to_thread(self._server.start)
            self._ends_over += 1
        finally:
            self._up.set()

    async def _nothing_left(self, before: Traces, which: str) -> None:
        def left() -> list[str]:
            mounts = mounts_of(self._server.data_dir)
            return [*before.left(), *mounts, *(f"control group {path}" for path in self._server.groups())]

        deadline = time.monotonic() + GONE_S
        while (found := await asyncio.to_thread(left)) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.report.faults += [f"left of a killed {which}: {what}" for what in found]

    async def _through(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """What comes of it; done again when the server was killed meanwhile and a new one is there."""
        while True:
            await self._up.wait()
            outages = self._outages
            try:
                return await work()
            except NoAnswer as error:
                if self._outages == outages or isinstance(error, Silence):
                    raise

    # -- afterwards

    async def _burst(self) -> None:
        """As many at once as the account may: every permit that was taken has been given back."""
        body, sleep_s, together = b"", 1.0, False
        while not together and sleep_s < 10:
            body = json.dumps({"sleep_s": sleep_s}).encode()
            asking = [self._connection() for _ in range(BURST)]
            path = f"{FUNCTIONS}/{self._sleeper.name}/invocations"
            answers = await asyncio.gather(*(connection.ask("POST", path, body) for connection in asking))
            for connection in asking:
                connection.close()
            bad = [answer for answer in answers if answer[0] != 200 or "x-amz-function-error" in answer[1]]
            self.report.faults += [f"burst: {status} {told!r}" for status, _, told in bad]
            if bad:
                return
            told = [json.loads(answer[2]) for answer in answers]
            together = max(each["began"] for each in told) < min(each["ended"] for each in told)
            sleep_s *= 2
        if not together:
            self.report.faults.append("burst: they never ran all at once")

    async def _at_rest(self, before: Holdings | None) -> Holdings:
        """When every environment has been idle for long enough, and cells are as many as before."""
        deadline = time.monotonic() + SETTLE_S
        runtimes = len({book.kind.configuration()["Runtime"] for book in self._all()})
        last: Holdings | None = None
        same = 0  # readings in a row: on a busy machine a cell that nobody needs takes a while to end
        while True:
            _, health = await self._control.json("GET", "/health")
            if not 0 <= health["idle"] <= health["environments"]:
                self.report.faults.append(f"health does not add up: {health}")
            found = await asyncio.to_thread(holdings, self._server)
            at_rest = not health["environments"] and health["cells"] % runtimes == 0
            same = same + 1 if at_rest and last is not None and _lasting(found) == _lasting(last) else 0
            if before is None and same == SAME_READINGS:
                return found
            if before is not None and at_rest and _lasting(found) == _lasting(before):
                return found
            if time.monotonic() > deadline:
                self.report.faults.append(f"does not come to rest: {health}")
                return found
            last = found
            await asyncio.sleep(0.1)

    def _judge(self) -> None:
        before, after, report = self.report.before, self.report.after, self.report
        assert before is not None
        assert after is not None
        for name, value in _lasting(before).items():
            if _lasting(after)[name] != value:
                report.faults.append(f"{name}: {value} before, {_lasting(after)[name]} after")
        kills = report.actions["kill of runtime"] + report.actions["kill of init"]
        ends = sum(report.actions[f"kill of {which}"] for which in ("zygote", "mother", *WHOLE))
        if report.outcomes["killed"] > kills + CLIENTS * ends:
            report.faults.append("more events lost their environment than environments were killed")
        allowed_kb = 32 << 10
        if after.rss_kb > max(before.rss_kb, report.rss_halfway_kb) + allowed_kb:
            report.faults.append("the server's memory grows")
        if report.outcomes["cut off"] > CLIENTS * self._outages:
            report.faults.append("more answers were cut off than were under way")
        if self._ends_over != self._ends_begun:
            report.faults.append("what was killed was never seen to end")


def _lasting(found: Holdings) -> dict[str, int]:
    """What must be the same before and after. Slots stay with their zygote; memory is judged by its growth."""
    numbers = dataclasses.asdict(found)
    return {name: value for name, value in numbers.items() if name not in ("slots", "rss_kb")}
