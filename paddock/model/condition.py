"""Conditions of a policy: does what a request carries satisfy them? (spec 06 section 16)

A context maps condition keys, in lower case, to the values that the request has for them; a key that it lacks is not
in it. Operators of one statement are joined by "and", the values of one by "or" (of a negated one by "nor"):

    {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b?"}}     aws:sourcearn = ("arn:aws:s3:::b1",)    holds
    {"StringNotEquals": {"aws:SourceAccount": "1"}}       no aws:sourceaccount                    holds
    {"StringEquals": {"aws:SourceAccount": "1"}}          no aws:sourceaccount                    does not

A value that does not have the operator's form (a number, a date, an address, an ARN) satisfies nothing positive.
Matching is linear in the length of a text for each star of a pattern: nobody can write a pattern that takes long.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from paddock.model.policy import Condition

Context = Mapping[str, tuple[str, ...]]
"""Condition key in lower case -> its values."""

Test = Callable[[str, str], bool]
"""(what the request has, what the policy says) -> whether they agree."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_ARN_PARTS = 6
_ANY, _ONE = "*", "?"


def holds(condition: Condition, context: Context, *, variables: bool = True) -> bool:
    """Whether one condition is satisfied. variables: `${...}` has a meaning (policy version 2012-10-17)."""
    present = context.get(condition.key.lower())
    if condition.operator == "Null":
        return all((value.lower() == "true") is (present is None) for value in condition.values)
    if condition.quantifier.lower() == "forallvalues":
        return all(_satisfies(value, condition, context, variables) for value in present or ())
    if condition.quantifier.lower() == "foranyvalue":
        return any(_satisfies(value, condition, context, variables) for value in present or ())
    if not present:
        return condition.if_exists or _negated(condition.operator)
    matched = [_satisfies(value, condition, context, variables) for value in present]
    return all(matched) if _negated(condition.operator) else any(matched)


def matches(pattern: str, text: str, context: Context | None = None, *, ignore_case: bool = False) -> bool:
    """Whether `text` is as `pattern` says, where `*` is any run and `?` one character.

    With a context, `${key}` in the pattern stands for the text that the request has for that key, literally.
    """
    tokens = _tokens(pattern, context)
    if ignore_case:
        return _glob([token.lower() for token in tokens], text.lower())
    return _glob(tokens, text)


def matches_arn(pattern: str, arn: str, context: Context | None = None) -> bool:
    """ArnLike: part by part between the first five colons, so that a star does not reach over them."""
    wanted, found = _arn_parts(pattern), _arn_parts(arn)
    if wanted is None or found is None:
        return False
    return all(matches(one, other, context) for one, other in zip(wanted, found, strict=True))


def _negated(operator: str) -> bool:
    return "Not" in operator


def _satisfies(value: str, condition: Condition, context: Context, variables: bool) -> bool:
    operator, known = condition.operator, context if variables else None
    agreed = any(_test(operator, known)(value, wanted) for wanted in condition.values)
    return not agreed if _negated(operator) else agreed


def _test(operator: str, context: Context | None) -> Test:
    """The positive form of an operator; what is negated is turned round by the caller."""
    positive = operator.replace("Not", "")
    if positive in ("ArnEquals", "ArnLike"):
        return lambda value, wanted: matches_arn(wanted, value, context)
    if positive == "StringLike":
        return lambda value, wanted: matches(wanted, value, context)
    if positive in ("StringEquals", "StringEqualsIgnoreCase"):
        same_case = positive == "StringEquals"
        return lambda value, wanted: _equal(value, _filled(wanted, context), same_case)
    if positive in ("Bool", "BinaryEquals"):
        return lambda value, wanted: _equal(value, wanted, positive == "BinaryEquals")
    if positive == "IpAddress":
        return _in_network
    family = "Numeric" if positive.startswith("Numeric") else "Date"
    read = _number if family == "Numeric" else _moment
    compare = _COMPARISONS[positive.removeprefix(family)]
    return lambda value, wanted: _compared(read(value), read(wanted), compare)


_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "Equals": lambda a, b: a == b,
    "LessThan": lambda a, b: a < b,
    "LessThanEquals": lambda a, b: a <= b,
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanEquals": lambda a, b: a >= b,
}


def _equal(value: str, wanted: str, same_case: bool) -> bool:
    return value == wanted if same_case else value.lower() == wanted.lower()


def _compared(value: float | None, wanted: float | None, compare: Callable[[float, float], bool]) -> bool:
    return value is not None and wanted is not None and compare(value, wanted)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _moment(text: str) -> float | None:
    """Seconds since 1970, of such a number or of an ISO 8601 date."""
    number = _number(text)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _in_network(value: str, wanted: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _arn_parts(arn: str) -> Sequence[str] | None:
    parts = arn.split(":", _ARN_PARTS - 1)
    if arn == _ANY:
        return [_ANY] * _ARN_PARTS
    return parts if len(parts) == _ARN_PARTS and parts[0] == "arn" else None


def _filled(text: str, context: Context | None) -> str:
    """The text with its variables replaced; one that the request does not have exactly once leaves it as it is."""
    return text if context is None else _VARIABLE.sub(lambda found: _value_of(found, context), text)


def _value_of(found: re.Match[str], context: Context) -> str:
    name, _, default = found[1].partition(",")
    if name in (_ANY, _ONE, "$"):
        return name
    values = context.get(name.strip().lower(), ())
    if len(values) == 1:
        return values[0]
    default = default.strip()
    return default[1:-1] if len(default) > 1 and default[0] == default[-1] == "'" else found[0]


class _Wild(str):
    """A `*` or `?` that matches more than itself; literal characters are plain strings."""

    __slots__ = ()

    def lower(self) -> _Wild:
        return self


def _tokens(pattern: str, context: Context | None) -> list[str]:
    """Characters of the pattern: wild ones are _Wild, everything that a variable stands for is literal."""
    tokens: list[str] = []
    position = 0
    for found in _VARIABLE.finditer(pattern) if context is not None else ():
        tokens += _wild(pattern[position : found.start()])
        tokens += list(_value_of(found, context or {}))
        position = found.end()
    return tokens + _wild(pattern[position:])


def _wild(text: str) -> list[str]:
    return [_Wild(char) if char in (_ANY, _ONE) else char for char in text]


def _glob(tokens: Sequence[str], text: str) -> bool:
    """The usual two positions: on a mismatch the last star takes one character more."""
    at, token, star, taken = 0, 0, -1, 0
    while at < len(text):
        one = tokens[token] if token < len(tokens) else None
        if isinstance(one, _Wild) and one == _ANY:
            star, taken = token, at
            token += 1
        elif one is not None and (isinstance(one, _Wild) or one == text[at]):
            at, token = at + 1, token + 1
        elif star >= 0:
            taken += 1
            at, token = taken, star + 1
        else:
            return False
    return all(isinstance(one, _Wild) and one == _ANY for one in tokens[token:])
