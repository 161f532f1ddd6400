"""Every setting of Paddock: one frozen Config, read once, handed down by parts.

This module is the only reader of the environment and of the settings file. A value comes from the first place
that gives one: the command line, then a `PADDOCK_*` variable, then the TOML file, then the default. A name that
no setting has is an error wherever it stands: a mistyped safety switch must not look as if it were on.

    PADDOCK_PORT=4600 paddock up --config paddock.toml     # paddock.toml: region = "eu-west-1"

Each setting carries its documentation and its limits in its own `Setting`; docs/settings.md and `paddock up
--help` are made from them, and `__post_init__` applies them, so a Config that exists is a valid one.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.kinds import (
    AddressRange,
    Choice,
    Directory,
    FileSystems,
    Kind,
    Loopback,
    Mirrors,
    Names,
    Networks,
    Pattern,
    Places,
    Registries,
    Whole,
)

PREFIX = "PADDOCK_"
FILE_VARIABLE = "PADDOCK_CONFIG"


class ConfigError(ValueError):
    """A setting that cannot be used. The message names it, its value, where that came from and what is allowed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field of Config is for and what it may hold. `default`: in words, where the value alone does not say."""

    doc: str
    kind: Kind
    default: str = ""


def _setting(default: Any, doc: str, kind: Kind, shown: str = "") -> Any:
    """A Config field: its default with its Setting beside it."""
    return dataclasses.field(default=default, metadata={"setting": Setting(doc, kind, shown)})


DATA_DIR_ROOT = Path("/var/lib/paddock")
DATA_DIR_SHOWN = "/var/lib/paddock as root, else $XDG_DATA_HOME/paddock or ~/.local/share/paddock"
RUNTIMES_DIR_SHOWN = DATA_DIR_SHOWN.replace("/paddock", "/paddock-runtimes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting, valid. docs/settings.md is the reference made from these fields."""

    host: str = _setting("127.0.0.1", "The address to listen on.", Loopback())
    port: int = _setting(4566, "The TCP port; 0 takes a free one and the banner says which.", Whole(0, 65535))
    data_dir: Path = _setting(
        DATA_DIR_ROOT, "Where all state lives: the database and the uploaded code.", Directory(), DATA_DIR_SHOWN
    )
    runtimes_dir: Path = _setting(
        DATA_DIR_ROOT.with_name("paddock-runtimes"),
        "Where `paddock userland build` and `paddock runtimes add` put what they make; several Paddocks may share it. "
        "What root has made in its own is used by everybody.",
        Directory(),
        RUNTIMES_DIR_SHOWN,
    )
    userland: str = _setting(
        "auto",
        "Which Linux root functions see: with `auto` one of their own where `paddock userland build` has made it, else "
        "the host's /usr, read-only; with `host` always that.",
        Choice(("auto", "host")),
    )
    account: str = _setting(
        "000000000000",
        "The account of callers whose access key is not itself a 12-digit account.",
        Pattern(r"[0-9]{12}", "12 digits"),
    )
    region: str = _setting(
        "us-east-1",
        "The region of requests whose signature names none.",
        Pattern(r"[a-z]{2,}(-[a-z]+)+-[0-9]+", "a region's name, such as us-east-1"),
    )
    log_level: str = _setting(
        "info", "How much the server itself writes to standard error.", Choice(("debug", "info", "warning", "error"))
    )
    event_loop: str = _setting(
        "uvloop",
        "`uvloop` serves more on the same processor; `asyncio` is Python's own.",
        Choice(("asyncio", "uvloop")),
    )
    event_backlog_mb_max: int = _setting(
        4_096,
        "How much of asynchronous events may wait for one function; beyond it an Event invoke is answered "
        "TooManyRequestsException, which clients try again.",
        Whole(1, 1_048_576),
    )
    environment_idle_timeout_s: int = _setting(
        600,
        "An execution environment idle for this long is stopped: every one with `keep_alive` fixed; with adaptive, "
        "those of function versions of which too little is known.",
        Whole(1, 86_400),
    )
    keep_alive: str = _setting(
        "adaptive",
        "`adaptive` learns from each function version's idle times how long to keep its environments, and starts one "
        "ahead of an event that is expected; `fixed` keeps all for `environment_idle_timeout_s`.",
        Choice(("adaptive", "fixed")),
    )
    snapshots: str = _setting(
        "asked",
        "Which Python functions start from snapshots: `asked` those with SnapStart; `published` every published "
        "version that can; `all` `$LATEST`, too. One that is not asked for is taken after the first start, and done "
        "without where it fails; docs/decisions/0021-snapshots.md.",
        Choice(("asked", "published", "all")),
    )
    keep_alive_s_max: int = _setting(
        14_400, "The longest that `adaptive` may come to, beyond `environment_idle_timeout_s`.", Whole(1, 86_400)
    )
    freeze_after_idle_ms: int = _setting(
        10, "A warm environment idle for this long is frozen until its next event.", Whole(0, 60_000)
    )
    cells_ready_per_runtime: int = _setting(
        2, "Isolated, booted environments kept waiting for code, for each runtime in use.", Whole(0, 256)
    )
    cells_ready_per_runtime_max: int | None = _setting(
        None,
        "As many wait while cold starts are frequent, as long as the memory budget has room for them. Below "
        "`cells_ready_per_runtime` it is without effect.",
        Whole(0, 1024, "8 times `cells_ready_per_runtime`"),
        "auto",
    )
    environments_max: int = _setting(1000, "Execution environments alive at once, of all functions.", Whole(1, 100_000))
    memory_budget_mb: int | None = _setting(
        None,
        "The memory that environments may use, counted by the most each has used; idle ones end to stay within it.",
        Whole(128, 1 << 30, "80 % of the machine's memory"),
        "auto",
    )
    cpu_share: str = _setting(
        "memory",
        "`memory` gives CPU time in proportion to memory as on AWS (1,769 MB is one vCPU); `off` does not limit it.",
        Choice(("memory", "off")),
    )
    init_timeout_s: int = _setting(
        10,
        "How long a function's init phase may take before it is started again within its first event.",
        Whole(1, 900),
    )
    isolation: str = _setting(
        "auto",
        "`root`: every limit, by a privileged jailer; `rootless`: what an ordinary user may enforce; "
        "`auto`: by who starts Paddock.",
        Choice(("auto", "root", "rootless")),
    )
    server_uid: int = _setting(
        64_100, "The user and group id that the HTTP server becomes when started as root.", Whole(1, 4_294_967_294)
    )
    environment_uid_first: int = _setting(
        2_000_000_000,
        "Environments run as host user ids from here on, each with its own.",
        Whole(65_536, 4_293_967_294),
    )
    network: str = _setting(
        "auto",
        "What functions reach that are in no named network. `egress`: the internet through NAT, by IPv4; private "
        "ranges, metadata services and this machine itself stay closed. `none`: nothing but Paddock. `auto`: egress "
        "where Paddock is started by root and the machine allows it.",
        Choice(("auto", "egress", "none")),
    )
    network_pool: str = _setting(
        "198.18.0.0/15",
        "Addresses for environments and for the link between them and this machine; only the link's is seen by the "
        "machine. No network that functions should reach may overlap it.",
        AddressRange(),
    )
    networks: tuple[dict[str, Any], ...] = _setting(
        (), "Networks that functions join by their VpcConfig; docs/networks.md.", Networks(), "none"
    )
    file_systems: tuple[dict[str, str], ...] = _setting(
        (), "Directories that functions mount by their FileSystemConfigs; docs/networks.md.", FileSystems(), "none"
    )
    image_directories: tuple[str, ...] = _setting(
        (),
        "Below these directories functions' images may be read: `oci:/PATH:TAG` from an OCI layout, "
        "`docker-archive:/PATH.tar` from what `docker save` wrote. Paddock's `server_uid` must be able to read them.",
        Places(),
        "none",
    )
    image_registries: tuple[str, ...] = _setting(
        (), "The registries that functions' images may come from.", Registries(), "any"
    )
    image_registries_plain: tuple[str, ...] = _setting(
        (),
        "Registries that speak http and not https, besides those on this machine's loopback addresses.",
        Registries(),
        "none",
    )
    image_mirrors: tuple[tuple[str, str], ...] = _setting(
        (), "Registries that are asked for at another address.", Mirrors(), "none"
    )
    image_pull_timeout_s: int = _setting(
        900, "How long the layers of an image may take to arrive before its function fails.", Whole(1, 86_400)
    )
    registry_credentials: str = _setting(
        "",
        "A file like docker's config.json with the credentials of registries, read at each pull by `server_uid`.",
        Pattern(r"(/.*)?", "an absolute path, or nothing"),
        "none",
    )
    dev_directories: tuple[str, ...] = _setting(
        (),
        "Directories of which `paddock dev` may mount one, or what lies below one, as the code of a function. Whoever "
        "reaches Paddock can then have functions read them.",
        Places(),
        "none",
    )
    tmp_disk_mb: int = _setting(
        0,
        "Disk to set aside for the /tmp of all environments together, so that it does not count as memory, by root; 0 "
        "keeps /tmp in memory. Needs btrfs-progs; docs/decisions/0026-tmp-on-disk.md.",
        Whole(0, 1 << 30),
    )
    concurrency_limit: int = _setting(
        1000, "Concurrent executions of an account in a region; more answer 429.", Whole(1, 1_000_000)
    )
    quotas: str = _setting(
        "aws",
        "The limits of functions: `aws` are AWS's of today; `2019` those of then (128 to 3,008 MB in steps of 64, "
        "512 MB of /tmp, billing by 100 ms); `unlimited` only what the API's own model sets.",
        Choice(("aws", "2019", "unlimited")),
    )
    stream_bytes_per_s: int = _setting(
        0,
        "How fast a streamed response may leave after its first 6 MB, in bytes a second. AWS allows 2097152. 0 sets no "
        "limit: it leaves as fast as its client reads.",
        Whole(0, 1 << 40),
    )
    scaling_rate_per_10_s: int = _setting(
        1000,
        "New execution environments that one function may add in ten seconds, refilled continuously; an event that "
        "needs one more answers 429. 0 sets no limit.",
        Whole(0, 1_000_000),
    )
    log_flush_interval_ms: int = _setting(
        100,
        "Log events are stored in batches this far apart: the most that a crash of the server may lose.",
        Whole(1, 60_000),
    )
    log_buffer_bytes_max: int = _setting(
        16_777_216,
        "Log bytes waiting to be stored; beyond it the oldest are dropped and counted.",
        Whole(65_536, 1 << 34),
    )
    request_body_bytes_max: int = _setting(
        70_167_211,
        "The largest request body. The default admits a 50 MB zip in base64 inside JSON, AWS's own limit.",
        Whole(1_048_576, 1 << 34),
    )
    sqs_endpoint: str = _setting(
        "",
        "Event source mappings read their queues at this URL, of ElasticMQ or AWS for example, instead of from "
        "Paddock's own SQS.",
        Pattern(r"(https?://[^\s/?#]+/?)?", "an http or https URL without a path, or nothing"),
        "none",
    )
    s3_endpoint: str = _setting(
        "",
        "Code of functions and layers that is named by bucket and key is read at this URL, of MinIO or AWS for "
        "example, instead of from Paddock's own S3.",
        Pattern(r"(https?://[^\s/?#]+/?)?", "an http or https URL without a path, or nothing"),
        "none",
    )
    external_access_key_id: str = _setting(
        "test", "The access key for services that stand outside.", Pattern(r"[\w.+/=-]{1,128}", "an access key")
    )
    external_secret_access_key: str = _setting(
        "test", "The secret that belongs to it.", Pattern(r"[\x21-\x7e]{1,256}", "a secret access key")
    )
    s3_webhook_token: str = _setting(
        "",
        "S3 stores that stand outside, such as MinIO, may push their notifications to /_paddock/s3-events with this "
        "token; docs/external-buckets.md says how. Without it nobody may.",
        Pattern(r"([\x21-\x7e]{16,256})?", "a token of 16 to 256 characters, or nothing"),
        "none",
    )
    function_url_base: str = _setting(
        "",
        "What function URLs are made of: with https://fn.example.com they are "
        "https://ID.lambda-url.REGION.fn.example.com, for which a reverse proxy must answer. "
        "Without it they are names below localhost.",
        Pattern(r"(https?://[a-z0-9.-]+(:[0-9]{1,5})?/?)?", "an http or https URL without a path, or nothing"),
        "http://localhost:PORT",
    )
    secret_access_key: str = _setting(
        "test",
        "The secret of every access key, as far as signatures are checked: at function URLs with AuthType AWS_IAM. "
        "Everywhere else any credentials are accepted.",
        Pattern(r"[\x21-\x7e]{1,256}", "a secret access key"),
    )
    hosts_allowed: tuple[str, ...] = _setting(
        (),
        "Names that a Host header may hold besides loopback addresses, localhost and AWS's own endpoints. "
        "Other names are refused, so that a web page cannot reach Paddock under a name of its own.",
        Names(),
        "none",
    )

    def __post_init__(self) -> None:
        for name, setting in settings().items():
            object.__setattr__(self, name, _read(name, setting, getattr(self, name), "given to Config"))

    @classmethod
    def load(
        cls,
        overrides: Mapping[str, str | None],
        environ: Mapping[str, str],
        file: Path | None = None,
        *,
        root: bool | None = None,
    ) -> Config:
        """The settings in force. `overrides` are the command line's (None: not given); `root` says who starts us.

        Raises ConfigError, naming the setting, its value, its origin and what is allowed.
        """
        known = settings()
        given: dict[str, tuple[object, str]] = {}
        path = file if file is not None else _file_named_by(environ)
        if path is not None:
            given.update({name: (value, str(path)) for name, value in _read_file(path, tuple(known)).items()})
        for variable, text in environ.items():
            if variable.startswith(PREFIX) and variable != FILE_VARIABLE:
                name = variable.removeprefix(PREFIX).lower()
                if name not in known or variable != variable.upper():
                    raise ConfigError(f"{variable} is not a setting.{_did_you_mean(variable, _variables(known))}")
                given[name] = (text, variable)
        for name, override in overrides.items():
            if name not in known:
                raise ConfigError(f"{name} is not a setting.{_did_you_mean(name, tuple(known))}")
            if override is not None:
                given[name] = (override, flag_of(name))
        values = {name: _read(name, known[name], raw, origin) for name, (raw, origin) in given.items()}
        data_dir = default_data_dir(environ, os.geteuid() == 0 if root is None else root)
        values.setdefault("data_dir", data_dir)
        values.setdefault("runtimes_dir", data_dir.with_name(f"{data_dir.name}-runtimes"))
        return cls(**values)


