"""The managed Python runtime: AWS's own awslambdaric, with frames on a socket instead of HTTP underneath.

awslambdaric decides everything a function's author can see: how handlers are found, what errors look like, how
logging is set up, how results are serialised. Only its client is replaced, because its HTTP costs three times as
much as everything else in a warm invocation. A frame is

    !I  bytes that follow the first eight    B  kind    x    H  bytes of the head
    head (JSON or a request id), then the body, untouched

to the runtime:   A assign (body: settings)   I invoke (head: request, body: event)
                  S snapshot, first of all and with a file (head: whether to take or to restore it)
from the runtime: N next   R response (head: request id, content type)   E error (head: id, type)   F failed init
                  T a snapshot was taken   U restored from one, and about to run the function's hooks
                  B the answer comes in pieces (head: id, type)   C one of them (head: id); R or E ends it

`preload` runs in the zygote, `run` in each environment. Standard library and awslambdaric only; Python 3.9 on.
"""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import inspect
import io
import json
import logging
import os
import resource
import site
import socket
import struct
import sys
import time
import types
from typing import Any, Dict, FrozenSet, List, Optional, Tuple

from paddock.worker.runtimes import wrapper
from paddock.worker.runtimes.python import carried, snapshot

HEADER = struct.Struct("!IBxH")
ASSIGN, INVOKE, SNAPSHOT = ord("A"), ord("I"), ord("S")
NEXT, RESPONSE, ERROR, FAILED = ord("N"), ord("R"), ord("E"), ord("F")
TAKEN, RESTORED = ord("T"), ord("U")
TAKE, RESTORE = b"take", b"restore"
BEGIN, CHUNK = ord("B"), ord("C")
_DECODER, _QUOTED = json.JSONDecoder(), json.encoder.encode_basestring_ascii
_NEXT_FRAME = HEADER.pack(0, NEXT, 0)
_CHUNK = 65536  # larger receive buffers cost an mmap each
_CAUSE_BYTES_MAX = 60_000
_REHEARSALS = 20
_READ_AT_START = ("PYTHON", "LD_", "MALLOC_", "GLIBC_")
_HONOURED = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH")
_NO_SNAPSHOT = b"SnapStart with AWS_LAMBDA_EXEC_WRAPPER is not supported by Paddock yet"
# Of its variables, what a restored environment must not have from the template.
_FRESH = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_LOG_STREAM_NAME")


# Of the standard library, what most functions import: shared by all environments instead of read by each.
_USUAL = "base64 collections contextlib dataclasses datetime decimal enum functools hashlib itertools math random re"
_USUAL += " string typing urllib.parse uuid"


def preload() -> None:
    """Import, in the zygote, what every environment, or nearly every one, would import anyway."""
    for name in ("awslambdaric.bootstrap", "snapshot_restore_py", *_USUAL.split()):
        importlib.import_module(name)
    random_module = sys.modules["random"]
    os.register_at_fork(after_in_child=random_module.seed)  # no two environments may draw the same numbers
    for _ in range(_REHEARSALS):  # until the interpreter has rewritten the code for speed, once for all who share it
        _rehearse()
    gc.collect()
    gc.freeze()


