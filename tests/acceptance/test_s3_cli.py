"""`aws s3` and `aws s3api`: what people type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import RunningServer

AWS = Path(sys.executable).parent / "aws"


class Cli:
    def __init__(self, server: RunningServer, home: Path) -> None:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
        self._environment = {
            **kept, "HOME": str(home), "AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def __call__(self, *arguments: str | Path, fails: bool = False) -> str:
        done = subprocess.run(
            [AWS, *arguments], env=self._environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode != 0) is fails, f"aws {arguments}: {done.stdout}\n{done.stderr}"
        return done.stderr if fails else done.stdout

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self(*arguments) or "null")


@pytest.fixture
def cli(server: RunningServer, tmp_path: Path) -> Cli:
    return Cli(server, tmp_path)


def test_files_go_up_and_come_down(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    files = {"a.txt": b"a", "deep/b c.txt": b"b" * 1_000, "deep/large.bin": os.urandom(9 << 20)}
    for name, content in files.items():
        (source / name).write_bytes(content)
    assert cli("s3", "mb", "s3://cli-files").strip() == "make_bucket: cli-files"
    cli("s3", "sync", source, "s3://cli-files/up")
    assert cli("s3", "sync", source, "s3://cli-files/up").strip() == ""  # nothing is newer
    listed = cli("s3", "ls", "--recursive", "--summarize", "s3://cli-files")
    assert "Total Objects: 3" in listed
    assert "PRE deep/" in cli("s3", "ls", "s3://cli-files/up/")
    back = tmp_path / "back"
    cli("s3", "cp", "--recursive", "s3://cli-files/up", back)
    assert {name: (back / name).read_bytes() for name in files} == files
    cli("s3", "mv", "s3://cli-files/up/a.txt", "s3://cli-files/moved.txt")
    url = cli("s3", "presign", "s3://cli-files/moved.txt", "--expires-in", "60").strip()
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == b"a"
    (source / "a.txt").unlink()
    assert "delete: s3://cli-files/up/" not in cli("s3", "sync", "--delete", source, "s3://cli-files/up")
    assert "BucketNotEmpty" in cli("s3", "rb", "s3://cli-files", fails=True)
    cli("s3", "rm", "--recursive", "s3://cli-files/up")
    cli("s3", "rb", "--force", "s3://cli-files")
    assert "NoSuchBucket" in cli("s3", "ls", "s3://cli-files", fails=True)


def test_settings_by_s3api(cli: Cli, tmp_path: Path) -> None:
    bucket = ("--bucket", "cli-settings")
    cli("s3api", "create-bucket", *bucket)
    cli("s3api", "put-bucket-versioning", *bucket, "--versioning-configuration", "Status=Enabled")
    put = cli.json("s3api", "put-object", *bucket, "--key", "k", "--body", __file__, "--metadata", "a=b")
    head = cli.json("s3api", "head-object", *bucket, "--key", "k", "--version-id", put["VersionId"])
    assert (head["Metadata"], head["ETag"]) == ({"a": "b"}, put["ETag"])
    rules = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}}]}
    document = tmp_path / "rules.json"
    document.write_text(json.dumps(rules))
    cli("s3api", "put-bucket-lifecycle-configuration", *bucket, "--lifecycle-configuration", f"file://{document}")
    assert cli.json("s3api", "get-bucket-lifecycle-configuration", *bucket)["Rules"] == rules["Rules"]
    assert "expiry-date=" in cli.json("s3api", "head-object", *bucket, "--key", "k")["Expiration"]
    rules = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}
    document.write_text(json.dumps(rules))
    cli("s3api", "put-bucket-cors", *bucket, "--cors-configuration", f"file://{document}")
    assert cli.json("s3api", "get-bucket-cors", *bucket) == rules
    block = cli.json("s3api", "get-public-access-block", *bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    listed = cli.json("s3api", "list-object-versions", *bucket)["Versions"]
    assert [each["Key"] for each in listed] == ["k"]
    for command, code in (
        ("get-bucket-website", "NoSuchWebsiteConfiguration"), ("get-bucket-policy", "NoSuchBucketPolicy"),
        ("get-bucket-replication", "ReplicationConfigurationNotFoundError"),
        ("get-object-lock-configuration", "ObjectLockConfigurationNotFoundError"),
    ):  # fmt: skip
        assert code in cli("s3api", command, *bucket, fails=True)
    cli("s3api", "delete-object", *bucket, "--key", "k", "--version-id", put["VersionId"])
    cli("s3api", "delete-bucket", *bucket)
