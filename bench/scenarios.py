"""The scenarios: which load goes where, and what the runs add up to."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import (
    Added,
    AddedSummary,
    CacheHits,
    Direct,
    Protocols,
    SlowUpstream,
    Spread,
    Streaming,
    StreamThroughput,
    Throughput,
    added,
    detail,
    median,
    spread,
    summary,
)
from bench.loadgen import Load, Run, Target
from bench.machine import Cores
from bench.places import CHAT, CHAT_CACHED, CHAT_STREAM, CHAT_STREAM_CACHED, MESSAGES, RESPONSES
from bench.resources import CLAUDE, MODEL
from bench.stack import Stack, Watch, stack

CONNECTIONS = 64
SLOW_MS = 50
SLOW_CONNECTIONS = 256
"""More than CONNECTIONS: 64 answers per 50 ms would leave the gateway two thirds idle."""
STREAMS = 32
PACED_STREAMS = 128
PACED_MS = 10
RATE = 200.0
FIRST_TOKEN_RATE = 10.0
FIRST_TOKEN_MS = 20
FIRST_TOKEN_CONNECTIONS = 24
"""Twelve streams are open at a time; with many more, a connection would idle past the keep-alive time of its server."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how often."""

    seconds: float
    warmup_seconds: float
    runs: int
    stream_runs: int
    stand_in: bool
    cores: Cores
    watch: Watch
    before: Path | None = None
    """An older version's program."""

    def rounds(self, name: str, runs: int) -> Iterator[str]:
        """Labels of the rounds, told to whoever waits."""
        for number in range(1, runs + 1):
            label = f"{name} {number}/{runs}"
            print(f"  {label}", flush=True)
            yield label

    def load(self, *, connections: int, rate: float = 0, stream: bool = False, times: float = 1) -> Load:
        """A load of the usual length, or `times` as long."""
        return Load(
            CHAT_STREAM if stream else CHAT, connections, self.seconds * times, self.warmup_seconds, rate, stream
        )

    def repeated(self, *, connections: int, stream: bool = False) -> Load:
        """The same request again and again, to the route with a cache."""
        body = CHAT_STREAM_CACHED if stream else CHAT_CACHED
        return Load(body, connections, self.seconds, self.warmup_seconds, stream=stream, events=3)

    def stack(
        self, *, latency_ms: int = 0, chunk_interval_ms: int = 0, before: Path | None = None
    ) -> AbstractContextManager[Stack]:
        """Everything up, with a mock of this kind; `before` beside it."""
        return stack(
            self.cores,
            self.watch,
            stand_in=self.stand_in,
            latency_ms=latency_ms,
            chunk_interval_ms=chunk_interval_ms,
            before=before,
        )


def full_pipeline(settings: Settings) -> tuple[Throughput, Throughput, Direct]:
    """Gateway, reference proxy and mock in turn, so that a busy minute of the machine hits all three."""
    load = settings.load(connections=CONNECTIONS)
    with settings.stack() as up:
        direct: list[Run] = []
        proxy: list[Run] = []
        gateway: list[Run] = []
        for label in settings.rounds("full_pipeline", settings.runs):
            direct.append(up.measure(up.mock.target, load, label))
            proxy.append(up.measure(up.proxy.target, load, label, saturates=True))
            gateway.append(up.measure(up.gateway.target, load, label, saturates=True))
        reference = _throughput(proxy, settings.cores, up.proxy.resident_mib())
        share = median(g.rps / p.rps for g, p in zip(gateway, proxy, strict=True) if p.rps)
        measured = _throughput(gateway, settings.cores, up.gateway.resident_mib(), share)
    details = [detail(r, settings.cores) for r in direct]
    straight = Direct(spread(r.rps for r in direct), _p50(direct), _p99(direct), details)
    return measured, reference, straight


