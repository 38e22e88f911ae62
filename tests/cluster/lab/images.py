#!/usr/bin/env python3
"""Merit's images without a Docker engine: `images.py [--load]`.

Three layers each: this machine's Python, the dependencies that the lock pins for one plane, the plane itself. The
first two are cached by what they are made from, so that a rebuild after a change of code takes a second. `--load`
imports them into the lab's containerd.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LAB = Path(__file__).resolve().parent
REPOSITORY = LAB.parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))

from tests.cluster.lab.oci import Config, Layer, write_archive, write_layer  # noqa: E402  (also runs as a program)

CACHE = Path(os.environ.get("MERIT_CLUSTER_CACHE") or Path.home() / ".cache/merit-cluster")
USER = "65532:65532"  # nobody's account: what distroless images use
APP = "app"  # where the dependencies and the plane are
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
ENV = {
    "PYTHONPATH": f"/{APP}",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # the root file system is read-only, and everything is compiled already
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
    "HOME": "/tmp",
}
# The standard library's parts that no server needs.
UNUSED = (
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "__pycache__",
    "idlelib",
    "turtledemo",
    "tkinter",
    "ensurepip",
)


@dataclass(frozen=True)
class Image:
    """One plane's image, under all the names that pods use for it."""

    plane: str  # the extra of pyproject.toml
    package: str
    program: str
    names: tuple[str, ...]


IMAGES = (
    # the simulated vendors are `merit fake-provider`: same image, another name
    Image("dataplane", "merit_dataplane", "merit", ("merit/dataplane:dev", "merit/tools:dev")),
    Image("operator", "merit_operator", "merit-operator", ("merit/operator:dev",)),
)


def build(image: Image) -> Path:
    """Build one image and answer with its archive."""
    layers = [python_layer(), dependency_layer(image.plane), plane_layer(image)]
    out = CACHE / "images" / f"{image.plane}.tar"
    write_archive(out, image.names, layers, Config([f"/usr/local/bin/{image.program}"], USER, ENV))
    return out


def load(archive: Path) -> None:
    """Import an archive into the lab's containerd."""
    ctr = [str(CACHE / "bin/ctr"), "-a", "/run/merit-lab/containerd.sock", "-n", "k8s.io", "images", "import"]
    _run(*ctr, str(archive))


# ---- layers


def python_layer() -> Layer:
    """CPython of this machine, its standard library, the shared libraries it needs, CA certificates, time zones."""
    program = Path(sys.executable).resolve()
    key = [sys.version, str(program), program.stat().st_mtime_ns, _recipe()]
    return _cached("python", key, _python_root)


