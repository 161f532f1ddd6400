"""References, manifests and configurations of images."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.image import (
    BadImage,
    Blob,
    ContainerImage,
    ImageConfig,
    Manifest,
    Reference,
    parse_reference,
    read_configuration,
    read_manifest,
)

HEX = "ab" * 32
OCI = "application/vnd.oci.image"


@pytest.mark.parametrize(
    ("uri", "reference"),
    [
        ("alpine", Reference(host="docker.io", name="library/alpine", tag="latest")),
        ("team/app:1", Reference(host="docker.io", name="team/app", tag="1")),
        ("docker.io/app", Reference(host="docker.io", name="library/app", tag="latest")),
        ("localhost/app", Reference(host="localhost", name="app", tag="latest")),
        ("localhost:5000/a/b:t", Reference(host="localhost:5000", name="a/b", tag="t")),
        ("[::1]:5000/a", Reference(host="[::1]:5000", name="a", tag="latest")),
        (f"r.example.com/a@sha256:{HEX}", Reference(host="r.example.com", name="a", digest=HEX)),
        (f"r.example.com/a:t@sha256:{HEX}", Reference(host="r.example.com", name="a", tag="t", digest=HEX)),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1",
         Reference(host="123456789012.dkr.ecr.us-east-1.amazonaws.com", name="x", tag="1")),
        ("oci:/srv/app", Reference(kind="oci:", path="/srv/app")),
        ("oci:/srv/app:v1", Reference(kind="oci:", path="/srv/app", tag="v1")),
        (f"oci:/srv/app@sha256:{HEX}", Reference(kind="oci:", path="/srv/app", digest=HEX)),
        ("docker-archive:/srv/a.tar", Reference(kind="docker-archive:", path="/srv/a.tar")),
        ("docker-archive:/srv/a.tar:team/app:1",
         Reference(kind="docker-archive:", path="/srv/a.tar", tag="team/app:1")),
    ],
)  # fmt: skip
def test_references(uri: str, reference: Reference) -> None:
    assert parse_reference(uri) == reference


@pytest.mark.parametrize(
    "uri",
    ["", ":", "a b", "App", "host.example/", "a//b", "http://x/y", "a:", "a@sha256:12", "-x/y", "host:port/x", "a/../b",
     "oci:", "oci:rel", "oci:/a/../b", "oci:/a\0", "docker-archive:/../x", "x" * 1025, "a:" + "t" * 129,
     f"oci:/a@sha256:{HEX[:-1]}", "r.example.com/UPPER", "r.example.com:999999/a"],
)  # fmt: skip
def test_what_is_no_reference(uri: str) -> None:
    with pytest.raises(BadImage):
        parse_reference(uri)


@given(st.text(max_size=200))
def test_any_text_is_a_reference_or_none(text: str) -> None:
    try:
        reference = parse_reference(text)
    except BadImage:
        return
    assert "\n" not in reference.repository
    assert ".." not in reference.name.split("/")


def described(kind: str, size: int = 1, digest: str = HEX, **more: Any) -> dict[str, Any]:
    return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": size, **more}


def manifest(**changes: Any) -> bytes:
    whole = {"schemaVersion": 2, "config": described("config.v1+json"), "layers": [described("layer.v1.tar+gzip", 7)]}
    return json.dumps({**whole, **changes}).encode()


def test_a_manifest() -> None:
    assert read_manifest(manifest(), "u", "x86_64") == Manifest(config=Blob(HEX, 1), layers=((Blob(HEX, 7), "gzip"),))


def test_an_index_is_chosen_from_by_platform() -> None:
    def of(architecture: str, os: str = "linux", digest: str = HEX) -> dict[str, Any]:
        return described("manifest.v1+json", digest=digest, platform={"os": os, "architecture": architecture})

    other = "cd" * 32
    listed = [of("amd64", "windows"), of("unknown", "unknown"), of("arm64"), of("amd64", digest=other)]
    content = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
    assert read_manifest(content, "u", "x86_64").chosen == Blob(other, 1)
    assert read_manifest(content, "u", "arm64").chosen == Blob(HEX, 1)
    with pytest.raises(BadImage, match="no image for linux/amd64"):
        read_manifest(json.dumps({"schemaVersion": 2, "manifests": listed[:3]}).encode(), "u", "x86_64")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"nonsense", b"\xff", b"[" * 100_000, manifest(schemaVersion=1), manifest(layers=None),
     manifest(config=None), manifest(layers=[described("layer.v1.tar+bz2")]), manifest(layers=[described("x", -1)]),
     manifest(layers=[{"digest": "sha256:", "size": 1}]), manifest(config=described("config.v1+json", -1)),
     manifest(mediaType="application/vnd.example"), manifest(layers=[described("layer.v1.tar")] * 128),
     manifest(config=described("config.v1+json", digest="../../etc/passwd"))],
)  # fmt: skip
def test_manifests_that_are_refused(content: bytes) -> None:
    with pytest.raises(BadImage):
        read_manifest(content, "u", "x86_64")


LAYERS = Manifest(config=Blob(HEX, 1), layers=((Blob(HEX, 7), ""),))


def configuration(**changes: Any) -> bytes:
    whole = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [f"sha256:{HEX}"]}}
    return json.dumps({**whole, **changes}).encode()


def test_a_configuration() -> None:
    run = {"Entrypoint": ["/e"], "Cmd": ["c"], "Env": ["A=b=c", "EMPTY="], "WorkingDir": "/w", "User": "root"}
    image = read_configuration(configuration(config=run), "host.example/x:1", "x86_64", HEX, LAYERS)
    assert (image.entry_point, image.command, image.working_directory) == (("/e",), ("c",), "/w")
    assert image.environment == {"A": "b=c", "EMPTY": ""}
    assert image.resolved_uri == f"host.example/x@sha256:{HEX}"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", configuration(architecture="arm64"), configuration(os="windows"), configuration(rootfs={}),
     configuration(rootfs={"diff_ids": ["sha256:x"]}), configuration(config={"Env": ["=x"]}),
     configuration(config={"Entrypoint": "text"}), configuration(config={"Env": ["A=\0"]})],
)  # fmt: skip
def test_configurations_that_are_refused(content: bytes) -> None:
    with pytest.raises(BadImage):
        read_configuration(content, "u", "x86_64", HEX, LAYERS)


def test_what_a_function_sets_over_its_image() -> None:
    image = ContainerImage(
        uri="u", digest=HEX, config=HEX, layers=(), entry_point=("/e",), command=("c",), working_directory="/w"
    )
    assert ImageConfig().program(image) == ("/e", "c")
    assert ImageConfig(command=("x", "y")).program(image) == ("/e", "x", "y")
    assert ImageConfig(entry_point=("/z",)).program(image) == ("/z", "c")
    assert ImageConfig(working_directory="/v").directory(image) == "/v"
    assert ImageConfig().directory(image) == "/w"
