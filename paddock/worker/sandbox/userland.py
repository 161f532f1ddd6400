"""The root file system that functions see: made once per zygote, shared read-only by all its environments.

It shows the /usr of a base: a root built from Debian packages (runtimes/debian.py), or, where there is none, the
host's own, without /usr/local and without the host's Python packages. To that come the interpreter at /var/lang when
it lives elsewhere, Paddock's function packages at /var/runtime, a minimal /etc and /dev. Nothing of the host's /home,
/root, /var, /run, /sys or /etc beyond what is listed here exists inside, and with a base of their own nothing of its
/usr either.

    build()   in a fresh mount namespace: assembles the tree on a tmpfs and pivots into it; the host's root stays at
              /mnt and the zygote's view of processes at /proc, for the zygote alone: each environment detaches both
              before anything untrusted runs.

Runs in the jailer's child just before it becomes a zygote: standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import Dict, List

from paddock.worker.sandbox import linux

HOST = "/mnt"
TASK = "/var/task"
LAYERS = "/opt"
SANDBOX_UID = 993
SANDBOX_GID = 990

_DIRECTORIES = "dev etc mnt opt proc tmp usr var var/lang var/runtime var/task var/empty".split()
_DEVICES = "null zero full random urandom".split()
_ETC_COPIED = "ld.so.cache mime.types services protocols".split()
_ETC_OF_BASE = "os-release debian_version".split()  # a base that is the host does not tell what it is
_ETC_BOUND = "alternatives ssl/certs ca-certificates pki fonts".split()
_ETC: Dict[str, str] = {
    "passwd": f"root:x:0:0:root:/:/bin/false\nsbx_user1051:x:{SANDBOX_UID}:{SANDBOX_GID}::/tmp:/bin/false\n",
    "group": f"root:x:0:\nsbx_user1051:x:{SANDBOX_GID}:\n",
    "hosts": "127.0.0.1 localhost\n169.254.100.1 sandbox.localdomain sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "os-release": 'NAME="Paddock host userland"\nID=paddock\n',
}


def _touch(path: str, content: str = "") -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(content)


def _system_directories(root: str, base: str) -> None:
    """/bin, /lib and their kin: links where the base has merged them into /usr, else read-only mounts."""
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        shown = f"{base}/{name}"
        if os.path.islink(shown):
            os.symlink(os.readlink(shown), os.path.join(root, name))
        elif os.path.isdir(shown):
            os.mkdir(os.path.join(root, name))
            linux.bind(shown, os.path.join(root, name))


def _etc(root: str, resolver: str, base: str) -> None:
    etc = {**_ETC, "resolv.conf": f"nameserver {resolver}\noptions timeout:2 attempts:3\n" if resolver else ""}
    for name, content in etc.items():
        _touch(os.path.join(root, "etc", name), content)
    for name in [*_ETC_COPIED, *(_ETC_OF_BASE if base else [])]:
        if os.path.isfile(f"{base}/etc/{name}"):
            shutil.copyfile(f"{base}/etc/{name}", os.path.join(root, "etc", name))
    for name in _ETC_BOUND:
        _bind_directory(f"{base}/etc/{name}", os.path.join(root, "etc", name))
    os.symlink("/usr/share/zoneinfo/UTC", os.path.join(root, "etc/localtime"))


def _bind_directory(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        linux.bind(source, target)


def _installation(root: str, prefix: str, base: str) -> None:
    """What stands at /var/lang: a directory; of a program that is one file of the host's /usr, that file alone."""
    if os.path.isfile(prefix):
        target = os.path.join(root, "var/lang/bin", os.path.basename(prefix))
        _touch(target)
        linux.bind(prefix, target)
        return
    linux.bind(prefix, root + "/var/lang")
    if base and not os.path.isfile(prefix + "/bin/java"):
        return
    for name in os.listdir("/etc"):  # the host's JVMs have their settings and trust there
        if re.match(r"java-[0-9]+-openjdk\Z", name):
            _bind_directory("/etc/" + name, os.path.join(root, "etc", name))
    if base and os.path.isdir(root + "/etc/ssl/certs/java"):
        _bind_directory("/etc/ssl/certs/java", root + "/etc/ssl/certs/java")


def _devices(root: str) -> None:
    for name in _DEVICES:
        target = os.path.join(root, "dev", name)
        _touch(target)
        linux.bind("/dev/" + name, target, read_only=False, devices=True)
    for name, target in (("fd", "self/fd"), ("stdin", "self/fd/0"), ("stdout", "self/fd/1"), ("stderr", "self/fd/2")):
        os.symlink("/proc/" + target, os.path.join(root, "dev", name))


def build(root: str, prefix: str, packages: str, hidden: List[str], resolver: str = "", base: str = "") -> None:
    """Assemble the tree on `root` (an empty directory) and pivot into it.

    base: the directory whose /usr and /etc are shown; "" is the host's own.
    prefix: the interpreter's installation, shown at /var/lang, or "" when it is part of the base.
    packages: the directory shown at /var/runtime, or "" for none.
    resolver: the address that answers DNS, or "" where nobody does.
    hidden: directories inside the tree to cover with nothing (the host's own Python packages).
    The caller is alone in a fresh mount namespace and may mount. Raises OSError.
    """
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("paddock", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=16m")
    for name in _DIRECTORIES:
        os.mkdir(os.path.join(root, name))
    linux.bind(base + "/usr", root + "/usr")
    _system_directories(root, base)
    _etc(root, resolver, base)
    _devices(root)
    if prefix:
        _installation(root, prefix, base)
    if packages:
        linux.bind(packages, root + "/var/runtime")
    if not prefix.startswith("/usr/local"):
        hidden = [*hidden, "/usr/local"]
    for name in hidden:
        if os.path.isdir(root + name):
            linux.bind(root + "/var/empty", root + name)
    linux.pivot_root(root, root + HOST)
    os.chdir("/")
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.mount(
        "none", "/", None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV
    )
