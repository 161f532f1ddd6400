"""Queues and messages, and the rules of what a queue's attributes may be."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from paddock.model.errors import ClientError
from paddock.model.policy import Kind, MalformedPolicy, parse

DEDUPLICATION_MS = 300_000
MESSAGE_BYTES_MAX = 1_048_576

# attribute -> (default, least, most)
NUMBERS: Mapping[str, tuple[int, int, int]] = {
    "VisibilityTimeout": (30, 0, 43_200),
    "MaximumMessageSize": (MESSAGE_BYTES_MAX, 1_024, MESSAGE_BYTES_MAX),
    "MessageRetentionPeriod": (345_600, 60, 1_209_600),
    "DelaySeconds": (0, 0, 900),
    "ReceiveMessageWaitTimeSeconds": (0, 0, 20),
}
_FIFO_ONLY = frozenset({"ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"})
_CHOICES: Mapping[str, frozenset[str]] = {
    "FifoQueue": frozenset({"true"}),
    "ContentBasedDeduplication": frozenset({"true", "false"}),
    "DeduplicationScope": frozenset({"messageGroup", "queue"}),
    "FifoThroughputLimit": frozenset({"perQueue", "perMessageGroupId"}),
    "SqsManagedSseEnabled": frozenset({"true", "false"}),
}
COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
_KNOWN = frozenset(
    {
        "All",
        *NUMBERS,
        *_CHOICES,
        *COUNTS,
        "Policy",
        "RedrivePolicy",
        "RedriveAllowPolicy",
        "QueueArn",
        "CreatedTimestamp",
        "LastModifiedTimestamp",
        "KmsMasterKeyId",
        "KmsDataKeyReusePeriodSeconds",
    }
)
_PREFIX = "AWS.SimpleQueueService."
_PREFIXED = frozenset(
    {
        "BatchEntryIdsNotDistinct",
        "BatchRequestTooLong",
        "EmptyBatchRequest",
        "InvalidBatchEntryId",
        "MessageNotInflight",
        "PurgeQueueInProgress",
        "TooManyEntriesInBatchRequest",
        "UnsupportedOperation",
    }
)
_QUERY_CODES = {"QueueDoesNotExist": f"{_PREFIX}NonExistentQueue", "QueueNameExists": "QueueAlreadyExists"}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo")
_ID = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
_CHARACTERS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class MoveStatus(str, Enum):
    """CANCELLING is not among them: a task that is cancelled moves nothing more at once."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveTask:
    """Messages of a queue on their way to others. to_arn: "" for the queue that each came from. per_s: 0 for no limit.

    moved, to_move: so far, and how many there were at the start. failure: a code, when it failed.
    """

    task_id: str
    to_arn: str
    per_s: int
    to_move: int
    started_ms: int
    moved: int = 0
    status: MoveStatus = MoveStatus.RUNNING
    failure: str = ""

    @property
    def is_active(self) -> bool:
        return self.status is MoveStatus.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """attributes: as set, by AWS's names; what was never set has its default. Times in seconds since the epoch.

    moves: message move tasks that this queue is the source of, the latest first.
    """

    account: str
    region: str
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    created_s: int
    modified_s: int
    purged_ms: int = 0
    moves: tuple[MoveTask, ...] = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:sqs:{self.region}:{self.account}:{self.name}"

    @property
    def is_fifo(self) -> bool:
        return self.name.endswith(".fifo")

    def number(self, attribute: str) -> int:
        return int(self.attributes.get(attribute, NUMBERS[attribute][0]))

    @property
    def redrive(self) -> tuple[str, int] | None:
        """(ARN of the dead letter queue, receives after which a message goes there)."""
        text = self.attributes.get("RedrivePolicy")
        if not text:
            return None
        policy = json.loads(text)
        return policy["deadLetterTargetArn"], int(policy["maxReceiveCount"])

    def takes_letters_of(self, source_arn: str) -> bool:
        """What its RedriveAllowPolicy says."""
        policy = json.loads(self.attributes.get("RedriveAllowPolicy") or "{}")
        match policy.get("redrivePermission", "allowAll"):
            case "denyAll":
                return False
            case "byQueue":
                return source_arn in policy.get("sourceQueueArns", ())
            case _:
                return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What receivers are shown. attributes: as sent, binary values in base64 by msgspec. system: by AWS's names."""

    message_id: str
    body: str
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    system: Mapping[str, str] = field(default_factory=dict)

    def moved_from(self, arn: str) -> Message:
        return replace(self, system={**self.system, "DeadLetterQueueSourceArn": arn})


class SqsError(ClientError):
    """As SQS's JSON protocol names it, and as the query protocol did."""

    def __init__(self, message: str, *, code: str, status: int = 400) -> None:
        query_code = _QUERY_CODES.get(code, f"{_PREFIX}{code}" if code in _PREFIXED else code)
        super().__init__(message, code=code, status=status, query_code=query_code)


