"""The rules as data: ranks, banned calls with their replacements, and every exception with its reason.

An exception that excuses nothing any more fails the tests: remove it.
"""

from __future__ import annotations

from collections.abc import Mapping

# Room -> rank. An import may only point to a lower rank. ARCHITECTURE.md holds the same table.
RANKS: Mapping[str, int] = {
    "__main__": 6,
    "app": 5,
    "front": 4,
    "console": 4,
    "services": 3,
    "event_sources": 3,
    "control": 2,
    "invoke": 2,
    "worker": 2,
    "observe": 1,
    "backends": 1,
    "cli": 1,
    "model": 0,
    "interfaces": 0,
    "wire": 0,
    "config": 0,
    "kinds": 0,
}

# Rooms that import nothing sideways, save this: a swap point is written in nouns, a setting in its kind.
SIDEWAYS: Mapping[str, str] = {"interfaces": "model", "config": "kinds"}

# Rooms that only one other may import.
ONLY_FROM: Mapping[str, str] = {"backends": "app"}

# Rooms whose folders do not know each other.
APART = ("services", "backends")

FUNCTION_LINES_MAX = 70
OPERATION_LINES_MAX = 40
FILE_LINES_MAX = 600
COLUMNS_MAX = 120

# Dotted name (a trailing dot bans the whole module) -> what to use instead.
BANNED: Mapping[str, str] = {
    "time.time": "Clock.now()",
    "time.time_ns": "Clock.now()",
    "time.monotonic": "Clock.monotonic()",
    "time.monotonic_ns": "Clock.monotonic()",
    "time.perf_counter": "Clock.monotonic()",
    "time.perf_counter_ns": "Clock.monotonic()",
    "time.sleep": "await Clock.sleep()",
    "asyncio.sleep": "await Clock.sleep()",
    "datetime.datetime.now": "Clock.now()",
    "datetime.datetime.utcnow": "Clock.now()",
    "datetime.datetime.today": "Clock.now()",
    "datetime.date.today": "Clock.now().date()",
    "random.": "Ids, or a number handed in",
    "secrets.": "Ids",
    "uuid.uuid1": "Ids.uuid()",
    "uuid.uuid4": "Ids.uuid()",
    "os.urandom": "Ids.hex()",
    "os.environ": "a field of Config, handed down",
    "os.getenv": "a field of Config, handed down",
    "importlib.import_module": "an import at the top of the module",
    "__import__": "an import at the top of the module",
}

# The one room where time, chance and identity come from.
SOURCES_OF_CHANCE = "paddock/backends/local/"

_OWN_PROCESS = "runs in a process of its own, without an event loop to hand it a Clock"
_INSIDE = "it is the function's own process: this is the environment that functions see"
_CHILD = "a forked child must end here, whatever happened, and never go on with its parent's stack"

# (path, banned name) -> why it may.
MAY_CALL: Mapping[tuple[str, str], str] = {
    ("paddock/__main__.py", "os.environ"): "hands it to Config.load, the one reader of settings",
    (
        "paddock/worker/runtimes/discovery.py",
        "os.environ",
    ): "PATH and HOME say where interpreters are, they are no settings",
    ("paddock/worker/runtimes/python/bootstrap.py", "os.environ"): _INSIDE,
    ("paddock/worker/runtimes/python/carried.py", "random."): "a function's own randomness is drawn anew, there",
    ("paddock/worker/runtimes/python/carried.py", "os.urandom"): "a function's own randomness is drawn anew, there",
    ("paddock/worker/runtimes/python/carried.py", "importlib.import_module"): (
        "the zygote imports this module for every function, and hardly one needs an archive"
    ),
    ("paddock/worker/runtimes/python/bootstrap.py", "importlib.import_module"): "awslambdaric exists only inside",
    ("paddock/worker/runtimes/python/wrapped.py", "os.environ"): _INSIDE,
    ("paddock/worker/runtimes/python/wrapped.py", "importlib.import_module"): "where it runs, it finds them only then",
    ("paddock/worker/runtimes/java/archive.py", "time.monotonic"): _OWN_PROCESS,
    ("paddock/worker/runtimes/java/archive.py", "time.time"): _OWN_PROCESS,
    ("paddock/worker/sandbox/cgroup.py", "time.monotonic"): _OWN_PROCESS,
    ("paddock/worker/sandbox/cgroup.py", "time.sleep"): _OWN_PROCESS,
    (
        "paddock/worker/sandbox/jailer.py",
        "os.environ",
    ): "cleans it for the server and the zygotes, reads no setting from it",
    ("paddock/worker/sandbox/jailer.py", "time.monotonic"): _OWN_PROCESS,
    ("paddock/worker/sandbox/jailer.py", "time.sleep"): _OWN_PROCESS,
    ("paddock/worker/sandbox/sweeper.py", "time.monotonic"): _OWN_PROCESS,
    ("paddock/worker/sandbox/sweeper.py", "time.sleep"): _OWN_PROCESS,
    (
        "paddock/worker/sandbox/zygote.py",
        "importlib.import_module",
    ): "a runtime is data: its manifest names its bootstrap",
}

