"""Registries: the distribution API that Docker and OCI share, as far as pulling goes.

    GET /v2/<name>/manifests/<tag or digest>     GET /v2/<name>/blobs/<digest>

A registry that answers 401 says where a token is to be had; it is asked for with the credentials that the operator
has for that registry, or with none. Blobs may be redirected to elsewhere, and there no credentials go along. Plain http
is spoken with this machine's own addresses and with hosts that a setting names, and is never fallen back to.

What a registry sends is hostile: the address of its token service and of a redirect must not be of a lesser scheme
than its own, and what is not understood ends the pull. No error tells of a token, a credential or the signed query of
a redirect.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit

from paddock.backends.oci.source import Interrupted
from paddock.interfaces import Clock
from paddock.model.image import ACCEPTED, DENIED, MANIFEST_BYTES_MAX, BadImage, Blob, Reference, absent

REDIRECTS_MAX = 5
ATTEMPTS = 3
RETRY_S = 0.5
TOKEN_BYTES_MAX = 65_536
CREDENTIALS_BYTES_MAX = 1 << 20
_CHALLENGE = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_DOCKER_HUB = "docker.io"
_DOCKER_HUB_NAMES = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io", "docker.io")
_AGENT = {"User-Agent": "paddock"}


class Answer(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def pieces(self) -> AsyncIterator[bytes]: ...
    async def read(self, bytes_max: int) -> bytes: ...


Fetch = Callable[[str, Mapping[str, str]], AbstractAsyncContextManager[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """mirrors: host -> the URL that is asked instead. plain: hosts that speak http. allowed: hosts that may be asked,
    none for all. credentials: a file as docker's config.json.
    """

    mirrors: Mapping[str, str] = field(default_factory=dict)
    plain: Collection[str] = ()
    allowed: Collection[str] = ()
    credentials: Path | None = None


class Registries:
    """Every registry there is."""

    def __init__(self, fetch: Fetch, settings: RegistrySettings, clock: Clock, read: Callable[[Path], bytes]) -> None:
        self._fetch = fetch
        self._settings = settings
        self._clock = clock
        self._read = read

    async def manifest(self, reference: Reference, digest: str) -> tuple[bytes, str]:
        name = f"sha256:{digest}" if digest else reference.tag
        async with AsyncExitStack() as stack:
            answer = await self._asked(stack, reference, f"manifests/{name}", {"Accept": ", ".join(ACCEPTED)})
            content = await answer.read(MANIFEST_BYTES_MAX)
            return content, answer.headers.get("content-type", "").partition(";")[0].strip()

    async def blob(self, reference: Reference, blob: Blob) -> AsyncIterator[bytes]:
        async with AsyncExitStack() as stack:
            answer = await self._asked(stack, reference, f"blobs/sha256:{blob.digest}", {})
            pieces = answer.pieces()
            while True:
                try:
                    piece = await anext(pieces, b"")
                except OSError as error:
                    raise Interrupted(f"sha256:{blob.digest} was not received: {error.strerror or error}.") from error
                if not piece:
                    return
                yield piece

    # -- one request --------------------------------------------------------------------------------------------

    async def _asked(
        self, stack: AsyncExitStack, reference: Reference, what: str, headers: Mapping[str, str]
    ) -> Answer:
        """The answer with status 200; tries again what may do later. Raises BadImage."""
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._clock.sleep(RETRY_S * 2 ** (attempt - 1))
            try:
                answer = await self._authorised(stack, reference, what, headers)
            except OSError as error:
                problem = error.strerror or str(error)
                continue
            if answer.status == 200:
                return answer
            if answer.status in (401, 403):
                raise _denied(reference)
            if answer.status == 404:
                raise absent(_shown(reference))
            problem = f"it answered {answer.status}"
            if answer.status != 429 and answer.status < 500:
                break
        raise BadImage(f"The registry {reference.host} could not give {_shown(reference)}: {problem}.")

    async def _authorised(
        self, stack: AsyncExitStack, reference: Reference, what: str, headers: Mapping[str, str]
    ) -> Answer:
        base = self._base(reference)
        url = f"{base}/v2/{reference.name}/{what}"
        answer = await self._redirected(stack, url, headers)
        if answer.status != 401:
            return answer
        told = answer.headers.get("www-authenticate", "")
        credentials = self._credentials(reference.host, base)
        scheme, _, rest = told.partition(" ")
        if scheme.lower() == "basic" and credentials:
            return await self._redirected(stack, url, {**headers, "Authorization": f"Basic {credentials}"})
        if scheme.lower() != "bearer":
            return answer
        token = await self._token(reference, base, dict(_CHALLENGE.findall(rest)), credentials)
        return await self._redirected(stack, url, {**headers, "Authorization": f"Bearer {token}"})

    async def _redirected(self, stack: AsyncExitStack, url: str, headers: Mapping[str, str]) -> Answer:
        for _ in range(REDIRECTS_MAX + 1):
            answer = await stack.enter_async_context(self._fetch(url, {**_AGENT, **headers}))
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            before, after = urlsplit(url), urlsplit(urljoin(url, answer.headers.get("location", "")))
            if not _is_as_safe(before, after):
                raise BadImage(f"{before.hostname} redirects to an address that is not followed.")
            if (before.scheme, before.hostname, before.port) != (after.scheme, after.hostname, after.port):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = after.geturl()
        raise BadImage(f"{urlsplit(url).hostname} redirects more than {REDIRECTS_MAX} times.")

    async def _token(self, reference: Reference, base: str, challenge: Mapping[str, str], credentials: str) -> str:
        realm, registry = urlsplit(challenge.get("realm", "")), urlsplit(base)
        if not _is_as_safe(registry, realm):
            raise BadImage(f"The registry {reference.host} names a token service that is not asked.")
        query = {"service": challenge.get("service", ""), "scope": f"repository:{reference.name}:pull"}
        url = realm._replace(query="&".join(filter(None, (realm.query, urlencode(query))))).geturl()
        headers = {**_AGENT, **({"Authorization": f"Basic {credentials}"} if credentials else {})}
        async with self._fetch(url, headers) as answer:
            if answer.status != 200:
                raise _denied(reference)
            try:
                told = json.loads(await answer.read(TOKEN_BYTES_MAX))
                token = str(told.get("token") or told["access_token"])
            except (ValueError, AttributeError, KeyError):
                raise _denied(reference) from None
        if re.fullmatch(r"[\x21-\x7e]+", token) is None:
            raise _denied(reference)
        return token

    # -- what the operator says ---------------------------------------------------------------------------------

    def _base(self, reference: Reference) -> str:
        host, settings = reference.host, self._settings
        if settings.allowed and host.lower() not in settings.allowed:
            raise BadImage(f"The registry {host} is not among those of the setting image_registries.", DENIED)
        if host in settings.mirrors:
            return settings.mirrors[host].rstrip("/")
        place = "registry-1.docker.io" if host == _DOCKER_HUB else host
        is_plain = _is_loopback(place) or place in settings.plain or place.rpartition(":")[0] in settings.plain
        return f"{'http' if is_plain else 'https'}://{place}"

    def _credentials(self, host: str, base: str) -> str:
        """`user:password` in base64 for the registry, "" for none. Of a mirror, its own."""
        if self._settings.credentials is None:
            return ""
        try:
            content = self._read(self._settings.credentials)
            listed = json.loads(content[:CREDENTIALS_BYTES_MAX])["auths"]
            place = urlsplit(base).netloc
            names = (*_DOCKER_HUB_NAMES, place) if host == _DOCKER_HUB and place in _DOCKER_HUB_NAMES else (place,)
            for name in (form for one in names for form in (one, f"https://{one}", f"http://{one}")):
                if name in listed:
                    return _pair(listed[name])
        except OSError as error:
            raise BadImage(f"The registry credentials cannot be read: {error.strerror}.", DENIED) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadImage("The file of registry credentials is not as docker's config.json is.", DENIED) from None
        return ""


def _pair(entry: Mapping[str, str]) -> str:
    if entry.get("auth"):
        return re.sub(r"\s", "", entry["auth"])
    return base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()


def _is_as_safe(before: SplitResult, after: SplitResult) -> bool:
    """Whether one may go from one to the other: to https, or by http if that is what was spoken already."""
    return bool(after.hostname) and (after.scheme == "https" or before.scheme == after.scheme == "http")


def _is_loopback(place: str) -> bool:
    host = place if place.startswith("[") else place.partition(":")[0]
    return host == "localhost" or host.startswith("[::1]") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


def _shown(reference: Reference) -> str:
    named = f":{reference.tag}" if reference.tag else ""
    named += f"@sha256:{reference.digest}" if reference.digest else ""
    return quote(reference.repository + named, safe="/:@[]")


def _denied(reference: Reference) -> BadImage:
    return BadImage(
        f"Paddock does not have permission to pull {_shown(reference)}. Check registry_credentials.", DENIED
    )
