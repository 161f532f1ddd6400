"""CORS at function URLs: preflights are answered without the function, and answers carry what the URL's settings say.

Without settings the function does all of it by itself.
"""

from __future__ import annotations

import msgspec

from paddock.model.function_url import Cors
from paddock.wire.messages import Headers, Response

Fields = tuple[tuple[str, str], ...]

_OURS = "access-control-"
_EVERYBODY = "*"


def preflight(cors: Cors, asked: Headers) -> Response:
    """The answer to OPTIONS. A page that may not use the URL learns it from what is missing."""
    fields = _origin(cors, asked.get("origin"))
    if fields:
        fields += _listed("Allow-Methods", cors.allow_methods)
        fields += _listed("Allow-Headers", cors.allow_headers)
        if cors.max_age_s is not None:
            fields += (("Access-Control-Max-Age", str(cors.max_age_s)),)
    return Response(status=200, headers=fields)


def with_cors(cors: Cors, asked: Headers, answer: Response) -> Response:
    """The answer with what the settings say, in place of what the function said about it."""
    kept = tuple(one for one in answer.headers if not one[0].lower().startswith(_OURS))
    fields = _origin(cors, asked.get("origin"))
    if fields:
        fields += _listed("Expose-Headers", cors.expose_headers)
    return msgspec.structs.replace(answer, headers=kept + fields)


def _origin(cors: Cors, origin: str) -> Fields:
    """Who may read it: nothing for an origin that is not named, or none."""
    if not origin or not (origin in cors.allow_origins or _EVERYBODY in cors.allow_origins):
        return ()
    if cors.allow_credentials:
        # Browsers take no star together with credentials.
        allowed: Fields = (("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true"))
        return (*allowed, ("Vary", "Origin"))
    if _EVERYBODY in cors.allow_origins:
        return (("Access-Control-Allow-Origin", _EVERYBODY),)
    return (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"))


def _listed(name: str, values: tuple[str, ...]) -> Fields:
    return ((f"Access-Control-{name}", ",".join(values)),) if values else ()
