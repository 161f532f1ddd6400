"""The echo that a user would write instead of a function. Needs fastapi, which Paddock does not."""

from __future__ import annotations

import importlib
from typing import Any

app: Any = importlib.import_module("fastapi").FastAPI()


async def echo(name: str, event: dict[str, Any]) -> dict[str, Any]:
    return event


app.post("/2015-03-31/functions/{name}/invocations")(echo)
