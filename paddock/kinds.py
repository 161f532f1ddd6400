"""What settings may hold: each kind says in words what is allowed, and reads it from text or from a typed value."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Kind(Protocol):
    """What a setting may hold: `allowed` in words, `read` from text or from the typed value (ValueError if not)."""

    @property
    def allowed(self) -> str: ...

    def read(self, raw: object) -> Any: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within both ends. `none` is what a missing value means, in words, where that is allowed."""

    least: int
    most: int
    none: str = ""

    @property
    def allowed(self) -> str:
        span = f"a whole number from {self.least} to {self.most}"
        return f'{span}, or "auto" for {self.none}' if self.none else span

    def read(self, raw: object) -> int | None:
        if self.none and raw in (None, "auto"):
            return None
        if isinstance(raw, bool) or not isinstance(raw, (int, str)):
            raise ValueError(self.allowed)
        number = int(str(raw).replace("_", ""))
        if not self.least <= number <= self.most:
            raise ValueError(self.allowed)
        return number


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(self.words)

    def read(self, raw: object) -> str:
        if raw not in self.words:
            raise ValueError(self.allowed)
        return str(raw)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text of one form."""

    pattern: str
    allowed: str

    def read(self, raw: object) -> str:
        if not isinstance(raw, str) or not re.fullmatch(self.pattern, raw):
            raise ValueError(self.allowed)
        return raw


@dataclass(frozen=True, slots=True)
class Loopback:
    """An address of this machine's loopback interface. `localhost` is written out as 127.0.0.1.

    Any credentials are accepted on loopback, and a function is arbitrary code: on an address that others can
    reach, anyone could run anything. Until signatures and policies are enforced, no other address is served.
    """

    @property
    def allowed(self) -> str:
        return (
            "a loopback address (127.0.0.1 or ::1): Paddock accepts any credentials so far, so on any other address "
            "everyone who can reach this machine could run code on it. Put an SSH tunnel in front to reach it from afar"
        )

    def read(self, raw: object) -> str:
        text = "127.0.0.1" if raw == "localhost" else raw
        if not isinstance(text, str) or not _is_loopback(text):
            raise ValueError(self.allowed)
        return text


@dataclass(frozen=True, slots=True)
class Directory:
    """A path, `~` expanded, made absolute."""

    @property
    def allowed(self) -> str:
        return "a path to a directory"

    def read(self, raw: object) -> Path:
        if not isinstance(raw, (str, Path)) or not str(raw).strip():
            raise ValueError(self.allowed)
        return Path(raw).expanduser().absolute()


@dataclass(frozen=True, slots=True)
class Names:
    """Host names: comma-separated text, or a list of text in TOML."""

    @property
    def allowed(self) -> str:
        return "host names, separated by commas"

    def read(self, raw: object) -> tuple[str, ...]:
        parts = raw.split(",") if isinstance(raw, str) else raw
        if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
            raise ValueError(self.allowed)
        names = tuple(part.strip().lower() for part in parts if part.strip())
        if not all(re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name) for name in names):
            raise ValueError(self.allowed)
        return names


def _texts(raw: object, allowed: str) -> tuple[str, ...]:
    """Comma-separated text, or a list of text. Raises ValueError."""
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise ValueError(allowed)
    return tuple(part.strip() for part in parts if part.strip())


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute paths: comma-separated text, or a list of text in TOML."""

    @property
    def allowed(self) -> str:
        return "absolute paths, separated by commas"

    def read(self, raw: object) -> tuple[str, ...]:
        paths = _texts(raw, self.allowed)
        if not all(path.startswith("/") for path in paths):
            raise ValueError(self.allowed)
        return paths


_BASE = r"https?://[^\s/?#@]+(/[^\s?#]*)?"
_REGISTRY = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?"


@dataclass(frozen=True, slots=True)
class Registries:
    """Host names, with a port where a registry has its own: comma-separated text, or a list of text in TOML."""

    @property
    def allowed(self) -> str:
        return "host names, with :PORT where there is one, separated by commas"

    def read(self, raw: object) -> tuple[str, ...]:
        names = tuple(name.lower() for name in _texts(raw, self.allowed))
        if not all(re.fullmatch(_REGISTRY, name) for name in names):
            raise ValueError(self.allowed)
        return names


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Registries and where they are asked for instead: a table in TOML, or text such as docker.io=http://near:5000."""

    @property
    def allowed(self) -> str:
        return "HOST=URL pairs, separated by commas; a URL is http or https and may have a path"

    def read(self, raw: object) -> tuple[tuple[str, str], ...]:
        if isinstance(raw, str):
            raw = dict(pair.partition("=")[::2] for pair in _texts(raw, self.allowed))
        pairs = dict(raw) if isinstance(raw, (Mapping, list, tuple)) else None
        if pairs is None:
            raise ValueError(self.allowed)
        for host, url in pairs.items():
            if not re.fullmatch(_REGISTRY, str(host)) or not re.fullmatch(_BASE, str(url)):
                raise ValueError(self.allowed)
        return tuple((str(host), str(url)) for host, url in pairs.items())


