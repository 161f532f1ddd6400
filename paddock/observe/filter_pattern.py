"""CloudWatch Logs filter patterns: which messages a text such as `{ $.status = 5* }` selects.

    (empty)                        every message
    ERROR "two words" -debug       all terms, and not the excluded one; case matters
    ?ERROR ?WARN                   any of them (ignored beside terms that must or must not be there, as AWS does)
    %status=[45]\\d\\d%              a regular expression anywhere in the message (see linear_regex)
    { $.a.b[0] = "x*" && ($.n > 3 || $.e IS NULL) }      JSON messages
    [ip, user, ..., status = 4* || status = 5*, bytes > 1000]   messages of space-delimited fields

`compile_pattern` parses once and returns a test on messages. What cannot be parsed raises InvalidPattern, whose text
is what the API says. A JSON comparison with a property that is absent is false, whatever the operator; NOT EXISTS
asks for absence.

Caveat: a term matches wherever its characters stand, inside a longer word too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from paddock.observe.linear_regex import InvalidRegex, LinearRegex, wildcard

PATTERN_CHARS_MAX = 1024
NESTING_MAX = 50
REGEXES_MAX = 2
"""Regular expressions in one JSON or space-delimited pattern."""

Test = Callable[[str], bool]
_Value = object
_Condition = Callable[[_Value], bool]


class InvalidPattern(ValueError):
    """Not a filter pattern. The text is meant for the caller."""


def compile_pattern(pattern: str) -> Test:
    """The test that the pattern stands for. Raises InvalidPattern."""
    if len(pattern) > PATTERN_CHARS_MAX:
        raise InvalidPattern("Invalid filter pattern: it is too long")
    stripped = pattern.strip()
    try:
        if stripped.startswith("{"):
            return _json_test(stripped)
        if stripped.startswith("["):
            return _fields_test(stripped)
        return _terms_test(stripped)
    except InvalidRegex as error:
        raise InvalidPattern(f"Invalid regular expression in filter pattern: {error}") from error


# --- terms ---------------------------------------------------------------------------------------------------------

_TERM = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]+)%|([^\s"%]+))')


def _terms_test(pattern: str) -> Test:
    required: list[Test] = []
    optional: list[Test] = []
    excluded: list[Test] = []
    at = 0
    while at < len(pattern):
        found = _TERM.match(pattern, at)
        if not found:
            raise InvalidPattern(f"Invalid filter pattern: unexpected character(s) at {pattern[at : at + 20]!r}")
        at = found.end()
        if at < len(pattern) and not pattern[at].isspace():
            raise InvalidPattern(f"Invalid filter pattern: no space after {found[0].strip()!r}")
        sign, quoted, regex, bare = found.groups()
        kind = {"-": excluded, "?": optional}.get(sign, required)
        kind.append(_term(quoted, regex, bare))
    if optional and not required and not excluded:
        return lambda message: any(test(message) for test in optional)
    return lambda message: all(test(message) for test in required) and not any(test(message) for test in excluded)


def _term(quoted: str | None, regex: str | None, bare: str | None) -> Test:
    if regex is not None:
        return LinearRegex(regex).search
    if bare is not None:
        if not all(char.isalnum() or char == "_" for char in bare):
            raise InvalidPattern(f"Invalid character(s) in term '{bare}'")
        return _contains(bare)
    return _contains(_unquoted(quoted or ""))


def _contains(term: str) -> Test:
    return lambda message: term in message


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


# --- conditions: the grammar that JSON and space-delimited patterns share ------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<selector>\$(?:\.[\w*@-]+|\.?\[\s*(?:\d+|\*|'[^']*'|"[^"]*")\s*\])*)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<regex>%[^%]+%)
      | (?P<symbol>\.\.\.|&&|\|\||!=|<=|>=|[=<>(){}\[\],])
      | (?P<word>[^\s"%=<>(){}\[\],&|!]+)
    )""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\Z")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


_END = _Token("end", "")


class _Tokens:
    """The tokens of a pattern, one ahead; and how many regular expressions were met."""

    def __init__(self, pattern: str) -> None:
        self._tokens = list(_tokens(pattern))
        self._at = 0
        self.regexes = 0

    def peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def after_next(self) -> _Token:
        return self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else _END

    def next(self) -> _Token:
        token = self.peek()
        self._at += 1
        return token

    def taken(self, text: str) -> bool:
        """Whether the next token is this symbol or (in any case) this word; then it is consumed."""
        token = self.peek()
        if token.kind not in ("symbol", "word") or token.text.upper() != text:
            return False
        self._at += 1
        return True

    def expect(self, text: str) -> None:
        if not self.taken(text):
            raise InvalidPattern(f"Invalid filter pattern: expected {text!r} before {self.peek().text!r}")


def _tokens(pattern: str) -> Iterator[_Token]:
    at = 0
    end = len(pattern.rstrip())
    while at < end:
        found = _TOKEN.match(pattern, at)
        if not found or found.lastgroup is None:
            raise InvalidPattern(f"Invalid filter pattern: unexpected character(s) at {pattern[at : at + 20]!r}")
        yield _Token(found.lastgroup, found[found.lastgroup])
        at = found.end()


def _either(tokens: _Tokens, operand: Callable[[], _Condition]) -> _Condition:
    """operand (`&&` operand)* (`||` ...)*: `&&` binds tighter."""
    choices = [_both(tokens, operand)]
    while tokens.taken("||"):
        choices.append(_both(tokens, operand))
    return choices[0] if len(choices) == 1 else lambda value: any(choice(value) for choice in choices)


def _both(tokens: _Tokens, operand: Callable[[], _Condition]) -> _Condition:
    parts = [operand()]
    while tokens.taken("&&"):
        parts.append(operand())
    return parts[0] if len(parts) == 1 else lambda value: all(part(value) for part in parts)


def _comparison(tokens: _Tokens) -> _Condition:
    """An operator and its right side, as a condition on one JSON value or field."""
    operator = tokens.next()
    if operator.text not in _COMPARISONS or operator.kind != "symbol":
        raise InvalidPattern(f"Invalid filter pattern: {operator.text!r} is not an operator")
    right = tokens.next()
    if right.kind == "word" and _NUMBER.match(right.text):
        return _number_condition(operator.text, float(right.text))
    if operator.text not in ("=", "!="):
        raise InvalidPattern(f"Invalid filter pattern: {operator.text!r} needs a number, not {right.text!r}")
    same = _text_test(tokens, right)
    if operator.text == "=":
        return lambda value: isinstance(value, str) and same(value)
    return lambda value: isinstance(value, str) and not same(value)


def _text_test(tokens: _Tokens, right: _Token) -> Test:
    if right.kind == "quoted":
        return wildcard(_unquoted(right.text[1:-1]))
    if right.kind == "word":
        return wildcard(right.text)
    if right.kind == "regex":
        tokens.regexes += 1
        if tokens.regexes > REGEXES_MAX:
            raise InvalidPattern(f"Invalid filter pattern: more than {REGEXES_MAX} regular expressions")
        return LinearRegex(right.text[1:-1]).search
    raise InvalidPattern(f"Invalid filter pattern: {right.text!r} is not a value")


def _number_condition(operator: str, right: float) -> _Condition:
    compare = _COMPARISONS[operator]

    def condition(value: _Value) -> bool:
        if isinstance(value, str) and _NUMBER.match(value) and len(value) < 400:
            value = float(value)  # a space-delimited field; JSON strings never come here, see _json_comparison
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return compare(value, right)

    return condition


# --- JSON ----------------------------------------------------------------------------------------------------------

_STEP = re.compile(r"""\.?\[\s*(?:(\d+|\*)|'([^']*)'|"([^"]*)")\s*\]|\.([\w*@-]+)""")
_Step = str | int
_ANY = "*"