def cache_hits(settings: Settings) -> CacheHits:
    """Hits of the exact cache, whole and as streams, beside requests that are made and Go's reverse proxy."""
    runs: dict[str, list[Run]] = {}
    loads = {
        "proxy": settings.load(connections=CONNECTIONS),
        "made": settings.load(connections=CONNECTIONS),
        "whole": settings.repeated(connections=CONNECTIONS),
        "streamed": settings.repeated(connections=CONNECTIONS, stream=True),
    }
    with settings.stack() as up:
        for label in settings.rounds("cache_hits", settings.runs):
            for name, load in loads.items():
                target, cached = (
                    up.proxy.target if name == "proxy" else up.gateway.target,
                    name in {"whole", "streamed"},
                )
                made = up.measure(target, load, f"{label}, {name}", saturates=True, cached=cached)
                runs.setdefault(name, []).append(made)
        resident = up.gateway.resident_mib()
    against = {n: list(zip(runs[n], runs["made"], runs["proxy"], strict=True)) for n in ("whole", "streamed")}
    shares = {n: median(hit.rps / proxy.rps for hit, _, proxy in rounds) for n, rounds in against.items()}
    return CacheHits(
        whole=_throughput(runs["whole"], settings.cores, resident, shares["whole"]),
        streamed=_throughput(runs["streamed"], settings.cores, resident, shares["streamed"]),
        whole_cpu_of_made=spread(_cpu_ms(hit) / _cpu_ms(made) for hit, made, _ in against["whole"]),
        streamed_cpu_of_made=spread(_cpu_ms(hit) / _cpu_ms(made) for hit, made, _ in against["streamed"]),
    )


_PATHS = {
    "chat_openai": (CHAT, "chat/completions", MODEL, '"choices"'),
    "messages_anthropic": (MESSAGES, "messages", CLAUDE, '"content"'),
    "chat_anthropic": (CHAT, "chat/completions", CLAUDE, '"choices"'),
    "messages_openai": (MESSAGES, "messages", MODEL, '"content"'),
    "responses_openai": (RESPONSES, "responses", MODEL, '"output"'),
}
"""By CLIENT_VENDOR: body, endpoint, route, and what an answer has. In the first two bytes pass."""


def protocols(settings: Settings) -> Protocols:
    """Bytes that pass, beside translations, and beside an older version's."""
    runs: dict[str, list[Run]] = {}
    with settings.stack(before=settings.before) as up, TemporaryDirectory(prefix="merit-bench-") as folder:
        for label in settings.rounds("protocols", settings.runs):
            for name, (body, endpoint, model, has) in _PATHS.items():
                sent = Path(folder) / f"{name}.json"
                sent.write_text(body.read_text().replace(f'"{MODEL}"', f'"{model}"'))
                load = Load(sent, CONNECTIONS, settings.seconds, settings.warmup_seconds, has=has)
                target = replace(up.gateway.target, path=f"/v1/{endpoint}")
                runs.setdefault(name, []).append(up.measure(target, load, f"{label}, {name}", saturates=True))
                if name == "chat_openai" and up.before is not None:
                    old = up.measure(up.before.target, load, f"{label}, {name}", saturates=True)
                    runs.setdefault("before", []).append(old)
        resident = up.gateway.resident_mib()
        older = up.before.resident_mib() if up.before is not None else 0.0
    before, same = runs.pop("before", []), runs["chat_openai"]
    return Protocols(
        paths={name: _throughput(made, settings.cores, resident) for name, made in runs.items()},
        cpu_of_same_protocol={name: _cpu_against(made, same) for name, made in runs.items()},
        before=_throughput(before, settings.cores, older) if before else None,
        cpu_of_before=_cpu_against(same, before) if before else None,
    )


def _cpu_against(runs: list[Run], others: list[Run]) -> Spread:
    return spread(_cpu_ms(one) / _cpu_ms(other) for one, other in zip(runs, others, strict=True) if _cpu_ms(other))


def slow_upstream(settings: Settings) -> SlowUpstream:
    """A vendor that takes 50 ms: many requests wait at once, and what watches them while they wait costs."""
    load = settings.load(connections=SLOW_CONNECTIONS)
    with settings.stack(latency_ms=SLOW_MS) as up:
        runs = [up.measure(up.gateway.target, load, label) for label in settings.rounds("slow_upstream", settings.runs)]
    return SlowUpstream(
        upstream_latency_ms=SLOW_MS,
        connections=SLOW_CONNECTIONS,
        requests_per_cpu_second=spread(_per_cpu_second(r) for r in runs),
        requests_per_second=spread(r.rps for r in runs),
        cpu_ms_per_request=median(_cpu_ms(r) for r in runs),
        gateway_core_share=median(r.cpu.process_seconds / r.cpu.seconds for r in runs),
        latency_p50_ms=_p50(runs),
        details=[detail(r, settings.cores) for r in runs],
    )


