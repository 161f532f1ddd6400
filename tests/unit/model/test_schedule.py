"""Schedule expressions against written tables of the documented examples, clocks that change, and anything at all."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.model.schedule import Cron, InvalidSchedule, Rate, next_tick, parse

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday
BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")


def ticks(text: str, count: int, *, after: datetime = START, zone: ZoneInfo | None = None) -> list[str]:
    """The next moments in UTC, as text to the minute."""
    expression = parse(text, once=True)
    found: list[str] = []
    moment: datetime | None = after
    while len(found) < count and moment is not None:
        moment = next_tick(expression, moment, anchor=after, zone=zone or UTC)
        found.append("never" if moment is None else moment.strftime("%Y-%m-%d %H:%M"))
    return found


# The user guides' own examples, and what they say in words.
CRON = [
    ("0 10 * * ? *", ["2026-11-26 10:00", "2026-11-27 10:00"]),  # 10:00 am every day
    ("15 12 * * ? *", ["2026-11-25 12:15", "2026-11-26 12:15"]),  # 12:15 pm every day
    ("0 18 ? * MON-FRI *", ["2026-11-25 18:00", "2026-11-26 18:00", "2026-11-27 18:00", "2026-11-30 18:00"]),
    ("0 8 1 * ? *", ["2026-12-01 08:00", "2027-01-01 08:00"]),  # the first day of the month
    ("0/15 * * * ? *", ["2026-11-25 12:15", "2026-11-25 12:30", "2026-11-25 12:45", "2026-11-25 13:00"]),
    ("0/10 * ? * MON-FRI *", ["2026-11-25 12:10", "2026-11-25 12:20"]),
    ("0/5 8-17 ? * MON-FRI *", ["2026-11-25 12:05", "2026-11-25 12:10"]),
    ("0 9 ? * 2#1 *", ["2026-12-07 09:00", "2027-01-04 09:00"]),  # the first Monday of each month
    ("0/30 20-2 ? * MON-FRI *", ["2026-11-25 20:00", "2026-11-25 20:30", "2026-11-25 21:00"]),
    ("0 20-2 ? * MON-TUE 2027", ["2027-01-04 00:00", "2027-01-04 01:00", "2027-01-04 02:00", "2027-01-04 20:00"]),
    ("0/30 20-23 ? * MON-FRI *", ["2026-11-25 20:00", "2026-11-25 20:30"]),
    ("0/30 0-2 ? * TUE-SAT *", ["2026-11-26 00:00", "2026-11-26 00:30"]),
    ("15 10 ? * 6L 2026-2027", ["2026-11-27 10:15", "2026-12-25 10:15", "2027-01-29 10:15"]),  # the last Friday
    ("15 10 L * ? *", ["2026-11-30 10:15", "2026-12-31 10:15", "2027-01-31 10:15", "2027-02-28 10:15"]),
    ("0 0 15W * ? *", ["2026-12-15 00:00", "2027-01-15 00:00", "2027-02-15 00:00"]),
    ("0 0 3W 1,5,10 ? 2027", ["2027-01-04 00:00", "2027-05-03 00:00", "2027-10-04 00:00", "never"]),
    ("0 0 1W 8 ? 2027", ["2027-08-02 00:00", "never"]),  # the 1st is a Sunday
    ("0 0 31W 1,7 ? 2027", ["2027-01-29 00:00", "2027-07-30 00:00", "never"]),  # stays in its month
    ("0 0 31W 4 ? *", ["never"]),
    ("0 12 ? * 4#3 *", ["2026-12-16 12:00", "2027-01-20 12:00"]),  # the third Wednesday
    ("0 12 ? * FRI#5 2027", ["2027-01-29 12:00", "2027-04-30 12:00"]),
    ("0 12 ? * L *", ["2026-11-28 12:00", "2026-12-05 12:00"]),  # the last day of the week is Saturday
    ("0 12 ? * FRI-MON *", ["2026-11-27 12:00", "2026-11-28 12:00", "2026-11-29 12:00", "2026-11-30 12:00"]),
    ("0 12 29 FEB ? *", ["2028-02-29 12:00", "2032-02-29 12:00"]),
    ("0 12 30 2 ? *", ["never"]),
    ("0 0 1 1 ? 2199", ["2199-01-01 00:00", "never"]),
    ("0 0 1 1 ? 2020-2025", ["never"]),
    ("1,2,58-59 * ? * 1-7 *", ["2026-11-25 12:01", "2026-11-25 12:02", "2026-11-25 12:58", "2026-11-25 12:59"]),
    ("10-30/10 * ? jan-mar,DEC sun *", ["2026-12-06 00:10", "2026-12-06 00:20", "2026-12-06 00:30"]),
    ("0 0 1/10 * ? *", ["2026-12-01 00:00", "2026-12-11 00:00", "2026-12-21 00:00", "2026-12-31 00:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), CRON, ids=[row[0] for row in CRON])
def test_documented_cron(fields: str, expected: list[str]) -> None:
    assert ticks(f"cron({fields})", len(expected)) == expected


INVALID = [
    "", "cron", "cron()", "rate()", "rate(5)", "rate(0 minutes)", "rate(-1 minutes)", "rate(1.5 hours)",
    "rate(5 seconds)", "rate(5 weeks)", "rate(99999999999 days)", "rate(999999999 days)", "rate(5 minutes) ",
    "rate(٥ minutes)", "every day", "at(2026-11-25)", "at(2026-13-25T00:00:00)", "at(2026-11-25T00:00:00Z)",
    "cron(* * * * *)", "cron(* * * * * * *)", "cron(0 0 * * * *)", "cron(0 0 ? * ? *)", "cron(60 0 * * ? *)",
    "cron(0 24 * * ? *)", "cron(0 0 0 * ? *)", "cron(0 0 32 * ? *)", "cron(0 0 * 13 ? *)", "cron(0 0 ? * 0 *)",
    "cron(0 0 ? * 8 *)", "cron(0 0 * * ? 1969)", "cron(0 0 * * ? 2200)", "cron(? 0 * * ? *)", "cron(L 0 * * ? *)",
    "cron(0 0 W * ? *)", "cron(0 0 0W * ? *)", "cron(0 0 ? * 2#6 *)", "cron(0 0 ? * 2#0 *)", "cron(0 0 ? * 2#1,3#1 *)",
    "cron(0 0 * * ? 2030-2020)", "cron(0/0 0 * * ? *)", "cron(0/ 0 * * ? *)", "cron(/5 0 * * ? *)",
    "cron(1,,2 0 * * ? *)",
    "cron(1- 0 * * ? *)", "cron(0 0 ? * FOO *)", "cron(0 0 * MON ? *)", "cron(-1 0 * * ? *)", "cron(²  0 * * ? *)",
]  # fmt: skip


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        parse(text, once=True)


def test_rates_in_singular_and_plural() -> None:
    assert parse("rate(1 minute)", strict=True) == parse("rate(1 minutes)") == Rate(seconds=60)
    assert parse("rate(2 hours)", strict=True) == Rate(seconds=7200)
    for text in ("rate(1 minutes)", "rate(5 minute)"):
        with pytest.raises(InvalidSchedule):
            parse(text, strict=True)


def test_at_is_for_the_scheduler_alone() -> None:
    with pytest.raises(InvalidSchedule):
        parse("at(2026-11-25T13:00:00)")
    assert ticks("at(2026-11-25T13:00:00)", 2) == ["2026-11-25 13:00", "never"]
    assert ticks("at(2026-11-25T13:30:00)", 1, zone=BERLIN) == ["2026-11-25 12:30"]
    assert ticks("at(2026-11-25T11:00:00)", 1) == ["never"]
    for text in ("at(0001-01-01T00:00:00)", "at(9999-12-31T23:59:59)"):
        assert next_tick(parse(text, once=True), START, anchor=START, zone=NEW_YORK) is None


def test_a_rate_counts_from_its_anchor() -> None:
    rate = parse("rate(10 minutes)")
    anchor = START + timedelta(minutes=3, seconds=7)
    assert next_tick(rate, START, anchor=anchor) == anchor
    assert next_tick(rate, anchor, anchor=anchor) == anchor + timedelta(minutes=10)
    assert next_tick(rate, anchor + timedelta(minutes=25), anchor=anchor) == anchor + timedelta(minutes=30)


def test_spring_leaves_out_what_the_clocks_skip() -> None:
    before = datetime(2026, 3, 28, 0, 0, tzinfo=UTC)  # on the 29th 02:00 becomes 03:00
    assert ticks("cron(30 2 * * ? *)", 3, after=before, zone=BERLIN) == [
        "2026-03-28 01:30", "2026-03-30 00:30", "2026-03-31 00:30",
    ]  # fmt: skip


def test_autumn_fires_once_in_the_hour_that_comes_twice() -> None:
    before = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)  # on the 25th 03:00 becomes 02:00
    assert ticks("cron(30 2 * * ? *)", 2, after=before, zone=BERLIN) == ["2026-10-25 00:30", "2026-10-26 01:30"]
    assert ticks("cron(0/30 * * * ? *)", 5, after=datetime(2026, 10, 25, 0, 15, tzinfo=UTC), zone=BERLIN) == [
        "2026-10-25 00:30", "2026-10-25 02:00", "2026-10-25 02:30", "2026-10-25 03:00", "2026-10-25 03:30",
    ]  # fmt: skip


def test_a_rate_in_days_keeps_the_time_on_the_wall() -> None:
    before = datetime(2026, 3, 7, 17, 0, tzinfo=UTC)  # noon in New York; on the 8th its clocks change
    assert ticks("rate(1 day)", 2, after=before, zone=NEW_YORK) == ["2026-03-08 16:00", "2026-03-09 16:00"]
    assert ticks("rate(24 hours)", 2, after=before, zone=NEW_YORK) == ["2026-03-08 17:00", "2026-03-09 17:00"]


FIELD = st.text("0123456789*?/,-LW# ", max_size=6)


@settings(max_examples=300)
@given(text=st.text(max_size=40) | st.lists(FIELD, min_size=6, max_size=6).map(lambda f: f"cron({' '.join(f)})"))
def test_any_text_is_refused_or_names_moments(text: str) -> None:
    try:
        expression = parse(text, once=True)
    except InvalidSchedule:
        return
    moment = next_tick(expression, START, anchor=START, zone=BERLIN)
    assert moment is None or (moment > START and moment.utcoffset() == timedelta(0))


@given(
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=4),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    weekdays=st.sets(st.integers(1, 7), min_size=1, max_size=3),
    months=st.sets(st.integers(1, 12), min_size=1, max_size=4),
    start=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
)
def test_cron_agrees_with_looking_at_every_minute(
    minutes: set[int], hours: set[int], weekdays: set[int], months: set[int], start: datetime
) -> None:
    def listed(values: set[int]) -> str:
        return ",".join(map(str, values))

    text = f"cron({listed(minutes)} {listed(hours)} ? {listed(months)} {listed(weekdays)} *)"
    expression = parse(text)
    assert isinstance(expression, Cron)
    after = start.replace(tzinfo=UTC)
    found = next_tick(expression, after, anchor=after)
    assert found is not None
    day, expected = after.date(), None
    while expected is None:
        if day.month in months and day.isoweekday() % 7 + 1 in weekdays:
            moments = [datetime(day.year, day.month, day.day, h, m, tzinfo=UTC) for h in hours for m in minutes]
            expected = min((moment for moment in moments if moment > after), default=None)
        day += timedelta(days=1)
    assert found == expected


@given(start=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)), day=st.integers(1, 31))
def test_the_nearest_weekday_is_a_working_day_of_its_month(start: datetime, day: int) -> None:
    moment = next_tick(parse(f"cron(0 0 {day}W * ? *)"), start.replace(tzinfo=UTC), anchor=START)
    assert moment is not None
    assert moment.isoweekday() <= 5
    assert abs(moment.day - day) <= 2
    assert calendar.monthrange(moment.year, moment.month)[1] >= day


@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),
    text=st.sampled_from([row[0] for row in CRON]),
)
def test_ticks_go_forward(start: datetime, text: str) -> None:
    expression = parse(f"cron({text})")
    moments: list[datetime] = []
    moment: datetime | None = start.replace(tzinfo=UTC)
    while moment is not None and len(moments) < 5:
        moments.append(moment)
        moment = next_tick(expression, moment, anchor=START, zone=NEW_YORK)
    assert all(earlier < later for earlier, later in pairwise(moments))
