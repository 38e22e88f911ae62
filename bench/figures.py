"""The figures of results.json. Names carry the unit; README.md says what each means."""

import statistics
from collections.abc import Iterable

import msgspec

from bench.loadgen import Percentiles, Run
from bench.machine import Cores, Machine
from bench.processes import BenchError


class Spread(msgspec.Struct, frozen=True):
    """Median and range of the runs."""

    median: float
    min: float
    max: float


def spread(values: Iterable[float]) -> Spread:
    """Of at least one value."""
    listed = list(values)
    if not listed:
        raise BenchError("not one request was answered: there is nothing to summarise")
    return Spread(round(statistics.median(listed), 3), round(min(listed), 3), round(max(listed), 3))


def median(values: Iterable[float]) -> float:
    """Of at least one value."""
    return spread(values).median


class Detail(msgspec.Struct, frozen=True):
    """One run, for whoever doubts the medians."""

    requests: int
    errors: dict[str, int]
    requests_per_second: float
    requests_per_cpu_second: float
    cpu_seconds: float
    cpu_share: float
    """CPU seconds of the target per second; what `gateway_core_busy` has beyond a gateway's share was somebody else."""
    gateway_core_busy: float
    load_core_busy: float
    steal: float
    latency_ms: Percentiles | None
    events_per_second: float | None = None


def detail(run: Run, cores: Cores) -> Detail:
    """What one run says."""
    gateway, load = run.cpu.cores[str(cores.gateway)], run.cpu.cores[str(cores.load)]
    cpu = run.cpu.process_seconds
    return Detail(
        requests=run.requests,
        errors=run.errors,
        requests_per_second=round(run.rps, 1),
        requests_per_cpu_second=round(run.requests / cpu, 1) if cpu else 0.0,
        cpu_seconds=round(cpu, 2),
        cpu_share=round(cpu / run.cpu.seconds, 3),
        gateway_core_busy=round(gateway.busy, 3),
        load_core_busy=round(load.busy, 3),
        steal=round(max(gateway.steal, load.steal), 3),
        latency_ms=run.latency_ms,
        events_per_second=round(run.stream.events_per_second, 1) if run.stream else None,
    )


class Direct(msgspec.Struct, frozen=True):
    """Load straight to the mock."""

    requests_per_second: Spread
    latency_p50_ms: float
    latency_p99_ms: float
    details: list[Detail]


class Throughput(msgspec.Struct, frozen=True):
    """A gateway on one core under a closed loop."""

    requests_per_core_second: float
    min: float
    max: float
    runs: list[float]
    requests_per_second: Spread
    requests_per_cpu_second: Spread
    cpu_ms_per_request: float
    latency_p50_ms: float
    latency_p99_ms: float
    gateway_core_share: float
    resident_memory_mib: float
    details: list[Detail]
    share_of_go_reverse_proxy: float | None = None
    """Of its requests_per_core_second, in the same rounds."""


class CacheHits(msgspec.Struct, frozen=True):
    """Hits of the exact cache on one core, and the CPU of one as a share of a request's that is made."""

    whole: Throughput
    streamed: Throughput
    whole_cpu_of_made: Spread
    streamed_cpu_of_made: Spread


class Protocols(msgspec.Struct, frozen=True):
    """One gateway between clients and vendors of one protocol, and of two. Each is called CLIENT_VENDOR."""

    paths: dict[str, Throughput]
    cpu_of_same_protocol: dict[str, Spread]
    """CPU of a request over that of one of `chat_openai`, whose bytes pass, round by round."""
    before: Throughput | None = None
    """`chat_openai` by an older version."""
    cpu_of_before: Spread | None = None
    """CPU of a request of `chat_openai` over that of the older version, round by round. Above 1: it got slower."""


class SlowUpstream(msgspec.Struct, frozen=True):
    """A gateway in front of a vendor that takes its time."""

    upstream_latency_ms: int
    connections: int
    requests_per_cpu_second: Spread
    requests_per_second: Spread
    cpu_ms_per_request: float
    gateway_core_share: float
    latency_p50_ms: float
    details: list[Detail]


class Added(msgspec.Struct, frozen=True):
    """Gateway minus direct in one pair of runs, milliseconds."""

    p50_ms: float
    p99_ms: float
    gateway_p50_ms: float
    gateway_p99_ms: float
    direct_p50_ms: float
    direct_p99_ms: float


class AddedSummary(msgspec.Struct, frozen=True):
    """Medians over the pairs, milliseconds."""

    p50_ms: float
    p99_ms: float
    runs: list[Added]


def added(gateway: Percentiles, direct: Percentiles) -> Added:
    """What the gateway adds; differences of percentiles, not percentiles of differences."""
    return Added(
        p50_ms=round(gateway.p50 - direct.p50, 3),
        p99_ms=round(gateway.p99 - direct.p99, 3),
        gateway_p50_ms=round(gateway.p50, 3),
        gateway_p99_ms=round(gateway.p99, 3),
        direct_p50_ms=round(direct.p50, 3),
        direct_p99_ms=round(direct.p99, 3),
    )


def summary(pairs: list[Added]) -> AddedSummary:
    """Of at least one pair."""
    return AddedSummary(median(p.p50_ms for p in pairs), median(p.p99_ms for p in pairs), pairs)


class StreamThroughput(msgspec.Struct, frozen=True):
    """Streams under a closed loop. A chunk is an event other than [DONE]; its CPU includes its share of the request."""

    chunks_per_second: float
    cpu_us_per_chunk: float
    streams_per_second: float
    gateway_core_share: float
    details: list[Detail]


class Streaming(msgspec.Struct, frozen=True):
    """Streams."""

    chunks_per_second: float
    cpu_us_per_chunk: float
    streams_per_second: float
    gateway_core_share: float
    time_to_first_token_added_ms: AddedSummary
    paced: StreamThroughput
    """Chunks that arrive one by one, every 10 ms in 128 streams: no two share a read."""
    go_reverse_proxy: StreamThroughput
    direct_chunks_per_second: float
    details: list[Detail]


class Results(msgspec.Struct, omit_defaults=True):
    """The file. Scenarios that were not run are absent."""

    gateway: str
    quick: bool
    machine: Machine
    method: str
    full_pipeline: Throughput | None = None
    go_reverse_proxy: Throughput | None = None
    direct: Direct | None = None
    protocols: Protocols | None = None
    cache_hits: CacheHits | None = None
    slow_upstream: SlowUpstream | None = None
    added_latency: dict[str, AddedSummary] | None = None
    streaming: Streaming | None = None
    failed_requests: int = -1
    """In all measured runs together."""
    problems: list[str] = []
