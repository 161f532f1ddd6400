"""Schedule expressions in AWS's dialect, and the moments that they name.

    rate(5 minutes)                   every so long, counted from an anchor
    cron(0 9 ? * MON-FRI *)           minute hour day-of-month month day-of-week year
    at(2026-11-25T09:00:00)           once

Cron's own signs: `?` in exactly one of the two day fields, weekdays 1-7 from Sunday, `L` the last day of the month (or
`5L` its last Thursday), `15W` the weekday nearest to the 15th, `3#2` the second Tuesday; names, lists, steps, and
ranges, also over the end (20-2 in hours is 20 to 23 and 0 to 2).

Cron, at() and rates in days are read on the clock on the wall of a time zone. A time that the clocks skip in spring
is left out; of a time that comes twice in autumn the first is meant; a day may be 23 or 25 hours long. What is no
expression raises InvalidSchedule.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

RATE_VALUE_MAX = 2**31 - 1
YEARS = (1970, 2199)

_RATE = re.compile(r"rate\(\s*([0-9]{1,10}) +(minute|hour|day)(s?)\s*\)", re.ASCII)
_CRON = re.compile(r"cron\(([^()]{1,256})\)")
_AT = re.compile(r"at\(([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})\)", re.ASCII)
_UNIT_S: Mapping[str, int] = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS: Mapping[str, int] = {
    name: n for n, name in enumerate("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), 1)
}
_WEEKDAYS: Mapping[str, int] = {name: n for n, name in enumerate("SUN MON TUE WED THU FRI SAT".split(), 1)}
_NUMBER = re.compile(r"[0-9]{1,4}", re.ASCII)


class InvalidSchedule(ValueError):
    """Not a schedule expression; the text says why, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Every `seconds`; of days, as many days on the wall's clock."""

    seconds: int
    days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """Once, on the wall's clock (naive)."""

    wall: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Days of a month, together: by number, the last one, weekdays nearest to a number; weekdays 1-7 (Sunday first),
    last weekdays, the nth of a weekday."""

    numbers: frozenset[int] = frozenset()
    last: bool = False
    nearest: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    last_weekdays: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()

    def of(self, year: int, month: int) -> Sequence[int]:
        """The days of that month, ascending."""
        length = calendar.monthrange(year, month)[1]
        first = date(year, month, 1).isoweekday() % 7
        found = {day for day in self.numbers if day <= length}
        if self.last:
            found.add(length)
        for day in range(1, length + 1):
            weekday = (first + day - 1) % 7 + 1
            if (
                weekday in self.weekdays
                or (weekday in self.last_weekdays and day + 7 > length)
                or (weekday, (day + 6) // 7) in self.nth
            ):
                found.add(day)
        found |= {_nearest(day, (first + day - 1) % 7 + 1, length) for day in self.nearest if day <= length}
        return sorted(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """Ascending values of each field."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: Days
    months: tuple[int, ...]
    years: tuple[int, ...]

    def walls(self, start: datetime) -> Iterator[datetime]:
        """The wall-clock minutes that fit, from `start` (naive, a whole minute) on, ascending."""
        for year in self.years[bisect_left(self.years, start.year) :]:
            for month in self.months:
                if (year, month) < (start.year, start.month):
                    continue
                for day in self.days.of(year, month):
                    if (year, month, day) >= (start.year, start.month, start.day):
                        yield from self._of_day(year, month, day, start)

    def _of_day(self, year: int, month: int, day: int, start: datetime) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                wall = datetime(year, month, day, hour, minute)
                if wall >= start:
                    yield wall


Expression = Rate | Cron | At


def parse(text: str, *, once: bool = False, strict: bool = False) -> Expression:
    """once: at() is allowed. strict: "1 minute" but "2 minutes", as EventBridge rules insist.

    Raises InvalidSchedule.
    """
    rate = _RATE.fullmatch(text)
    if rate:
        value, unit, plural = int(rate[1]), rate[2], bool(rate[3])
        if not 1 <= value <= RATE_VALUE_MAX // _UNIT_S[unit]:
            raise InvalidSchedule("the value of a rate must be positive, and not beyond all bounds")
        if strict and plural is (value == 1):
            raise InvalidSchedule("a rate of 1 has its unit in the singular, any other in the plural")
        return Rate(seconds=value * _UNIT_S[unit], days=value if unit == "day" else 0)
    cron = _CRON.fullmatch(text)
    if cron:
        return _parse_cron(cron[1])
    at = _AT.fullmatch(text) if once else None
    if at:
        try:
            return At(wall=datetime.fromisoformat(at[1]))
        except ValueError:
            raise InvalidSchedule("no such date or time") from None
    raise InvalidSchedule("neither rate(...) nor cron(...)" + (" nor at(...)" if once else ""))


