"""CORS: which pages of other sites may use a bucket from a browser, and what their browsers are told.

A rule lets an origin use some methods. The first rule that fits answers: a preflight (OPTIONS, which asks before the
browser sends the real request) and the real request alike. `*` stands once in an origin or a header's name.

What a page is let do is what everybody may do with the bucket (front/pages.py says why).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paddock.model.errors import ClientError, ServiceError
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import invalid_request, malformed_xml
from paddock.services.service import Call

RULES_MAX = 100
ID_CHARS_MAX = 255
METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"

Fields = tuple[tuple[str, str], ...]
"""Header fields."""

Rule = Mapping[str, Any]
"""A CORSRule, as its wire members."""


async def put_bucket_cors(desk: Desk, call: Call) -> None:
    bucket, rules = desk.bucket_of(call), call.params["CORSConfiguration"]["CORSRules"]
    if not 1 <= len(rules) <= RULES_MAX:
        raise malformed_xml()
    await desk.change(bucket, cors=[_checked(rule) for rule in rules])


def _checked(rule: Rule) -> dict[str, Any]:
    """The rule. Raises InvalidRequest."""
    for method in rule["AllowedMethods"]:
        if method not in METHODS:
            raise invalid_request(f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    for member, name in (("AllowedOrigins", "AllowedOrigin"), ("AllowedHeaders", "AllowedHeader")):
        for value in rule.get(member) or ():
            if value.count("*") > 1:
                raise invalid_request(f'{name} "{value}" can not have more than one wildcard.')
    for value in rule.get("ExposeHeaders") or ():
        if "*" in value:
            raise invalid_request(
                f'ExposeHeader "{value}" contains wildcard. We currently do not support wildcard for ExposeHeader.'
            )
    if len(rule.get("ID") or "") > ID_CHARS_MAX:
        raise malformed_xml()
    names = ("ID", "AllowedHeaders", "AllowedMethods", "AllowedOrigins", "ExposeHeaders", "MaxAgeSeconds")
    return {name: rule[name] for name in names if rule.get(name) is not None}


def fitting(rules: Sequence[Rule], origin: str, method: str, headers: Sequence[str] = ()) -> Rule | None:
    """The first rule that lets a page of `origin` send `method` with these headers of its own."""
    for rule in rules:
        if (
            method in rule["AllowedMethods"]
            and _among(rule["AllowedOrigins"], origin)
            and all(_among(rule.get("AllowedHeaders") or (), name) for name in headers)
        ):
            return rule
    return None


def _among(patterns: Sequence[str], text: str) -> bool:
    """Whether one of them is the text, `*` standing for anything; in any case, as browsers send both."""
    return any(_is(pattern.lower(), text.lower()) for pattern in patterns)


def _is(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return text == pattern
    return text.startswith(before) and text[len(before) :].endswith(after)


def answer(rule: Rule, origin: str, headers: Sequence[str] = ()) -> Fields:
    """What the browser is told. headers: those that a preflight asked for."""
    everybody = "*" in rule["AllowedOrigins"]
    fields = [
        ("Access-Control-Allow-Origin", "*" if everybody else origin),
        ("Access-Control-Allow-Methods", ", ".join(rule["AllowedMethods"])),
    ]
    if headers:
        fields.append(("Access-Control-Allow-Headers", ", ".join(headers)))
    if rule.get("ExposeHeaders"):
        fields.append(("Access-Control-Expose-Headers", ", ".join(rule["ExposeHeaders"])))
    if rule.get("MaxAgeSeconds") is not None:
        fields.append(("Access-Control-Max-Age", str(rule["MaxAgeSeconds"])))
    if not everybody:
        fields.append(("Access-Control-Allow-Credentials", "true"))
    return (*fields, ("Vary", VARY))


def preflight(rules: Sequence[Rule] | None, origin: str, method: str, asked: str, resource: str) -> Fields:
    """The answer to a preflight. asked: Access-Control-Request-Headers. Raises BadRequest, AccessForbidden."""
    if not origin:
        raise ClientError("Insufficient information. Origin request header needed.", code="BadRequest")
    if method not in METHODS:
        raise ClientError(f"Invalid Access-Control-Request-Method: {method}", code="BadRequest")
    if not rules:
        raise _forbidden("CORSResponse: CORS is not enabled for this bucket.", method, resource)
    headers = [name.strip().lower() for name in asked.split(",") if name.strip()]
    rule = fitting(rules, origin, method, headers)
    if rule is None:
        message = (
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request "
            "method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the "
            "resource's CORS spec."
        )
        raise _forbidden(message, method, resource)
    return answer(rule, origin, headers)


def _forbidden(message: str, method: str, resource: str) -> ServiceError:
    members = {"Method": method, "ResourceType": resource}
    return ClientError(message, code="AccessForbidden", status=403, members=members)
