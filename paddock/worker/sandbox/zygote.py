"""The zygote of one interpreter: booted once, small, single-threaded, and forked for every environment.

It is privileged (or root inside a user namespace) and never runs anything untrusted. It obeys a few commands from
the server, all of a closed grammar, so that a server gone bad can ask for nothing beyond them:

    {"do": "spawn",  "cell": n, "ahead": bool}                  a new isolated environment, waiting for code;
                                                                ahead: before it is needed
    {"do": "assign", "cell": n, "code": "<64 hex>", "memory_mb": n, "tmp_mb": n,
     "network": name or "", "file_systems": [[arn, "/mnt/..."]]}
                                                                mount that code into it and set its limits
    {"do": "signal", "cell": n, "number": 15 or 9}              to its runtime and what that has started, if it runs
    {"do": "restart", "cell": n}                                another runtime, when it has none
    {"do": "help",   "cell": n}                                 a helper beside it, for extensions
    {"do": "stop",   "cell": n}                                 end it
    {"do": "ping"}

and answers with events: spawned, restarted and helping (with descriptors), assigned, exit (of the runtime), failed,
gone. Every process that we start in an environment is a child of ours and its pidfd wakes us when it ends; with pid 1
the kernel ends the rest, and the groups are removed.

A slot is what an environment borrows and gives back: a user namespace whose one user is a host uid of its own.
No two live environments share a slot. Standard library only, Python 3.9.
"""

from __future__ import annotations

import array
import importlib
import json
import os
import re
import select
import signal
import socket
import sys
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Tuple

from paddock.worker.sandbox import (
    cell,
    dev_directories,
    disk,
    egress,
    file_systems,
    linux,
    mother,
    pid1,
    roots,
    userland,
)
from paddock.worker.sandbox.cgroup import Group, Hierarchy

SERVER_FD = 3
SETTINGS_FD = 4
GATEWAY_FD = 5  # the gateway's network namespace, where there is one
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_MESSAGE_BYTES_MAX = 65536
_CELLS_MAX = 10_000
_CELL_NUMBER_MAX = 2**53
_MEMORY_MB_MAX = 1 << 20
_TMP_MB_MAX = 1 << 20
_PLACES = 16


class _Slot(NamedTuple):
    number: int
    user_namespace: int


class _Cell:
    """pid, pidfd: of pid 1. runtime: its process, 0 when there is none. children: all by pidfd, pid 1 too."""

    def __init__(self, pid: int, slot: _Slot, group: Optional[Group], plug: Optional[egress.Plug]) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.slot = slot
        self.group = group
        self.plug = plug
        self.runtime = 0
        self.children: Dict[int, int] = {self.pidfd: pid}
        self.is_in_network = False
        self.assigned = False
        self.is_stopping = False


def _whole(message: Dict[str, Any], name: str, least: int, most: int) -> int:
    """A whole number of a command. Anything else could become part of a path or of a mount's options."""
    value = message[name]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is a whole number from {least} to {most}")
    return value


