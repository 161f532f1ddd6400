"""The place where everything is put together: the only module that names concrete backends.

up()      becomes the jailer (worker/sandbox/jailer.py), which starts the server without privilege as `serve`
serve()   the server: wires stores, worker, services and front, and runs until it is told to stop
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
import os
import platform
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from paddock import __version__
from paddock.backends.aws.api import AwsApi
from paddock.backends.files import master_key
from paddock.backends.files.blobs import FileBlobs
from paddock.backends.files.notary import FileNotary
from paddock.backends.files.publishers import FilePublishers
from paddock.backends.files.segments import FileSegments
from paddock.backends.http.post import Poster
from paddock.backends.local.clock import SystemClock
from paddock.backends.local.ids import SystemIds
from paddock.backends.sql import statements
from paddock.backends.sql.queue import SqlQueue
from paddock.backends.sql.sqlite import SqliteStore
from paddock.cli.banner import banner
from paddock.cli.sign import DIRECTORY as SIGNING
from paddock.config import Config
from paddock.control.catalogue import Catalogue
from paddock.control.code_signing import CodeSigning
from paddock.control.event_buses import Buses
from paddock.control.event_invokes import EventInvokes
from paddock.control.keys import Keys
from paddock.control.mappings import Mappings
from paddock.control.permissions import Permissions
from paddock.control.schedules import Schedules
from paddock.event_sources.invoking import FunctionInvoker
from paddock.event_sources.poller import Supervisor
from paddock.event_sources.schedule import Ticker
from paddock.event_sources.sqs import Api, GivingBack, SqsSource, SqsSources
from paddock.front.access import AccessRecord
from paddock.front.app import Front, FrontSettings
from paddock.front.downloads import Downloads
from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.invoke.asynchronous import Asynchronous
from paddock.invoke.dispatcher import Dispatcher
from paddock.invoke.outbox import DeadLetter, Outbox, RetryPolicy
from paddock.invoke.targets import TargetTable
from paddock.model.delivery import TargetEvent
from paddock.model.event_bus import Delivering
from paddock.model.quotas import PROFILES, Quotas
from paddock.model.sealing import KEY_BYTES
from paddock.observe.logbook import LogBook, LogBookLimits
from paddock.services import (
    SERVICES,
    events,
    iam,
    kms,
    lambda_,
    logs,
    s3,
    scheduler,
    secretsmanager,
    sns,
    sqs,
    ssm,
    sts,
)
from paddock.services.service import InProcess, Mount
from paddock.wire.http1 import HttpLimits, HttpServer
from paddock.wire.service import load_service
from paddock.worker.code import CodeStore
from paddock.worker.configured import settings_of
from paddock.worker.ports import API_CONNECTIONS_MAX, Ports
from paddock.worker.sandbox import jailer
from paddock.worker.sandbox.client import LinuxSandboxes
from paddock.worker.worker import RuntimeOffer, Worker

log = logging.getLogger("paddock")

DRAIN_S = 10.0
STOP_PATIENCE_S = 10.0
PROCESSES_MAX = 1024
SNS_CERTIFICATE = "/_paddock/sns-certificate.pem"
LIMITS = HttpLimits()  # the front limits bodies itself: objects of S3 are streamed and may be larger
INNER_LIMITS = dataclasses.replace(LIMITS, connections_max=API_CONNECTIONS_MAX)


def time_and_chance() -> tuple[Clock, Ids]:
    """For commands that are not the server."""
    return SystemClock(), SystemIds()


def up(config: Config, environ: Mapping[str, str]) -> int:
    """Replace this process by the jailer. Returns an exit status only when that cannot be."""
    is_root = os.geteuid() == 0
    if config.isolation == "root" and not is_root:
        print("paddock: isolation = root needs to be started as root", file=sys.stderr)
        return 2
    if config.isolation == "rootless" and is_root:
        print("paddock: isolation = rootless needs to be started as an ordinary user", file=sys.stderr)
        return 2
    settings = jailer.Settings(
        host=config.host,
        port=config.port,
        data_dir=str(config.data_dir),
        server_uid=config.server_uid,
        environment_uid_first=config.environment_uid_first,
        processes_max=PROCESSES_MAX,
        rootless=not is_root,
        network=config.network,
        network_pool=config.network_pool,
        networks=config.networks,
        file_systems=config.file_systems,
        server={**dataclasses.asdict(config), "data_dir": str(config.data_dir)},
    )
    fd = os.memfd_create("paddock", 0)
    os.write(fd, json.dumps(dataclasses.asdict(settings)).encode())
    os.lseek(fd, 0, os.SEEK_SET)
    os.set_inheritable(fd, True)
    command = [sys.executable, "-P", "-m", "paddock.worker.sandbox.jailer", str(fd)]
    return os.execve(sys.executable, command, {**environ, "PYTHONPATH": str(jailer.SOURCE)})


def serve() -> int:
    """The server half, started by the jailer with its descriptors in place."""
    with os.fdopen(jailer.SETTINGS_FD) as file:
        given = json.load(file)
    config = Config(**given["config"])
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    control = socket.socket(fileno=jailer.JAILER_FD)
    listener = socket.socket(fileno=jailer.LISTENER_FD)
    offers = tuple(
        RuntimeOffer(name=one["name"], label=one["label"], family=one["family"], transport=one["transport"])
        for one in given["runtimes"]
    )
    start = Start(config=config, control=control, listener=listener, offers=offers, isolation=given["isolation"])
    return uvloop.run(_run(start)) if config.event_loop == "uvloop" else asyncio.run(_run(start))


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the jailer hands the server. isolation: mode ("root" or "rootless"), groups (0, 1, 2), controllers."""

    config: Config
    control: socket.socket
    listener: socket.socket
    offers: tuple[RuntimeOffer, ...]
    isolation: Mapping[str, Any]

    @property
    def endpoint(self) -> str:
        host, port = self.listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _run(start: Start) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    app = await App.wire_up(start)
    gc.collect()
    gc.freeze()  # models and tables live as long as we do: each full collection would walk them all again
    try:
        print(banner(start), flush=True)
        await stop.wait()
        log.info("stopping")
    finally:
        await app.stop()
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What everything else stands on: time, chance, limits, and what is on disk."""

    clock: Clock
    ids: Ids
    quotas: Quotas
    store: SqliteStore
    keys: Keys
    log_store: SqliteStore
    blobs: FileBlobs
    code: CodeStore
    book: LogBook

    @classmethod
    async def open(cls, start: Start) -> Foundation:
        clock, ids, quotas = SystemClock(), SystemIds(), _quotas(start.config)
        home = start.config.data_dir / "server"
        store = await SqliteStore.open(home / "paddock.db")
        log_store = await SqliteStore.open(home / "logs.db", statements=statements.load_logs())
        blobs = await FileBlobs.open(home / "blobs")
        book = LogBook(store=log_store, clock=clock, limits=_log_limits(start.config))
        book.start()
        return cls(
            clock=clock,
            ids=ids,
            quotas=quotas,
            store=store,
            keys=await _keys(home, store, clock, ids),
            log_store=log_store,
            blobs=blobs,
            code=await CodeStore.open(home / "code", blobs, quotas),
            book=book,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMode:
    """What waits in the queue, and who works on it."""

    queue: SqlQueue
    targets: TargetTable
    outbox: Outbox
    asynchronous: Asynchronous

    @classmethod
    def of(
        cls,
        store: SqliteStore,
        dispatcher: Dispatcher,
        functions: EventInvokes,
        clock: Clock,
        ids: Ids,
        quotas: Quotas,
    ) -> EventMode:
        queue = SqlQueue(store, clock, ids)
        targets = TargetTable()
        outbox = Outbox(queue, targets, clock, ids)
        asynchronous = Asynchronous(
            store=store,
            queue=queue,
            outbox=outbox,
            dispatcher=dispatcher,
            functions=functions,
            clock=clock,
            ids=ids,
            quotas=quotas,
        )
        targets.add("lambda", asynchronous.send, asynchronous.check)
        return cls(queue=queue, targets=targets, outbox=outbox, asynchronous=asynchronous)

    async def start(self) -> None:
        await self.queue.start()
        self.outbox.start()
        self.asynchronous.start()

    async def stop(self) -> None:
        await self.asynchronous.stop()
        await self.outbox.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """EventBridge and its Scheduler, and the clock that fires both's schedules."""

    buses: Buses
    schedules: Schedules
    ticker: Ticker

    @classmethod
    def of(cls, store: SqliteStore, event_mode: EventMode, clock: Clock, ids: Ids) -> Events:
        def send(tx: Tx, event: TargetEvent, delivering: Delivering) -> None:
            policy = RetryPolicy(attempts_max=delivering.attempts_max + 1, age_s_max=float(delivering.age_s_max))
            arn = delivering.dead_letter_arn
            event_mode.outbox.put(tx, event, policy=policy, dead_letter=DeadLetter(target_arn=arn) if arn else None)

        def ticked() -> None:
            ticker.planned()

        buses = Buses(store=store, send=send, clock=clock, ids=ids, ticked=ticked)
        schedules = Schedules(store=store, send=send, clock=clock, ids=ids, ticked=ticked)
        ticker = Ticker(store, {"rule": buses, "schedule": schedules}, clock)
        event_mode.targets.add("events", buses.receive)
        return cls(buses=buses, schedules=schedules, ticker=ticker)

    def desks(self, clock: Clock, ids: Ids) -> dict[str, Any]:
        return {
            "events": events.Desk(buses=self.buses, clock=clock, ids=ids),
            "scheduler": scheduler.Desk(schedules=self.schedules, clock=clock),
        }

    async def start(self) -> None:
        await self.buses.start()
        self.ticker.start()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventServices:
    """The services whose changes are events: S3 and SNS. documents: what receivers of events may fetch, by path."""

    s3: s3.Desk
    sns: sns.Desk
    documents: Mapping[str, bytes]

    @classmethod
    async def open(cls, start: Start, on: Foundation, event_mode: EventMode) -> EventServices:
        home, outbox = start.config.data_dir / "server", event_mode.outbox
        notary, handed = await FileNotary.open(home / "sns", on.clock.now()), {"clock": on.clock, "ids": on.ids}
        topics = await sns.Desk.open(
            store=on.store,
            **handed,
            outbox=outbox.put,
            notary=notary,
            base_url=start.endpoint,
            certificate_url=start.endpoint + SNS_CERTIFICATE,
        )
        target = sns.SnsTarget(topics, Poster())
        event_mode.targets.add("sns", target.send, target.check)

        buckets = await s3.Desk.open(
            store=on.store,
            segments=await FileSegments.open(home / "objects", lambda: on.ids.hex(32)),
            **handed,
            outbox=outbox.put,
            check_target=event_mode.targets.check,
        )
        return cls(s3=buckets, sns=topics, documents={SNS_CERTIFICATE: notary.certificate})

    def desks(self) -> dict[str, Any]:
        return {"s3": self.s3, "sns": self.sns}


