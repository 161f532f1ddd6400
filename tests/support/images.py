"""Container images, made here: layers, manifests, layout directories and archives, without any tool.

image = Image([layer({"app": File(probe(), 0o755)})], entry_point=["/app"])
uri = image.layout(tmp_path / "app")          oci:/.../app:1
uri = image.archive(tmp_path / "app.tar")     docker-archive:/.../app.tar
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import re
import subprocess
import sysconfig
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import clients

OCI = "application/vnd.oci.image"
ARCHITECTURE = "arm64" if platform.machine() == "aarch64" else "amd64"


@dataclass(frozen=True)
class File:
    content: bytes = b""
    mode: int = 0o644


@dataclass(frozen=True)
class Special:
    """Anything else: a kind of tarfile's with its link's target, or a device's numbers."""

    kind: bytes
    target: str = ""
    mode: int = 0o777
    device: tuple[int, int] = (0, 0)


DIRECTORY = Special(tarfile.DIRTYPE, mode=0o755)


def link(target: str) -> Special:
    return Special(tarfile.SYMTYPE, target)


Content = File | Special


def tar(entries: Mapping[str, Content] | Sequence[tuple[str, Content]]) -> bytes:
    """A plain tar, in the order given, with names as they are."""
    buffer = io.BytesIO()
    pairs = list(entries.items()) if isinstance(entries, Mapping) else list(entries)
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in pairs:
            info = tarfile.TarInfo(name)
            info.mode = content.mode
            if isinstance(content, Special):
                info.type, info.linkname = content.kind, content.target
                info.devmajor, info.devminor = content.device
                archive.addfile(info)
            else:
                info.size = len(content.content)
                archive.addfile(info, io.BytesIO(content.content))
    return buffer.getvalue()


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Layer:
    """tar: uncompressed. compression: "" or gzip."""

    tar: bytes
    compression: str = "gzip"

    @property
    def blob(self) -> bytes:
        return gzip.compress(self.tar, 1, mtime=0) if self.compression else self.tar

    @property
    def media_type(self) -> str:
        return f"{OCI}.layer.v1.tar" + ("+gzip" if self.compression else "")


def layer(entries: Mapping[str, Content] | Sequence[tuple[str, Content]], compression: str = "gzip") -> Layer:
    return Layer(tar(entries), compression)


@dataclass
class Image:
    layers: Sequence[Layer]
    entry_point: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Sequence[str] = ()
    working_directory: str = ""
    user: str = ""
    architecture: str = ARCHITECTURE
    diff_ids: Sequence[str] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def configuration(self) -> bytes:
        run = {
            "Entrypoint": list(self.entry_point) or None,
            "Cmd": list(self.command) or None,
            "Env": list(self.environment),
            "WorkingDir": self.working_directory,
            "User": self.user,
        }
        diff_ids = [digest(one.tar) for one in self.layers] if self.diff_ids is None else list(self.diff_ids)
        rootfs = {"type": "layers", "diff_ids": diff_ids}
        return json.dumps({"architecture": self.architecture, "os": "linux", "config": run, "rootfs": rootfs}).encode()

    @property
    def manifest(self) -> bytes:
        described = [
            {"mediaType": one.media_type, "digest": digest(one.blob), "size": len(one.blob)} for one in self.layers
        ]
        config = self.configuration
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{OCI}.manifest.v1+json",
                "config": {"mediaType": f"{OCI}.config.v1+json", "digest": digest(config), "size": len(config)},
                "layers": described,
                **self.more,
            }
        ).encode()

    @property
    def config_digest(self) -> str:
        return digest(self.configuration).removeprefix("sha256:")

    @property
    def digest(self) -> str:
        return digest(self.manifest)

    @property
    def blobs(self) -> dict[str, bytes]:
        return {digest(content): content for content in (self.configuration, *(one.blob for one in self.layers))}

    def described(self, tag: str = "") -> dict[str, Any]:
        """Its entry in an index."""
        return {
            "mediaType": f"{OCI}.manifest.v1+json",
            "digest": self.digest,
            "size": len(self.manifest),
            "platform": {"os": "linux", "architecture": self.architecture},
            **({"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}),
        }

    def layout(self, directory: Path, tag: str = "1") -> str:
        write_layout(directory, {tag: self})
        return f"oci:{directory}:{tag}"

    def archive(self, path: Path, *tags: str) -> str:
        """As `docker save` writes it."""
        config = self.configuration
        name = hashlib.sha256(config).hexdigest() + ".json"
        names = [f"{number}/layer.tar" for number, _ in enumerate(self.layers)]
        parts: dict[str, Content] = {name: File(config)}
        parts |= {file: File(one.tar) for file, one in zip(names, self.layers, strict=True)}
        parts["manifest.json"] = File(json.dumps([{"Config": name, "RepoTags": list(tags), "Layers": names}]).encode())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tar(parts))
        return f"docker-archive:{path}"


def index(images: Mapping[str, Image] | Sequence[Image]) -> bytes:
    listed = (
        [image.described(tag) for tag, image in images.items()]
        if isinstance(images, Mapping)
        else [image.described() for image in images]
    )
    return json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": listed}).encode()


def write_layout(directory: Path, images: Mapping[str, Image]) -> None:
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_bytes(index(images))
    for image in images.values():
        for name, content in {**image.blobs, image.digest: image.manifest}.items():
            (blobs / name.removeprefix("sha256:")).write_bytes(content)


def host_python() -> dict[str, Content]:
    """The system's Python and its shell with all that they need, as files of an image. Raises clients.Missing."""
    python, library = clients.SYSTEM_PYTHON.resolve(), Path(f"/usr/lib/{clients.SYSTEM_PYTHON.resolve().name}")
    if not library.is_dir():
        raise clients.Missing("a Python in /usr is needed")
    unwanted = {"test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "__pycache__", "turtledemo"}
    files = [
        path
        for path in library.rglob("*")
        if path.is_file() and path.suffix in (".py", ".so") and not unwanted & set(path.relative_to(library).parts)
    ]
    programs = [python, Path("/bin/sh").resolve(), *(path for path in files if path.suffix == ".so")]
    programs += Path(sysconfig.get_paths()["platlib"]).glob("runtime_client.*.so")  # of AWS's client
    listed = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=True).stdout
    libraries = {Path(found) for found in re.findall(r"(/\S+\.so\S*) \(0x", listed)}
    found: dict[str, Content] = {str(path)[1:]: File(path.read_bytes()) for path in files}
    found |= {str(path)[1:]: File(path.read_bytes(), 0o755) for path in libraries}
    found["usr/bin/python3"] = File(python.read_bytes(), 0o755)
    found["bin/sh"] = File(Path("/bin/sh").read_bytes(), 0o755)
    return found


def probe() -> bytes:
    """The static program of tests/clients/probe. Raises clients.Missing."""
    return clients.probe()["probe"]
