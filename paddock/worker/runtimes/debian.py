"""Userlands made of Debian packages: a minimal root, built once by debootstrap, for functions to live in.

    plan      which release, which packages, from where
    build     debootstrap -> security updates -> trimmed of what no function needs -> asked what it is -> kept

All that runs as root runs in pid and mount namespaces of its own (sandbox/within.py): whoever kills us ends it all,
and nothing half-made has a name (store.py). A userland is named after the versions of its packages, so building what
is there already changes nothing. Debian's signatures are checked, by debootstrap and by apt; an archive without one
is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from paddock.worker.runtimes import store
from paddock.worker.sandbox import within

MIRROR = "http://deb.debian.org/debian"
RELEASE = "trixie"
RECIPE = "1"  # part of a userland's name: what trimming leaves
SCRIPTS = Path("/usr/share/debootstrap/scripts")
NEWEST = "sid"
BUILD_TIMEOUT_S = 3_600
ASK_TIMEOUT_S = 60
SPACE_BYTES_MIN = 700 << 20  # what a build takes while it is at work

# What functions find on AWS too. curl: the shell's bootstrap of AWS's own tutorial speaks the Runtime API with it.
_COMMON = "ca-certificates curl libgcc-s1 libstdc++6 media-types netbase tzdata".split()
# What interpreters of the host are linked to, where they are to run in it.
_LINKED = (
    """libbz2-1.0 libcrypt1 libexpat1 libffi8 liblzma5 libncursesw6 libnsl2 libsqlite3-0 libuuid1 zlib1g""".split()
)
_OF_RELEASE = {"bookworm": "libssl3 libreadline8 libgdbm6 libdb5.3".split()}
_SINCE_TRIXIE = "libssl3t64 libreadline8t64 libgdbm6t64 libdb5.3t64".split()
_TRIMMED = """boot home media mnt/* opt root run/* srv tmp/* var/cache var/lib var/log var/tmp var/backups var/mail
    var/spool usr/share/doc usr/share/doc-base usr/share/info usr/share/man usr/share/locale usr/share/lintian
    usr/share/bug
    usr/share/bash-completion usr/share/zsh usr/share/debconf usr/share/pixmaps usr/games usr/local
    etc/apt etc/shadow etc/gshadow etc/shadow- etc/gshadow- etc/machine-id""".split()
_KEPT = "mnt tmp usr/local etc/ssl/certs/java".split()  # places that are mounted on, or expected
_PROGRAM = re.compile(r"(python3\.[0-9]+|ruby[0-9]+\.[0-9]+)\Z")
_VERSION = re.compile(r"(?:Python|ruby) ([0-9]+\.[0-9]+\.[0-9]+)")
_SET_ID = 0o6000


class CannotBuild(RuntimeError):
    """No userland came of it; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """purpose: `all`, or the one runtime that it is for. security: the archive of updates, "" for none."""

    release: str
    mirror: str
    security: str
    purpose: str
    packages: tuple[str, ...]


def plan(release: str, mirror: str, purpose: str = store.ALL, more: Sequence[str] = ("python3",)) -> Plan:
    """What to build. Raises CannotBuild."""
    if not re.match(r"[a-z]+\Z", release):
        raise CannotBuild(f"{release!r} is no name of a Debian release, such as {RELEASE}")
    mirror = mirror.rstrip("/")
    if not re.match(r"(https?|file)://[^\s]+\Z", mirror):
        raise CannotBuild(f"{mirror!r} is no address of a Debian mirror, such as {MIRROR}")
    security = f"{mirror}-security" if mirror.endswith("/debian") and release != "sid" else ""
    linked = [*_LINKED, *_OF_RELEASE.get(release, _SINCE_TRIXIE)] if purpose == store.ALL else []
    packages = {*_COMMON, *linked, *more}
    return Plan(release=release, mirror=mirror, security=security, purpose=purpose, packages=tuple(sorted(packages)))


def configured_mirror() -> str:
    """The mirror of Debian that this machine's apt uses; Debian's own where it uses none."""
    try:
        command = ["apt-get", "indextargets", "--format", "$(SITE) $(REPO_URI)", "Created-By: Packages"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ASK_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return MIRROR
    addresses = [line.split()[-1].rstrip("/") for line in done.stdout.splitlines() if line.strip()]
    return next((each for each in addresses if each.startswith("http") and each.endswith("/debian")), MIRROR)


def check(directory: Path) -> None:
    """Raises CannotBuild when a build cannot even begin here."""
    if os.geteuid() != 0:
        raise CannotBuild("a userland is built by root: its files belong to root. Run it with sudo")
    if shutil.which("debootstrap") is None:
        raise CannotBuild("the program debootstrap is not here: apt install debootstrap (on Fedora: dnf install it)")
    present = next(each for each in (directory, *directory.parents) if each.is_dir())
    if shutil.disk_usage(present).free < SPACE_BYTES_MIN:
        raise CannotBuild(f"no space for it: {present} has less than {SPACE_BYTES_MIN >> 20} MB left")


def build(wanted: Plan, directory: Path, now: datetime, say: Callable[[str], None]) -> store.Userland:
    """The userland of the plan, from now on in service. Takes minutes. Raises CannotBuild, store.Busy and OSError."""
    check(directory)
    try:
        with store.making(directory, "userlands") as working:
            root = working / "root"
            say(f"building {wanted.release} from {wanted.mirror}: some minutes, some 250 MB to fetch and keep")
            _bootstrap(wanted, root)
            updates = _update(wanted, root, say)
            packages = _packages(root)
            say(f"{len(packages)} packages; trimming")
            version = _debian_version(root)
            _trim(root)
            facts = {
                "release": wanted.release,
                "version": version,
                "programs": _programs(root),
                "packages": packages,
                "built": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "updates": updates,
            }
            return store.keep_userland(working, _name(wanted, packages), wanted.purpose, facts)
    except OSError as error:
        raise CannotBuild(f"it cannot be written: {error}") from error


def _name(wanted: Plan, packages: Mapping[str, str]) -> str:
    listed = "\n".join([RECIPE, *(f"{name} {version}" for name, version in sorted(packages.items()))])
    return f"{wanted.release}-{hashlib.sha256(listed.encode()).hexdigest()[:12]}"


def _run(command: Sequence[str], what: str) -> None:
    # dpkg need not sync each file: nothing counts before store.keep has synced all
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "DPKG_FORCE=unsafe-io"]
    try:
        done = within.run([*quiet, *command], timeout_s=BUILD_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise CannotBuild(f"{what} was not done after {BUILD_TIMEOUT_S} s") from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        told = [line for line in said if line.startswith(("E:", "W: Failure", "env:", "gpgv"))] or said
        raise CannotBuild(f"{what} failed: " + "; ".join(told[-3:]))


def _bootstrap(wanted: Plan, root: Path) -> None:
    include = "--include=" + ",".join(wanted.packages)
    options = ["--variant=minbase", "--force-check-gpg", "--merged-usr", include]
    known = (SCRIPTS / wanted.release).exists()  # a release may be younger than the machine's debootstrap
    script = [] if known or not (SCRIPTS / NEWEST).exists() else [str(SCRIPTS / NEWEST)]
    _run(["debootstrap", *options, wanted.release, str(root), wanted.mirror, *script], "debootstrap")


def _update(wanted: Plan, root: Path, say: Callable[[str], None]) -> str:
    """Debian's security updates; what was done, in words. A mirror that has none is no reason to fail."""
    if not wanted.security:
        return "none: the mirror has no archive of security updates beside it"
    source = f"deb {wanted.security} {wanted.release}-security main\n"
    (root / "etc/apt/sources.list.d/security.list").write_text(source)
    say(f"security updates from {wanted.security}")
    chroot = ["chroot", str(root), "apt-get", "-qq", "-o", "APT::Update::Error-Mode=any"]
    try:
        _run([*chroot, "update"], "apt-get update")
        _run([*chroot, "dist-upgrade", "-y", "--no-install-recommends"], "apt-get dist-upgrade")
    except CannotBuild as error:
        say(f"WITHOUT security updates: {error}")
        return f"none: {error}"
    return f"{wanted.release}-security"


def _packages(root: Path) -> dict[str, str]:
    """name -> version of all that dpkg has installed there."""
    found = {}
    for entry in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in entry.splitlines() if re.match(r"[A-Z][A-Za-z-]*: ", line))
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields["Version"]
    return found


def _debian_version(root: Path) -> str:
    """13.1; of a release to come, which has no number yet, its name."""
    text = (root / "etc/debian_version").read_text().strip()
    return re.sub(r"[^0-9a-z.]", "-", text)


def _trim(root: Path) -> None:
    for pattern in _TRIMMED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in _KEPT:
        (root / name).mkdir(parents=True, exist_ok=True)
    for top, directories, files in os.walk(root):
        for name in (*directories, *files):
            each = os.path.join(top, name)
            if os.path.islink(each):
                continue
            mode = os.stat(each).st_mode
            if mode & _SET_ID:
                os.chmod(each, mode & 0o777)
            if "security.capability" in os.listxattr(each):
                os.removexattr(each, "security.capability")


def _programs(root: Path) -> dict[str, str]:
    """The interpreters in there, each asked for its version where it will run. Raises CannotBuild without a Python."""
    found = {}
    for path in sorted((root / "usr/bin").iterdir()):
        if not _PROGRAM.match(path.name):
            continue
        done = within.run([f"/usr/bin/{path.name}", "--version"], base=str(root), timeout_s=ASK_TIMEOUT_S)
        version = _VERSION.match(done.stdout)
        if version is not None:
            found[path.name] = version[1]
    if not any(name.startswith("python") for name in found):
        raise CannotBuild("no Python runs in what was built: is it for another machine?")
    return found


def progress(text: str) -> None:
    """For a terminal, beside what a command answers."""
    print(f"paddock: {text}", file=sys.stderr, flush=True)
