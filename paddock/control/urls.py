"""Function URLs: which function, or alias, has which; and, for who serves them, whose a URL is.

The index by id is a hint: what it names is looked up in the catalogue each time, so a URL ends with its function, or
its alias, in the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from paddock.control.book import key_of
from paddock.control.catalogue import Catalogue
from paddock.interfaces import Clock, Ids
from paddock.model.arn import FunctionRef
from paddock.model.errors import InvalidParameterValue, ResourceConflict, ResourceNotFound
from paddock.model.function import Function
from paddock.model.function_url import URL_ID_CHARS, FunctionUrl, InvokeMode, UrlAuth

NO_FUNCTION = "Function does not exist"
ABSENT = "The resource you requested does not exist."


class Urls:
    """`ref` names a function or one of its aliases. Errors are those of model.errors. Call start() first."""

    def __init__(self, catalogue: Catalogue, clock: Clock, ids: Ids) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._ids = ids
        self._refs: dict[str, FunctionRef] = {}

    def start(self) -> None:
        """Once the catalogue has started."""
        for function in self._catalogue.functions():
            account, region, name = key_of(function)
            for qualifier, url in function.urls.items():
                self._refs[url.url_id] = FunctionRef(account=account, region=region, name=name, qualifier=qualifier)

    def at(self, url_id: str) -> tuple[FunctionRef, FunctionUrl] | None:
        """What the URL with that id belongs to; None when there is none (any more)."""
        ref = self._refs.get(url_id)
        if ref is None:
            return None
        try:
            url = self._catalogue.get(replace(ref, qualifier="")).urls.get(ref.qualifier)
        except ResourceNotFound:
            url = None
        if url is None or url.url_id != url_id:
            del self._refs[url_id]
            return None
        return ref, url

    def get(self, ref: FunctionRef) -> FunctionUrl:
        """Raises ResourceNotFound."""
        url = self._function(ref, ABSENT).urls.get(ref.qualifier)
        if url is None:
            raise ResourceNotFound(ABSENT)
        return url

    def all_of(self, ref: FunctionRef) -> Sequence[tuple[FunctionRef, FunctionUrl]]:
        """Those of a function and its aliases, its own first, then by name. Raises ResourceNotFound."""
        function = self._function(ref, NO_FUNCTION)
        return [(replace(ref, qualifier=qualifier), url) for qualifier, url in sorted(function.urls.items())]

    async def create(
        self, ref: FunctionRef, auth: UrlAuth, change: Callable[[FunctionUrl], FunctionUrl]
    ) -> FunctionUrl:
        """A new URL with what `change` sets. Raises ResourceNotFound, ResourceConflict when there is one already."""
        self._function(ref, NO_FUNCTION)
        now = self._clock.now()
        url_id = self._ids.hex(URL_ID_CHARS)
        made = change(FunctionUrl(url_id=url_id, auth=auth, mode=InvokeMode.BUFFERED, created=now, last_modified=now))

        def changed(function: Function) -> Function:
            if ref.qualifier and ref.qualifier not in function.aliases:
                raise ResourceNotFound(NO_FUNCTION)
            if function.latest.tenant_isolation:
                raise InvalidParameterValue("Function URLs are not supported for functions with tenant isolation.")
            if ref.qualifier in function.urls:
                raise ResourceConflict(
                    f"Failed to create function url config for [functionArn = {ref.arn}]. Error message:  "
                    "FunctionUrlConfig exists for this Lambda function"
                )
            return replace(function, urls={**function.urls, ref.qualifier: made})

        await self._catalogue.change(replace(ref, qualifier=""), changed)
        self._refs[url_id] = ref
        return made

    async def update(self, ref: FunctionRef, change: Callable[[FunctionUrl], FunctionUrl]) -> FunctionUrl:
        """Its id stays. Raises ResourceNotFound."""
        self._function(ref, NO_FUNCTION)

        def changed(function: Function) -> Function:
            before = function.urls.get(ref.qualifier)
            if before is None:
                raise ResourceNotFound(ABSENT)
            after = replace(change(before), last_modified=self._clock.now())
            return replace(function, urls={**function.urls, ref.qualifier: after})

        return (await self._catalogue.change(replace(ref, qualifier=""), changed)).urls[ref.qualifier]

    async def delete(self, ref: FunctionRef) -> None:
        """Raises ResourceNotFound when there is none."""
        self.get(ref)

        def changed(function: Function) -> Function:
            left = {qualifier: url for qualifier, url in function.urls.items() if qualifier != ref.qualifier}
            return replace(function, urls=left)

        await self._catalogue.change(replace(ref, qualifier=""), changed)

    def _function(self, ref: FunctionRef, absent: str) -> Function:
        """absent: AWS's text when it is not there."""
        try:
            return self._catalogue.get(replace(ref, qualifier=""))
        except ResourceNotFound:
            raise ResourceNotFound(absent) from None
