"""Versions and aliases against a model simple enough to be believed: any order of calls, with restarts in between."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from paddock.control.aliases import AliasChange
from paddock.control.changes import Change
from paddock.model.errors import ServiceError
from paddock.model.quotas import Quotas
from tests.unit.control.world import ACCOUNT, REGION, World, package, ref

NAMES = st.sampled_from(["a", "b"])

Content = tuple[str, int]
"""(the code, the timeout): all that ever differs."""


@dataclass
class Model:
    """What a function is, for one who does not care how."""

    exists: bool = False
    latest: Content = ("", 0)
    versions: dict[int, Content] = field(default_factory=dict)
    aliases: dict[str, tuple[str, dict[str, float]]] = field(default_factory=dict)
    highest: int = 0

    def publish(self) -> int:
        if self.versions and self.versions[max(self.versions)] == self.latest:
            return max(self.versions)
        self.highest += 1
        self.versions[self.highest] = self.latest
        return self.highest

    def has(self, number: str) -> bool:
        return number == "$LATEST" or int(number) in self.versions

    def takes(self, version: str, weights: dict[str, float]) -> bool:
        """Whether an alias may look like that."""
        extra_ok = all(version != "$LATEST" and number != version and self.has(number) for number in weights)
        return self.has(version) and extra_ok

    def content(self, number: str) -> Content:
        return self.latest if number == "$LATEST" else self.versions[int(number)]


class Versions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.world = World(Path(self.directory.name), Quotas())
        self.loop.run_until_complete(self.world.open())

    def teardown(self) -> None:
        self.loop.run_until_complete(self.world.close())
        self.loop.close()
        self.directory.cleanup()

    def done(self, work: Awaitable[Any]) -> Any:
        """The result, or None where it was refused."""

        async def tried() -> Any:
            try:
                return await work
            except ServiceError:
                return None

        return self.loop.run_until_complete(tried())

    def numbers(self) -> st.SearchStrategy[str]:
        """Mostly versions that are there."""
        return st.sampled_from([*map(str, self.model.versions), "$LATEST", "99"])

    def weights(self) -> st.SearchStrategy[dict[str, float] | None]:
        shares = st.sampled_from([0.0, 0.5, 1.0])
        return st.none() | st.dictionaries(self.numbers(), shares, max_size=1)

    @initialize()
    def begin(self) -> None:
        self.create(publish=False)

    @precondition(lambda self: not self.model.exists)
    @rule(publish=st.booleans())
    def create(self, publish: bool) -> None:
        new = self.world.new(timeout_s=1)
        self.done(self.world.catalogue.create_function(new, package("x"), publish=publish))
        self.done(self.world.settled())
        self.model = Model(exists=True, latest=("x", 1), highest=self.model.highest)
        if publish:
            self.model.publish()

    @precondition(lambda self: self.model.exists)
    @rule(timeout_s=st.integers(1, 3))
    def configure(self, timeout_s: int) -> None:
        assert self.done(self.world.catalogue.update_configuration(ref(), Change(timeout_s=timeout_s)))
        self.done(self.world.settled())
        self.model.latest = (self.model.latest[0], timeout_s)

    @precondition(lambda self: self.model.exists)
    @rule(code=st.sampled_from(["x", "y"]), publish=st.booleans())
    def upload(self, code: str, publish: bool) -> None:
        updated = self.done(self.world.catalogue.update_code(ref(), package(code), publish=publish))
        self.done(self.world.settled())
        self.model.latest = (code, self.model.latest[1])
        if publish:
            assert updated.newest.version == str(self.model.publish())

    @precondition(lambda self: self.model.exists)
    @rule()
    def publish_another(self) -> None:
        self.configure(self.model.latest[1] % 3 + 1)
        self.publish()

    @precondition(lambda self: self.model.exists)
    @rule()
    def publish(self) -> None:
        version = self.done(self.world.catalogue.publish_version(ref()))
        assert version.version == str(self.model.publish())

    @precondition(lambda self: self.model.exists)
    @rule(data=st.data())
    def delete_version(self, data: st.DataObject) -> None:
        number = data.draw(self.numbers())
        self.done(self.world.catalogue.delete_function(ref(qualifier=number)))
        needed = any(number in (version, *weights) for version, weights in self.model.aliases.values())
        if number != "$LATEST" and not needed:
            self.model.versions.pop(int(number), None)

    @precondition(lambda self: self.model.exists)
    @rule(name=NAMES, data=st.data())
    def create_alias(self, name: str, data: st.DataObject) -> None:
        version, weights = data.draw(self.numbers()), data.draw(self.weights())
        change = AliasChange(version=version, weights=weights)
        made = self.done(self.world.catalogue.create_alias(ref(), name, change))
        allowed = name not in self.model.aliases and self.model.takes(version, weights or {})
        assert (made is not None) == allowed
        if allowed:
            self.model.aliases[name] = (version, weights or {})

    @precondition(lambda self: len(self.model.versions) > 1)
    @rule(name=NAMES)
    def share_between_two_versions(self, name: str) -> None:
        newest, other = sorted(self.model.versions, reverse=True)[:2]
        self.delete_alias(name)
        change = AliasChange(version=str(newest), weights={str(other): 0.5})
        assert self.done(self.world.catalogue.create_alias(ref(), name, change))
        self.model.aliases[name] = (str(newest), {str(other): 0.5})

    @precondition(lambda self: self.model.aliases)
    @rule(name=NAMES, data=st.data())
    def update_alias(self, name: str, data: st.DataObject) -> None:
        version, weights = data.draw(st.none() | self.numbers()), data.draw(self.weights())
        change = AliasChange(version=version, weights=weights)
        changed = self.done(self.world.catalogue.update_alias(ref(), name, change))
        before = self.model.aliases.get(name, ("", {}))
        after = (before[0] if version is None else version, before[1] if weights is None else weights)
        allowed = name in self.model.aliases and self.model.takes(*after)
        assert (changed is not None) == allowed
        if allowed:
            self.model.aliases[name] = after

    @precondition(lambda self: self.model.exists)
    @rule(name=NAMES)
    def delete_alias(self, name: str) -> None:
        self.done(self.world.catalogue.delete_alias(ref(), name))
        self.model.aliases.pop(name, None)

    @precondition(lambda self: self.model.exists)
    @rule()
    def delete(self) -> None:
        self.done(self.world.catalogue.delete_function(ref()))
        self.model = Model(highest=self.model.highest)

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self.world.restart())

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        catalogue, model = self.world.catalogue, self.model
        used = catalogue.usage(ACCOUNT, REGION)
        if not model.exists:
            assert (used.functions, used.code_bytes) == (0, 0)
            return
        function = catalogue.get(ref())
        assert list(function.versions) == [str(number) for number in sorted(model.versions)]
        assert {n: (a.version, dict(a.weights)) for n, a in function.aliases.items()} == model.aliases
        assert used.code_bytes == (1 + len(model.versions)) * len(package("x"))
        for number in ("$LATEST", *function.versions):
            runs = catalogue.resolve(ref(qualifier=number))
            assert (runs.version, self.content(runs)) == (number, model.content(number))
        for name, (version, weights) in model.aliases.items():
            runs = catalogue.resolve(ref(qualifier=name))
            assert runs.version in (version, *weights)
            assert catalogue.version(ref(qualifier=name)).version == version
        digests = self.loop.run_until_complete(self.world.blobs.digests())
        assert set(digests) == {version.code.digest for version in (function.latest, *function.versions.values())}

    def content(self, version: Any) -> Content:
        codes = {self.digest(code): code for code in ("x", "y")}
        return codes[version.code.digest], version.timeout_s

    def digest(self, code: str) -> str:
        return hashlib.sha256(package(code)).hexdigest()


TestVersions = Versions.TestCase
TestVersions.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
