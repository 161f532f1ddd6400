"""What every file and every page of documentation keeps to."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from paddock.model.environment import TRANSITIONS, EnvironmentState
from tests.house.reading import ROOT, Finding, report, text_files

# Put together here so that this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")
MACHINE = re.compile("|".join(("/ro" + "ot/", "/wo" + "rk/", "/Us" + "ers/")))
REGISTRY = re.compile(
    r"https?://[^\s/\"']*(" + "|".join(("py" + "pi", "npm" + "js", "artifact" + "ory", "nex" + "us")) + ")"
)
ADDRESS = re.compile(r"\b\w+://|(^|\s)-(-find-links|-index-url|-extra-index-url|i|f)\b|\s@\s", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def unfinished(path: str, text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield Finding(path, number, "unfinished: do it now, or open an issue and leave the code honest")
        if MACHINE.search(line):
            yield Finding(path, number, "names a place on somebody's machine: take it from a setting, PATH or tmp_path")
        if REGISTRY.search(line):
            yield Finding(path, number, "names a package registry: the installer's own configuration says which")


def dead_links(path: str, text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), 1):
        for target in LINK.findall(line):
            file = target.partition("#")[0]
            if file and "://" not in file and not (ROOT / path).parent.joinpath(file).exists():
                yield Finding(path, number, f"links to {file}, which does not exist")


def changelog_faults(text: str) -> Iterator[str]:
    """Keep a Changelog: Unreleased first, then releases with dates, newest first; known sections; full sentences."""
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    if not headings or headings[0] != "[Unreleased]":
        yield "the first section is ## [Unreleased]"
    releases = []
    for heading in headings[1:]:
        match = re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d{2}-\d{2}", heading)
        if match:
            releases.append(tuple(int(part) for part in match.groups()))
        else:
            yield f"## {heading}: write ## [1.2.3] - 2026-01-31"
    if releases != sorted(releases, reverse=True):
        yield "releases stand newest first"
    for heading in re.findall(r"^### (.+)$", text, re.MULTILINE):
        if heading not in SECTIONS:
            yield f"### {heading}: one of {', '.join(SECTIONS)}"
    for entry in re.findall(r"^- (.+(?:\n  .+)*)", text, re.MULTILINE):
        if not entry.endswith("."):
            yield f"- {entry[:40]}...: end the sentence with a full stop"


def decision_faults(text: str) -> Iterator[str]:
    for part in (r"^# \d{4}: .+", r"^## Why$", r"^## Refused$"):
        if not re.search(part, text, re.MULTILINE):
            yield f"misses {part}"


def test_nothing_is_unfinished_or_bound_to_a_machine() -> None:
    report(
        "The tree is finished and runs anywhere.", [f for path, text in text_files() for f in unfinished(path, text)]
    )


def test_links_lead_somewhere() -> None:
    pages = ((path, text) for path, text in text_files() if path.endswith(".md"))
    report("Documentation is true.", [finding for path, text in pages for finding in dead_links(path, text)])


def test_the_changelog_keeps_its_form() -> None:
    faults = list(changelog_faults((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    assert not faults, f"CHANGELOG.md: {faults}"


def test_decisions_say_why_and_what_was_refused() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    numbers = [page.name[:4] for page in pages]
    assert len(set(numbers)) == len(numbers), "two decisions have one number"  # one that is not taken leaves a gap
    faults = {page.name: found for page in pages if (found := list(decision_faults(page.read_text(encoding="utf-8"))))}
    assert not faults, f"a decision has a title with its number, the decision, '## Why' and '## Refused': {faults}"


def states_drawn() -> str:
    """The table of environment states, as ARCHITECTURE.md shows it."""
    lines = []
    for state in EnvironmentState:
        steps = [to.name for to in EnvironmentState if to in TRANSITIONS[state]]
        lines.append(f"{state.name:<13} -> {', '.join(steps) or '(the end)'}")
    return "\n".join(lines)


def test_architecture_shows_the_states_as_they_are() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert states_drawn() in page, f"ARCHITECTURE.md shows other states than the model has:\n{states_drawn()}"


def test_every_dependency_has_its_reason_and_its_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    reasons = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
    for lock, wanted in {
        "runtime": project["dependencies"],
        "dev": [*project["dependencies"], *project["optional-dependencies"]["dev"]],
    }.items():
        locked = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
        for dependency in wanted:
            pin = dependency.partition(";")[0].strip()
            name = pin.partition("==")[0]
            assert "==" in pin, f"{dependency}: pin it exactly"
            assert f"`{name}`" in reasons, f"{name}: say in 0002-dependencies.md why we depend on it"
            assert re.search(rf"^{re.escape(pin)}( |$)", locked, re.MULTILINE), f"{pin}: run tools/lock.sh"


def test_lock_files_hold_hashes_and_no_addresses() -> None:
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert locks
    for lock in locks:
        text = lock.read_text(encoding="utf-8")
        assert not ADDRESS.search(text), f"{lock.name} holds an address: run tools/lock.sh"
        pins = [block for block in re.split(r"\n(?=\S)", text.strip()) if not block.startswith("#")]
        assert all("==" in pin and re.search("--hash=sha(256|512):", pin) for pin in pins), (
            f"{lock.name}: a pin without a hash"
        )
    for name in ("node/package-lock.json", "rust/Cargo.lock"):
        text = (ROOT / "tests" / "clients" / name).read_text(encoding="utf-8")
        assert "://" not in text, f"{name} holds an address: tests/support/clients.py puts back what its tool needs"


def test_the_rules_see_what_they_forbid() -> None:
    assert (
        len(list(unfinished("a.py", "x = 1  # TO" + "DO: y\np = '/ro" + "ot/x'\nu = 'https://py" + "pi.org/simple'")))
        == 3
    )
    assert list(dead_links("README.md", "see [it](docs/none.md#x)"))
    assert not list(
        dead_links("README.md", "see [it](https://example.com/x.md) and [that](pyproject.toml) and [up](#x)")
    )
    good = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing\n  in two lines.\n\n## [1.0.0] - 2026-01-02\n"
    assert not list(changelog_faults(good))
    for bad in (
        good.replace("[Unreleased]", "Next"),
        good.replace("Added", "News"),
        good.replace("lines.", "lines"),
        good.replace(" - 2026-01-02", ""),
        good + "\n## [1.1.0] - 2026-01-03\n",
    ):
        assert list(changelog_faults(bad))
    assert len(list(decision_faults("# No number\n"))) == 3
    for line in ("--find-links /x", "-i https://x", "six @ file:///x"):
        assert ADDRESS.search(line)
