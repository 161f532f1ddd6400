"""A Function as rows of the store, both ways.

latest, serving, versions and aliases are JSON documents whose members are the fields of FunctionVersion and Alias: a
field that is added later with a default is read from old rows without a migration; one that is renamed needs one.
A change writes the rows that differ, so that publishing the thousandth version does not rewrite the other 999.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from paddock.interfaces import Row, Tx
from paddock.model.alias import Alias
from paddock.model.event_invoke import EventInvokeConfig
from paddock.model.function import CodeArtifact, Function, FunctionVersion
from paddock.model.function_url import FunctionUrl
from paddock.model.permission import ResourcePolicy
from paddock.model.provisioned import ProvisionedConfig

NO_CODE = CodeArtifact(digest="", size_bytes=0, unzipped_bytes=0)
"""Stands in a version that is checked before its code is stored; never in a row."""

EVENT_INVOKE, RECURSION, URL, PROVISIONED = "event_invoke", "recursion", "url", "provisioned"
"""Kinds of function_documents."""

Statement = tuple[str, Mapping[str, Any]]
"""A query's name and its arguments."""


def run(tx: Tx, statements: Iterable[Statement]) -> None:
    for query, args in statements:
        tx.run(query, **args)


class Seals(Protocol):
    """How environments lie in the store: never to be read there. control.keys.Keys."""

    def seal_for(self, plain: bytes, about: str, key: str) -> bytes:
        """key: a customer's, or "" for Paddock's own."""

    def open_for(self, sealed: bytes, about: str) -> bytes:
        """Raises BrokenSeal."""


def load(tx: Tx, seals: Seals) -> list[Function]:
    """Every function. Raises msgspec.ValidationError for a row that no Paddock has written."""
    versions: dict[tuple[str, str, str], dict[str, FunctionVersion]] = defaultdict(dict)
    aliases: dict[tuple[str, str, str], dict[str, Alias]] = defaultdict(dict)
    policies: dict[tuple[str, str, str], dict[str, ResourcePolicy]] = defaultdict(dict)
    for row in tx.rows("function_versions_all"):
        found = _version(row["document"], seals)
        versions[_key(row)][found.version] = found
    for row in tx.rows("function_aliases_all"):
        aliases[_key(row)][row["alias"]] = msgspec.json.decode(row["document"], type=Alias)
    for row in tx.rows("function_policies_all"):
        policies[_key(row)][row["qualifier"]] = ResourcePolicy.of(row["document"])
    documents = _documents(tx)
    return [
        replace(
            _function(row, seals, versions[_key(row)], aliases[_key(row)]),
            policies=policies[_key(row)],
            **documents[_key(row)],
        )
        for row in tx.rows("functions_all")
    ]


def _documents(tx: Tx) -> Mapping[tuple[str, str, str], dict[str, Any]]:
    """Fields of Function that are kept as documents, by function."""
    found: dict[tuple[str, str, str], dict[str, Any]] = defaultdict(dict)
    for row in tx.rows("function_documents_all"):
        if row["kind"] == EVENT_INVOKE:
            config = msgspec.json.decode(row["document"], type=EventInvokeConfig)
            found[_key(row)].setdefault("event_invokes", {})[row["qualifier"]] = config
        elif row["kind"] == RECURSION:
            found[_key(row)]["recursion_allowed"] = msgspec.json.decode(row["document"], type=bool)
        elif row["kind"] == URL:
            url = msgspec.json.decode(row["document"], type=FunctionUrl)
            found[_key(row)].setdefault("urls", {})[row["qualifier"]] = url
        elif row["kind"] == PROVISIONED:
            provisioned = msgspec.json.decode(row["document"], type=ProvisionedConfig)
            found[_key(row)].setdefault("provisioned", {})[row["qualifier"]] = provisioned
    return found


def _document_changes(key: Mapping[str, Any], old: Function, after: Function) -> Iterator[Statement]:
    qualified = (
        (EVENT_INVOKE, old.event_invokes, after.event_invokes),
        (URL, old.urls, after.urls),
        (PROVISIONED, old.provisioned, after.provisioned),
    )
    for kind, before, now in qualified:
        of_kind = {**key, "kind": kind}
        for qualifier, document in _differing(before, now):
            yield "function_document_put", {**of_kind, "qualifier": qualifier, "document": _text(document)}
        for qualifier in before:
            if qualifier not in now:
                yield "function_document_delete", {**of_kind, "qualifier": qualifier}
    if old.recursion_allowed is not after.recursion_allowed:
        document = _text(after.recursion_allowed)
        yield "function_document_put", {**key, "kind": RECURSION, "qualifier": "", "document": document}


