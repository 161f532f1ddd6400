"""Every setting is documented, and every setting does something."""

from __future__ import annotations

import ast

from paddock.config import settings
from tests.house.reading import ROOT, Module, python
from tools import settings as settings_page


def unused(modules: tuple[Module, ...], names: frozenset[str]) -> list[str]:
    """Settings that no module but config.py reads as an attribute."""
    read = {
        node.attr
        for module in modules
        if module.path != "paddock/config.py"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    return sorted(names - read)


def test_the_settings_page_is_up_to_date() -> None:
    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.page(), "run `make docs`"


def test_every_setting_does_something() -> None:
    idle = unused(python("paddock"), frozenset(settings()))
    assert not idle, f"settings that nothing reads (a setting that is accepted must be honoured): {idle}"


def test_the_rules_see_what_they_forbid() -> None:
    modules = (
        Module("paddock/config.py", "self.port"),
        Module("paddock/app/launch.py", "listen(config.host)\nx.port = 1"),
    )
    assert unused(modules, frozenset({"host", "port"})) == ["port"]
    page = settings_page.page()
    assert all(f"| `{name}` |" in page for name in settings())
    assert (ROOT / "docs" / "settings.md") == settings_page.PAGE