class App:
    """Everything that lives as long as the server. `wire_up` builds and starts it in order, `stop` undoes that."""

    def __init__(
        self,
        *,
        server: HttpServer,
        dispatcher: Dispatcher,
        pollers: Supervisor,
        event_mode: EventMode,
        bridge: Events,
        catalogue: Catalogue,
        signing: CodeSigning,
        worker: Worker,
        sandboxes: LinuxSandboxes,
        book: LogBook,
        stores: tuple[SqliteStore, ...],
    ) -> None:
        self._server = server
        self._dispatcher = dispatcher
        self._pollers = pollers
        self._event_mode = event_mode
        self._bridge = bridge
        self._catalogue = catalogue
        self._signing = signing
        self._worker = worker
        self._sandboxes = sandboxes
        self._book = book
        self._stores = stores

    @classmethod
    async def wire_up(cls, start: Start) -> App:
        on = await Foundation.open(start)
        config, clock, ids, quotas, store = start.config, on.clock, on.ids, on.quotas, on.store
        log_store, blobs, code, book = on.log_store, on.blobs, on.code, on.book
        sandboxes = LinuxSandboxes(start.control)
        ports = Ports(lambda version: front.confined_to(version.account), INNER_LIMITS, clock.now)
        worker = _worker(start, sandboxes, code, clock, ids, book, ports)
        catalogue = Catalogue(
            store=store, blobs=blobs, unpacked=code, fleet=worker, clock=clock, ids=ids, quotas=quotas, seals=on.keys
        )
        signing = await _code_signing(config, store, clock, ids)
        dispatcher = Dispatcher(worker, quotas, catalogue)
        permissions = Permissions(catalogue, ids)
        event_invokes = EventInvokes(catalogue, permissions, clock)
        event_mode = EventMode.of(store, dispatcher, event_invokes, clock, ids, quotas)
        bridge = Events.of(store, event_mode, clock, ids)
        queues = await sqs.Desk.open(store=store, clock=clock, ids=ids, base_url=start.endpoint)
        event_mode.targets.add("sqs", lambda event: queues.send(event, sqs.send))
        mappings, pollers = _event_sources(config, store, catalogue, dispatcher, queues, clock, ids)
        downloads = Downloads(base_url=start.endpoint, key=bytes.fromhex(ids.hex(64)), blobs=blobs, clock=clock)
        stores_of_events = await EventServices.open(start, on, event_mode)
        desks = {
            "lambda": _lambda_desk(
                catalogue=catalogue,
                signing=signing,
                permissions=permissions,
                event_invokes=event_invokes,
                keys=on.keys,
                dispatcher=dispatcher,
                mappings=mappings,
                objects=s3.ObjectReader(stores_of_events.s3),
                asynchronous=event_mode.asynchronous,
                sends_to=event_mode.targets.serves,
                clock=clock,
                ids=ids,
                quotas=quotas,
                runtimes=worker.runtimes,
                code_url=downloads.url,
                file_systems=tuple(one["arn"] for one in config.file_systems),
                networks=config.networks if start.isolation["egress"] else (),
                runtime_version_arn=worker.runtime_version_arn,
            ),
            **bridge.desks(clock, ids),
            "sqs": queues,
            "sts": sts.Desk(),
            "iam": iam.Desk(store=store, clock=clock, ids=ids, managed=iam.load_managed()),
            "logs": logs.Desk(store=log_store, book=book, clock=clock),
            **_secret_desks(store, on.keys, clock, ids),
            **stores_of_events.desks(),
        }
        front = _front(start, on, desks, downloads, worker, stores_of_events.documents)
        await catalogue.start()
        await mappings.start()
        await event_mode.start()
        await bridge.start()
        pollers.start()
        server = await HttpServer.start(front.handle, [start.listener], limits=LIMITS, now=clock.now)
        return cls(
            server=server,
            dispatcher=dispatcher,
            pollers=pollers,
            event_mode=event_mode,
            bridge=bridge,
            catalogue=catalogue,
            signing=signing,
            worker=worker,
            sandboxes=sandboxes,
            book=book,
            stores=(store, log_store),
        )

    async def stop(self) -> None:
        """No new requests; running ones may end; then what they need, in the order of need."""
        await self._server.close(DRAIN_S)
        await self._bridge.ticker.stop()
        await self._event_mode.stop()
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._pollers.stop()
                await self._dispatcher.drain()
        except TimeoutError:
            log.warning("stopping with invocations still running")
        await self._catalogue.stop()
        await self._signing.stop()
        await self._worker.stop(STOP_PATIENCE_S)
        await self._sandboxes.close()
        await self._book.stop()
        for store in self._stores:
            await store.close()


