"""Environments of what is tested here, made once in a folder of the user's cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("MERIT_SDK_CACHE", Path.home() / ".cache/merit-sdk"))
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def python_with(name: str, requirements: Path) -> Path:
    """A Python that has them. Raises CalledProcessError."""
    folder = CACHE / name
    python, ready = folder / "venv/bin/python", folder / "requirements.txt"
    if not ready.exists() or ready.read_bytes() != requirements.read_bytes():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([python, *PIP, "install", "--requirement", requirements], check=True)
        ready.write_bytes(requirements.read_bytes())
    return python


def node_with(name: str, project: Path) -> Path:
    """A folder with the packages of a project's lock file, and its scripts. Raises CalledProcessError."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    installed, wanted = folder / "package-lock.json", project / "package-lock.json"
    current = installed.exists() and installed.read_bytes() == wanted.read_bytes()
    for file in project.iterdir():
        if file.is_file() and file.name != wanted.name:
            shutil.copyfile(file, folder / file.name)
    if not current:
        shutil.copyfile(wanted, folder / "npm-shrinkwrap.json")
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
        (folder / "npm-shrinkwrap.json").unlink()
        shutil.copyfile(wanted, installed)
    return folder