class Zygote:
    """settings: parent_group, uid_first, rootless, code_root, seccomp (hex), api_port, processes_max, runtime, egress.

    code: "root" where the code is an image, which becomes its environments' root, else "task".
    file_systems: for file_systems.detached. egress: for egress.Plugs, or None where environments have no way out."""

    def __init__(self, server: socket.socket, settings: Dict[str, Any], runtime: cell.Runtime) -> None:
        while os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) < _PLACES:
            pass  # what we open from now on is above all places that descriptors have in environments
        self._server = server
        self._settings = settings
        self._runtime = runtime
        self._cells: Dict[int, _Cell] = {}
        self._by_pidfd: Dict[int, int] = {}
        self._free: List[_Slot] = []
        self._slots = 0
        self._groups_left: List[Group] = []
        version, paths = settings["groups"]
        self._parent = Hierarchy(version, paths)
        self._plugs = egress.Plugs(GATEWAY_FD, settings["egress"]) if settings["egress"] else None
        self._seccomp = bytes.fromhex(settings["seccomp"])
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._own_mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._data = os.open(userland.HOST + settings["data_dir"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        spec = pid1.spec_of(self._parent.directories, self._seccomp, settings["api_port"])
        numbers = settings["calls"]
        self._pid1 = pid1.Program(lambda calls: pid1.write_down(calls, spec), numbers)
        self._users = pid1.Program(pid1.hold_users, numbers)
        code = mother.machine()
        self._ways = cell.Ways(spec, numbers, code)
        self._mother = mother.Mother(self._born, code, self._plugs is not None)
        self._own_mounts_inode = os.fstat(self._own_mounts).st_ino
        self._disk = -1
        if settings.get("tmp_on_disk"):
            self._disk = os.open(disk.DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._data)
        self._poll = select.epoll()
        self._poll.register(server.fileno(), select.EPOLLIN)
        if self._mother.line >= 0:
            self._poll.register(self._mother.line, 0)  # that she hangs up is told without being asked for

    def serve(self) -> None:
        """Until the server's end of the socket closes, or the mother is lost; then every environment dies with us."""
        while True:
            for fd, _ in self._poll.poll(1 if self._groups_left else None):
                if fd == self._mother.line:
                    return
                if fd != self._server.fileno():
                    self._ended(fd)
                    continue
                data = self._server.recv(_MESSAGE_BYTES_MAX)
                if not data:
                    return
                self._command(data)
            self._groups_left = [group for group in self._groups_left if not group.remove()]

    def _command(self, data: bytes) -> None:
        doing: Any = None
        number: Any = None
        try:
            message = json.loads(data)
            if not isinstance(message, dict):
                raise ValueError("a command is an object")
            doing, number = message.get("do"), message.get("cell")
            if doing == "ping":
                self._say({"event": "pong"})
                return
            number = _whole(message, "cell", 0, _CELL_NUMBER_MAX)
            if doing == "spawn":
                self._spawn(number, bool(message.get("ahead")))
            elif doing == "assign":
                self._assign(number, message)
            elif doing == "stop":
                self._stop(number)
            elif doing == "signal":
                self._signal(number, _whole(message, "number", signal.SIGKILL, signal.SIGTERM))
            elif doing == "restart":
                self._restart(number)
            elif doing == "help":
                self._help(number)
            else:
                raise ValueError("no such command")
        except ConnectionError:
            raise  # the server or the mother is lost: there is nothing to go on for
        except (OSError, KeyError, ValueError, RecursionError) as error:
            told = {"cell": number if isinstance(number, int) else -1, "doing": str(doing)[:80]}
            self._say({"event": "failed", "error": str(error), **told})

    def _say(self, message: Dict[str, Any], fds: Optional[List[int]] = None) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._server.sendmsg([json.dumps(message).encode()], ancillary)

    # -- making one ---------------------------------------------------------------------------------------------

    def _spawn(self, number: int, ahead: bool) -> None:
        if number in self._cells or len(self._cells) >= _CELLS_MAX:
            raise ValueError("no such cell may be made")
        slot = self._free.pop() if self._free else self._new_slot()
        group: Optional[Group] = None
        plug: Optional[egress.Plug] = None
        opened: List[int] = []
        try:
            if self._parent.version:
                group = Group(self._parent, f"{self._settings['name']}-{number}", userland.HOST)
                group.limit_processes(self._settings["processes_max"])
            plug = self._plugs.take() if self._plugs is not None else None
            linux.unshare(linux.CLONE_NEWPID)
            try:
                self._start(number, slot, group, plug, ahead, opened)
            finally:
                linux.setns(self._own_pids, linux.CLONE_NEWPID)  # else the next fork would be refused
        except OSError:
            if number in self._cells:
                self._stop(number)
            else:
                self._give_back(slot, group, plug, False)
            raise
        finally:
            for fd in opened:
                os.close(fd)

    def _start(
        self,
        number: int,
        slot: _Slot,
        group: Optional[Group],
        plug: Optional[egress.Plug],
        ahead: bool,
        opened: List[int],
    ) -> None:
        """Pid 1 of the pid namespace that is next, and the runtime; the server gets its ends of the pipes at once."""

        def pair(kind: int) -> Tuple[int, int]:
            ends = socket.socketpair(socket.AF_UNIX, kind)
            near, far = ends[0].detach(), ends[1].detach()
            opened.extend((near, far))
            return near, far

        def pipe() -> Tuple[int, int]:
            ends = os.pipe2(os.O_CLOEXEC)
            opened.extend(ends)
            return ends

        channel, far_channel = pair(socket.SOCK_STREAM)
        control, far_control = pair(socket.SOCK_SEQPACKET)
        (output, far_output), (telemetry, far_telemetry), (told, tell) = pipe(), pipe(), pipe()
        joins = group.open_joins() if group is not None else []
        opened += joins
        files = group.open_files() if group is not None else {}
        opened += files.values()
        pid = self._pid1.start([far_control, far_output, far_telemetry, tell, slot.user_namespace, *joins])
        made = self._cells[number] = _Cell(pid, slot, group, plug)
        self._watch(made.pidfd, number)
        opened.remove(tell)
        os.close(tell)  # so that its other holder's end is the end of the wait for it
        kit = [made.pidfd, slot.user_namespace, far_output, far_telemetry, far_channel, far_control, told, *joins]
        made.runtime = self._mother.fork(cell.order("runtime", ahead, True, plug), kit)
        self._adopt(number, made.runtime)
        files = {"channel": channel, "control": control, "output": output, "telemetry": telemetry, **files}
        self._say_with(number, "spawned", files, opened)

    def _born(self, order: Dict[str, Any]) -> NoReturn:
        """In each fork."""
        cell.begin(order, self._ways, self._pid1.complaint, self._runtime)

    def _adopt(self, number: int, pid: int) -> None:
        pidfd = os.pidfd_open(pid)
        self._cells[number].children[pidfd] = pid
        self._watch(pidfd, number)

    def _watch(self, pidfd: int, number: int) -> None:
        self._by_pidfd[pidfd] = number
        self._poll.register(pidfd, select.EPOLLIN)

    def _say_with(self, number: int, event: str, files: Dict[str, int], opened: List[int]) -> None:
        """Tell the server, and hand it these descriptors. What is opened for it is added to `opened`."""
        runtime = self._cells[number].runtime
        if not self._parent.has("memory") and runtime:  # then memory use can only be looked up per process
            files["proc"] = os.open(f"/proc/{runtime}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.append(files["proc"])
        told = {"event": event, "cell": number, "files": list(files), "groups": self._parent.version}
        self._say(told, list(files.values()))

    # -- and what comes into it later ---------------------------------------------------------------------------

    def _restart(self, number: int) -> None:
        """Another runtime on a new channel; what it writes goes where the first one's went."""
        target = self._cells[number]
        if target.runtime:
            raise ValueError("it has a runtime")
        self._go_in_later(number, "runtime", "restarted", "channel", socket.SOCK_STREAM)

    def _help(self, number: int) -> None:
        self._go_in_later(number, "helper", "helping", "control", socket.SOCK_SEQPACKET)

    def _go_in_later(self, number: int, kind: str, event: str, name: str, socket_kind: int) -> None:
        """One more process beside pid 1, which has kept what the first one was given."""
        target = self._cells[number]
        self._check_inside(target)
        opened: List[int] = []
        try:
            for place in (1, 2):
                opened.append(linux.take_descriptor(target.pidfd, place))
            near, far = (end.detach() for end in socket.socketpair(socket.AF_UNIX, socket_kind))
            opened += [near, far]
            complaints = far if kind == "helper" else opened[0]
            joins = target.group.open_joins() if target.group is not None else []
            kit = [target.pidfd, target.slot.user_namespace, *opened[:2], far, complaints, far, *joins]
            opened += joins
            pid = self._mother.fork(cell.order(kind), kit)
            if kind == "runtime":
                target.runtime = pid
            self._adopt(number, pid)
            self._say_with(number, event, {name: near}, opened)
        finally:
            for fd in opened:
                os.close(fd)

    def _signal(self, number: int, which: int) -> None:
        """To all of the runtime's group: what runs the function may be a child of the process that was started."""
        target = self._cells[number]
        if target.runtime:
            try:
                os.killpg(target.runtime, which)
            except ProcessLookupError:
                os.kill(target.runtime, which)  # not the leader of a group yet

    # -- what they borrow ---------------------------------------------------------------------------------------

    def _new_slot(self) -> _Slot:
        """A user namespace in which exactly one user exists: 993 inside, a host uid of its own outside."""
        number = self._slots
        outside = 0 if self._settings["rootless"] else self._settings["uid_first"] + number
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        told, tell = os.pipe2(os.O_CLOEXEC)
        with near, far:
            try:
                pid = self._users.start([far.fileno(), tell, tell, tell])
            finally:
                os.close(tell)
            try:
                why = self._users.complaint(os.read(told, 64))
                if why:
                    raise OSError(f"a user namespace: {why}")
                process = f"/proc/{pid}"
                for file, inside in (("uid_map", userland.SANDBOX_UID), ("gid_map", userland.SANDBOX_GID)):
                    with open(f"{process}/{file}", "w") as mapping:
                        mapping.write(f"{inside} {outside} 1\n")
                namespace = os.open(f"{process}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            finally:
                os.close(told)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self._slots += 1
        return _Slot(number, namespace)

    # -- giving it to a function version ------------------------------------------------------------------------

    def _assign(self, number: int, message: Dict[str, Any]) -> None:
        target = self._cells[number]
        code = message["code"]
        memory_mb = _whole(message, "memory_mb", 1, _MEMORY_MB_MAX)
        tmp_mb = _whole(message, "tmp_mb", 1, _TMP_MB_MAX)
        if not isinstance(code, str) or not (_DIGEST.match(code) or code.startswith(dev_directories.PREFIX)):
            raise ValueError("code is named by its digest")
        if target.assigned:
            raise ValueError("an environment serves the code it was given first, and no other")
        network = message.get("network", "")
        self._check_inside(target)
        layers = message.get("layers", "")
        if not isinstance(layers, str) or (layers and not _DIGEST.match(layers)):
            raise ValueError("layers are named by their digest")
        own = {
            userland.TASK: dev_directories.tree(self._settings["dev_directories"], code)
            if code.startswith(dev_directories.PREFIX)
            else self._code_tree(code)
        }
        opened = [own[userland.TASK]]
        target.assigned = True  # from here on it may hold some of it
        try:
            if layers:
                own[userland.LAYERS] = self._code_tree(layers)
                opened.append(own[userland.LAYERS])
            trees = file_systems.detached(self._settings["file_systems"], message.get("file_systems", []), opened)
            tmp = self._tmp_on_disk(number, tmp_mb, opened)
            self._join_network(target, network)
            locked = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
            for tree in own.values():
                linux.mount_setattr(tree, "", locked)
            linux.setns(target.pidfd, linux.CLONE_NEWNS)
            try:
                if tmp >= 0:
                    linux.move_mount(tmp, "/tmp")  # over the other: to take that away would wait for all processors
                else:
                    size = f"mode=1777,size={tmp_mb}m,nr_inodes=131072"
                    linux.mount("tmp", "/tmp", "tmpfs", linux.MS_REMOUNT | linux.MS_NOSUID | linux.MS_NODEV, size)
                if self._settings["code"] == "root":
                    roots.enter(own.pop(userland.TASK))
                for place, tree in own.items():
                    linux.move_mount(tree, place)
                file_systems.attach(trees)
            finally:
                linux.setns(self._own_mounts, linux.CLONE_NEWNS)
        finally:
            for fd in opened:
                os.close(fd)
        if target.group is not None and self._parent.has("memory"):
            target.group.limit_memory(memory_mb << 20)
        self._say({"event": "assigned", "cell": number})

    def _tmp_on_disk(self, number: int, tmp_mb: int, opened: List[int]) -> int:
        """A mount for /tmp, added to `opened`; -1 where it is in memory, as also when the disk is full."""
        if self._disk < 0:
            return -1
        name = self._part(number)
        try:
            tmp = disk.make(self._disk, name, tmp_mb)
        except OSError as error:
            print(f"paddock: {name} has its /tmp in memory: {error}", file=sys.stderr, flush=True)
            return -1
        opened.append(tmp)
        return tmp

    def _part(self, number: int) -> str:
        return f"{self._settings['name']}-{number}"

    def _join_network(self, target: _Cell, network: object) -> None:
        if network == "":
            return
        if self._plugs is None or target.plug is None or not isinstance(network, str):
            raise ValueError("no such network")
        self._plugs.join(target.plug, network)
        target.is_in_network = True

    def _unplug(self, plug: Optional[egress.Plug], is_in_network: bool = False) -> None:
        """Its address may be another's now. One that could not be taken out of its network is never used again."""
        if self._plugs is None or plug is None:
            return
        if is_in_network:
            try:
                self._plugs.leave(plug)
            except OSError as error:
                print(f"paddock: {plug.address} stays unused: {error}", file=sys.stderr, flush=True)
                return
        self._plugs.give_back(plug)

    def _code_tree(self, code: str) -> int:
        """A detached copy of the code's mount. The server owns the directories on the way: no link is followed."""
        path = f"{os.path.relpath(self._settings['code_root'], self._settings['data_dir'])}/{code}"
        directory = linux.open_beneath(self._data, path)
        try:
            return linux.open_tree_clone(directory, "")
        finally:
            os.close(directory)

    def _check_inside(self, target: _Cell) -> None:
        """ValueError while it still shares our mounts: what is mounted there, all would see."""
        if os.stat(f"/proc/{target.pid}/ns/mnt").st_ino == self._own_mounts_inode:
            raise ValueError("the environment is not ready")

    # -- its end ------------------------------------------------------------------------------------------------

    def _stop(self, number: int) -> None:
        target = self._cells.get(number)
        if target is None:
            return  # already gone, and said so
        target.is_stopping = True
        if target.group is not None:
            target.group.thaw()
        signal.pidfd_send_signal(target.pidfd, signal.SIGKILL)

    def _ended(self, pidfd: int) -> None:
        """One of our children. Pid 1 ends last: the kernel lets it go when the rest is gone, and we have seen it."""
        number = self._by_pidfd.pop(pidfd)
        target = self._cells[number]
        pid = target.children.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        if pid == target.runtime:
            target.runtime = 0
            if not target.is_stopping:
                self._say({"event": "exit", "cell": number, "status": status})
        if target.children:
            return
        del self._cells[number]
        if self._disk >= 0 and target.assigned:
            try:
                disk.remove(self._disk, self._part(number))
            except OSError as error:
                print(f"paddock: {self._part(number)} stays on disk: {error}", file=sys.stderr, flush=True)
        self._give_back(target.slot, target.group, target.plug, target.is_in_network)
        self._say({"event": "gone", "cell": number, "status": status})

    def _give_back(self, slot: _Slot, group: Optional[Group], plug: Optional[egress.Plug], is_in_network: bool) -> None:
        if group is not None and not group.remove():
            self._groups_left.append(group)
        self._free.append(slot)
        self._unplug(plug, is_in_network)


def _settings() -> Dict[str, Any]:
    with os.fdopen(SETTINGS_FD) as file:
        settings: Dict[str, Any] = json.load(file)
    return settings


def main() -> None:
    """Become the zygote that SETTINGS_FD describes; the server is on SERVER_FD."""
    linux.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the jailer decides when a terminal's Ctrl-C reaches us
    settings = _settings()
    linux.set_process_name("paddock-zygote")
    sys.path.insert(0, "/var/runtime")
    bootstrap = importlib.import_module(settings["bootstrap"])
    bootstrap.preload()
    sys.path[:] = [path for path in sys.path if path != settings["source"]]
    server = socket.socket(fileno=SERVER_FD)
    zygote = Zygote(server, settings, bootstrap.run)
    try:
        server.send(json.dumps({"event": "up", "version": sys.version.split()[0]}).encode())
        zygote.serve()
    except ConnectionError:
        pass  # the server went away in the middle of an answer
