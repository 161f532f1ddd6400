"""`paddock sign`: what it writes is what the server accepts, and only the public half is for others to read."""

from __future__ import annotations

import asyncio
import itertools
import stat
from pathlib import Path

import pytest

from paddock.__main__ import main
from paddock.backends.files.publishers import FilePublishers
from paddock.cli.sign import DIRECTORY, CannotSign, Signing, sign
from paddock.model import signature
from paddock.model.quotas import Quotas
from tests.support.server import zipped


def signing(tmp_path: Path, profile: str = "release") -> Signing:
    numbers = itertools.count(1)
    return Signing(
        data_dir=tmp_path, profile=profile, account="000000000000", region="us-east-1", days=1, now_s=1000,
        hex=lambda digits: f"{next(numbers):0{digits}x}",
    )  # fmt: skip


def test_the_signature_is_the_profiles(tmp_path: Path) -> None:
    package, target = tmp_path / "f.zip", tmp_path / "signed.zip"
    package.write_bytes(zipped({"f.py": "x"}))
    arn = sign(package, target, signing(tmp_path))
    assert arn == "arn:aws:signer:us-east-1:000000000000:/signing-profiles/release/0000000001"
    found = signature.read(target.read_bytes(), Quotas())
    assert found is not None
    assert (found.profile, found.signed_at, found.expires_at) == (arn, 1000, 87_400)
    key = asyncio.run(FilePublishers(tmp_path / DIRECTORY).key_of(arn))
    assert key is not None
    signature.check(target.read_bytes(), found, key, Quotas())
    assert sign(package, target, signing(tmp_path)) == arn, "the profile is used again"
    (secret,) = tmp_path.glob(f"{DIRECTORY}/release/*.key")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_profiles_that_are_not_there(tmp_path: Path) -> None:
    publishers = FilePublishers(tmp_path)
    for arn in (
        "arn:aws:signer:us-east-1:000000000000:/signing-profiles/release/0000000001",
        "arn:aws:signer:us-east-1:000000000000:/signing-profiles/../release/0000000001",
        "x",
    ):
        assert asyncio.run(publishers.key_of(arn)) is None


def test_what_cannot_be_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = tmp_path / "f.zip"
    with pytest.raises(CannotSign, match="No such file"):
        sign(package, tmp_path / "out.zip", signing(tmp_path))
    package.write_bytes(b"no zip")
    with pytest.raises(CannotSign, match="Could not unzip"):
        sign(package, tmp_path / "out.zip", signing(tmp_path))
    with pytest.raises(CannotSign, match="no name"):
        sign(package, tmp_path / "out.zip", signing(tmp_path, "../x"))
    assert main(["sign", str(package), "--profile", "pp", "--data-dir", str(tmp_path)]) == 1
    assert "Could not unzip" in capsys.readouterr().err
    package.write_bytes(zipped({"f.py": "x"}))
    assert main(["sign", str(package), "--profile", "pp", "--data-dir", str(tmp_path)]) == 0
    assert ":/signing-profiles/pp/" in capsys.readouterr().out
    assert (tmp_path / "f.signed.zip").exists()
