"""What the operations on parameters may ask, and a parameter as it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from paddock.control.keys import Keys
from paddock.interfaces import Clock, Store, Tx
from paddock.services.service import Call

SECURE = "SecureString"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    store: Store
    keys: Keys
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """value: sealed (hex) when the type is SecureString. key: whose key was asked for, "" for the default one."""

    name: str
    type: str
    value: str
    version: int = 1
    description: str = ""
    data_type: str = "text"
    key: str = ""
    modified_at: datetime
    tags: dict[str, str] = field(default_factory=dict)


def find(tx: Tx, call: Call, name: str, version: int = 0) -> Parameter | None:
    """The newest version, or the one with that number."""
    row = tx.row(
        "ssm_parameter_get", account=call.caller.account, region=call.caller.region, name=name, version=version
    )
    return None if row is None else msgspec.json.decode(row["document"], type=Parameter)


def newest(tx: Tx, call: Call) -> list[Parameter]:
    """The newest version of each, by name."""
    rows = tx.rows("ssm_parameters_newest", account=call.caller.account, region=call.caller.region)
    return [msgspec.json.decode(row["document"], type=Parameter) for row in rows]


def put(tx: Tx, call: Call, parameter: Parameter) -> None:
    tx.run(
        "ssm_parameter_put",
        account=call.caller.account,
        region=call.caller.region,
        name=parameter.name,
        version=parameter.version,
        document=msgspec.json.encode(parameter).decode(),
    )