def _front(
    start: Start,
    on: Foundation,
    desks: Mapping[str, Any],
    downloads: Downloads,
    worker: Worker,
    documents: Mapping[str, bytes],
) -> Front:
    return Front(
        [Mount(service, desks[service.name]) for service in SERVICES],
        _front_settings(start.config),
        new_id=on.ids.uuid,
        health=lambda: _health(start, worker),
        record=_record,
        monotonic=on.clock.monotonic,
        code_downloads=downloads,
        documents=documents,
        now=on.clock.now,
    )


def _worker(
    start: Start, sandboxes: LinuxSandboxes, code: CodeStore, clock: Clock, ids: Ids, sink: LogBook, ports: Ports
) -> Worker:
    """This machine's worker, started."""
    worker = Worker(
        sandboxes=sandboxes,
        code=code,
        offers=start.offers,
        settings=settings_of(start.config, start.listener.getsockname()[1]),
        clock=clock,
        ids=ids,
        sink=sink,
        serve=ports.serve,
    )
    worker.start()
    return worker


async def _keys(home: Path, store: Store, clock: Clock, ids: Ids) -> Keys:
    """The master key of this data directory, and customers' keys, loaded."""
    master = await master_key.load(home / "master.key", bytes.fromhex(ids.hex(2 * KEY_BYTES)))
    keys = Keys(store=store, master=master, clock=clock, ids=ids)
    await keys.start()
    return keys


