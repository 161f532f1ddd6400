"""An ordinary FastAPI application that knows nothing of Lambda: `uvicorn app:app` serves it anywhere."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from fastapi import Cookie, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI(title="Greetings")


class Greeting(BaseModel):
    """What is posted."""

    name: str
    times: int = 1


@app.get("/")
def ready() -> str:
    """What the adapter asks for until the application answers."""
    return "ready"


@app.get("/greet/{name}")
def greet(name: str, loud: bool = False, visits: int = Cookie(default=0)) -> dict[str, object]:
    return {"greeting": f"Hello {name.upper() if loud else name}", "visits": visits}


@app.post("/greet", status_code=201)
def remember(greeting: Greeting, response: Response) -> dict[str, object]:
    response.set_cookie("visits", str(greeting.times))
    response.set_cookie("theme", "dark")
    return {"greeting": " ".join([f"Hello {greeting.name}"] * greeting.times)}


@app.post("/digest")
async def digest(request: Request) -> Response:
    """Bytes in, bytes out."""
    return Response(hashlib.sha256(await request.body()).digest(), media_type="application/octet-stream")


@app.get("/count")
async def count(to: int = 5) -> StreamingResponse:
    """A response that is sent while it is made; `curl -N` shows it."""

    async def lines() -> AsyncIterator[str]:
        for number in range(1, to + 1):
            yield f"{number}\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(lines(), media_type="text/plain")
