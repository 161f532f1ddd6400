"""How the server comes to life.

up()      becomes the jailer (worker/sandbox/jailer.py), which starts the server without privilege as `serve`
serve()   the server: wires everything, and runs until it is told to stop
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping

import uvloop

from paddock.app.application import App
from paddock.app.ground import Start
from paddock.cli.banner import banner
from paddock.config import Config
from paddock.worker.offers import RuntimeOffer
from paddock.worker.sandbox import jailer

log = logging.getLogger("paddock")

PROCESSES_MAX = 1024


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
        tmp_disk_mb=config.tmp_disk_mb,
        rootless=not is_root,
        network=config.network,
        network_pool=config.network_pool,
        networks=config.networks,
        file_systems=config.file_systems,
        dev_directories=config.dev_directories,
        runtimes_dir=str(config.runtimes_dir),
        userland=config.userland,
        server={
            **dataclasses.asdict(config),
            "data_dir": str(config.data_dir),
            "runtimes_dir": str(config.runtimes_dir),
        },
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
    offers = tuple(RuntimeOffer(**one) for one in given["runtimes"])
    start = Start(config=config, control=control, listener=listener, offers=offers, isolation=given["isolation"])
    return uvloop.run(_run(start)) if config.event_loop == "uvloop" else asyncio.run(_run(start))


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
