"""The house itself: folders, names, the wheel, what imports what, the lock."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PACKAGES = {
    "merit_crds": ROOT / "crds/merit_crds",
    "merit_dataplane": ROOT / "dataplane/merit_dataplane",
    "merit_operator": ROOT / "operator/merit_operator",
}
LONGEST_FILE = 600
NO_NOUNS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


def modules() -> list[Path]:
    """Python files of the three packages."""
    return sorted(file for folder in PACKAGES.values() for file in folder.rglob("*.py"))


@pytest.mark.parametrize("folder", ["operator", "dataplane", "crds"])
def test_top_folders_are_no_packages(folder: str) -> None:
    # a package called operator takes the standard library's place, and Python itself no longer starts from here
    assert not (ROOT / folder / "__init__.py").exists()


def test_tests_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_every_package_says_what_it_is_for() -> None:
    silent = [f for f in modules() if f.name == "__init__.py" and not f.read_text().startswith('"""')]
    assert not silent


def test_names_say_the_step() -> None:
    everywhere = [*modules(), *(folder for package in PACKAGES.values() for folder in package.rglob("*"))]
    assert not {str(path.relative_to(ROOT)) for path in everywhere if path.stem in NO_NOUNS}


def test_no_file_is_too_long() -> None:
    lengths = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in modules()}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FILE}


def test_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert len(text.splitlines()) == 202


# ---- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files in the wheel."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=ROOT, check=True)
    (made,) = out.iterdir()
    return zipfile.ZipFile(made).namelist()


def test_wheel_has_three_packages(wheel: list[str]) -> None:
    # hatchling leaves out a folder that isn't there without a word
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_has_every_module_and_the_types(wheel: list[str], package: str) -> None:
    wanted = {f"{package}/{f.relative_to(PACKAGES[package])}" for f in PACKAGES[package].rglob("*.py")}
    assert {name for name in wheel if name.startswith(f"{package}/") and name.endswith(".py")} == wanted
    assert f"{package}/py.typed" in wheel


def test_wheel_has_the_recordings_with_their_notice(wheel: list[str]) -> None:
    folder = PACKAGES["merit_dataplane"] / "fake_provider/recordings"
    wanted = {f"merit_dataplane/fake_provider/recordings/{f.name}" for f in folder.iterdir()}
    assert wanted <= set(wheel)
    notice = (folder / "NOTICE").read_text()
    assert not {f.name for f in folder.glob("*.json") if f"{f.name}\n" not in notice}


# ---- what imports what

IMPORT_ALL = """
import importlib, pkgutil, sys
blocked = set({blocked!r})
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, {package!r} + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


BLOCKED = {
    "merit_crds": ["merit_dataplane", "merit_operator", "kopf", "kubernetes", "fastapi", "httpx", "aiohttp"],
    "merit_dataplane": ["merit_operator", "kopf", "kubernetes", "openai", "aiohttp"],
    "merit_operator": ["merit_dataplane", "fastapi", "uvicorn", "httpx", "openai", "watchfiles"],
}


@pytest.fixture(scope="module")
def imports() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A process per package that imports all of it; at the same time, since each takes a second or two."""
    with ExitStack() as running:
        yield {
            package: running.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", IMPORT_ALL.format(package=package, blocked=blocked)],
                    cwd=ROOT,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for package, blocked in BLOCKED.items()
        }


@pytest.mark.parametrize("package", BLOCKED)
def test_package_needs_only_its_own(imports: dict[str, subprocess.Popen[str]], package: str) -> None:
    _, errors = imports[package].communicate(timeout=60)
    assert imports[package].returncode == 0, errors[-2000:]


# ---- the lock


def requirements() -> list[str]:
    """Requirements of the lock, each with its options on one line."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def test_lock_names_no_registry() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.findall(r"(?i)https?://|git\+|--(?:extra-)?index-url|--find-links|--trusted-host", text)


def test_lock_pins_everything_by_hash() -> None:
    assert len(requirements()) > 20
    assert not [line for line in requirements() if "==" not in line or "--hash=sha256:" not in line]
