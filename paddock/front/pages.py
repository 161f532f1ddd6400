"""What browsers ask of buckets: whether a page of another site may use them, and uploads by forms.

The guard refuses whatever a foreign page makes the user's browser send, for any credentials are accepted here and a
page can make some up. A rule of a bucket opens the guard for that bucket, and only so far: whoever comes through it is
nobody in particular, whatever he signed with, and may do what the bucket's policy allows everybody. A page that the
user serves from loopback is his own, and let in as ever; its browser wants the same headers in the answer.

Preflights are answered to anybody: they tell what the rules are, and do nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from paddock.model.caller import Caller
from paddock.services.service import Call
from paddock.wire.form_data import FormData, is_form
from paddock.wire.messages import Request, Response

Fields = tuple[tuple[str, str], ...]
"""Header fields."""


class Site(Protocol):
    """The service whose resources pages may use. service: its name."""

    service: str

    def has(self, path: str) -> bool:
        """Whether the path, in path style, leads to one of its resources."""

    def takes_forms(self, path: str) -> bool:
        """Whether forms are sent to this path."""

    async def post(self, call: Call, path: str, form: FormData) -> Response:
        """What a form uploads. Raises ServiceError."""

    def preflight(self, request: Request) -> Fields:
        """The answer to OPTIONS. Raises ServiceError."""

    def shared(self, request: Request) -> Fields | None:
        """What a page's browser is told in the answer; None when no rule lets the page in."""


class Pages:
    """Nothing is asked here for requests that no browser sends."""

    def __init__(self, site: Site | None) -> None:
        self._site = site

    @property
    def service(self) -> str:
        return "" if self._site is None else self._site.service

    def is_preflight(self, request: Request) -> bool:
        return (
            request.method == "OPTIONS"
            and self._site is not None
            and "access-control-request-method" in request.headers
            and self._site.has(request.path)
        )

    def preflight(self, request: Request) -> Response:
        """Raises ServiceError."""
        assert self._site is not None
        return Response(status=200, headers=self._site.preflight(request))

    def is_form(self, request: Request) -> bool:
        return (
            request.method == "POST"
            and self._site is not None
            and is_form(request.headers.get("content-type"))
            and self._site.takes_forms(request.path)
        )

    async def post(self, call: Call, path: str, form: FormData) -> Response:
        """Raises ServiceError."""
        assert self._site is not None
        return await self._site.post(call, path, form)

    def shared(self, request: Request) -> Fields | None:
        """None for a request that no page sent, or that no rule lets in."""
        if self._site is None or "origin" not in request.headers:
            return None
        return self._site.shared(request)


def nobody(caller: Caller) -> Caller:
    """Whoever a foreign page says that it is."""
    return replace(caller, access_key_id="", anonymous=True, session=None)