class Channel:
    """Frames over a stream socket, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray()

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = self._socket.recv(_CHUNK)
            if not data:
                os._exit(0)  # Paddock is gone: nothing is left to serve
            self._buffer += data

    def receive(self) -> Tuple[int, bytes, bytes]:
        """(kind, head, body) of the next frame, which as a rule is all that comes at once."""
        if not self._buffer:
            data = self._socket.recv(_CHUNK)
            if len(data) >= HEADER.size:
                length, kind, head = HEADER.unpack_from(data)
                if len(data) == HEADER.size + length:
                    body_at = HEADER.size + head
                    return kind, data[HEADER.size : body_at], data[body_at:]
            elif not data:
                os._exit(0)  # Paddock is gone: nothing is left to serve
            self._buffer += data
        self._fill(HEADER.size)
        length, kind, head = HEADER.unpack_from(self._buffer)
        end = HEADER.size + length
        self._fill(end)
        frame = bytes(memoryview(self._buffer)[HEADER.size : end])
        del self._buffer[:end]
        return kind, frame[:head], frame[head:]

    def receive_first(self) -> Tuple[int, bytes, bytes]:
        """As `receive`; a file that comes along is at snapshot.IMAGE_FD, and nothing behind its frame is read."""
        data, fds, _, _ = socket.recv_fds(self._socket, _CHUNK, 1)
        if not data:
            os._exit(0)
        for fd in fds:
            os.dup2(fd, snapshot.IMAGE_FD, inheritable=False)
            os.close(fd)
        self._buffer += data
        return self.receive()

    def send(self, kind: int, head: bytes = b"", body: bytes = b"", then_next: bool = False) -> None:
        begun = HEADER.pack(len(head) + len(body), kind, len(head))
        self._socket.sendall(b"".join((begun, head, body, _NEXT_FRAME if then_next else b"")))


def _client_class(base: Any, request_class: Any, to_json: Any) -> Any:
    class FrameClient(base):  # type: ignore[misc]
        """awslambdaric's client, over a Channel. A result leaves together with the wish for the next event."""

        def __init__(self, channel: Channel, baseline: Optional[FrozenSet[snapshot.Mapping]] = None) -> None:
            self.lambda_runtime_address = os.environ.get("AWS_LAMBDA_RUNTIME_API", "")
            self.use_thread_for_polling_next = False
            self._channel = channel
            self._baseline = baseline  # in a template: what this process had in common with its siblings from birth
            self._asked = False

        def wait_next_invocation(self) -> Any:
            if not self._asked:
                self._channel.send(NEXT)
            self._asked = False
            kind, head, body = self._channel.receive()
            if kind != INVOKE:
                raise RuntimeError(f"unexpected frame {kind}")
            request: Dict[str, Any] = _DECODER.decode(head.decode())
            return request_class(
                invoke_id=request["id"],
                x_amzn_trace_id=request.get("trace"),
                invoked_function_arn=request["arn"],
                deadline_time_in_ms=request["deadline_ms"],
                client_context=request.get("client_context"),
                cognito_identity=None,
                tenant_id=request.get("tenant"),
                content_type="application/json",
                event_body=body,
                invocation_id=None,
            )

        def post_invocation_result(
            self, invoke_id: str, result_data: Any, content_type: str = "application/json", invocation_id: Any = None
        ) -> None:
            body = result_data if isinstance(result_data, bytes) else result_data.encode("utf-8")
            head = f'{{"id": {_QUOTED(invoke_id)}, "type": {_QUOTED(content_type)}}}'.encode()
            self._asked = True
            self._channel.send(RESPONSE, head, body, then_next=True)

        def post_invocation_error(
            self, invoke_id: str, error_response_data: str, xray_fault: str, invocation_id: Any = None
        ) -> None:
            cause = xray_fault if len(xray_fault) < _CAUSE_BYTES_MAX else ""
            head = json.dumps({"id": invoke_id, "cause": cause}, ensure_ascii=True).encode()
            if len(head) > 65535:
                head = json.dumps({"id": invoke_id, "cause": ""}).encode()
            self._asked = True
            self._channel.send(ERROR, head, error_response_data.encode("utf-8"), then_next=True)

        def restore_next(self) -> None:
            """Between the hooks before a snapshot and those after a restore: in one go where there is none."""
            if self._baseline is not None:
                _become_snapshot(self._channel, self._baseline)

        def report_restore_error(self, restore_error_data: Any) -> None:
            self.post_init_error(restore_error_data, "Runtime.AfterRestoreError")

        def post_init_error(self, error_response_data: Any, error_type_override: Any = None) -> None:
            kind = error_type_override or error_response_data.get("errorType", "")
            body = to_json(error_response_data).encode("utf-8")
            self._channel.send(FAILED, json.dumps({"type": kind}).encode(), body)

    return FrameClient


def limit_data(settings: Dict[str, Any]) -> None:
    """Where no control group limits memory, each process is held to it, for good."""
    if "data_bytes_max" in settings:
        resource.setrlimit(resource.RLIMIT_DATA, (settings["data_bytes_max"], settings["data_bytes_max"]))


