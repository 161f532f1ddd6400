"""A ledger of objects while the server is killed: what was acknowledged is there and whole, nothing else is half there.

    python -m tests.faults.objects 30       thirty kills, and what was found

Writers put small and large objects, complete uploads, begin others and delete; each owns its keys and changes one at a
time. When a change was under way at the kill, either outcome is right, but nothing between.
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.support.server import RunningServer

BUCKET = "ledger"
WRITERS = 6
KEYS = 12
CHANGES_BETWEEN_KILLS = 120
INLINE_BYTES_MAX = 32_768


def content_of(size: int) -> bytes:
    return (hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1))[:size]


@dataclass(slots=True)
class Ledger:
    """kept: key -> size as acknowledged (None: deleted). doubtful: key -> what it may be besides, after a kill."""

    kept: dict[str, int | None] = field(default_factory=dict)
    doubtful: dict[str, int | None] = field(default_factory=dict)
    acknowledged: int = 0
    kills: int = 0
    wrong: list[str] = field(default_factory=list)

    def text(self) -> str:
        return (
            f"{self.kills} kills, {self.acknowledged} changes acknowledged, {len(self.wrong)} wrong: {self.wrong[:5]}"
        )


class Objects:
    def __init__(self, server: RunningServer, kills: int, seed: int) -> None:
        self._server = server
        self._kills = kills
        self._random = random.Random(seed)
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._changes = 0
        self.ledger = Ledger()

    def run(self) -> Ledger:
        self._server.client("s3").create_bucket(Bucket=BUCKET)
        for _ in range(self._kills):
            self._between_kills()
            self._look()
        self._look_for_orphans()
        return self.ledger

    def _between_kills(self) -> None:
        self._enough.clear()
        self._changes = 0
        seeds = [self._random.random() for _ in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as threads:
            running = [threads.submit(self._write, number, seed) for number, seed in enumerate(seeds)]
            if not self._enough.wait(120):
                raise AssertionError(f"writers stand still: {self._server.log[-2_000:]}")
            self._server.kill()
            for one in running:
                one.result()
        self.ledger.kills += 1
        self._server.start()

    # -- writers

    def _write(self, writer: int, seed: float) -> None:
        chance, s3 = random.Random(seed), self._server.client("s3", retries={"total_max_attempts": 1})
        while True:
            key = f"{writer}/{chance.randrange(KEYS)}"
            size = chance.choice((700, 40_000, 300_000)) + chance.randrange(100)
            act = chance.choice(("put", "put", "put", "upload", "begin", "delete"))
            wanted = None if act == "delete" else size
            if act != "begin":
                self.ledger.doubtful[key] = wanted
            try:
                self._change(s3, act, key, size)
            except (BotoCoreError, ClientError, OSError):
                return
            with self._lock:
                if act != "begin":
                    self.ledger.kept[key] = self.ledger.doubtful.pop(key)
                self.ledger.acknowledged += 1
                self._changes += 1
                if self._changes == CHANGES_BETWEEN_KILLS:
                    self._enough.set()

    def _change(self, s3: Any, act: str, key: str, size: int) -> None:
        named = {"Bucket": BUCKET, "Key": key}
        if act == "put":
            s3.put_object(**named, Body=content_of(size))
        elif act == "delete":
            s3.delete_object(**named)
        else:
            upload = s3.create_multipart_upload(**named)["UploadId"]
            part = s3.upload_part(**named, UploadId=upload, PartNumber=1, Body=content_of(size))
            if act == "upload":
                parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
                s3.complete_multipart_upload(**named, UploadId=upload, MultipartUpload=parts)

    # -- what is there afterwards

    def _look(self) -> None:
        ledger, s3 = self.ledger, self._server.client("s3")
        found = {each["Key"]: int(each["Size"]) for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())}
        for key in sorted({*ledger.kept, *ledger.doubtful, *found}):
            may_be = {ledger.kept.get(key)} | ({ledger.doubtful[key]} if key in ledger.doubtful else set())
            size = found.get(key)
            if size not in may_be:
                ledger.wrong.append(f"{key} is {size}, not one of {may_be}")
            elif size is not None and s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() != content_of(size):
                ledger.wrong.append(f"{key} has other bytes")
            ledger.kept[key] = size
        ledger.doubtful.clear()

    def _look_for_orphans(self) -> None:
        """As many files as rows name: large objects, uploaded ones, and parts that wait."""
        s3 = self._server.client("s3")
        named = 0
        for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            named += each["Size"] > INLINE_BYTES_MAX or "-" in each["ETag"]
        for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET):
            for upload in page.get("Uploads", ()):
                parts = s3.list_parts(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
                named += len(parts.get("Parts", ()))
        place = self._server.data_dir / "server" / "objects"
        stored = sum(1 for path in place.rglob("*") if path.is_file())
        if stored != named:
            self.ledger.wrong.append(f"{stored} files for {named} segments")


def main(kills: int) -> None:
    with tempfile.TemporaryDirectory() as directory, RunningServer(Path(directory)) as server:
        ledger = Objects(server, kills, seed=7).run()
    print(ledger.text())
    sys.exit(1 if ledger.wrong else 0)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
