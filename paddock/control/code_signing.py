"""Code signing: configurations, and the check of what is deployed (spec 01 section 11, spec 06 section 7).

What counts is checked when code is deployed, not when it runs. Content that was changed after it was signed is refused
whatever the policy says; a signature that is missing, expired or of somebody who is not among the publishers is refused
by Enforce and written to the server's log by Warn.

A publisher is a version of a signing profile, `paddock sign` makes them; their public keys lie in the data directory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import msgspec

from paddock.control.records import Statement, run
from paddock.control.undisturbed import Undisturbed
from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.model import signature
from paddock.model.errors import ClientError, InternalError, InvalidParameterValue, ResourceConflict, ResourceNotFound
from paddock.model.function import LayerUse, Signer
from paddock.model.quotas import Quotas
from paddock.model.signature import BadSignature, Signature
from paddock.model.signing import ENFORCE, WARN, CodeSigningConfig

log = logging.getLogger("paddock.signing")

ID_CHARS = 17
FAILED = (
    "The code signature failed one or more of the validation checks for signature mismatch or expiration, "
    "and the code signing policy is set to ENFORCE."
)


class Publishers(Protocol):
    """Public keys of signing profiles."""

    async def key_of(self, profile: str) -> bytes | None:
        """The PEM of the version of a profile with that ARN; None when there is none."""


class CodeSigning:
    """Call start() before anything else. Errors are those of model.errors."""

    def __init__(self, *, store: Store, publishers: Publishers, clock: Clock, ids: Ids, quotas: Quotas) -> None:
        self._store = store
        self._publishers = publishers
        self._clock = clock
        self._ids = ids
        self._quotas = quotas
        self._configs: dict[str, CodeSigningConfig] = {}
        self._changes = Undisturbed()
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        for config in await self._store.read(_load):
            self._configs[config.arn] = config

    async def stop(self) -> None:
        await self._changes.finish()

    def get(self, arn: str) -> CodeSigningConfig:
        """Raises ResourceNotFound."""
        config = self._configs.get(arn)
        if config is None:
            raise ResourceNotFound(f"The Lambda code signing configuration {arn} can not be found.")
        return config

    def for_function(self, arn: str) -> CodeSigningConfig:
        """As get, in the words of operations on functions. Raises CodeSigningConfigNotFoundException."""
        config = self._configs.get(arn)
        if config is None:
            raise ClientError(
                "The code signing configuration cannot be found. "
                f"Check that the provided configuration is not deleted: {arn}.",
                code="CodeSigningConfigNotFoundException",
                status=404,
            )
        return config

    def list(
        self, account: str, region: str, *, after: str = "", items_max: int | None = None
    ) -> tuple[Sequence[CodeSigningConfig], bool]:
        """A page by id, and whether more follow."""
        limit = min(items_max or self._quotas.page_items_max, self._quotas.page_items_max)
        own = (one for one in self._configs.values() if (one.account, one.region) == (account, region))
        fitting = sorted((one for one in own if one.id > after), key=lambda one: one.id)
        return fitting[:limit], len(fitting) > limit

    async def create(
        self, account: str, region: str, *, publishers: Sequence[str], policy: str, description: str,
        tags: Mapping[str, str],
    ) -> CodeSigningConfig:  # fmt: skip
        config = CodeSigningConfig(
            account=account,
            region=region,
            id=f"csc-{self._ids.hex(ID_CHARS)}",
            description=description,
            publishers=tuple(publishers),
            policy=policy or WARN,
            tags=tags,
            last_modified=self._clock.now(),
        )
        await self._changes.run(self._put(config))
        return config

    async def update(
        self, arn: str, *, publishers: Sequence[str] | None, policy: str, description: str | None
    ) -> CodeSigningConfig:
        """None and "" leave a member as it is. Raises ResourceNotFound."""

        def changed(config: CodeSigningConfig) -> CodeSigningConfig:
            return replace(
                config,
                publishers=config.publishers if publishers is None else tuple(publishers),
                policy=policy or config.policy,
                description=config.description if description is None else description,
                last_modified=self._clock.now(),
            )

        return await self._changes.run(self._change(arn, changed))

    async def retag(self, arn: str, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        """Raises ResourceNotFound, and what `change` does."""
        await self._changes.run(self._change(arn, lambda config: replace(config, tags=change(config.tags))))

    async def delete(self, arn: str, is_used: Callable[[], bool]) -> None:
        """Raises ResourceNotFound, ResourceConflict while functions have it."""
        await self._changes.run(self._delete(arn, is_used))

    async def check(self, arn: str, package: bytes) -> Signer | None:
        """May this package be deployed under that configuration? Who signed it, as far as that is known to be true.

        Raises InvalidCodeSignatureException, CodeVerificationFailedException.
        """
        config = self.for_function(arn)
        found, why = await self._examined(package)
        if found is not None and found.profile not in config.publishers:
            why = f"it was signed by {found.profile}, which is none of the allowed publishers"
        self._judge(config, why)
        return None if found is None else Signer(profile=found.profile, job=found.job)

    def check_layers(self, arn: str, layers: Sequence[LayerUse]) -> None:
        """The same for layers, whose signatures were read when they were published."""
        config = self.for_function(arn)
        for layer in layers:
            signer = layer.code.signer
            if signer is None or signer.profile not in config.publishers:
                self._judge(config, f"the layer {layer.arn} was not signed by an allowed publisher")

    async def signer_of(self, package: bytes) -> Signer | None:
        """Who signed a layer; None when nobody did whose signature is good."""
        try:
            found, why = await self._examined(package)
        except ClientError:
            return None
        return None if found is None or why else Signer(profile=found.profile, job=found.job)

    async def _examined(self, package: bytes) -> tuple[Signature | None, str]:
        """The package's signature when it is genuine, and what is wrong with it, "" for nothing."""
        try:
            found = await asyncio.to_thread(signature.read, package, self._quotas)
            if found is None:
                return None, "it is not signed"
            key = await self._publishers.key_of(found.profile)
            if key is None:
                return None, f"it was signed by {found.profile}, which is no signing profile of this server"
            await asyncio.to_thread(signature.check, package, found, key, self._quotas)
        except BadSignature as error:
            raise ClientError(str(error), code="InvalidCodeSignatureException") from error
        expired = found.expires_at <= self._clock.now().timestamp()
        return found, "its signature has expired" if expired else ""

    def _judge(self, config: CodeSigningConfig, why: str) -> None:
        if not why:
            return
        if config.policy == ENFORCE:
            raise ClientError(f"{FAILED} ({why})", code="CodeVerificationFailedException")
        log.warning("code deployed under %s in spite of this: %s", config.arn, why)

    async def _change(self, arn: str, changed: Callable[[CodeSigningConfig], CodeSigningConfig]) -> CodeSigningConfig:
        async with self._lock:
            config = changed(self.get(arn))
            await self._put(config)
        return config

    async def _put(self, config: CodeSigningConfig) -> None:
        document = msgspec.json.encode(config).decode()
        await self._write([("code_signing_config_put", {"arn": config.arn, "document": document})])
        self._configs[config.arn] = config

    async def _delete(self, arn: str, is_used: Callable[[], bool]) -> None:
        async with self._lock:
            self.get(arn)
            if is_used():
                raise ResourceConflict(f"The code signing configuration {arn} is used by functions.")
            await self._write([("code_signing_config_delete", {"arn": arn})])
            del self._configs[arn]

    async def _write(self, statements: Sequence[Statement]) -> None:
        try:
            await self._store.write(lambda tx: run(tx, statements))
        except OSError as error:
            raise InternalError("The change could not be stored: the disk is full or fails. Try again.") from error


def checked_publishers(arns: Sequence[str]) -> Sequence[str]:
    """Raises InvalidParameterValue for what cannot be a version of a signing profile."""
    for arn in arns:
        parts = arn.split(":", 5)
        if parts[2] != "signer" or not parts[5].startswith("/signing-profiles/"):
            raise InvalidParameterValue(f"{arn} is not the ARN of a version of a signing profile.")
    return arns


def _load(tx: Tx) -> list[CodeSigningConfig]:
    return [
        msgspec.json.decode(row["document"], type=CodeSigningConfig) for row in tx.rows("code_signing_configs_all")
    ]  # fmt: skip