def _json_test(pattern: str) -> Test:
    tokens = _Tokens(pattern)
    tokens.expect("{")
    condition = _json_expression(tokens, 0)
    tokens.expect("}")
    if tokens.peek() is not _END:
        raise InvalidPattern(f"Invalid filter pattern: {tokens.peek().text!r} after the closing brace")

    def test(message: str) -> bool:
        if not message.lstrip().startswith(("{", "[")):
            return False
        try:
            document = json.loads(message)
        except (ValueError, RecursionError):
            return False
        return condition(document)

    return test


def _json_expression(tokens: _Tokens, depth: int) -> _Condition:
    if depth > NESTING_MAX:
        raise InvalidPattern("Invalid filter pattern: too many parentheses")

    def operand() -> _Condition:
        if tokens.taken("("):
            inner = _json_expression(tokens, depth + 1)
            tokens.expect(")")
            return inner
        return _json_comparison(tokens)

    return _either(tokens, operand)


def _json_comparison(tokens: _Tokens) -> _Condition:
    selector = tokens.next()
    if selector.kind != "selector":
        raise InvalidPattern(f"Invalid filter pattern: {selector.text!r} is not a property selector ($.name)")
    steps = _steps(selector.text)
    if tokens.taken("IS"):
        wanted = _constant(tokens)
        return lambda document: any(value is wanted for value in _select(document, steps))
    if tokens.taken("NOT"):
        tokens.expect("EXISTS")
        return lambda document: next(_select(document, steps), _ABSENT) is _ABSENT
    if tokens.taken("EXISTS"):
        return lambda document: next(_select(document, steps), _ABSENT) is not _ABSENT
    numeric = _is_number_next(tokens)
    compare = _comparison(tokens)

    def condition(document: _Value) -> bool:
        values = _select(document, steps)
        # 404 and "404" are two things in JSON: a bare number is compared with numbers only.
        return any(compare(value) for value in values if not (numeric and isinstance(value, str)))

    return condition