def _secret_desks(store: Store, keys: Keys, clock: Clock, ids: Ids) -> dict[str, Any]:
    """Of the services that keep what is secret."""
    parameters = ssm.Desk(store=store, keys=keys, clock=clock)
    secrets = secretsmanager.Desk(store=store, keys=keys, clock=clock, ids=ids)
    return {"kms": kms.Desk(keys=keys, clock=clock, ids=ids), "ssm": parameters, "secretsmanager": secrets}


async def _code_signing(config: Config, store: Store, clock: Clock, ids: Ids) -> CodeSigning:
    """Code signing configurations, loaded, with the keys that `paddock sign` has made."""
    publishers = FilePublishers(config.data_dir / SIGNING)
    signing = CodeSigning(store=store, publishers=publishers, clock=clock, ids=ids, quotas=_quotas(config))
    await signing.start()
    return signing


def _lambda_desk(**handed: Any) -> lambda_.Desk:
    """Lambda's desk: what was made for it, and what only the machine and the service model know."""
    return lambda_.Desk(
        architecture="arm64" if platform.machine() == "aarch64" else "x86_64",
        modelled_runtimes=tuple(load_service("lambda").model.shape_for("Runtime").enum),
        **handed,
    )


def _event_sources(
    config: Config,
    store: Store,
    catalogue: Catalogue,
    dispatcher: Dispatcher,
    queues: sqs.Desk,
    clock: Clock,
    ids: Ids,
) -> tuple[Mappings, Supervisor]:
    """The catalogue of event source mappings, and what polls for them."""
    sqs_api = _sqs_api(config, queues, ids)
    mappings = Mappings(
        store=store, catalogue=catalogue, sources=SqsSources(sqs_api), clock=clock, ids=ids, quotas=_quotas(config)
    )
    pollers = Supervisor(
        mappings=mappings,
        source_of=lambda mapping: SqsSource(mapping, sqs_api, clock, lambda: mappings.function_timeout_s(mapping)),
        invoker=FunctionInvoker(catalogue, dispatcher, clock, ids),
        clock=clock,
    )
    return mappings, pollers


