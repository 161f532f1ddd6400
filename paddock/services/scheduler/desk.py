"""What EventBridge Scheduler's operations may ask, and what they share."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paddock.control.schedules import Schedules
from paddock.interfaces import Clock
from paddock.model.errors import ClientError, ResourceNotFound, ServiceError, ValidationError

PAGE_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    schedules: Schedules
    clock: Clock


def invalid(message: str) -> ServiceError:
    return ValidationError(message)


def missing(message: str) -> ServiceError:
    return ResourceNotFound(message)


def conflict(message: str) -> ServiceError:
    return ClientError(message, code="ConflictException", status=409)


def limit_of(params: Mapping[str, Any]) -> int:
    return min(params.get("MaxResults") or PAGE_MAX, PAGE_MAX)


def written_token(position: str) -> str:
    return base64.urlsafe_b64encode(position.encode()).decode()


def read_token(token: str | None) -> str:
    try:
        return base64.b64decode(token or "", altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid("Invalid token") from None
