"""GetCallerIdentity, over the wire."""

from __future__ import annotations

import asyncio

from paddock.services import sts
from paddock.services.service import Mount
from tests.unit.services.harness import Client


def test_who_calls() -> None:
    client = Client(Mount(sts.SERVICE, sts.Desk()))
    assert asyncio.run(client("GetCallerIdentity")) == {
        "UserId": "123456789012",
        "Account": "123456789012",
        "Arn": "arn:aws:iam::123456789012:root",
    }