def _quotas(config: Config) -> Quotas:
    return dataclasses.replace(PROFILES[config.quotas], concurrency_max=config.concurrency_limit)


def _sqs_api(config: Config, desk: sqs.Desk, ids: Ids) -> Api:
    """The SQS that event source mappings read from: Paddock's own, unless another is named."""
    if not config.sqs_endpoint:
        return InProcess(Mount(sqs.SERVICE, desk), load_service("sqs").operation_names, ids.uuid)
    outside = AwsApi(
        "sqs",
        endpoint=config.sqs_endpoint,
        access_key_id=config.external_access_key_id,
        secret_access_key=config.external_secret_access_key,
    )
    return GivingBack(outside)


def _log_limits(config: Config) -> LogBookLimits:
    return LogBookLimits(
        buffer_bytes_max=config.log_buffer_bytes_max, flush_interval_s=config.log_flush_interval_ms / 1000
    )


def _front_settings(config: Config) -> FrontSettings:
    return FrontSettings(
        default_account=config.account,
        default_region=config.region,
        body_bytes_max=config.request_body_bytes_max,
        host_names=config.hosts_allowed,
    )


def _health(start: Start, worker: Worker) -> dict[str, Any]:
    return {
        "status": "running",
        "version": __version__,
        "services": {service.name: "available" for service in SERVICES},
        "isolation": dict(start.isolation),
        "runtimes": [offer.name for offer in start.offers],
        **worker.counts(),
    }


def _record(record: AccessRecord) -> None:
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s", record)
