"""Writes docs/coverage.md from botocore's models and the mounted services: `make docs`."""

from __future__ import annotations

from pathlib import Path

from paddock.services import SERVICES
from paddock.services.service import Service, operations_of
from paddock.wire.service import load_service

PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"

HEAD = """# Coverage

Made by `make docs` from the AWS service models that Paddock reads (botocore) and from its own services. **done** means
that Paddock answers the operation; settings of a done operation that it refuses are in
[refused-settings.md](refused-settings.md). An operation that is not done answers status 501 and its name. Nothing is
accepted and then ignored.

| service | operations | done | not yet |
|---|---|---|---|
"""


def page() -> str:
    """The whole page: a summary, then every operation of every service."""
    done = {service.name: _done(service) for service in SERVICES}
    modelled = {service.name: load_service(service.name).operation_names for service in SERVICES}
    summary = "".join(
        f"| [{name}](#{name}) | {len(names)} | {len(done[name])} | {len(names) - len(done[name])} |\n"
        for name, names in modelled.items()
    )
    return HEAD + summary + "".join(_section(name, names, done[name]) for name, names in modelled.items())


def _done(service: Service) -> frozenset[str]:
    return frozenset(operations_of(tuple(load_service(service.name).operation_names), *service.modules))


def _section(name: str, modelled: tuple[str, ...], done: frozenset[str]) -> str:
    rows = "".join(f"| {operation} | {'done' if operation in done else '-'} |\n" for operation in sorted(modelled))
    return f"\n## {name}\n\n| operation | |\n|---|---|\n{rows}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