def added_latency(settings: Settings) -> dict[str, AddedSummary]:
    """Pairs of direct and gateway runs at a fixed rate, far from saturation."""
    load = settings.load(connections=CONNECTIONS, rate=RATE)
    pairs: list[Added] = []
    with settings.stack() as up:
        for label in settings.rounds("added_latency", settings.runs):
            direct = up.measure(up.mock.target, load, label)
            gateway = up.measure(up.gateway.target, load, label)
            if direct.latency_ms and gateway.latency_ms:
                pairs.append(added(gateway.latency_ms, direct.latency_ms))
    return {f"rate_{RATE:.0f}": summary(pairs)}


def streaming(settings: Settings) -> Streaming:
    """Streams as fast as they go, streams at a vendor's pace, and the first token of streams at a steady rate."""
    first_token = summary(list(_first_tokens(settings)))
    paced_load = settings.load(connections=PACED_STREAMS, stream=True)
    with settings.stack(chunk_interval_ms=PACED_MS) as up:
        paced = [
            up.measure(up.gateway.target, paced_load, label)
            for label in settings.rounds("streaming, paced", settings.stream_runs)
        ]
    load = settings.load(connections=STREAMS, stream=True)
    runs: dict[str, list[Run]] = {}
    with settings.stack() as up:
        targets: dict[str, Target] = {"direct": up.mock.target, "proxy": up.proxy.target, "gateway": up.gateway.target}
        for label in settings.rounds("streaming", settings.stream_runs):
            for name, target in targets.items():
                runs.setdefault(name, []).append(up.measure(target, load, label, saturates=True))
    gateway = _streams(runs["gateway"], settings.cores)
    return Streaming(
        chunks_per_second=gateway.chunks_per_second,
        cpu_us_per_chunk=gateway.cpu_us_per_chunk,
        streams_per_second=gateway.streams_per_second,
        gateway_core_share=gateway.gateway_core_share,
        time_to_first_token_added_ms=first_token,
        paced=_streams(paced, settings.cores),
        go_reverse_proxy=_streams(runs["proxy"], settings.cores),
        direct_chunks_per_second=_streams(runs["direct"], settings.cores).chunks_per_second,
        details=gateway.details,
    )


def _first_tokens(settings: Settings) -> Iterator[Added]:
    load = settings.load(connections=FIRST_TOKEN_CONNECTIONS, rate=FIRST_TOKEN_RATE, stream=True, times=2)
    with settings.stack(chunk_interval_ms=FIRST_TOKEN_MS) as up:
        for label in settings.rounds("streaming, first token", settings.stream_runs):
            direct = up.measure(up.mock.target, load, label).stream
            gateway = up.measure(up.gateway.target, load, label).stream
            if direct and gateway and direct.first_event_ms and gateway.first_event_ms:
                yield added(gateway.first_event_ms, direct.first_event_ms)


def _throughput(runs: list[Run], cores: Cores, resident_mib: float, share: float | None = None) -> Throughput:
    per_second = spread(r.rps for r in runs)
    return Throughput(
        requests_per_core_second=per_second.median,
        min=per_second.min,
        max=per_second.max,
        runs=[round(r.rps, 1) for r in runs],
        requests_per_second=per_second,
        requests_per_cpu_second=spread(_per_cpu_second(r) for r in runs),
        cpu_ms_per_request=median(_cpu_ms(r) for r in runs),
        latency_p50_ms=_p50(runs),
        latency_p99_ms=_p99(runs),
        gateway_core_share=median(r.cpu.process_seconds / r.cpu.seconds for r in runs),
        resident_memory_mib=round(resident_mib, 1),
        details=[detail(r, cores) for r in runs],
        share_of_go_reverse_proxy=share,
    )


def _streams(runs: list[Run], cores: Cores) -> StreamThroughput:
    figures = [(r, r.stream) for r in runs if r.stream]
    return StreamThroughput(
        chunks_per_second=median(s.events_per_second for _, s in figures),
        cpu_us_per_chunk=median(r.cpu.process_seconds * 1e6 / max(s.events, 1) for r, s in figures),
        streams_per_second=median(r.rps for r in runs),
        gateway_core_share=median(r.cpu.process_seconds / r.cpu.seconds for r in runs),
        details=[detail(r, cores) for r in runs],
    )


def _per_cpu_second(run: Run) -> float:
    return run.requests / run.cpu.process_seconds if run.cpu.process_seconds else 0.0


def _cpu_ms(run: Run) -> float:
    return run.cpu.process_seconds * 1000 / max(run.requests, 1)


def _p50(runs: list[Run]) -> float:
    return median(r.latency_ms.p50 for r in runs if r.latency_ms)


def _p99(runs: list[Run]) -> float:
    return median(r.latency_ms.p99 for r in runs if r.latency_ms)
