"""What the figures were measured on, and which core belongs to whom."""

import datetime
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.places import ROOT

BUSY_LOAD = 0.5
"""Load average (processes that want a core) above which a machine isn't quiet."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where."""

    gateway: int
    load: int

    @property
    def shared(self) -> bool:
        """Whether gateway, mock and load have to share one core."""
        return self.gateway == self.load

    def __str__(self) -> str:
        if self.shared:
            return f"ONE core only: gateway, mock and load share core {self.gateway}, so requests/s are far too low"
        return f"gateway pinned to core {self.gateway}, mock and load generator to core {self.load}"


def cores() -> Cores:
    """The first allowed core for the gateway, the second for the rest."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(gateway=allowed[0], load=allowed[1] if len(allowed) > 1 else allowed[0])


@dataclass(frozen=True, slots=True)
class Machine:
    """Hardware, software and mood of the machine at the start."""

    cpu: str
    cores: int
    memory_mib: int
    python: str
    go: str
    kernel: str
    load_average: tuple[float, float, float]
    """Processes that wanted a core in the last 1, 5 and 15 minutes."""
    date: str
    commit: str


def describe() -> Machine:
    """Reads it off the running system."""
    one, five, fifteen = os.getloadavg()
    return Machine(
        cpu=_field(Path("/proc/cpuinfo"), "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=int(_field(Path("/proc/meminfo"), "MemTotal").split()[0]) // 1024,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        go=_output("go", "version"),
        kernel=platform.release(),
        load_average=(round(one, 2), round(five, 2), round(fifteen, 2)),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        commit=_output("git", "describe", "--always", "--dirty", "--abbrev=12"),
    )


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
