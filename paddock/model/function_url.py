"""Function URLs: an HTTP address of a function or of an alias, and who may use it (spec 01 section 9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

URL_ID_CHARS = 32


class UrlAuth(str, Enum):
    """Lambda's FunctionUrlAuthType."""

    NONE = "NONE"
    AWS_IAM = "AWS_IAM"


class InvokeMode(str, Enum):
    """Lambda's InvokeMode: the answer as one, or as it comes."""

    BUFFERED = "BUFFERED"
    RESPONSE_STREAM = "RESPONSE_STREAM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """Which pages of other origins may use the URL. None and () stand for what was not set.

    max_age_s: how long a browser may remember a preflight's answer.
    """

    allow_credentials: bool | None = None
    allow_headers: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionUrl:
    """The one URL of a function's `$LATEST`, or of an alias.

    url_id: the first label of its host name, the same for as long as the URL exists. cors: None for none: then the
    function answers preflights itself. created, last_modified: aware UTC.
    """

    url_id: str
    auth: UrlAuth
    mode: InvokeMode = InvokeMode.BUFFERED
    cors: Cors | None = None
    created: datetime
    last_modified: datetime
