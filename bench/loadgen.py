"""The Go program: building it, the mock vendor, one run of the load generator."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.local_http import get
from bench.machine import Cores
from bench.places import BINARY, GO_SOURCES
from bench.processes import BenchError, Process, accepts, free_port, pinned

CHUNKS = 60
"""Content chunks of a stream; the finish reason and the usage come on top."""
EVENTS = CHUNKS + 1
"""Events that a complete stream has at least (a gateway may keep the usage to itself), [DONE] aside."""


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p90: float
    p99: float
    max: float


class StreamFigures(msgspec.Struct, frozen=True):
    """What only streams have. Times in milliseconds."""

    first_event_ms: Percentiles | None
    events: int
    events_per_second: float
    inter_event_ms: Percentiles | None


class CoreShare(msgspec.Struct, frozen=True):
    """Parts of the measured window, 0 to 1."""

    busy: float
    steal: float


class CpuUse(msgspec.Struct, frozen=True):
    """Consumed in the measured window."""

    seconds: float
    process_seconds: float
    cores: dict[str, CoreShare]


class Run(msgspec.Struct, frozen=True):
    """What one run of the load generator printed."""

    requests: int
    errors: dict[str, int]
    statuses: dict[str, int]
    seconds: float
    rps: float
    latency_ms: Percentiles | None
    connections_opened: int
    cpu: CpuUse
    stream: StreamFigures | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody to send chat completions to, and whose CPU time counts."""

    name: str
    port: int
    """On 127.0.0.1."""
    pid: int
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Load:
    """How one run offers its requests. Seconds; rate in requests/s, 0 for a closed loop."""

    body: Path
    connections: int
    seconds: float
    warmup_seconds: float
    rate: float = 0
    stream: bool = False
    events: int = EVENTS
    """That a stream has at least."""
    has: str = '"choices"'
    """What a whole answer has, beside its usage."""


def build() -> None:
    """Compiles the program; the Go tool does nothing when it is up to date."""
    command = ["go", "build", "-C", str(GO_SOURCES), "-o", str(BINARY), "."]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError as error:
        raise BenchError("the load generator needs Go on the PATH") from error
    except subprocess.CalledProcessError as error:
        raise BenchError("the load generator doesn't compile") from error


def run(target: Target, load: Load, cores: Cores) -> Run:
    """One run from the load core; raises when it could not be done at all."""
    command = [
        *(str(BINARY), "load", "--url", f"http://127.0.0.1:{target.port}{target.path}", "--body", str(load.body)),
        *("--connections", str(load.connections), "--rate", str(load.rate), "--has", load.has),
        *("--duration", f"{load.seconds}s", "--warmup", f"{load.warmup_seconds}s"),
        *("--cpu-pid", str(target.pid), "--cores", ",".join(str(c) for c in sorted({cores.gateway, cores.load}))),
    ]
    for name, value in target.headers.items():
        command += ["--header", f"{name}: {value}"]
    if load.stream:
        command += ["--stream", "--min-events", str(load.events)]
    with pinned(cores.load):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"load generator against {target.name}: {done.stderr.strip()}")
    return msgspec.json.decode(done.stdout, type=Run)


class Mock(Process):
    """A mock vendor on the load core."""

    def __init__(self, cores: Cores, folder: Path, *, latency_ms: int = 0, chunk_interval_ms: int = 0) -> None:
        self.port = free_port()
        command = [
            *(str(BINARY), "mock", "--listen", f"127.0.0.1:{self.port}", "--chunks", str(CHUNKS)),
            *("--latency", f"{latency_ms}ms", "--chunk-interval", f"{chunk_interval_ms}ms"),
        ]
        super().__init__("mock", command, core=cores.load, cwd=folder)

    @property
    def target(self) -> Target:
        """The mock itself, for reference runs."""
        return Target("direct", self.port, self.pid)

    def wait_ready(self) -> None:
        """Returns when it listens."""
        self.wait_until(lambda: accepts(self.port))

    def completions(self) -> int:
        """Chat completions answered so far."""
        _, answer = get(self.port, "/stats")
        return msgspec.json.decode(answer, type=dict[str, int])["completions"]


class ReverseProxy(Process):
    """Go's reverse proxy on the gateway's core, with one thread for Go code: the reference for Merit."""

    def __init__(self, cores: Cores, folder: Path, upstream_port: int) -> None:
        self.port = free_port()
        listen, upstream = f"127.0.0.1:{self.port}", f"http://127.0.0.1:{upstream_port}"
        command = [str(BINARY), "proxy", "--listen", listen, "--upstream", upstream]
        super().__init__("go_reverse_proxy", command, core=cores.gateway, cwd=folder, env={"GOMAXPROCS": "1"})

    @property
    def target(self) -> Target:
        """The proxy, as a target."""
        return Target("go_reverse_proxy", self.port, self.pid)

    def wait_ready(self) -> None:
        """Returns when it listens."""
        self.wait_until(lambda: accepts(self.port))