def invalid(code: str, message: str) -> SqsError:
    return SqsError(message, code=code)


def parameter(message: str) -> SqsError:
    """A value of a request that no shape of the model describes."""
    return SqsError(message, code="InvalidParameterValue")


def no_queue() -> SqsError:
    return SqsError("The specified queue does not exist.", code="QueueDoesNotExist")


def check_name(name: str, attributes: Mapping[str, str]) -> None:
    is_fifo = attributes.get("FifoQueue") == "true"
    if name.endswith(".fifo") != is_fifo:
        raise parameter("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
                        "must end with .fifo suffix and be 1 to 80 in length.")  # fmt: skip
    if (_FIFO_NAME if is_fifo else _NAME).fullmatch(name) is None:
        raise parameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")


def check_attributes(attributes: Mapping[str, str], *, is_fifo: bool) -> None:
    """Raises InvalidAttributeName, InvalidAttributeValue."""
    for name, value in attributes.items():
        if name in NUMBERS:
            _, least, most = NUMBERS[name]
            if not re.fullmatch(r"\d{1,9}", value) or not least <= int(value) <= most:
                raise invalid("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
        elif name in _CHOICES:
            if value not in _CHOICES[name]:
                raise invalid("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
            if name in _FIFO_ONLY and not is_fifo:
                raise invalid("InvalidAttributeName", f"Unknown Attribute {name}.")
        elif name == "Policy":
            _check_policy(value)
        elif name in ("RedrivePolicy", "RedriveAllowPolicy"):
            _check_redrive(name, value)
        elif name not in ("KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds"):
            raise invalid("InvalidAttributeName", f"Unknown Attribute {name}.")
    if attributes.get("FifoThroughputLimit") == "perMessageGroupId" and attributes.get("DeduplicationScope") == "queue":
        raise invalid(
            "InvalidAttributeValue", "FifoThroughputLimit perMessageGroupId needs DeduplicationScope messageGroup."
        )


def check_names(names: Sequence[str]) -> None:
    """Of attributes that are asked for. Raises InvalidAttributeName."""
    for name in names:
        if name not in _KNOWN:
            raise invalid("InvalidAttributeName", f"Unknown Attribute {name}.")


def _check_policy(text: str) -> None:
    if text:
        try:
            parse(text, Kind.RESOURCE)
        except MalformedPolicy as error:
            raise invalid("InvalidAttributeValue", f"Invalid value for the parameter Policy. {error}") from error


def _check_redrive(name: str, text: str) -> None:
    wrong = invalid("InvalidAttributeValue", f"Value {text} for parameter {name} is invalid.")
    if not text:
        return
    try:
        policy = json.loads(text)
    except ValueError:
        raise wrong from None
    if not isinstance(policy, dict):
        raise wrong
    if name == "RedriveAllowPolicy":
        if policy.get("redrivePermission") not in ("allowAll", "denyAll", "byQueue"):
            raise wrong
        return
    count = policy.get("maxReceiveCount")
    if not isinstance(policy.get("deadLetterTargetArn"), str) or not re.fullmatch(r"\d{1,4}", str(count)):
        raise wrong
    if not 1 <= int(str(count)) <= 1000:
        raise wrong


def check_body(body: str, attributes: Mapping[str, Any], queue: Queue) -> None:
    """Raises InvalidMessageContents, InvalidParameterValue."""
    if not body:
        raise SqsError("The request must contain the parameter MessageBody.", code="MissingParameter")
    if _CHARACTERS.search(body):
        raise invalid("InvalidMessageContents", "Invalid characters were found in the message body.")
    limit = queue.number("MaximumMessageSize")
    if size_of(body, attributes) > limit:
        raise parameter(f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes.")


def check_id(name: str, value: str) -> None:
    if _ID.fullmatch(value) is None:
        raise parameter(f"Value {value} for parameter {name} is invalid. Reason: {name} can only include alphanumeric "
                        "and punctuation characters. 1 to 128 in length.")  # fmt: skip


def size_of(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """Bytes as SQS counts them: the body, and names, types and values of attributes."""
    size = len(body.encode())
    for name, value in attributes.items():
        size += len(name.encode()) + len(value["DataType"].encode()) + len(_value(value))
    return size


def md5_of(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """As AWS's developer guide has it: names in order; each of name, type and value behind its length."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        value = attributes[name]
        for part in (name.encode(), value["DataType"].encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        raw = _value(value)
        digest.update(
            (b"\x02" if value["DataType"].startswith("Binary") else b"\x01") + struct.pack(">I", len(raw)) + raw
        )
    return digest.hexdigest()


def _value(value: Mapping[str, Any]) -> bytes:
    binary = value.get("BinaryValue")
    if binary is not None:
        return bytes(binary)
    text: str = value.get("StringValue") or ""
    return text.encode()