def dependency_layer(plane: str) -> Layer:
    """Exactly what one plane needs, by the hashes of requirements.lock."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [project["dependencies"], project["optional-dependencies"][plane]]
    lock = (REPOSITORY / "requirements.lock").read_text()
    return _cached(plane, [wanted, lock, python_layer().digest], lambda root: _dependencies(root, plane))


def plane_layer(image: Image) -> Layer:
    """The project's wheel without the other plane: neither may be importable from its peer's image."""
    with _scratch() as work:
        # hatchling itself, not pip: no isolated environment to set up
        _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work), cwd=REPOSITORY)
        (wheel,) = work.glob("*.whl")
        root = work / "root"
        with zipfile.ZipFile(wheel) as archive:
            keep = (f"{image.package}/", "merit_crds/", "merit_gateway-")
            archive.extractall(root / APP, [n for n in archive.namelist() if n.startswith(keep)])
        _compile(root, root / APP)
        launcher = root / "usr/local/bin" / image.program
        launcher.parent.mkdir(parents=True)
        launcher.write_text(
            f"#!/usr/local/bin/python3\nimport sys\nfrom {image.package}.cli import main\nsys.exit(main())\n"
        )
        launcher.chmod(0o755)
        layers = CACHE / "images/layers"
        layers.mkdir(parents=True, exist_ok=True)
        return write_layer(root, layers / f"{image.plane}-code.tar")


def _python_root(root: Path) -> None:
    library = root / "usr/local/lib" / PYTHON
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        library,
        symlinks=True,
        ignore=shutil.ignore_patterns(*UNUSED, "config-*", "_tkinter*", "_test*.so", "*.a"),
    )
    programs = root / "usr/local/bin"
    programs.mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), programs / PYTHON)
    (programs / "python3").symlink_to(PYTHON)
    if strip := shutil.which("strip"):  # debug symbols are half of it
        _run(strip, "--strip-unneeded", str(programs / PYTHON), *map(str, library.rglob("*.so")))
    for name in ("tmp", "proc", "sys", "dev", "etc/ssl/certs", APP):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/")
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/sbin/nologin\nmerit:x:65532:65532::/tmp:/sbin/nologin\n")
    (root / "etc/group").write_text("root:x:0:\nmerit:x:65532:\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    _copy_libraries(root, have=root)
    _compile(root, library)
    _run("chroot", str(root), f"/usr/local/bin/{PYTHON}", "-c", "import asyncio, ctypes, hashlib, sqlite3, ssl, zlib")


def _dependencies(root: Path, plane: str) -> None:
    app = root / APP
    # tzdata beside the plane's own: schedules name time zones, and an image has none otherwise.
    # uv, not pip: it checks the hashes of a constraints file, so that one lock serves all extras.
    lock = (REPOSITORY / "requirements.lock").read_text().splitlines()
    tzdata = next(line.split()[0] for line in lock if line.startswith("tzdata=="))
    extras = ["--extra", plane, *(["--extra", "otlp"] if plane == "dataplane" else [])]
    wanted = ["-r", "pyproject.toml", *extras, tzdata, "-c", "requirements.lock"]
    install = [*_uv(), "pip", "install", "-q", "--python", sys.executable, "--target", str(app), "--require-hashes"]
    _run(*install, *wanted, cwd=REPOSITORY)
    shutil.rmtree(app / "bin", ignore_errors=True)  # programs of the dependencies, with this machine's paths in them
    for tests in [p for p in app.rglob("tests") if p.is_dir()]:
        shutil.rmtree(tests)
    _copy_libraries(root, have=_unpacked_names(python_layer()))
    _compile(root, app)


def _copy_libraries(root: Path, have: Path | frozenset[str]) -> None:
    """Add the shared libraries that the programs and extensions below `root` need and the image has not."""
    into = root / "lib" / (sysconfig.get_config_var("MULTIARCH") or "")
    binaries = [str(p) for p in root.rglob("*") if p.is_file() and (".so" in p.name or p.name == PYTHON)]
    listed = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False).stdout  # some are static
    for line in listed.splitlines():
        words = line.split()
        source = words[2] if "=>" in words and len(words) > 2 else words[0] if words else ""
        if not source.startswith("/") or source.endswith(":") or source.startswith(str(root)):
            continue
        # the loader stands where programs look for it; the rest where the loader looks
        target = root / source[1:] if "=>" not in words else into / Path(source).name
        known = isinstance(have, frozenset) and str(target.relative_to(root)) in have
        if not known and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(source).resolve(), target)


def _compile(root: Path, folder: Path) -> None:
    """Byte code by content, not by time: layers have no times, and a pod can't write any."""
    places = ["-s", str(root), "-p", "/"]
    mode = ["--invalidation-mode", "unchecked-hash"]
    _run(sys.executable, "-m", "compileall", "-q", "-j", "0", *places, *mode, str(folder))


# ---- small things


def _cached(name: str, key: Iterable[object], make: Callable[[Path], None]) -> Layer:
    """The layer that `make` fills, kept by a hash of what it is made from; the one before it is thrown away."""
    layers = CACHE / "images/layers"
    layers.mkdir(parents=True, exist_ok=True)
    path = layers / f"{name}-{hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()[:16]}.tar"
    note = path.with_suffix(".sha256")
    if path.exists() and note.exists():
        return Layer(path, note.read_text())
    for old in layers.glob(f"{name}-[0-9a-f]*"):
        old.unlink()
    with _scratch() as work:
        root = work / "root"
        root.mkdir()
        make(root)
        layer = write_layer(root, path)
    note.write_text(layer.digest)
    return layer


@contextmanager
def _scratch() -> Iterator[Path]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="image-") as name:
        yield Path(name)


def _unpacked_names(layer: Layer) -> frozenset[str]:
    listed = subprocess.run(["tar", "-tf", str(layer.path)], capture_output=True, text=True, check=True).stdout
    return frozenset(listed.splitlines())


def _recipe() -> str:
    """This file's own text: another recipe, another layer."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _uv() -> list[str]:
    """The uv of this environment or of this machine, else one of our own, checked by its hash."""
    beside = Path(sys.executable).parent / "uv"
    if found := str(beside) if beside.exists() else shutil.which("uv"):
        return [found]
    own = CACHE / "uv"
    if not (own / "bin/uv").exists():
        _run(sys.executable, "-m", "venv", str(own))
        _run(str(own / "bin/pip"), "install", "-q", "--require-hashes", "-r", str(LAB / "uv.txt"))
    return [str(own / "bin/uv")]


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:6])} … failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def main() -> None:
    """Build all images, and load them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--load", action="store_true", help="import into the lab's containerd")
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = (CACHE / "images.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # until the process ends: others build into the same cache
    for image in IMAGES:
        archive = build(image)
        if arguments.load:
            load(archive)
        print(f"{', '.join(image.names)}: {archive.stat().st_size >> 20} MiB{', loaded' * arguments.load}")


if __name__ == "__main__":
    main()
