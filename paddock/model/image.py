"""Container images: how they are named, what their manifests and configurations say, and what of it is run.

    parse_reference("registry.example.com:5000/team/app:1")     a repository of a registry
    parse_reference("oci:/srv/images/app:1")                    an OCI layout directory on this machine
    parse_reference("docker-archive:/srv/images/app.tar")       what `docker save` wrote

A ContainerImage is what a function version keeps: everything is named by digests from then on, so that a tag that is
moved changes no function. Digests are SHA-256 in lower-case hex, without their prefix.

Nothing that a registry sends is believed: sizes are bounded before they are read, digests are checked against what
arrives, and lists have limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from paddock.model.errors import ClientError

IMAGE_RUNTIME = "image"
"""What stands for the runtime of a function whose code is an image: it is shown to nobody."""

MANIFEST_BYTES_MAX = 4 << 20
LAYERS_MAX = 127
OCI, DOCKER_ARCHIVE = "oci:", "docker-archive:"

INVALID, DENIED, DELETED = "InvalidImage", "ImageAccessDenied", "ImageDeleted"
"""StateReasonCodes of the service model."""

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPTED = (*_INDEXES, *_MANIFESTS)
_LAYERS = {
    "application/vnd.oci.image.layer.v1.tar": "",
    "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
    "application/vnd.docker.image.rootfs.diff.tar": "",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
}
_PROCESSORS = {"x86_64": "amd64", "arm64": "arm64"}

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<name>{_NAME}(?:/{_NAME})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?\Z",
    re.ASCII,
)
_URI_CHARS_MAX = 1024
_DOCKER_HUB = "docker.io"


class BadImage(ClientError):
    """An image that cannot be had or run; its code is one of the service model's StateReasonCodes."""

    def __init__(self, message: str, code: str = INVALID) -> None:
        super().__init__(message, code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """kind: "" for a registry, else OCI or DOCKER_ARCHIVE. host, name: of a registry. path: of a file or directory.

    tag: "" where a digest names it, or where the only image there is meant.
    """

    kind: str = ""
    host: str = ""
    name: str = ""
    path: str = ""
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """As it stands before the tag or the digest."""
        return f"{self.host}/{self.name}" if not self.kind else f"{self.kind}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayer:
    """digest: of the blob as it is stored and sent. diff_id: of the tar inside. compression: "", gzip or zstd."""

    digest: str
    diff_id: str
    size_bytes: int
    compression: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerImage:
    """uri: as it was named. digest: of the manifest, config: of its configuration, which names the root it makes."""

    uri: str
    digest: str
    config: str
    layers: tuple[ImageLayer, ...]
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""

    @property
    def resolved_uri(self) -> str:
        return f"{parse_reference(self.uri).repository}@sha256:{self.digest}"

    @property
    def size_bytes(self) -> int:
        """Of the blobs of its layers."""
        return sum(layer.size_bytes for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What a function sets over its image. Empty means: as the image says."""

    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""

    def program(self, image: ContainerImage) -> tuple[str, ...]:
        """What is run, with its arguments."""
        return (self.entry_point or image.entry_point) + (self.command or image.command)

    def directory(self, image: ContainerImage) -> str:
        return self.working_directory or image.working_directory or "/"


def parse_reference(uri: str) -> Reference:
    """Raises BadImage for what names no image."""
    for kind in (OCI, DOCKER_ARCHIVE):
        if uri.startswith(kind):
            return _local(uri, kind)
    found = _REFERENCE.match(uri) if len(uri) <= _URI_CHARS_MAX else None
    if found is None:
        raise invalid(uri, "it is no reference to an image")
    host, name = found["host"] or "", found["name"]
    if host and not re.search(r"[.:\[]", host) and host != "localhost":
        host, name = "", f"{host}/{name}"  # what looks like no host is a part of the name, as for every client
    if not re.fullmatch(rf"{_NAME}(?:/{_NAME})*", name):
        raise invalid(uri, "it is no reference to an image")
    if host in ("", _DOCKER_HUB):
        host, name = _DOCKER_HUB, name if "/" in name else f"library/{name}"
    digest = found["digest"] or ""
    return Reference(host=host, name=name, tag=found["tag"] or ("" if digest else "latest"), digest=digest[7:])


def _local(uri: str, kind: str) -> Reference:
    path, digest = uri.removeprefix(kind), ""
    if "@" in path:
        path, _, text = path.rpartition("@")
        digest = digest_of(text)
    before, _, tag = path.rpartition(":")
    if kind == DOCKER_ARCHIVE:  # whose tag is a whole reference
        before, colon, tag = path.partition(".tar:")
        path, tag = (before + ".tar", tag) if colon else (path, "")
    elif before and "/" not in tag:
        path = before
    else:
        tag = ""
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts or "\0" in uri or len(uri) > _URI_CHARS_MAX:
        raise invalid(uri, "the path after the first colon is to be absolute, without ..")
    return Reference(kind=kind, path=path, tag=tag, digest=digest)


def invalid(uri: str, why: str) -> BadImage:
    """AWS's text, and what is wrong."""
    return BadImage(f"Source image {uri} is not valid. Provide a valid source image. Reason: {why}.")


def absent(uri: str) -> BadImage:
    return BadImage(f"Source image {uri} does not exist. Provide a valid source image.", DELETED)


def digest_of(text: str) -> str:
    """The hex of `sha256:<hex>`. Raises BadImage."""
    found = _DIGEST.match(text)
    if found is None:
        raise BadImage(f"The digest {text[:80]!r} is no SHA-256.")
    return found[1]


class _Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""


class _Descriptor(msgspec.Struct):
    digest: str
    size: int
    mediaType: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Manifest(msgspec.Struct):
    schemaVersion: int
    mediaType: str = ""
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None


class _RootFs(msgspec.Struct):
    diff_ids: list[str] = msgspec.field(default_factory=list)


class _RunConfig(msgspec.Struct):
    Entrypoint: list[str] | None = None
    Cmd: list[str] | None = None
    Env: list[str] | None = None
    WorkingDir: str | None = None


class _Configuration(msgspec.Struct):
    architecture: str = ""
    os: str = ""
    config: _RunConfig | None = None
    rootfs: _RootFs | None = None


@dataclass(frozen=True, slots=True)
class Blob:
    """What a manifest names: SHA-256 and size."""

    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """config and layers, in order, with the layers' compressions. Of an index: chosen, the manifest to go on with."""

    config: Blob | None = None
    layers: tuple[tuple[Blob, str], ...] = ()
    chosen: Blob | None = None


def read_manifest(content: bytes, uri: str, architecture: str, media_type: str = "", tag: str = "") -> Manifest:
    """An image's manifest, or an index of several, of which the one for this machine is chosen. Raises BadImage.

    tag: in the index of an OCI layout, the name of the image there.
    """
    try:
        found = msgspec.json.decode(content, type=_Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise unsupported(uri) from error
    if found.schemaVersion != 2:
        raise unsupported(uri)
    kind = found.mediaType or media_type
    if found.manifests is not None and kind not in _MANIFESTS:
        return Manifest(chosen=_chosen(found.manifests, uri, architecture, tag))
    if found.config is None or found.layers is None or (kind and kind not in _MANIFESTS):
        raise unsupported(uri)
    if len(found.layers) > LAYERS_MAX:
        raise invalid(uri, f"it has more than {LAYERS_MAX} layers")
    layers = []
    for one in found.layers:
        if one.mediaType not in _LAYERS:
            raise unsupported(uri)
        layers.append((_blob(one, uri), _LAYERS[one.mediaType]))
    return Manifest(config=_blob(found.config, uri), layers=tuple(layers))


def unsupported(uri: str) -> BadImage:
    return BadImage(f"The image manifest, config or layer media type for the source image {uri} is not supported.")


def _blob(one: _Descriptor, uri: str) -> Blob:
    if one.size < 0:
        raise unsupported(uri)
    return Blob(digest_of(one.digest), one.size)


_TAG = "org.opencontainers.image.ref.name"


def _chosen(manifests: Sequence[_Descriptor], uri: str, architecture: str, tag: str) -> Blob:
    listed = [one for one in manifests if one.mediaType in ACCEPTED or not one.mediaType]
    if tag:
        listed = [one for one in listed if (one.annotations or {}).get(_TAG) == tag]
        if not listed:
            raise absent(uri)
    wanted = _PROCESSORS[architecture]
    fitting = [
        one
        for one in listed
        if one.platform is None or (one.platform.os in ("", "linux") and one.platform.architecture in ("", wanted))
    ]
    if not fitting:
        raise invalid(uri, f"it has no image for linux/{wanted}")
    if len(fitting) > 1 and any(one.platform is None for one in fitting):
        raise invalid(uri, "several images are there, and none is named")
    return _blob(fitting[0], uri)


def read_configuration(content: bytes, uri: str, architecture: str, digest: str, manifest: Manifest) -> ContainerImage:
    """The image that its manifest, which has that digest, and its configuration describe. Raises BadImage."""
    try:
        found = msgspec.json.decode(content, type=_Configuration)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise unsupported(uri) from error
    wanted = _PROCESSORS[architecture]
    if found.os not in ("", "linux") or found.architecture not in ("", wanted):
        made_for = f"{found.os or 'linux'}/{found.architecture}"
        raise invalid(uri, f"it is made for {made_for}, and this machine runs linux/{wanted}")
    diff_ids = found.rootfs.diff_ids if found.rootfs is not None else []
    if manifest.config is None or len(diff_ids) != len(manifest.layers):
        raise invalid(uri, "its configuration does not name as many layers as its manifest")
    run = found.config or _RunConfig()
    return ContainerImage(
        uri=uri,
        digest=digest,
        config=manifest.config.digest,
        layers=tuple(
            ImageLayer(
                digest=blob.digest, diff_id=digest_of(diff_id), size_bytes=blob.size_bytes, compression=compression
            )
            for (blob, compression), diff_id in zip(manifest.layers, diff_ids, strict=True)
        ),
        entry_point=tuple(run.Entrypoint or ()),
        command=tuple(run.Cmd or ()),
        environment=_environment(run.Env or (), uri),
        working_directory=run.WorkingDir or "",
    )


def _environment(texts: Sequence[str], uri: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or "\0" in text:
            raise invalid(uri, "its environment has a variable without a name")
        found[name] = value
    return found
