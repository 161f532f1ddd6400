"""Writes docs/settings.md from Config's own fields: `make docs`."""

from __future__ import annotations

from pathlib import Path

from paddock.config import FILE_VARIABLE, PREFIX, default_shown, flag_of, settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD = f"""# Settings

Made by `make docs` from `paddock/config.py`; edit there.

A setting is taken from the first place that gives it: the command line of `paddock up`, a `{PREFIX}...` variable,
the TOML file named by `--config` or `{FILE_VARIABLE}`, the default. A name that no setting has is an error, so that a
mistyped one does not look as if it were in force.

| in TOML | on the command line | variable | default | takes | what it does |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = (
        f"| `{name}` | `{flag_of(name)}` | `{PREFIX}{name.upper()}` | {default_shown(name)} "
        f"| {setting.kind.allowed} | {setting.doc} |\n"
        for name, setting in settings().items()
    )
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
