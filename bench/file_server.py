"""The bare asyncio file server that S3's figures are held against: `python -m bench.file_server FD DIRECTORY`.

PUT writes the body to a file, fsyncs it and answers 200; GET sends the file in pieces. It checks, hashes and knows
nothing else.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

PIECE = 262_144


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, directory: Path) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, target, _ = head.split(b" ", 2)
            path = directory / target.decode().strip("/").replace("/", "_")
            if method == b"PUT":
                at = head.lower().index(b"content-length:")
                await _take(reader, path, int(head[at + 15 :].split(b"\r\n", 1)[0]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            else:
                await _give(writer, path)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _take(reader: asyncio.StreamReader, path: Path, left: int) -> None:
    with path.open("wb") as file:
        while left:
            piece = await reader.read(min(left, PIECE))
            left -= len(piece)
            file.write(piece)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())


async def _give(writer: asyncio.StreamWriter, path: Path) -> None:
    with path.open("rb") as file:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % os.fstat(file.fileno()).st_size)
        while piece := file.read(PIECE):
            writer.write(piece)
            await writer.drain()


async def main(descriptor: int, directory: Path) -> None:
    listener = socket.socket(fileno=descriptor)
    server = await asyncio.start_server(lambda r, w: serve(r, w, directory), sock=listener, limit=PIECE)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
