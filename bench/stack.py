"""Mock, gateway and reference proxy, up and running; runs against them, watched."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.gateway import Gateway, check
from bench.loadgen import Load, Mock, ReverseProxy, Run, Target, run
from bench.machine import Cores

FOREIGN_SHARE = 0.05
"""Of the gateway's core that others may use before the run counts as disturbed."""
SATURATED = 0.90


@dataclass(slots=True)
class Watch:
    """What was not as it should be."""

    problems: list[str] = field(default_factory=list)
    failed_requests: int = 0

    def look(self, label: str, done: Run, cores: Cores, *, saturates: bool, is_gateway: bool) -> None:
        """Notes what makes a run doubtful."""
        failed = sum(done.errors.values())
        self.failed_requests += failed
        if failed or not done.requests:
            self._note(f"{label}: {done.requests} requests, {failed} failed: {done.errors}")
        busy, share = done.cpu.cores[str(cores.gateway)].busy, done.cpu.process_seconds / done.cpu.seconds
        if cores.shared:
            return
        foreign = busy - share if is_gateway else busy
        if foreign > FOREIGN_SHARE:
            self._note(f"{label}: somebody else used {foreign:.0%} of the gateway's core")
        if is_gateway and saturates and share < SATURATED:
            load_busy = done.cpu.cores[str(cores.load)].busy
            self._note(
                f"{label}: the gateway used only {share:.0%} of its core; the load core was {load_busy:.0%} busy"
            )

    def _note(self, problem: str) -> None:
        self.problems.append(problem)


@dataclass(frozen=True, slots=True)
class Stack:
    """What a scenario measures with."""

    cores: Cores
    watch: Watch
    mock: Mock
    gateway: Gateway | ReverseProxy
    proxy: ReverseProxy
    before: Gateway | None = None
    """Of an older version, on the same core."""

    def measure(self, target: Target, load: Load, label: str, *, saturates: bool = False, cached: bool = False) -> Run:
        """One run. Notes when the mock saw fewer requests than were answered; `cached`: when it saw more than one."""
        before = self.mock.completions()
        done = run(target, load, self.cores)
        reached = self.mock.completions() - before
        is_gateway = target.pid != self.mock.pid
        label = f"{label}, {target.name}"
        self.watch.look(label, done, self.cores, saturates=saturates, is_gateway=is_gateway)
        if cached and reached > 1:
            self.watch.problems.append(f"{label}: {reached} of {done.requests} requests reached the mock: no hits")
        if not cached and reached < done.requests:
            self.watch.problems.append(
                f"{label}: {done.requests} answers, but only {reached} requests reached the mock"
            )
        return done


@contextlib.contextmanager
def stack(
    cores: Cores,
    watch: Watch,
    *,
    stand_in: bool,
    latency_ms: int = 0,
    chunk_interval_ms: int = 0,
    before: Path | None = None,
) -> Iterator[Stack]:
    """Everything up until the block ends; `stand_in` puts the reference proxy in Merit's place.

    `before`: the program of an older version, which runs beside this one.
    """
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="merit-bench-")))
        mock = Mock(cores, folder, latency_ms=latency_ms, chunk_interval_ms=chunk_interval_ms)
        running.enter_context(mock)
        mock.wait_ready()
        proxy = ReverseProxy(cores, folder, mock.port)
        running.enter_context(proxy)
        proxy.wait_ready()
        check(proxy.target, proxy)
        gateway = proxy if stand_in else Gateway(cores, folder, mock.port)
        if not stand_in:
            running.enter_context(gateway)
            gateway.wait_ready()
        old = Gateway(cores, folder, mock.port, before) if before is not None else None
        if old is not None:
            running.enter_context(old)
            old.wait_ready()
        yield Stack(cores, watch, mock, gateway, proxy, old)