@dataclass(frozen=True, slots=True)
class AddressRange:
    """An IPv4 network that has room for links and environments."""

    @property
    def allowed(self) -> str:
        return "an IPv4 range of /8 to /18, such as 198.18.0.0/15"

    def read(self, raw: object) -> str:
        network = ipaddress.IPv4Network(raw) if isinstance(raw, str) else None
        if network is None or not 8 <= network.prefixlen <= 18:
            raise ValueError(self.allowed)
        return str(network)


_NETWORK_LISTS = ("subnets", "security_groups", "allowed", "denied")
_NETWORK_TEXTS = ("name", "vpc_id", "dns")


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks that functions may join, each a table in the settings file:

    name; vpc_id; subnets and security_groups (what VpcConfig names); allowed, denied (IPv4 ranges, or `internet` for
    everything that is not private); dns (a server's address; without it the machine's own resolvers are asked).
    """

    @property
    def allowed(self) -> str:
        return (
            "[[networks]] tables with name, vpc_id, subnets, security_groups, allowed (IPv4 ranges or internet), "
            "denied (IPv4 ranges) and dns (an IPv4 address); no name and no subnet twice"
        )

    def read(self, raw: object) -> tuple[dict[str, Any], ...]:
        tables = json.loads(raw) if isinstance(raw, str) else raw
        if not isinstance(tables, (list, tuple)):
            raise ValueError(self.allowed)
        found = tuple(self._one(table) for table in tables)
        for names in ([one["name"] for one in found], [subnet for one in found for subnet in one["subnets"]]):
            if len(set(names)) != len(names):
                raise ValueError(self.allowed)
        return found

    def _one(self, table: object) -> dict[str, Any]:
        if not isinstance(table, dict) or not set(table) <= {*_NETWORK_LISTS, *_NETWORK_TEXTS}:
            raise ValueError(self.allowed)
        one: dict[str, Any] = {name: table.get(name, "") for name in _NETWORK_TEXTS}
        one |= {name: list(table.get(name, ())) for name in _NETWORK_LISTS}
        texts = [*(one[name] for name in _NETWORK_TEXTS), *(text for name in _NETWORK_LISTS for text in one[name])]
        forms = (("name", r"[A-Za-z0-9_-]{1,32}"), ("vpc_id", r"(vpc-[0-9a-z]{1,40})?"))
        if not all(isinstance(text, str) for text in texts) or not all(
            re.fullmatch(form, one[name]) for name, form in forms
        ):
            raise ValueError(self.allowed)
        for text in (*(text for text in one["allowed"] if text != "internet"), *one["denied"]):
            ipaddress.IPv4Network(text)
        if one["dns"]:
            ipaddress.IPv4Address(one["dns"])
        one["vpc_id"] = one["vpc_id"] or f"vpc-{hashlib.sha256(one['name'].encode()).hexdigest()[:17]}"
        return one


@dataclass(frozen=True, slots=True)
class FileSystems:
    """Directories of this machine that functions may mount, each a table in the settings file:

    arn (what FileSystemConfigs names), directory (an absolute path), access (read or write).
    """

    @property
    def allowed(self) -> str:
        return "[[file_systems]] tables with arn, directory (an absolute path) and access (read or write); no arn twice"

    def read(self, raw: object) -> tuple[dict[str, str], ...]:
        tables = json.loads(raw) if isinstance(raw, str) else raw
        if not isinstance(tables, (list, tuple)) or not all(isinstance(table, dict) for table in tables):
            raise ValueError(self.allowed)
        found = tuple({"access": "read", **table} for table in tables)
        for one in found:
            if set(one) != {"arn", "directory", "access"} or not all(isinstance(value, str) for value in one.values()):
                raise ValueError(self.allowed)
            if not one["directory"].startswith("/") or one["access"] not in ("read", "write") or not one["arn"]:
                raise ValueError(self.allowed)
        if len({one["arn"] for one in found}) != len(found):
            raise ValueError(self.allowed)
        return found


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
