#!/usr/bin/env python3
"""Container images without a Docker engine: layers as plain tar files, put together into an OCI archive.

Standard library only. As a program it makes the image of one static program: `oci.py OUT.tar NAME:TAG PROGRAM`.
"""

import hashlib
import io
import json
import platform
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_MEDIA = "application/vnd.oci.image"


@dataclass(frozen=True)
class Layer:
    """One tar file and its digest, by which containerd knows what it has already."""

    path: Path
    digest: str

    @classmethod
    def of(cls, path: Path) -> "Layer":
        with path.open("rb") as f:
            return cls(path, hashlib.file_digest(f, "sha256").hexdigest())


@dataclass(frozen=True)
class Config:
    """What the container runs, and as whom."""

    entrypoint: Sequence[str]
    user: str = ""
    env: Mapping[str, str] | None = None

    def document(self, layers: Sequence[Layer]) -> bytes:
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin"} | dict(self.env or {})
        config = {
            "Entrypoint": list(self.entrypoint),
            "User": self.user,
            "WorkingDir": "/",
            "Env": [f"{k}={v}" for k, v in env.items()],
        }
        diff_ids = [f"sha256:{layer.digest}" for layer in layers]
        rootfs = {"type": "layers", "diff_ids": diff_ids}
        return _json({"architecture": ARCHITECTURE, "os": "linux", "config": config, "rootfs": rootfs})


def write_layer(root: Path, out: Path) -> Layer:
    """Pack a folder: same content, same bytes, whoever owns the files and whenever they were written."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 0
        return member

    partial = out.with_suffix(".partial")
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, str(path.relative_to(root)), recursive=False, filter=plain)
    partial.rename(out)
    return Layer.of(out)


def write_archive(out: Path, names: Sequence[str], layers: Sequence[Layer], config: Config) -> None:
    """Put one image under one or more names (`repository:tag`) into an archive that `ctr images import` reads."""
    image = config.document(layers)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _descriptor("config.v1+json", _digest(image), len(image)),
            "layers": [_descriptor("layer.v1.tar", x.digest, x.path.stat().st_size) for x in layers],
        }
    )
    index = {
        "schemaVersion": 2,
        "manifests": [
            _descriptor("manifest.v1+json", _digest(manifest), len(manifest))
            | {"annotations": {"io.containerd.image.name": _qualified(name)}}
            | {"platform": {"architecture": ARCHITECTURE, "os": "linux"}}
            for name in names
        ],
    }
    with tarfile.open(out, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", _json(index))
        for blob in (manifest, image):
            _add(tar, f"blobs/sha256/{_digest(blob)}", blob)
        for layer in layers:
            member = tarfile.TarInfo(f"blobs/sha256/{layer.digest}")
            member.size = layer.path.stat().st_size
            with layer.path.open("rb") as f:
                tar.addfile(member, f)


def _qualified(name: str) -> str:
    """The name that the kubelet asks for when a pod says `merit/dataplane:dev`."""
    first, _, rest = name.partition("/")
    if not rest:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def _descriptor(kind: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": f"{_MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": size}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _add(tar: tarfile.TarFile, name: str, blob: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(blob)
    tar.addfile(member, io.BytesIO(blob))


def _main(out: str, name: str, program: str) -> None:
    layer = Path(f"{out}.layer")
    with tarfile.open(layer, "w") as tar:
        tar.add(program, Path(program).name)
    write_archive(Path(out), [name], [Layer.of(layer)], Config([f"/{Path(program).name}"]))
    layer.unlink()


if __name__ == "__main__":
    _main(*sys.argv[1:])
