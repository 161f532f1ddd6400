"""How long an environment is kept for the next event of its function: a pure decision from how it was used so far.

After "Serverless in the Wild" (Shahrad et al., USENIX ATC 2020), the hybrid histogram. What is observed of each
function version is its idle times: from the moment when its last event ended to the next event. They are counted in
bins of one minute up to four hours; longer ones are only counted. Most functions repeat themselves, so

    head = 5th percentile of the idle times, less 10 %: hardly an event comes before that
    tail = 99th percentile, plus 10 %: hardly an event comes after that

An environment is kept until the tail. Where the head is far away, it is ended after its event, and another one is
started at the head, ahead of the event ("pre-warming"). The histogram decides only when it may be trusted:

    fewer than OBSERVED_MIN idle times, or half of them and more beyond four hours  -> the fixed time
    counts spread evenly (coefficient of variation of the bins below 2)             -> the fixed time

Worked example. A timer fires every 30 minutes and runs for a second. After eight rounds: eight counts in the bin
[29, 30) minutes. Head 29 - 2.9 = 26.1 minutes, tail 30 + 3 = 33 minutes: ended after its event, started again after
26.1 minutes, kept for 6.9. A fixed ten minutes would cost it a cold start every time, and ten minutes of memory.

It forgets: a week of observed idleness, or 4,096 idle times, halve all counts. Memory: 240 counts of two bytes for each
function version.

Caveats. Idle times are of the whole version, between no event running and the first: environments that only a burst
needs are kept as long as the others, each from its own last event. Half a percent of idle times may hide a gap that
costs a cold start each day. The paper forecasts idle times beyond the histogram by ARIMA; here the fixed time serves.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TypeAlias

Counts: TypeAlias = "array[int]"

BIN_S = 60.0
BINS = 240
OBSERVED_MIN = 8
HEAD, TAIL = 0.05, 0.99
MARGIN = 0.10
BEYOND_SHARE_MAX = 0.5
VARIATION_MIN = 2.0

PREWARM_AFTER_S_MIN = 900.0
"""Nearer heads are waited out warm: an init for every event costs more than a quarter of an hour of idle memory."""

LINGER_S = 30.0
"""So long an environment stays after an event although the next one is expected later: for the event that was not."""

SOON_S = (60.0, 300.0, 900.0, 3600.0)
_WEIGHT = 16  # of one observation: it can be halved four times before it is forgotten
_TOTAL_MAX = 4096 * _WEIGHT - 1  # whatever the spread, no bin can pass the two bytes of its count
_SPAN_S_MAX = 7 * 86_400.0


def _no_counts() -> Counts:
    return array("H", bytes(2 * BINS))


@dataclass(frozen=True, slots=True)
class History:
    """The idle times of one function version. counts, beyond and total in weights of 16; never changed in place.

    counts: by minute. beyond: of those longer than all bins. total: of both. span_s: idle seconds observed since the
    last halving.
    """

    counts: Counts = field(default_factory=_no_counts)
    beyond: int = 0
    total: int = 0
    span_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAliveSettings:
    """adaptive: False always gives the fixed time. fixed_s: that time. keep_s_max: of what is learnt."""

    adaptive: bool
    fixed_s: float
    keep_s_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAlive:
    """prewarm_after_s: start one so long after the last event has ended; 0 keeps the one that ran it.

    keep_s: an environment is kept so long after it ran an event, or after it was started ahead of one.
    """

    prewarm_after_s: float
    keep_s: float

    @property
    def after_event_s(self) -> float:
        """How long an environment stays after an event."""
        return LINGER_S if self.prewarm_after_s else self.keep_s


def observe(history: History, idle_s: float, times: int = 1) -> History:
    """The history after that idle time was seen, `times` in a row. Raises ValueError for a negative one."""
    if idle_s < 0 or times < 1:
        raise ValueError(f"an idle time of {idle_s} s, {times} times")
    weight = min(times, 1024) * _WEIGHT
    span_s = history.span_s + min(idle_s, BIN_S * BINS) * times
    if history.total + weight > _TOTAL_MAX or span_s > _SPAN_S_MAX:
        history = _halved(history)
        span_s = 0.0
    slot = int(idle_s // BIN_S)
    if slot >= BINS:
        return History(history.counts, history.beyond + weight, history.total + weight, span_s)
    counts = history.counts[:]
    counts[slot] += weight
    return History(counts, history.beyond, history.total + weight, span_s)


def _halved(history: History) -> History:
    counts = array("H", (count >> 1 for count in history.counts))
    beyond = history.beyond >> 1
    return History(counts, beyond, sum(counts) + beyond)


def is_representative(history: History) -> bool:
    """Whether the histogram may be trusted: enough seen, mostly within it, and not spread evenly."""
    inside = history.total - history.beyond
    if history.total < OBSERVED_MIN * _WEIGHT or history.beyond >= BEYOND_SHARE_MAX * history.total:
        return False
    mean = inside / BINS
    variance = sum(count * count for count in history.counts) / BINS - mean * mean
    return variance >= (VARIATION_MIN * mean) ** 2


def decide(history: History, settings: KeepAliveSettings) -> KeepAlive:
    """How long to keep an environment, and when to start one ahead."""
    if not settings.adaptive or not is_representative(history):
        return KeepAlive(prewarm_after_s=0.0, keep_s=settings.fixed_s)
    head_s = _percentile_bin(history, HEAD) * BIN_S * (1 - MARGIN)
    tail_s = (_percentile_bin(history, TAIL) + 1) * BIN_S * (1 + MARGIN)
    if head_s < PREWARM_AFTER_S_MIN:
        head_s = 0.0
    return KeepAlive(prewarm_after_s=head_s, keep_s=min(tail_s - head_s, settings.keep_s_max))


def _percentile_bin(history: History, share: float) -> int:
    """The first bin up to which at least `share` of what lies within the histogram was seen."""
    wanted = share * (history.total - history.beyond)
    seen = 0
    for slot, count in enumerate(history.counts):
        seen += count
        if seen >= wanted and count:
            return slot
    return BINS - 1


def survivors(history: History) -> Sequence[int]:
    """How much was seen of idle times at least so many bins long; the last counts those beyond all bins."""
    return [*accumulate(reversed(history.counts), initial=history.beyond)][::-1]


def chance(survived: Sequence[int], idle_s: float, within_s: float) -> float:
    """How likely, from 0 to 1, an event ends an idleness that has lasted idle_s within the next within_s.

    The share of the idle times seen so far that lasted as long (`survivors`) and ended in that time, together with one
    observation that nobody made: that a thing idle for t ends within the next w with w / (t + w). It stands alone where
    nothing was seen, and orders functions of which nothing is known by how long they are idle.
    """
    lasted = survived[min(BINS, int(idle_s // BIN_S))]
    left = survived[min(BINS, int((idle_s + within_s) // BIN_S) + 1)]
    unseen = within_s / (idle_s + within_s)
    return (lasted - left + _WEIGHT * unseen) / (lasted + _WEIGHT)


def soon(survived: Sequence[int], idle_s: float) -> float:
    """How fast the chance of an event grows, per second: the best of a minute, five, fifteen and sixty.

    What is used in a minute is worth more than what is used in an hour, for its memory is given back sooner.
    """
    return max(chance(survived, idle_s, within_s) / within_s for within_s in SOON_S)