def changes(before: Function | None, after: Function, seals: Seals) -> list[Statement]:
    """What brings the store from one state of a function to another."""
    key = _identity(after)
    old = before or Function(latest=after.latest)
    return [
        ("function_put", _row_of(after, seals)),
        *(
            ("function_version_put", {**key, "version": int(number), "document": _document(version, seals)})
            for number, version in _differing(old.versions, after.versions)
        ),
        *(
            ("function_version_delete", {**key, "version": int(number)})
            for number in old.versions
            if number not in after.versions
        ),
        *(
            ("function_alias_put", {**key, "alias": name, "document": _text(alias)})
            for name, alias in _differing(old.aliases, after.aliases)
        ),
        *(
            ("function_alias_delete", {**key, "alias": name})
            for name in old.aliases
            if name not in after.aliases
        ),
        *(
            ("function_policy_put", {**key, "qualifier": qualifier, "document": policy.text})
            for qualifier, policy in _differing(old.policies, after.policies)
        ),
        *(
            ("function_policy_delete", {**key, "qualifier": qualifier})
            for qualifier in old.policies
            if qualifier not in after.policies
        ),
        *_document_changes(key, old, after),
    ]  # fmt: skip


def deletion(function: Function) -> list[Statement]:
    """What forgets a function and all that is its own, save how far its version numbers went."""
    key = _identity(function)
    statements: list[Statement] = [
        ("function_delete", key),
        ("function_versions_delete", key),
        ("function_aliases_delete", key),
        ("function_policies_delete", key),
        ("function_documents_delete", key),
    ]
    if function.last_version:
        statements.append(("version_number_put", {**key, "last_version": function.last_version}))
    return statements


def last_version(tx: Tx, account: str, region: str, name: str) -> int:
    """The highest version number of deleted functions of that name."""
    row = tx.row("version_number_get", account=account, region=region, name=name)
    return 0 if row is None else int(row["last_version"])


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in after.items() if before.get(name) is not value)


def _identity(function: Function) -> dict[str, Any]:
    latest = function.latest
    return {"account": latest.account, "region": latest.region, "name": latest.name}


def _row_of(function: Function, seals: Seals) -> dict[str, Any]:
    return {
        **_identity(function),
        "latest": _document(function.latest, seals),
        "serving": None if function.serving is None else _document(function.serving, seals),
        "tags": _text(dict(function.tags)),
        "last_version": function.last_version,
        "reserved_concurrency": function.reserved_concurrency,
        "code_signing": function.code_signing,
    }


def _function(
    row: Row, seals: Seals, versions: Mapping[str, FunctionVersion], aliases: Mapping[str, Alias]
) -> Function:
    latest = _version(row["latest"], seals)
    serving = None if row["serving"] is None else _version(row["serving"], seals)
    # Most functions serve what they show; one object for both keeps memory and comparisons small.
    if serving == latest:
        serving = latest
    return Function(
        latest=latest,
        serving=serving,
        tags=msgspec.json.decode(row["tags"], type=dict[str, str]),
        versions=versions,
        aliases=aliases,
        last_version=row["last_version"],
        reserved_concurrency=row["reserved_concurrency"],
        code_signing=row["code_signing"],
    )


def _key(row: Row) -> tuple[str, str, str]:
    return (row["account"], row["region"], row["name"])


def has_open_environments(tx: Tx) -> bool:
    """Whether an earlier Paddock, which did not seal, has written some of the rows."""
    return tx.row("functions_with_open_environments") is not None


def _document(version: FunctionVersion, seals: Seals) -> str:
    if version.environment is None:
        return _text(version)
    plain = msgspec.json.encode(dict(version.environment))
    sealed = seals.seal_for(plain, version.function_arn, version.kms_key_arn)
    return _text(replace(version, environment=None, sealed_environment=sealed.hex()))


def _version(document: str, seals: Seals) -> FunctionVersion:
    found = msgspec.json.decode(document, type=FunctionVersion)
    if not found.sealed_environment:
        return found
    plain = seals.open_for(bytes.fromhex(found.sealed_environment), found.function_arn)
    environment = msgspec.json.decode(plain, type=dict[str, str])
    return replace(found, environment=environment, sealed_environment="")


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
