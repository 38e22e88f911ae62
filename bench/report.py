"""The readable table, and the comparison with an earlier results.json."""

from collections.abc import Iterator, Mapping

import msgspec

from bench.figures import Results, Spread

Flat = dict[str, float]
"""Dotted path to figure."""

_NOT_COMPARED = {"machine", "details", "runs", "quick", "failed_requests"}


def table(results: Results) -> str:
    """Every figure on a line, with its unit and range."""
    lines = [f"{'':<46}{'median':>12}{'min':>12}{'max':>12}"]
    lines += [_line(*row) for row in _rows(results)]
    if results.problems:
        lines += ["", "Doubtful:", *(f"  - {problem}" for problem in results.problems)]
    return "\n".join(lines)


def comparison(results: Results, baseline: bytes) -> str:
    """New over old for each figure that both have."""
    new_tree, old_tree = msgspec.to_builtins(results), msgspec.json.decode(baseline)
    new, old = dict(_flatten(new_tree)), dict(_flatten(old_tree))
    lines = [f"{'new / old':<58}{'old':>12}{'new':>12}{'ratio':>9}"]
    for path, value in new.items():
        before = old.get(path)
        if before is None or path.endswith((".min", ".max")):
            continue
        ratio = f"{value / before:.3f}" if before else "-"
        lines.append(f"{path:<58}{_number(before):>12}{_number(value):>12}{ratio:>9}{_overlap(path, new, old)}")
    if _setup(new_tree) != _setup(old_tree):
        lines.append("CAUTION: another machine, gateway or length of runs: these ratios say little.")
    return "\n".join(lines)


Row = tuple[str, float | Spread | None]


def _rows(results: Results) -> Iterator[Row]:
    if (direct := results.direct) is not None:
        yield "direct: requests/s", direct.requests_per_second
        yield "direct: p50 ms", direct.latency_p50_ms
    for name, found in (("go_reverse_proxy", results.go_reverse_proxy), ("full_pipeline", results.full_pipeline)):
        if found is not None:
            yield f"{name}: requests/s, one core", found.requests_per_second
            yield f"{name}: requests per CPU second", found.requests_per_cpu_second
            yield f"{name}: CPU ms per request", found.cpu_ms_per_request
            yield f"{name}: p50 ms at that load", found.latency_p50_ms
            yield f"{name}: resident MiB after it", found.resident_memory_mib
            yield f"{name}: share of Go's reverse proxy", found.share_of_go_reverse_proxy
    if (protocols := results.protocols) is not None:
        for name, found in protocols.paths.items():
            yield f"protocols, {name}: requests per CPU second", found.requests_per_cpu_second
            yield f"protocols, {name}: CPU of chat_openai", protocols.cpu_of_same_protocol[name]
        if protocols.before is not None:
            yield "protocols, before: requests per CPU second", protocols.before.requests_per_cpu_second
            yield "protocols, chat_openai: CPU of before", protocols.cpu_of_before
    if (hits := results.cache_hits) is not None:
        for name, found in (("whole", hits.whole), ("streamed", hits.streamed)):
            yield f"cache_hits, {name}: hits/s, one core", found.requests_per_second
            yield f"cache_hits, {name}: hits per CPU second", found.requests_per_cpu_second
            yield f"cache_hits, {name}: CPU ms per hit", found.cpu_ms_per_request
            yield f"cache_hits, {name}: share of Go's reverse proxy", found.share_of_go_reverse_proxy
        yield "cache_hits, whole: CPU of a request made", hits.whole_cpu_of_made
        yield "cache_hits, streamed: CPU of a request made", hits.streamed_cpu_of_made
    if (slow := results.slow_upstream) is not None:
        yield "slow_upstream: requests per CPU second", slow.requests_per_cpu_second
        yield "slow_upstream: requests/s", slow.requests_per_second
        yield "slow_upstream: p50 ms", slow.latency_p50_ms
    for rate, summary in (results.added_latency or {}).items():
        yield f"added_latency, {rate}: p50 ms", Spread(*_range(summary.p50_ms, [r.p50_ms for r in summary.runs]))
        yield f"added_latency, {rate}: p99 ms", Spread(*_range(summary.p99_ms, [r.p99_ms for r in summary.runs]))
    if (streaming := results.streaming) is not None:
        first = streaming.time_to_first_token_added_ms
        yield "streaming: chunks/s, one core", streaming.chunks_per_second
        yield "streaming: CPU us per chunk", streaming.cpu_us_per_chunk
        yield "streaming: chunks/s of Go's reverse proxy", streaming.go_reverse_proxy.chunks_per_second
        yield "streaming: chunks/s, direct", streaming.direct_chunks_per_second
        yield "streaming, paced: chunks/s", streaming.paced.chunks_per_second
        yield "streaming, paced: CPU us per chunk", streaming.paced.cpu_us_per_chunk
        yield (
            "streaming: added time to first token, p50 ms",
            Spread(*_range(first.p50_ms, [r.p50_ms for r in first.runs])),
        )
        yield (
            "streaming: added time to first token, p99 ms",
            Spread(*_range(first.p99_ms, [r.p99_ms for r in first.runs])),
        )


def _range(median: float, values: list[float]) -> tuple[float, float, float]:
    return median, min(values), max(values)


def _line(name: str, value: float | Spread | None) -> str:
    if value is None:
        return f"{name:<46}{'-':>12}"
    if isinstance(value, Spread):
        return f"{name:<46}{_number(value.median):>12}{_number(value.min):>12}{_number(value.max):>12}"
    return f"{name:<46}{_number(value):>12}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def _flatten(tree: object, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key not in _NOT_COMPARED:
                yield from _flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield path, float(tree)


def _overlap(path: str, new: Flat, old: Flat) -> str:
    """Where both have a range: whether the ranges touch, in which case the difference may be noise."""
    parent = path.rpartition(".")[0]
    ends = [flat.get(f"{parent}.{end}") for flat in (new, old) for end in ("min", "max")]
    if not path.endswith((".median", ".requests_per_core_second")) or None in ends:
        return ""
    new_min, new_max, old_min, old_max = (end or 0.0 for end in ends)
    return "  ranges overlap" if new_min <= old_max and old_min <= new_max else "  ranges apart"


def _setup(tree: Mapping[str, object]) -> tuple[object, ...]:
    machine = tree.get("machine")
    hardware = (machine.get("cpu"), machine.get("cores")) if isinstance(machine, Mapping) else ()
    return (*hardware, tree.get("gateway"), tree.get("quick"))
