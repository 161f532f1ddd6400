"""How a function's asynchronous events are treated: attempts, age, destinations (spec 01 section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

RETRIES_DEFAULT = 2
AGE_S_DEFAULT = 21_600


@dataclass(frozen=True, slots=True, kw_only=True)
class EventInvokeConfig:
    """Of one qualifier. None and "" stand for what was never set; last_modified: aware UTC.

    on_success, on_failure: ARNs of destinations.
    """

    retries_max: int | None = None
    age_s_max: int | None = None
    on_success: str = ""
    on_failure: str = ""
    last_modified: datetime

    @property
    def retries(self) -> int:
        return RETRIES_DEFAULT if self.retries_max is None else self.retries_max

    @property
    def age_s(self) -> int:
        return AGE_S_DEFAULT if self.age_s_max is None else self.age_s_max
