"""The accounts of this pod: what was served, by whom, for how much. Plain integers, read by the metrics collector."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bounds of the latency histograms, those that OpenTelemetry advises for GenAI, with finer ones below."""
MOST_SERIES = 20_000
"""Series beyond this go to one that is called `other`: labels come from the snapshot, but snapshots change."""


class Counts(Counter[Any]):
    """By labels, all of them texts; those beyond MOST_SERIES are counted as `other`."""

    def __setitem__(self, key: Any, count: int) -> None:
        if key not in self and len(self) >= MOST_SERIES:
            key = ("other",) * len(key) if isinstance(key, tuple) else "other"
            count += self[key]  # it came from a missing one
        super().__setitem__(key, count)


class Histogram:
    """Counts by bucket and the sum, in seconds."""

    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Adds one."""
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds


class Series:
    """One (route, tier, provider, model, consumer)."""

    __slots__ = (
        "amortised", "cache_write_tokens", "cached_input_tokens", "cost", "cost_error", "duration", "estimated",
        "expected_cost", "expected_input_tokens", "expected_output_tokens", "first_token", "output_tokens", "statuses",
        "uncached_input_tokens",
    )  # fmt: skip

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.uncached_input_tokens = 0
        self.cached_input_tokens = 0
        self.cache_write_tokens = 0
        self.output_tokens = 0
        self.estimated = 0
        """Requests whose usage the provider didn't report."""
        self.cost = 0
        """Pico-dollars."""
        self.amortised = 0
        """Pico-dollars of the fees of commitments that these requests account for besides."""
        self.expected_cost = self.cost_error = 0
        """Pico-dollars: what was expected of the same requests, and by how much that was wrong, either way."""
        self.expected_input_tokens = self.expected_output_tokens = 0
        self.duration = Histogram()
        self.first_token = Histogram()


Labels = tuple[str, str, str, str, str]
_OTHER: Labels = ("other", "other", "other", "other", "other")


@dataclass(slots=True)
class Ledger:
    """All accounts of this pod."""

    series: dict[Labels, Series] = field(default_factory=dict)
    attempts: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """By provider, endpoint, model, outcome."""
    cache: Counter[tuple[str, str]] = field(default_factory=Counts)
    """By route and `hit` or `miss`."""
    saved: Counter[str] = field(default_factory=Counts)
    """Pico-dollars that cache hits would have cost, by route."""
    saved_tokens: Counter[tuple[str, str, str]] = field(default_factory=Counts)
    """By route, layer (`exact`, `stems`, `semantic`), and `not_sent` or `not_generated`."""
    semantic: Counter[tuple[str, str]] = field(default_factory=Counts)
    """Requests that looked for a question in other words, by route and what came of it."""
    stems: Counter[tuple[str, str]] = field(default_factory=Counts)
    """Requests by route and what became of their stem."""
    stem_tokens_sent: Counter[str] = field(default_factory=Counts)
    """Input tokens that stems were, by route."""
    placements: Counter[tuple[str, str, str, str, str]] = field(default_factory=Counts)
    """By route, tier, provider, model, and why that one was first instead of the cheapest."""
    refusals: Counter[tuple[str, str]] = field(default_factory=Counts)
    """By consumer and the limit that it had reached."""
    shed: Counter[str] = field(default_factory=Counter)
    """Requests that this pod had no room for, by what was full."""
    admissions: Counter[str] = field(default_factory=Counter)
    """Of consumers that have limits: decided `shared`, for all pods, or `alone`, by this pod's share."""
    feedback: Counter[tuple[str, str, str, str, str]] = field(default_factory=Counts)
    """By route, tier, provider, model, and `counted` or `replaced`."""
    feedback_refused: Counter[str] = field(default_factory=Counter)
    """By the error's code."""
    feedback_pending: int = 0
    """Scores that other pods don't know yet, since Redis is away."""
    mid_stream: Counter[tuple[str, str]] = field(default_factory=Counts)
    """Streams that broke off and went on, by route and how."""
    lost: Counter[tuple[str, str, str, str, str]] = field(default_factory=Counts)
    """Pico-dollars of attempts that gave no whole answer, by route, tier, provider, model, outcome."""
    batches: Counter[tuple[str, str, str]] = field(default_factory=Counts)
    """By provider, model, and `created`, the status in which they ended and were booked, or `not_booked`: tries."""
    health: Counter[str] = field(default_factory=Counts)
    """What pods told each other of circuits and accounts, by what it was."""
    hedges: Counter[tuple[str, str]] = field(default_factory=Counts)
    """By route, and what became of the hedge or why there was none."""
    in_flight: int = 0

    def of(self, labels: Labels) -> Series:
        """The series of these labels."""
        found = self.series.get(labels)
        if found is None:
            if len(self.series) >= MOST_SERIES:
                labels = _OTHER
            found = self.series.setdefault(labels, Series())
        return found

    def attempt(self, provider: str, endpoint: str, model: str, outcome: str) -> None:
        """One attempt ended."""
        key = (provider, endpoint, model, outcome)
        if key not in self.attempts and len(self.attempts) >= MOST_SERIES:
            key = ("other", "other", "other", outcome)
        self.attempts[key] += 1
