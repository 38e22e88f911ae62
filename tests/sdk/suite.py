"""An SDK's own tests, from its source distribution, in an environment of their own."""

import asyncio
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import dataclass
from pathlib import Path

from tests.sdk.environments import CACHE, PIP, python_with

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Suite:
    """Where it is."""

    python: Path
    source: Path

    async def outcomes(
        self, base_url: str, key: str, files: tuple[str, ...], report: Path, *, only: str = "", **environ: str
    ) -> dict[str, str]:
        """Outcome by test: `passed`, `skipped`, or the first line of what went wrong. `only`: pytest's `-k`."""
        process = await asyncio.create_subprocess_exec(
            self.python, "-m", "pytest", "-o", "addopts=", "-p", "as_consumer", "-q", "--tb=line", "-n", "2",
            "--junit-xml", report, "-k", only, *files,
            cwd=self.source, stdout=PIPE, stderr=STDOUT,
            env={
                **os.environ, "TEST_API_BASE_URL": base_url, "MERIT_SDK_KEY": key, "PYTHONPATH": str(_HERE), **environ
            },
        )  # fmt: skip
        output, _ = await process.communicate()
        return _read(report, output.decode(errors="replace"))


def suite(name: str, version: str) -> Suite:
    """Installs it once. Raises CalledProcessError."""
    folder = CACHE / f"{name}-python-{version}"
    source = folder / f"{name}-{version}"
    if not source.exists():
        sdist = ("download", "--no-deps", "--no-binary", name, f"{name}=={version}")
        subprocess.run([sys.executable, *PIP, *sdist, "--dest", folder], check=True)
        with tarfile.open(folder / f"{name}-{version}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return Suite(python_with(folder.name, _HERE / f"{name}-python.txt"), source)


def _read(report: Path, output: str) -> dict[str, str]:
    if not report.exists():
        raise AssertionError(output[-4000:])
    outcomes = {}
    for case in ET.parse(report).getroot().iter("testcase"):
        problem = next((child for child in case if child.tag in {"failure", "error", "skipped"}), None)
        outcome = "passed" if problem is None else "skipped"
        if problem is not None and problem.tag != "skipped":
            outcome = (problem.get("message") or problem.tag)[:300]
        outcomes[f"{case.get('classname')}::{case.get('name')}"] = outcome
    return outcomes
