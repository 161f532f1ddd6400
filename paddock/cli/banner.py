"""What the operator sees once Paddock serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from paddock import __version__
from paddock.config import Config


class Named(Protocol):
    """A runtime that is offered."""

    @property
    def name(self) -> str: ...


class Start(Protocol):
    """What the banner tells of: app.Start."""

    @property
    def config(self) -> Config: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def isolation(self) -> Mapping[str, Any]: ...
    @property
    def offers(self) -> Sequence[Named]: ...


def _network_line(start: Start) -> str:
    named = ", ".join(one["name"] for one in start.config.networks)
    if not start.isolation["egress"]:
        return f"functions reach nothing but Paddock ({start.isolation['no_egress']})"
    default = "nothing but Paddock" if start.config.network == "none" else "the internet, no private address"
    return f"functions reach {default}" + (f"; named networks: {named}" if named else "")


def _userland_line(start: Start) -> str:
    """Where functions live; and what still lives on the host's own files, if anything does."""
    homes = dict(start.isolation.get("userlands", {}))
    host = homes.pop("host", [])
    if not homes:
        return "functions see the host's /usr, read-only (`paddock userland build` gives them their own)"
    largest = max(homes, key=lambda home: len(homes[home]))
    shown = [f"functions see {largest}", *(f"{', '.join(homes[home])}: {home}" for home in homes if home != largest)]
    return "; ".join([*shown, *([f"on the host's /usr, read-only: {', '.join(host)}"] if host else [])])


def banner(start: Start) -> str:
    """What the operator sees once Paddock serves: where, what is enforced, and the lines to copy."""
    isolation = start.isolation
    controllers = ", ".join(isolation["controllers"])
    limits = (
        f"limits by cgroup v{isolation['groups']} ({controllers})"
        if isolation["groups"]
        else ("NO memory, CPU or process limits by cgroup (see `paddock doctor`)")
    )
    runtimes = ", ".join(offer.name for offer in start.offers) or "none (see `paddock runtimes`)"
    return "\n".join(
        (
            f"Paddock {__version__} is ready.",
            f"  endpoint    {start.endpoint}",
            f"  data        {start.config.data_dir}",
            f"  isolation   {isolation['mode']}: namespaces, read-only root, seccomp, no capabilities; {limits}",
            f"  userland    {_userland_line(start)}",
            f"  network     {_network_line(start)}",
            f"  runtimes    {runtimes}",
            "  trust       loopback only: any credentials are accepted, every caller is its account's root",
            "",
            "  export AWS_ENDPOINT_URL=" + start.endpoint,
            f"  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION={start.config.region}",
        )
    )