_ABSENT = object()


def _is_number_next(tokens: _Tokens) -> bool:
    """Whether the value after the operator ahead is a bare number."""
    ahead = tokens.after_next()
    return ahead.kind == "word" and _NUMBER.match(ahead.text) is not None


def _constant(tokens: _Tokens) -> bool | None:
    for word, value in (("NULL", None), ("TRUE", True), ("FALSE", False)):
        if tokens.taken(word):
            return value
    raise InvalidPattern("Invalid filter pattern: IS is followed by NULL, TRUE or FALSE")


def _steps(selector: str) -> Sequence[_Step]:
    steps: list[_Step] = []
    for found in _STEP.finditer(selector, 1):
        index, single, double, name = found.groups()
        if index is not None:
            steps.append(_ANY if index == "*" else int(index))
        else:
            steps.append(next(part for part in (name, single, double) if part is not None))
    return steps


def _select(value: _Value, steps: Sequence[_Step]) -> Iterator[_Value]:
    """The values at a path; several when a `*` stands in it, none when it leads nowhere."""
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        if isinstance(value, list) and step < len(value):
            yield from _select(value[step], rest)
    elif isinstance(value, dict):
        if step in value:
            yield from _select(value[step], rest)
        elif step == _ANY:
            for each in value.values():
                yield from _select(each, rest)
    elif step == _ANY and isinstance(value, list):
        for each in value:
            yield from _select(each, rest)


# --- space-delimited fields ----------------------------------------------------------------------------------------

# A field is a quoted text, a bracketed one (as in access logs), or anything up to the next space.
_FIELD = re.compile(r'"([^"]*)"(?=\s|\Z)|\[([^\]]*)\](?=\s|\Z)|(\S+)')


def _fields_test(pattern: str) -> Test:
    tokens = _Tokens(pattern)
    tokens.expect("[")
    before: list[_Condition] = []
    after: list[_Condition] | None = None
    while True:
        if tokens.taken("..."):
            if after is not None:
                raise InvalidPattern("Invalid filter pattern: more than one ellipsis")
            after = []
        else:
            (before if after is None else after).append(_field(tokens))
        if tokens.taken("]"):
            break
        tokens.expect(",")
    if tokens.peek() is not _END:
        raise InvalidPattern(f"Invalid filter pattern: {tokens.peek().text!r} after the closing bracket")
    first, last = before, after

    def test(message: str) -> bool:
        fields = [_field_text(found) for found in _FIELD.finditer(message)]
        if last is None:
            return len(fields) == len(first) and _all_match(first, fields)
        if len(fields) < len(first) + len(last):
            return False
        return _all_match(first, fields) and _all_match(last, fields[len(fields) - len(last) :])

    return test


def _field(tokens: _Tokens) -> _Condition:
    """`name`, or `name op value` joined by `&&` and `||` (the name is repeated each time)."""
    name = tokens.next()
    if name.kind != "word":
        raise InvalidPattern(f"Invalid filter pattern: {name.text!r} is not a field name")
    if tokens.peek().kind == "symbol" and tokens.peek().text in (",", "]"):
        return lambda value: True
    first = _comparison(tokens)
    pending = [first]

    def operand() -> _Condition:
        if pending:
            return pending.pop()
        if tokens.next() != name:
            raise InvalidPattern(f"Invalid filter pattern: a condition of field {name.text!r} names another field")
        return _comparison(tokens)

    return _either(tokens, operand)


def _field_text(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group is not None)


def _all_match(conditions: Sequence[_Condition], fields: Sequence[str]) -> bool:
    return all(condition(field) for condition, field in zip(conditions, fields, strict=False))