def next_tick(expression: Expression, after: datetime, *, anchor: datetime, zone: tzinfo = UTC) -> datetime | None:
    """The first moment later than `after`, in UTC, or None when there is none any more.

    anchor: aware; a rate's ticks are the anchor and whole periods after it.
    """
    match expression:
        case Rate():
            return _next_of_rate(expression, after, anchor, zone)
        case At():
            moment = _moment(expression.wall, zone, skipped=True)
            return moment if moment is not None and moment > after else None
        case Cron():
            wall = after.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0, fold=0)
            for each in expression.walls(wall):
                moment = _moment(each, zone, skipped=False)
                if moment is not None and moment > after:
                    return moment
            return None


def _next_of_rate(rate: Rate, after: datetime, anchor: datetime, zone: tzinfo) -> datetime:
    if after < anchor:
        return anchor.astimezone(UTC)
    if not rate.days:
        period = timedelta(seconds=rate.seconds)
        return (anchor + period * ((after - anchor) // period + 1)).astimezone(UTC)
    wall = anchor.astimezone(zone).replace(tzinfo=None)
    periods = max(0, (after.astimezone(zone).replace(tzinfo=None) - wall).days // rate.days - 1)
    while True:
        moment = _moment(wall + timedelta(days=rate.days * periods), zone, skipped=True)
        if moment is not None and moment > after:
            return moment
        periods += 1


def _moment(wall: datetime, zone: tzinfo, *, skipped: bool) -> datetime | None:
    """The UTC moment of a wall time; the first of two. One that the clocks skip is None, or `skipped`: as if not."""
    try:
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:  # a day from either end of the calendar
        return None
    if not skipped and moment.astimezone(zone).replace(tzinfo=None, fold=0) != wall:
        return None
    return moment


def _nearest(day: int, weekday: int, length: int) -> int:
    """The working day nearest to a day, within its month."""
    if weekday == 7:
        return day - 1 if day > 1 else day + 2
    if weekday == 1:
        return day + 1 if day < length else day - 2
    return day


# --- cron ----------------------------------------------------------------------------------------------------------


def _parse_cron(text: str) -> Cron:
    fields = text.upper().split()
    if len(fields) != 6:
        raise InvalidSchedule("cron has six fields: minute hour day-of-month month day-of-week year")
    minute, hour, day, month, weekday, year = fields
    if (day == "?") is (weekday == "?"):
        raise InvalidSchedule("exactly one of day-of-month and day-of-week must be ?")
    return Cron(
        minutes=tuple(sorted(_values(minute, 0, 59))),
        hours=tuple(sorted(_values(hour, 0, 23))),
        days=_month_days(day) if weekday == "?" else _week_days(weekday),
        months=tuple(sorted(_values(month, 1, 12, _MONTHS))),
        years=tuple(sorted(_values(year, *YEARS))),
    )


def _month_days(text: str) -> Days:
    numbers: set[int] = set()
    nearest: set[int] = set()
    last = False
    for part in text.split(","):
        if part == "L":
            last = True
        elif part.endswith("W"):
            nearest.add(_value(part[:-1], 1, 31, {}))
        else:
            numbers |= _values(part, 1, 31)
    return Days(numbers=frozenset(numbers), last=last, nearest=frozenset(nearest))


def _week_days(text: str) -> Days:
    weekdays: set[int] = set()
    last: set[int] = set()
    nth: set[tuple[int, int]] = set()
    parts = text.split(",")
    for part in parts:
        if "#" in part:
            if len(parts) > 1:
                raise InvalidSchedule("# stands alone in day-of-week")
            weekday, _, count = part.partition("#")
            nth.add((_value(weekday, 1, 7, _WEEKDAYS), _value(count, 1, 5, {})))
        elif part == "L":
            weekdays.add(7)
        elif part.endswith("L"):
            last.add(_value(part[:-1], 1, 7, _WEEKDAYS))
        else:
            weekdays |= _values(part, 1, 7, _WEEKDAYS)
    return Days(weekdays=frozenset(weekdays), last_weekdays=frozenset(last), nth=frozenset(nth))


def _values(text: str, low: int, high: int, names: Mapping[str, int] | None = None) -> set[int]:
    """What a list of values, ranges and steps stands for. A range may go over the end (20-2, FRI-MON), but of years."""
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _value(step_text, 1, high, {}) if slash else 1
        first, dash, final = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _value(first, low, high, names or {})
            end = _value(final, low, high, names or {}) if dash else high if slash else start
        if end < start and low == YEARS[0]:
            raise InvalidSchedule(f"the range {span} is upside down")
        size = high - low + 1
        beyond = end if end >= start else end + size
        found |= {(value - low) % size + low for value in range(start, beyond + 1, step)}
    return found


def _value(text: str, low: int, high: int, names: Mapping[str, int]) -> int:
    value = names.get(text)
    if value is None and _NUMBER.fullmatch(text):
        value = int(text)
    if value is None or not low <= value <= high:
        raise InvalidSchedule(f"{text!r} is not between {low} and {high}")
    return value
