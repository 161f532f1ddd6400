"""One record per answered request."""

from __future__ import annotations

from typing import NamedTuple


class AccessRecord(NamedTuple):
    """service, operation: "" when not recognised. error_code: "" on success. status 0: the client left unanswered.

    bytes_in, bytes_out: of the bodies; bytes_out is None for a streamed answer. duration_s: from the head's arrival
    to the answer's readiness.
    """

    request_id: str
    service: str
    operation: str
    status: int
    error_code: str
    bytes_in: int
    bytes_out: int | None
    duration_s: float
