"""What the batch operations share: ten entries at most, ids of their own, and each entry's own outcome."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from paddock.model.errors import ClientError
from paddock.services.service import Call
from paddock.services.sqs.nouns import SqsError

ENTRIES_MAX = 10
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")

Entry = Mapping[str, Any]


def entries_of(call: Call) -> Sequence[Entry]:
    """Raises EmptyBatchRequest, TooManyEntriesInBatchRequest, InvalidBatchEntryId, BatchEntryIdsNotDistinct."""
    entries: Sequence[Entry] = call.params["Entries"]
    if not entries:
        raise SqsError("There should be at least one entry in the request.", code="EmptyBatchRequest")
    if len(entries) > ENTRIES_MAX:
        message = f"Maximum number of entries per request are {ENTRIES_MAX}. You have sent {len(entries)}."
        raise SqsError(message, code="TooManyEntriesInBatchRequest")
    ids = [entry["Id"] for entry in entries]
    if not all(_ID.fullmatch(one) for one in ids):
        message = (
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. 1 to 80 in length."
        )
        raise SqsError(message, code="InvalidBatchEntryId")
    if len(set(ids)) < len(ids):
        repeated = next(one for one in ids if ids.count(one) > 1)
        raise SqsError(f"Id {repeated} repeated.", code="BatchEntryIdsNotDistinct")
    return entries


async def settled(entries: Sequence[Entry], work: Callable[[Entry], Awaitable[Mapping[str, Any]]]) -> dict[str, Any]:
    """Successful and Failed, as every batch operation answers. Entries are begun in their order, and share a commit."""
    outcomes = await asyncio.gather(*(work(entry) for entry in entries), return_exceptions=True)
    answer: dict[str, Any] = {"Successful": [], "Failed": []}
    for entry, outcome in zip(entries, outcomes, strict=True):
        if isinstance(outcome, ClientError):
            failed = {"Id": entry["Id"], "SenderFault": True, "Code": outcome.code, "Message": outcome.message}
            answer["Failed"].append(failed)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            answer["Successful"].append({"Id": entry["Id"], **outcome})
    return answer
