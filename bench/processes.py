"""Child processes on a given core, with what they consume."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

STARTUP_SECONDS = 30.0
STOP_SECONDS = 10.0
LOG_TAIL = 3000
"""Characters of a log that an error shows."""


class BenchError(Exception):
    """The benchmark can't go on; the text says why."""


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Children started inside inherit the core. Setting it after their start would race with the threads they start."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A running child, stopped when its block ends. Without a core it may run on any."""

    def __init__(
        self, name: str, command: Sequence[str], *, core: int | None, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log_path = cwd / f"{name}.log"
        pin = contextlib.nullcontext() if core is None else pinned(core)
        with pin, self._log_path.open("ab") as log:
            self._child = subprocess.Popen(
                command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    @property
    def pid(self) -> int:
        """Process id of the child itself."""
        return self._child.pid

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Polls until ready; raises with the end of the log when the child dies or takes too long."""
        deadline = time.monotonic() + STARTUP_SECONDS
        while not ready():
            if self._child.poll() is not None:
                raise BenchError(f"{self.name} ended with status {self._child.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} isn't ready after {STARTUP_SECONDS:.0f} s:\n{self.log()}")
            time.sleep(0.05)

    def log(self) -> str:
        """The last that the child has printed."""
        return self._log_path.read_text(errors="replace")[-LOG_TAIL:]

    def resident_mib(self) -> float:
        """Resident memory of the child and its descendants, MiB. Pages that they share count for each."""
        return sum(_resident_kib(pid) for pid in _family(self.pid)) / 1024


def accepts(port: int) -> bool:
    """Whether somebody listens on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                yield from _family(int(child))


def _resident_kib(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