def settings() -> Mapping[str, Setting]:
    """Every field of Config with its Setting, in the order of the class."""
    return {field.name: field.metadata["setting"] for field in dataclasses.fields(Config)}


def default_shown(name: str) -> str:
    """The default of a setting as documentation shows it."""
    field = next(field for field in dataclasses.fields(Config) if field.name == name)
    return field.metadata["setting"].default or str(field.default)


def flag_of(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")


def default_data_dir(environ: Mapping[str, str], root: bool) -> Path:
    """Where state lives when nobody says: the system's place for root, the XDG place for a user."""
    if root:
        return DATA_DIR_ROOT
    base = environ.get("XDG_DATA_HOME") or os.path.join(environ.get("HOME") or "~", ".local", "share")
    return Path(base).expanduser() / "paddock"


def _variables(known: Mapping[str, Setting]) -> tuple[str, ...]:
    return tuple(PREFIX + name.upper() for name in known)


def _file_named_by(environ: Mapping[str, str]) -> Path | None:
    named = environ.get(FILE_VARIABLE)
    return Path(named) if named else None


def _read(name: str, setting: Setting, raw: object, origin: str) -> Any:
    try:
        return setting.kind.read(raw)
    except ValueError:
        raise ConfigError(
            f"{name} = {_shown(raw)} ({origin}) is not allowed: it takes {setting.kind.allowed}."
        ) from None


def _shown(raw: object) -> str:
    return f'"{raw}"' if isinstance(raw, (str, Path)) else str(raw)


def _read_file(path: Path, known: tuple[str, ...]) -> Mapping[str, object]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {path} is not TOML: {error}.") from error
    for name in table:
        if name not in known:
            raise ConfigError(f"{path}: {name} is not a setting.{_did_you_mean(name, known)}")
    return table


def _did_you_mean(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"{hint} docs/settings.md lists them all."
