"""An ordinary FastAPI application; Mangum makes a Lambda handler of it. It would run on AWS unchanged."""

from __future__ import annotations

import hashlib

from fastapi import Cookie, FastAPI, Request, Response
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI(title="Notes")


class Note(BaseModel):
    """What is posted."""

    text: str
    priority: int = 1


@app.get("/notes/{name}")
def read(name: str, upper: bool = False, visits: int = Cookie(default=0)) -> dict[str, object]:
    return {"name": name.upper() if upper else name, "visits": visits}


@app.post("/notes", status_code=201)
def write(note: Note, request: Request, response: Response) -> dict[str, object]:
    response.set_cookie("visits", str(note.priority))
    response.set_cookie("theme", "dark")
    return {"text": note.text, "from": request.client.host if request.client else ""}


@app.post("/digest")
async def digest(request: Request) -> Response:
    """Bytes in, bytes out: both travel as base64 in the event and in the answer."""
    return Response(hashlib.sha256(await request.body()).digest(), media_type="application/octet-stream")


handler = Mangum(app, lifespan="off")