def _interpreter(settings: Dict[str, Any]) -> List[types.ModuleType]:
    """Make the process look as Lambda's does: environment, time zone, working directory, module search path.

    The platform's own modules, which are not part of a function's world, are returned: whoever lets them go has a
    hundred pages copied, in which they are taken apart.
    """
    os.environ.clear()
    os.environ.update(settings["environment"])
    time.tzset()
    os.chdir("/var/task")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    wanted = ["/var/task", f"/opt/python/lib/{version}/site-packages", "/opt/python"]
    extra = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    standard = [path for path in sys.path if path not in extra]
    sys.path[:] = [*wanted, *[path for path in extra if path not in standard], *standard]
    site.setquit()
    site.setcopyright()
    site.sethelper()
    sys.argv = ["/var/runtime/bootstrap.py"]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    ours = [name for name in sys.modules if name == "paddock" or name.startswith("paddock.")]
    return [sys.modules.pop(name) for name in ours]


def _become_snapshot(channel: Channel, baseline: FrozenSet[snapshot.Mapping]) -> None:
    """In the template: write what it has become, and wait for its end. Returns in each process restored from it.

    Raises snapshot.Unfit, which is the function's error.
    """
    kept = carried.Carried()
    if not snapshot.take(baseline):
        kept.write_files()
        channel.send(TAKEN)
        channel.receive()
    channel.send(RESTORED)
    kind, _, body = channel.receive()
    if kind != ASSIGN:
        raise RuntimeError(f"unexpected frame {kind}")
    settings = json.loads(body)
    limit_data(settings)
    os.environ.update({name: settings["environment"][name] for name in _FRESH})  # the rest is the function's by now
    kept.put_back()
    carried.refresh()
    os.close(snapshot.IMAGE_FD)


def _let_debugger_in(client: Any, port: int) -> None:
    """Wait until one is there. debugpy is the function's own, out of its code or of a layer."""
    try:
        debugpy = importlib.import_module("debugpy")
    except ImportError as error:
        message = f"{error}: debugpy belongs into the function's code or a layer"
        client.post_init_error({"errorType": "Runtime.NoDebugger", "errorMessage": message, "stackTrace": []})
        sys.exit(1)
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # of what lies frozen in the interpreter there are no sources
    debugpy.listen(("169.254.100.1", port), in_process_debug_adapter=True)
    print("Waiting for a debugger.", flush=True)
    debugpy.wait_for_client()


class _Enough(BaseException):
    """Ends the rehearsal."""


class _Rehearsed:
    """A channel on which one event arrives, and whose sending leads nowhere."""

    def __init__(self) -> None:
        self._events = [json.dumps({"id": "0", "arn": "arn:aws:lambda", "deadline_ms": 1, "trace": "Root=1"}).encode()]

    def receive(self) -> Tuple[int, bytes, bytes]:
        if not self._events:
            raise _Enough
        return INVOKE, self._events.pop(), b'{"key": [1, 2.5, "value"]}'

    def send(self, kind: int, head: bytes = b"", body: bytes = b"", then_next: bool = False) -> None:
        HEADER.pack(len(head) + len(body), kind, len(head))


def _rehearse() -> None:
    """Go through a function's whole life once with a handler of our own, before there is a function.

    A freshly forked process shares its memory with the zygote, and every page it touches for the first time costs a
    fault: some eight hundred of them between an assignment and a first answer. Here they happen while nobody waits.
    Whatever the rehearsal sets is put back.
    """
    ric = importlib.import_module("awslambdaric.bootstrap")
    library = importlib.import_module("awslambdaric.lambda_runtime_client")
    if len(inspect.signature(ric.run).parameters) != 2:
        return  # the releases for Python 3.9 start differently
    module = types.ModuleType("paddock_rehearsal")
    source = (
        "import logging\ndef handler(event, context):\n    logging.getLogger().warning(context)\n    return event\n"
    )
    exec(compile(source, "<rehearsal>", "exec"), module.__dict__)
    importlib.machinery.PathFinder.find_spec("paddock_absent", ["/var/task"])
    root, kept, environment = logging.getLogger(), (sys.stdout, sys.stderr), dict(os.environ)
    sys.modules[module.__name__] = module
    sys.stdout = sys.stderr = io.StringIO()
    try:
        client = _client_class(library.LambdaRuntimeClient, library.InvocationRequest, ric.to_json)(_Rehearsed())
        ric.run(f"{module.__name__}.handler", client)
    except _Enough:
        pass
    finally:
        sys.stdout, sys.stderr = kept
        root.handlers.clear()
        os.environ.clear()
        os.environ.update(environment)
        vars(ric).update(_GLOBAL_AWS_REQUEST_ID=None, _GLOBAL_TENANT_ID=None)
        del sys.modules[module.__name__]
        for path in [path for path in sys.path_importer_cache if path.startswith(("/var/task", "/opt"))]:
            del sys.path_importer_cache[path]


