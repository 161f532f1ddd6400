"""What `paddock images` is told: each image once, with what it shares and who uses it; and how that is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from paddock.cli import images
from paddock.model.function import CodeArtifact, Function, FunctionVersion
from paddock.model.image import IMAGE_RUNTIME, ContainerImage, ImageLayer
from paddock.services.lambda_.image_tools import listing


def layer(name: str, size_bytes: int) -> ImageLayer:
    return ImageLayer(digest=name * 64, diff_id=name * 64, size_bytes=size_bytes)


def image(uri: str, digest: str, *layers: ImageLayer) -> ContainerImage:
    return ContainerImage(uri=uri, digest=digest * 64, config=digest * 64, layers=layers)


def function(name: str, of: ContainerImage, *published: ContainerImage) -> Function:
    latest = FunctionVersion(
        account="000000000000", region="us-east-1", name=name, runtime=IMAGE_RUNTIME, handler="", role="r",
        code=CodeArtifact(digest=of.config, size_bytes=0, unzipped_bytes=0), image=of, revision_id="r", build_id="b",
        last_modified=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    versions = {str(n): replace(latest, version=str(n), image=one) for n, one in enumerate(published, 1)}
    return Function(latest=latest, serving=latest, versions=versions)


BASE, OWN, OTHER = layer("a", 1000), layer("b", 20), layer("c", 3)
FIRST, SECOND, LEFT = (
    image("x/first:1", "1", BASE, OWN), image("x/second:1", "2", BASE, OTHER), image("x/left:1", "3", layer("d", 5))
)  # fmt: skip


def test_sizes_shares_and_users() -> None:
    used = [function("f", SECOND, FIRST), function("g", SECOND)]
    arn = "arn:aws:lambda:us-east-1:000000000000:function:"
    assert listing([SECOND, LEFT, FIRST, FIRST], iter(used)) == [
        {"reference": "x/first:1", "digest": "sha256:" + "1" * 64, "size_bytes": 1020, "shared_bytes": 1000,
         "functions": [f"{arn}f:1"]},
        {"reference": "x/left:1", "digest": "sha256:" + "3" * 64, "size_bytes": 5, "shared_bytes": 0, "functions": []},
        {"reference": "x/second:1", "digest": "sha256:" + "2" * 64, "size_bytes": 1003, "shared_bytes": 1000,
         "functions": [f"{arn}f:$LATEST", f"{arn}g:$LATEST"]},
    ]  # fmt: skip


def test_a_tag_that_moved_is_two_images() -> None:
    before, after = FIRST, replace(SECOND, uri=FIRST.uri)
    found = listing([before, after], iter([function("f", after)]))
    assert [(one["digest"][7], bool(one["functions"])) for one in found] == [("1", False), ("2", True)]


def test_how_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {"images": listing([FIRST, LEFT], iter([function("f", FIRST)]))}
    monkeypatch.setattr(images, "_ask", lambda endpoint, path: told)
    assert images.listed("http://x", False).splitlines() == [
        "REFERENCE  DIGEST        SIZE    SHARED  FUNCTIONS",
        "x/first:1  111111111111  1.0 kB  0 B     f:$LATEST",
        "x/left:1   333333333333  5 B     0 B     none (see `paddock images prune`)",
    ]
    assert json.loads(images.listed("http://x", True)) == told["images"]
    told = {"images": []}
    assert images.listed("http://x", False) == "No image was pulled."
    told = {"removed": ["x/left@sha256:3"], "freed_bytes": 12_345_678}
    assert images.pruned("http://x") == "removed x/left@sha256:3\n12.3 MB freed"


@pytest.mark.parametrize(
    ("endpoint", "text"), [("x", "not an http address"), ("http://127.0.0.1:9", "Start it with: paddock up")]
)
def test_nobody_there(endpoint: str, text: str) -> None:
    with pytest.raises(images.CannotAsk, match=text):
        images.listed(endpoint, False)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (10**16, "10000.0 TB")]
)
def test_sizes_as_people_read_them(count: int, text: str) -> None:
    assert images.size(count) == text
