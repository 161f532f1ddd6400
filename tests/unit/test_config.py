"""Settings: where they come from, who wins, and what a wrong one is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from paddock.config import Config, ConfigError, default_shown, settings


def load(environ: dict[str, str] | None = None, file: Path | None = None, **overrides: str | None) -> Config:
    return Config.load(overrides, environ or {}, file, root=True)


def test_defaults_are_valid_and_what_the_ecosystem_expects() -> None:
    config = load()
    assert (config.host, config.port, config.account) == ("127.0.0.1", 4566, "000000000000")
    assert config == Config()
    assert config.memory_budget_mb is None


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "paddock.toml"
    file.write_text('port = 1001\nregion = "eu-west-1"\naccount = "111111111111"\n')
    environ = {"PADDOCK_PORT": "1002", "PADDOCK_REGION": "eu-west-2", "HOME": "/home/x"}
    config = load(environ, file, port="1003", host=None)
    assert (config.port, config.region, config.account) == (1003, "eu-west-2", "111111111111")
    assert config.host == "127.0.0.1"


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("hosts_allowed = ['Paddock.Test', 'two']\nmemory_budget_mb = 4096\ndev_directories = ['/a']\n")
    config = load({"PADDOCK_CONFIG": str(file)})
    assert config.dev_directories == ("/a",)
    assert load({"PADDOCK_DEV_DIRECTORIES": "/srv/x, /home/y"}).dev_directories == ("/srv/x", "/home/y")
    assert config.hosts_allowed == ("paddock.test", "two")
    assert config.memory_budget_mb == 4096


@pytest.mark.parametrize(
    ("root", "environ", "expected"),
    [
        (True, {"HOME": "/home/x"}, "/var/lib/paddock"),
        (False, {"HOME": "/home/x"}, "/home/x/.local/share/paddock"),
        (False, {"HOME": "/home/x", "XDG_DATA_HOME": "/data"}, "/data/paddock"),
    ],
)
def test_the_data_directory_depends_on_who_starts(root: bool, environ: dict[str, str], expected: str) -> None:
    assert Config.load({}, environ, root=root).data_dir == Path(expected)


def test_a_relative_data_directory_becomes_absolute() -> None:
    assert load(data_dir="state").data_dir == Path.cwd() / "state"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("port", "http", "a whole number from 0 to 65535"),
        ("port", "65536", "a whole number from 0 to 65535"),
        ("port", "-1", "a whole number from 0 to 65535"),
        ("account", "12345678901", "12 digits"),
        ("region", "Frankfurt", "a region's name"),
        ("log_level", "loud", "one of debug, info, warning, error"),
        ("isolation", "docker", "one of auto, root, rootless"),
        ("memory_budget_mb", "127", "a whole number from 128"),
        ("data_dir", " ", "a path to a directory"),
        ("hosts_allowed", "a b", "host names"),
        ("dev_directories", "/srv,relative", "absolute paths"),
        ("environment_uid_first", "1000", "a whole number from 65536"),
    ],
)
def test_a_wrong_value_is_told_its_name_its_origin_and_what_is_allowed(name: str, value: str, allowed: str) -> None:
    for origin, load_it in (
        (f"--{name.replace('_', '-')}", lambda: load(**{name: value})),
        (f"PADDOCK_{name.upper()}", lambda: load({f"PADDOCK_{name.upper()}": value})),
    ):
        with pytest.raises(ConfigError) as caught:
            load_it()
        for part in (name, f'"{value}"', origin, allowed):
            assert part in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com", ""])
def test_anything_but_loopback_is_refused_with_the_reason(host: str) -> None:
    with pytest.raises(ConfigError, match=r"any credentials.*could run code"):
        load(host=host)


@pytest.mark.parametrize(("host", "bound"), [("localhost", "127.0.0.1"), ("::1", "::1"), ("127.0.0.9", "127.0.0.9")])
def test_loopback_is_served(host: str, bound: str) -> None:
    assert load(host=host).host == bound


def test_a_mistyped_name_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "paddock.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(ConfigError, match=r"paddock\.toml: prot is not a setting\. Did you mean port\?"):
        load(file=file)
    with pytest.raises(ConfigError, match=r"PADDOCK_ISOLATON is not a setting\. Did you mean PADDOCK_ISOLATION\?"):
        load({"PADDOCK_ISOLATON": "root"})
    with pytest.raises(ConfigError, match="colour is not a setting"):
        load(colour="red")


@pytest.mark.parametrize(("content", "said"), [("port = ", "is not TOML"), ("port = true", "port = True")])
def test_a_broken_file_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "paddock.toml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(file=file)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file"):
        load(file=tmp_path / "none.toml")


def test_a_config_made_by_hand_obeys_the_same_limits() -> None:
    with pytest.raises(ConfigError, match="given to Config"):
        Config(port=70_000)
    with pytest.raises(ConfigError, match="loopback"):
        dataclasses.replace(Config(), host="10.0.0.1")


def test_every_field_is_documented_and_its_default_can_be_shown() -> None:
    assert list(settings()) == [field.name for field in dataclasses.fields(Config)]
    assert all(setting.doc and setting.kind.allowed for setting in settings().values())
    assert default_shown("port") == "4566"
    assert default_shown("memory_budget_mb") == "auto"


# -- networks and file systems -----------------------------------------------------------------------------------------

OFFICE = {"name": "office", "subnets": ["subnet-1"], "security_groups": ["sg-1"], "allowed": ["10.0.0.0/8", "internet"]}
BOOKS = {"arn": "arn:aws:x", "directory": "/srv/books"}


def test_networks_are_tables_with_defaults() -> None:
    (found,) = Config(networks=(OFFICE,)).networks
    assert found["vpc_id"].startswith("vpc-")
    assert (found["denied"], found["dns"]) == ([], "")
    assert Config(networks=(found,)).networks == (found,)  # as it comes back from the jailer


@pytest.mark.parametrize(
    "networks",
    [
        "office",
        [OFFICE, OFFICE],
        [OFFICE, {"name": "other", "subnets": ["subnet-1"]}],
        [{**OFFICE, "alowed": []}],
        [{**OFFICE, "allowed": ["10.0.0.1/8"]}],
        [{**OFFICE, "denied": ["internet"]}],
        [{**OFFICE, "dns": "ns.office"}],
        [{**OFFICE, "name": "a b"}],
        [{**OFFICE, "subnets": [1]}],
    ],
)
def test_networks_that_cannot_be(networks: Any) -> None:
    with pytest.raises(ConfigError, match="networks"):
        Config(networks=networks)


@pytest.mark.parametrize("pool", ["10.0.0.0/30", "fd00::/64", "office", "198.18.0.1/15"])
def test_a_pool_has_room(pool: str) -> None:
    with pytest.raises(ConfigError, match="network_pool"):
        Config(network_pool=pool)


def test_file_systems_are_read_only_unless_said_otherwise() -> None:
    assert Config(file_systems=(BOOKS,)).file_systems == ({**BOOKS, "access": "read"},)


@pytest.mark.parametrize(
    "file_systems",
    ["books", [BOOKS, BOOKS], [{**BOOKS, "directory": "srv"}], [{**BOOKS, "access": "all"}], [{"arn": "arn:aws:x"}]],
)
def test_file_systems_that_cannot_be(file_systems: Any) -> None:
    with pytest.raises(ConfigError, match="file_systems"):
        Config(file_systems=file_systems)