def run(channel_fd: int, telemetry_fd: int, ahead: bool) -> None:
    """Wait for an assignment, then be that function until the channel closes. ahead: there is time to rehearse."""
    if ahead:
        _rehearse()
    channel = Channel(socket.socket(fileno=channel_fd))
    kind, head, body = channel.receive_first()
    baseline: Optional[FrozenSet[snapshot.Mapping]] = None
    if kind == SNAPSHOT:
        if head == RESTORE:
            snapshot.restore()
            os._exit(snapshot.RESTORE_FAILED)  # there was nothing that one could become
        baseline = snapshot.unchanging()
        kind, _, body = channel.receive()
    if kind != ASSIGN:
        raise RuntimeError(f"unexpected frame {kind}")
    settings = json.loads(body)
    limit_data(settings)
    environment = settings["environment"]
    if environment.get(wrapper.EXEC_WRAPPER):
        if baseline is not None:
            channel.send(FAILED, json.dumps({"type": "Runtime.BeforeSnapshotError"}).encode(), _NO_SNAPSHOT)
            os._exit(1)
        wrapper.become(_command(), environment, wrapper.CHANNEL_FD, wrapper.TELEMETRY_FD)
    if baseline is None and _needs_its_own_start(environment):
        wrapper.start(_command(), environment, wrapper.CHANNEL_FD, wrapper.TELEMETRY_FD)
    serve(channel, settings, telemetry_fd, baseline)


def _needs_its_own_start(environment: Dict[str, str]) -> bool:
    """Whether the function wants what is read once, when a process starts: ours has, long ago.

    That are variables, and libraries of its own or of a layer, which the loader has been told of by a variable, too.
    """
    if environment["LD_LIBRARY_PATH"] != wrapper.LIBRARY_PATH:
        return True
    if any(name.startswith(_READ_AT_START) and name not in _HONOURED for name in environment):
        return True
    return any(_has_libraries(directory) for directory in ("/var/task", "/var/task/lib", "/opt/lib"))


def _has_libraries(directory: str) -> bool:
    try:
        return any(name.startswith("lib") and ".so" in name for name in os.listdir(directory))
    except OSError:
        return False


def _command() -> List[str]:
    """This runtime as a program: this interpreter, where a function sees it, and wrapped.py."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = next(path for path in (f"/var/lang/bin/{name}", f"/usr/bin/{name}") if os.access(path, os.X_OK))
    return [python, "/var/runtime/bootstrap.py"]


def serve(
    channel: Channel,
    settings: Dict[str, Any],
    telemetry_fd: int,
    baseline: Optional[FrozenSet[snapshot.Mapping]] = None,
) -> None:
    """Be the function that the settings name, for as long as there are events."""
    _kept = _interpreter(settings)
    os.environ["_LAMBDA_TELEMETRY_LOG_FD"] = str(telemetry_fd)
    if settings["environment"].get("AWS_LAMBDA_LOG_FORMAT") or settings["environment"].get("AWS_LAMBDA_LOG_LEVEL"):
        # awslambdaric reads these once, when imported, and the zygote imported it long ago
        for name in [name for name in sys.modules if name.startswith("awslambdaric.")]:
            del sys.modules[name]
    ric = importlib.import_module("awslambdaric.bootstrap")
    library = importlib.import_module("awslambdaric.lambda_runtime_client")
    client = _client_class(library.LambdaRuntimeClient, library.InvocationRequest, ric.to_json)(channel, baseline)
    debug_port = os.environ.pop("_PADDOCK_DEBUG_PORT", "")
    if debug_port:
        _let_debugger_in(client, int(debug_port))
    if len(inspect.signature(ric.run).parameters) == 2:
        ric.run(settings["handler"], client)
    else:  # the releases for Python 3.9 make their client themselves
        setattr(ric, "LambdaRuntimeClient", lambda *_, **__: client)  # noqa: B010  (its type is unknown here)
        ric.run("/var/task", settings["handler"], "")
