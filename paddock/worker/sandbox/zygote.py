"""The zygote of one interpreter: booted once, small, single-threaded, and forked for every environment.

It is privileged (or root inside a user namespace) and never runs anything untrusted. It obeys four commands from
the server, all of a closed grammar, so that a server gone bad can ask for nothing beyond them:

    {"do": "spawn",  "cell": n, "ahead": bool}                  a new isolated environment, waiting for code;
                                                                ahead: before it is needed
    {"do": "assign", "cell": n, "code": "<64 hex>", "memory_mb": n, "tmp_mb": n,
     "network": name or "", "file_systems": [[arn, "/mnt/..."]]}
                                                                mount that code into it and set its limits
    {"do": "stop",   "cell": n}                                 end it
    {"do": "ping"}

and answers with events: spawned (with descriptors), assigned, failed, gone. Every environment is a child of ours;
its pidfd wakes us when it ends and its groups are removed.

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
from typing import Any, Dict, List, NamedTuple, Optional

from paddock.worker.sandbox import cell, dev_directories, egress, file_systems, linux, roots, userland
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


class _Slot(NamedTuple):
    number: int
    user_namespace: int


class _Cell:
    def __init__(
        self, pid: int, pidfd: int, slot: _Slot, group: Optional[Group], mounts: int, plug: Optional[egress.Plug]
    ) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.slot = slot
        self.group = group
        self.mounts = mounts  # its mount namespace, opened when first needed; -1 until then
        self.plug = plug
        self.is_in_network = False
        self.assigned = False


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
        self._poll = select.poll()
        self._poll.register(server.fileno(), select.POLLIN)

    def serve(self) -> None:
        """Until the server's end of the socket closes; then every environment dies with us."""
        while True:
            for fd, _ in self._poll.poll(1000 if self._groups_left else None):
                if fd != self._server.fileno():
                    self._gone(fd)
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
            else:
                raise ValueError("no such command")
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
            pid = self._fork(number, slot, group, plug, ahead, opened)
        except OSError:
            self._free.append(slot)
            self._unplug(plug)
            if group is not None and not group.remove():
                self._groups_left.append(group)
            raise
        finally:
            for fd in opened:
                os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._cells[number] = _Cell(pid, pidfd, slot, group, -1, plug)
        self._by_pidfd[pidfd] = number
        self._poll.register(pidfd, select.POLLIN)

    def _fork(
        self,
        number: int,
        slot: _Slot,
        group: Optional[Group],
        plug: Optional[egress.Plug],
        ahead: bool,
        opened: List[int],
    ) -> int:
        """Fork pid 1 of a new pid namespace; its ends of the pipes go to the server at once, with group files."""
        near_channel, far_channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        near_control, far_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output_in, output_out = os.pipe2(os.O_CLOEXEC)
        telemetry_in, telemetry_out = os.pipe2(os.O_CLOEXEC)
        files = group.open_files() if group is not None else {}
        opened += [output_in, output_out, telemetry_in, telemetry_out, *files.values()]
        with near_channel, far_channel, near_control, far_control:
            linux.unshare(linux.CLONE_NEWPID)
            try:
                pid = os.fork()
                if pid == 0:
                    self._child(
                        cell.Doors(
                            channel=far_channel,
                            telemetry=telemetry_out,
                            output=output_out,
                            control=far_control,
                            group=group,
                            user_namespace=slot.user_namespace,
                            seccomp=self._seccomp,
                            api_port=self._settings["api_port"],
                            plug=plug,
                            ahead=ahead,
                            runtime=self._runtime,
                        )
                    )
            finally:
                linux.setns(self._own_pids, linux.CLONE_NEWPID)  # else the next fork would be refused
            if not self._parent.has("memory"):  # then memory use can only be looked up per process
                files["proc"] = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.append(files["proc"])
            fds = [near_channel.fileno(), near_control.fileno(), output_in, telemetry_in, *files.values()]
            names = ["channel", "control", "output", "telemetry", *files]
            self._say({"event": "spawned", "cell": number, "files": names, "groups": self._parent.version}, fds)
        return pid

    def _child(self, doors: cell.Doors) -> None:
        try:
            cell.become(doors)
        except BaseException as error:
            told = json.dumps({"event": "broken", "error": f"{type(error).__name__}: {error}"}).encode()
            for fd in (doors.control.fileno(), cell.CONTROL_FD):  # wherever it stands by now
                try:
                    os.write(fd, told)
                    break
                except OSError:
                    continue
            os._exit(70)

    def _new_slot(self) -> _Slot:
        """A user namespace in which exactly one user exists: 993 inside, a host uid of its own outside."""
        number = self._slots
        outside = 0 if self._settings["rootless"] else self._settings["uid_first"] + number
        ready, go = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                linux.die_with_parent()
                os.close(go[1])  # so that its other holder's closing is the end of the wait below
                linux.unshare(linux.CLONE_NEWUSER)
                os.write(ready[1], b"1")
                os.read(go[0], 1)
            finally:
                os._exit(0)
        try:
            os.close(ready[1])
            if os.read(ready[0], 1) != b"1":
                raise OSError("this kernel refuses new user namespaces")
            process = f"/proc/{pid}"
            for file, inside in (("uid_map", userland.SANDBOX_UID), ("gid_map", userland.SANDBOX_GID)):
                with open(f"{process}/{file}", "w") as mapping:
                    mapping.write(f"{inside} {outside} 1\n")
            namespace = os.open(f"{process}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            for fd in (ready[0], *go):
                os.close(fd)
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
        mounts = self._mounts_of(target)
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
            self._join_network(target, network)
            locked = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
            for tree in own.values():
                linux.mount_setattr(tree, "", locked)
            linux.setns(mounts, linux.CLONE_NEWNS)
            try:
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

    def _mounts_of(self, target: _Cell) -> int:
        """Its mount namespace. ValueError while it still shares ours: what is mounted there, all would see."""
        if target.mounts < 0:
            mounts = os.open(f"/proc/{target.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            if os.path.samestat(os.fstat(mounts), os.fstat(self._own_mounts)):
                os.close(mounts)
                raise ValueError("the environment is not ready")
            target.mounts = mounts
        return target.mounts

    # -- its end ------------------------------------------------------------------------------------------------

    def _stop(self, number: int) -> None:
        target = self._cells.get(number)
        if target is None:
            return  # already gone, and said so
        if target.group is not None:
            target.group.kill()
        signal.pidfd_send_signal(target.pidfd, signal.SIGKILL)

    def _gone(self, pidfd: int) -> None:
        number = self._by_pidfd.pop(pidfd)
        target = self._cells.pop(number)
        self._poll.unregister(pidfd)
        _, status = os.waitpid(target.pid, 0)
        os.close(pidfd)
        if target.mounts >= 0:
            os.close(target.mounts)
        if target.group is not None and not target.group.remove():
            self._groups_left.append(target.group)
        self._free.append(target.slot)
        self._unplug(target.plug, target.is_in_network)
        self._say({"event": "gone", "cell": number, "status": status})


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
    server.send(json.dumps({"event": "up", "version": sys.version.split()[0]}).encode())
    try:
        zygote.serve()
    except ConnectionError:
        pass  # the server went away in the middle of an answer