# path -> why it imports inside a function.
MAY_IMPORT_INSIDE: Mapping[str, str] = {}

# (path, function) -> why it catches everything and carries on.
MAY_CATCH_ALL: Mapping[tuple[str, str], str] = {
    (
        "paddock/backends/sql/writer.py",
        "_run_one",
    ): "what a work raises belongs to its caller, not to the writer's thread",
    ("paddock/control/catalogue.py", "_prepare"): "a function that stayed Pending for ever would hang its waiters",
    ("paddock/control/replays.py", "_loop"): "what keeps one share from being replayed must not end all replays",
    ("paddock/event_sources/poller.py", "_lane"): "a defect in a source must not end its mapping for good",
    ("paddock/event_sources/schedule.py", "_loop"): "what keeps one share from firing must not stop time for the next",
    ("paddock/front/app.py", "handle"): "the one place that renders errors, defects of ours too",
    ("paddock/invoke/consumer.py", "_loop"): "a defect of ours must not stop a whole topic without a word",
    (
        "paddock/invoke/consumer.py",
        "_work",
    ): "a defect of ours must not lose an event: it is logged and tried again",
    ("paddock/observe/logbook.py", "_drain"): "log lines that cannot be stored must not end the loop that stores",
    ("paddock/observe/logbook.py", "_retention_loop"): "a sweep that failed is tried again at the next interval",
    ("paddock/services/s3/sweep.py", "_loop"): "rules that could not be carried out are tried again, the loop goes on",
    ("paddock/wire/http1_connection.py", "_serve"): "a defect in a handler must not take the connection's loop down",
    ("paddock/worker/sandbox/cell.py", "_be_runtime"): _CHILD,
    ("paddock/worker/sandbox/jailer.py", "_start_names"): _CHILD,
    ("paddock/worker/sandbox/jailer.py", "_start_server"): _CHILD,
    ("paddock/worker/sandbox/jailer.py", "_start_sweeper"): _CHILD,
    ("paddock/worker/sandbox/jailer.py", "_start_zygote"): _CHILD,
    ("paddock/worker/environment.py", "begin"): "whoever waits is told, and the environment ends",
    ("paddock/worker/environment.py", "_end_with"): "whoever waits is told, and the environment ends",
    ("paddock/worker/environment.py", "_guarded"): "whoever waits is told, and the environment ends",
    ("paddock/worker/worker.py", "_begin_in_another"): "whoever waits is told what a start failed with",
}

# (path, function) -> why a memo is not state: the same answer for ever, from what never changes.
MAY_REMEMBER: Mapping[tuple[str, str], str] = {
    (
        "paddock/wire/constraints.py",
        "compiled",
    ): "the same pattern of the model compiles to the same expression for ever",
    ("paddock/model/arn.py", "parse_function_ref"): "the same spelling names the same function for ever",
    ("paddock/model/lineage.py", "first_of"): "the same function begins the same chain for ever",
    ("paddock/wire/http1_head.py", "_lower"): "the same bytes are the same name for ever",
}

# path -> who runs it, when no import leads there from `paddock.__main__`.
RUN_OTHERWISE: Mapping[str, str] = {
    "paddock/worker/runtimes/java/archive.py": "a program that packages.prepare runs for each JVM",
    "paddock/worker/runtimes/java/bootstrap.py": "named by its manifest, imported by the zygote",
    "paddock/worker/runtimes/image/bootstrap.py": "named by its manifest, imported by the zygote",
    "paddock/worker/runtimes/nodejs/bootstrap.py": "named by its manifest, imported by the zygote",
    "paddock/worker/runtimes/ruby/bootstrap.py": "named by its manifest, imported by the zygote",
    "paddock/worker/runtimes/provided/bootstrap.py": "named by its manifest, imported by the zygote",
    "paddock/worker/runtimes/python/wrapped.py": "/var/runtime/bootstrap.py, which a function's wrapper starts",
}

# (service, member of a request) -> why it is right to accept it and not to look at it: AWS does the same.
MEANINGLESS: Mapping[tuple[str, str], str] = {
    ("s3", "RequestPayer"): "AWS ignores it where the requester does not pay, and no bucket here can demand that",
    ("logs", "sequenceToken"): "AWS documents that PutLogEvents ignores it since 2023",
    ("logs", "unmask"): "nothing is masked where data protection policies are refused",
    ("logs", "interleaved"): "AWS documents that it is ignored: results are always interleaved",
}
