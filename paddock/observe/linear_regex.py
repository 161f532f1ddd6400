"""The regular expressions of CloudWatch filter patterns, matched in time linear in the message.

Filter patterns come from callers and messages from functions, so Python's backtracking `re` is no choice: `.*a.*b`
over one long line would hold the server for hours. CloudWatch's dialect has no groups, so an automaton does: a
pattern is alternatives of items, an item is a set of characters with a count, and all states that are possible at
once are stepped together, once per character. Steps are remembered as they occur (a DFA, built lazily), up to a bound.

Dialect (user guide, "Supported regular expressions"): letters, digits, `_ # = @ / ; , - : < > ' "` and space as they
are; `. [ ] [^ ] * + ? {n} {n,} {n,m} | ^ $`, escapes of any punctuation and \\d \\D \\s \\S \\w \\W. No parentheses.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COUNT_MAX = 100
"""The largest number inside `{}`."""

ITEMS_MAX = 4000
"""Items of a pattern once the counts are written out."""

_REMEMBERED_MAX = 2000
_BEYOND_ASCII = "\x80"
_PLAIN = frozenset(string.ascii_letters + string.digits + "_#=@/;,-:<>&~` '\"")
_CLASSES = {"d": string.digits, "s": string.whitespace, "w": string.ascii_letters + string.digits + "_"}


class InvalidRegex(ValueError):
    """The text is not of the dialect; the message says where."""


@dataclass(frozen=True, slots=True)
class _Chars:
    """A set of characters, or (negated) all but them."""

    chars: frozenset[str]
    negated: bool = False

    def __contains__(self, char: str) -> bool:
        return (char in self.chars) is not self.negated


@dataclass(frozen=True, slots=True)
class _Item:
    """chars once, perhaps repeated (`loops`), perhaps left out (`skips`)."""

    chars: _Chars
    loops: bool = False
    skips: bool = False


@dataclass(frozen=True, slots=True)
class _Alternative:
    items: tuple[_Item, ...]
    at_start: bool
    at_end: bool


class LinearRegex:
    """A compiled pattern. `search` looks for it anywhere in a text. Raises InvalidRegex.

    A set of states is the bits of one number. The states of an alternative lie side by side, one per item and one for
    having come through: taking an item is a shift. Leaving items out is an addition, whose carry runs up through a
    stretch of them: with skips 0b0111 and state 0b0001, the sum 0b1000 marks where the stretch ends.
    """

    def __init__(self, pattern: str) -> None:
        alternatives = tuple(_Parser(pattern).alternatives())
        self._items = [item for each in alternatives for item in (*each.items, None)]
        if len(self._items) > ITEMS_MAX:
            raise InvalidRegex("too long once its counts are written out")
        self._loops = self._mask(lambda item: item.loops)
        self._skips = self._mask(lambda item: item.skips)
        begin = anywhere = self._through = self._through_at_end = 0
        place = 0
        for each in alternatives:
            begin |= 1 << place
            anywhere |= 0 if each.at_start else 1 << place
            place += len(each.items)
            self._through_at_end |= 1 << place
            self._through |= 0 if each.at_end else 1 << place
            place += 1
        self._begin = self._closed(begin)
        self._anywhere = self._closed(anywhere)
        self._takes: dict[str, int] = {}
        self._steps: dict[tuple[int, str], int] = {}

    def search(self, text: str) -> bool:
        states, through, steps = self._begin, self._through, self._steps
        for char in text:
            if states & through:
                return True
            known = steps.get((states, char))
            states = self._step(states, char) if known is None else known
        return bool(states & self._through_at_end)

    def _step(self, states: int, char: str) -> int:
        taken = states & self._taking(char)
        after = self._closed((taken << 1) | (taken & self._loops)) | self._anywhere
        if len(self._steps) >= _REMEMBERED_MAX:
            self._steps.clear()
        self._steps[(states, char)] = after
        return after

    def _taking(self, char: str) -> int:
        """The states whose item the character fits. Patterns are ASCII, so all other characters are alike to them."""
        char = char if char.isascii() else _BEYOND_ASCII
        known = self._takes.get(char)
        if known is None:
            known = self._takes[char] = self._mask(lambda item: char in item.chars)
        return known

    def _closed(self, states: int) -> int:
        """With every state reached by leaving out what may be left out."""
        return states | (self._skips ^ (self._skips + (states & self._skips)))

    def _mask(self, wanted: Callable[[_Item], bool]) -> int:
        return sum(1 << place for place, item in enumerate(self._items) if item is not None and wanted(item))


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> Iterator[_Alternative]:
        yield self._alternative()
        while self._peek() == "|":
            self._at += 1
            yield self._alternative()

    def _alternative(self) -> _Alternative:
        at_start = self._taken("^")
        items: list[_Item] = []
        at_end = False
        while self._peek() not in ("", "|"):
            if self._taken("$"):
                if self._peek() not in ("", "|"):
                    raise InvalidRegex("`$` before the end")
                at_end = True
                break
            items.extend(self._counted(self._chars()))
        return _Alternative(tuple(items), at_start, at_end)

    def _chars(self) -> _Chars:
        char = self._next()
        if char == ".":
            return _Chars(frozenset("\n"), negated=True)
        if char == "[":
            return self._bracket()
        if char == "\\":
            return self._escape()
        if char in _PLAIN:
            return _Chars(frozenset(char))
        raise InvalidRegex(f"`{char}` is not supported here")

    def _escape(self) -> _Chars:
        char = self._next()
        if char.lower() in _CLASSES:
            return _Chars(frozenset(_CLASSES[char.lower()]), negated=char.isupper())
        if char.isascii() and not char.isalnum():
            return _Chars(frozenset(char))
        raise InvalidRegex(f"`\\{char}` is not supported")

    def _bracket(self) -> _Chars:
        negated = self._taken("^")
        chars: set[str] = set()
        while (char := self._next()) != "]":
            if not char.isascii():
                raise InvalidRegex("characters beyond ASCII are not supported")
            if char == "\\":
                escaped = self._escape()
                if escaped.negated:
                    raise InvalidRegex("a negated class inside `[]`")
                chars |= escaped.chars
                continue
            if self._peek() == "-" and self._peek(1) not in ("", "]"):
                self._at += 1
                last = self._next()
                if not char.isascii() or not last.isascii() or last < char:
                    raise InvalidRegex(f"the range `{char}-{last}`")
                chars |= {chr(code) for code in range(ord(char), ord(last) + 1)}
            else:
                chars.add(char)
        if not chars:
            raise InvalidRegex("an empty `[]`")
        return _Chars(frozenset(chars), negated)

    def _counted(self, chars: _Chars) -> list[_Item]:
        if self._taken("*"):
            return [_Item(chars, loops=True, skips=True)]
        if self._taken("+"):
            return [_Item(chars, loops=True)]
        if self._taken("?"):
            return [_Item(chars, skips=True)]
        if self._taken("{"):
            return self._braces(chars)
        return [_Item(chars)]

    def _braces(self, chars: _Chars) -> list[_Item]:
        least = self._number()
        most: int | None = least
        if self._taken(","):
            most = None if self._peek() == "}" else self._number()
        if not self._taken("}") or (most is not None and most < least):
            raise InvalidRegex("a count in `{}`")
        items = [_Item(chars)] * least
        if most is None:
            return [*items, _Item(chars, loops=True, skips=True)]
        return items + [_Item(chars, skips=True)] * (most - least)

    def _number(self) -> int:
        begin = self._at
        while self._peek() != "" and self._peek() in string.digits:
            self._at += 1
        digits = self._pattern[begin : self._at]
        if not digits or len(digits) > 3 or int(digits) > COUNT_MAX:
            raise InvalidRegex(f"a count in `{{}}` is a number up to {COUNT_MAX}")
        return int(digits)

    def _peek(self, ahead: int = 0) -> str:
        return self._pattern[self._at + ahead : self._at + ahead + 1]

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise InvalidRegex("it ends too early")
        self._at += 1
        return char

    def _taken(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self._at += 1
        return True


def wildcard(pattern: str) -> Callable[[str], bool]:
    """A whole-text test where `*` stands for any characters, in linear time."""
    first, *rest = pattern.split("*")
    if not rest:
        return lambda text: text == pattern
    *middle, last = rest

    def matches(text: str) -> bool:
        if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:
            found = text.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True

    return matches
