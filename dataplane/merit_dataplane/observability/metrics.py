"""Prometheus metrics, made from the ledger when they are asked for: a request costs a few integer additions.

Names of OpenTelemetry's GenAI conventions are used where one exists; `merit_` ones where none does.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from merit_crds.pricing.cost import PICO
from merit_dataplane.feedback.resolve import place_of
from merit_dataplane.observability.cache_metrics import CacheCollector
from merit_dataplane.observability.commitment_metrics import CommitmentCollector
from merit_dataplane.observability.ledger import SECONDS, Histogram, Ledger, Series
from merit_dataplane.observability.usage_log import UsageLog
from merit_dataplane.overload.turns import Turns
from merit_dataplane.snapshots.holder import SnapshotHolder

if TYPE_CHECKING:
    from merit_dataplane.shared_state import SharedState
    from merit_dataplane.stages.stems import Stems

LABELS = ("route", "tier", "provider", "model", "consumer")


class LedgerCollector(Collector):
    """Reads the ledger, the snapshot holder, and how the usage log and the shared state fare."""

    def __init__(
        self,
        ledger: Ledger,
        holder: SnapshotHolder,
        usage_log: UsageLog | None,
        state: "SharedState | None",
        turns: Turns | None = None,
    ):
        self._ledger, self._holder, self._usage_log, self._state = ledger, holder, usage_log, state
        self._turns = turns

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._requests()
        yield from self._latency()
        yield from self._attempts()
        yield from self._feedback()
        yield from self._snapshot()
        yield from self._log()
        if self._turns is not None:
            yield from _overload(self._ledger, self._turns)
        if self._state is not None:
            yield from _shared_state(self._state)
            yield _shared_health(self._ledger)

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("merit_requests", "Requests answered.", labels=(*LABELS, "code"))
        cost = CounterMetricFamily("merit_cost_usd", "Spend in USD, from the providers' usage.", labels=LABELS)
        effective = CounterMetricFamily(
            "merit_effective_cost_usd", "Spend with its share of what commitments cost used or not.", labels=LABELS
        )
        tokens = CounterMetricFamily(
            "merit_tokens", "Tokens in disjoint classes.", labels=(*LABELS, "gen_ai_token_type")
        )
        expected_cost = CounterMetricFamily(
            "merit_expected_cost_usd", "What the requests of merit_cost_usd were expected to cost.", labels=LABELS
        )
        cost_error = CounterMetricFamily(
            "merit_cost_error_usd", "Differences of expected and real cost, whatever their sign.", labels=LABELS
        )
        expected_tokens = CounterMetricFamily(
            "merit_expected_tokens", "Tokens expected before the call.", labels=(*LABELS, "gen_ai_token_type")
        )
        estimated = CounterMetricFamily(
            "merit_usage_estimated", "Requests whose provider reported no usage.", labels=LABELS
        )
        for labels, series in list(self._ledger.series.items()):
            for code, count in series.statuses.items():
                requests.add_metric((*labels, str(code)), count)
            cost.add_metric(labels, series.cost / PICO)
            effective.add_metric(labels, (series.cost + series.amortised) / PICO)
            expected_cost.add_metric(labels, series.expected_cost / PICO)
            cost_error.add_metric(labels, series.cost_error / PICO)
            expected_tokens.add_metric((*labels, "input"), series.expected_input_tokens)
            expected_tokens.add_metric((*labels, "output"), series.expected_output_tokens)
            for kind, count in _tokens(series):
                tokens.add_metric((*labels, kind), count)
            if series.estimated:
                estimated.add_metric(labels, series.estimated)
        yield from (requests, cost, effective, expected_cost, cost_error, tokens, expected_tokens, estimated)
        cache = CounterMetricFamily("merit_cache_requests", "Exact cache look-ups.", labels=("route", "result"))
        for key, count in self._ledger.cache.items():
            cache.add_metric(key, count)
        saved = CounterMetricFamily("merit_cache_saved_usd", "What cache hits would have cost.", labels=("route",))
        for route, pico in self._ledger.saved.items():
            saved.add_metric((route,), pico / PICO)
        yield from _consumers(self._ledger, self._holder)
        placements = CounterMetricFamily(
            "merit_placements",
            "Requests whose first candidate was not the cheapest, by reason.",
            labels=(*LABELS[:4], "reason"),
        )
        for why, count in list(self._ledger.placements.items()):
            placements.add_metric(why, count)
        yield placements
        batches = CounterMetricFamily(
            "merit_batches",
            "Batches created, batches booked by the status in which they ended, and tries to book them that failed.",
            labels=("provider", "model", "event"),
        )
        for event, count in list(self._ledger.batches.items()):
            batches.add_metric(event, count)
        yield batches
        in_flight = GaugeMetricFamily("merit_requests_in_flight", "Requests being served.")
        in_flight.add_metric((), self._ledger.in_flight)
        yield from (cache, saved, in_flight)

    def _latency(self) -> Iterator[Metric]:
        labels = ("merit_route", "merit_tier", "gen_ai_provider_name", "gen_ai_request_model")
        total: dict[tuple[str, ...], list[Histogram]] = {}
        first: dict[tuple[str, ...], list[Histogram]] = {}
        for key, series in list(self._ledger.series.items()):
            total.setdefault(key[:4], []).append(series.duration)
            first.setdefault(key[:4], []).append(series.first_token)
        yield _histogram(
            "gen_ai_server_request_duration_seconds", "From the request to the answer's last byte.", labels, total
        )
        yield _histogram(
            "gen_ai_server_time_to_first_token_seconds", "From the request to a stream's first byte.", labels, first
        )

    def _attempts(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "merit_attempts", "Tries of an endpoint, by outcome.", labels=("provider", "endpoint", "model", "outcome")
        )
        for key, count in list(self._ledger.attempts.items()):
            attempts.add_metric(key, count)
        yield attempts
        continued = CounterMetricFamily(
            "merit_streams_continued", "Streams that broke off and went on, by how.", labels=("route", "how")
        )
        for route_and_how, count in list(self._ledger.mid_stream.items()):
            continued.add_metric(route_and_how, count)
        lost = CounterMetricFamily(
            "merit_lost_cost_usd",
            "The part of merit_cost_usd that attempts without a whole answer had.",
            labels=(*LABELS[:4], "outcome"),
        )
        for why, pico in list(self._ledger.lost.items()):
            lost.add_metric(why, pico / PICO)
        hedges = CounterMetricFamily(
            "merit_hedges",
            "Requests that took unusually long, by what became of the second attempt or why there was none.",
            labels=("route", "outcome"),
        )
        for route_and_outcome, count in list(self._ledger.hedges.items()):
            hedges.add_metric(route_and_outcome, count)
        yield from (continued, lost, hedges)

    def _feedback(self) -> Iterator[Metric]:
        counted = CounterMetricFamily("merit_feedback", "Scores taken.", labels=(*LABELS[:4], "result"))
        for key, count in list(self._ledger.feedback.items()):
            counted.add_metric(key, count)
        refused = CounterMetricFamily("merit_feedback_refused", "Scores refused, by error.", labels=("code",))
        for code, count in list(self._ledger.feedback_refused.items()):
            refused.add_metric((code,), count)
        pending = GaugeMetricFamily("merit_feedback_pending", "Scores that wait for Redis.")
        pending.add_metric((), self._ledger.feedback_pending)
        estimate = GaugeMetricFamily("merit_accuracy_estimate", "Accuracy by statement and scores.", labels=LABELS[:4])
        least = GaugeMetricFamily("merit_accuracy_at_least", "What is held against the floor.", labels=LABELS[:4])
        weight = GaugeMetricFamily("merit_accuracy_weight", "Scored answers behind it, faded.", labels=LABELS[:4])
        for labels in list(self._holder.live.tallies):
            place = place_of(labels, self._holder.tables) if self._holder.tables is not None else None
            if place is not None and (belief := place[1].accuracy.belief) is not None:
                estimate.add_metric(labels, belief.estimate)
                least.add_metric(labels, belief.lower)
                weight.add_metric(labels, belief.weight)
        yield from (counted, refused, pending, estimate, least, weight)

    def _snapshot(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("merit_snapshot_info", "The snapshot in force.", labels=("version", "term"))
        if self._holder.tables is not None:
            info.add_metric((self._holder.version[:12], str(self._holder.term)), 1)
            age = GaugeMetricFamily("merit_snapshot_age_seconds", "Since the snapshot was applied.")
            age.add_metric((), time.time() - self._holder.applied_at)
            yield age
        yield info

    def _log(self) -> Iterator[Metric]:
        if self._usage_log is not None:
            written = CounterMetricFamily("merit_usage_log_lines", "Lines of the usage log that were written.")
            written.add_metric((), self._usage_log.written)
            dropped = CounterMetricFamily("merit_usage_log_dropped", "Lines of the usage log that were lost.")
            dropped.add_metric((), self._usage_log.dropped)
            yield from (written, dropped)


def _overload(ledger: Ledger, turns: Turns) -> Iterator[Metric]:
    shed = CounterMetricFamily(
        "merit_shed", "Requests that this pod had no room for, by what was full.", labels=("reason",)
    )
    for reason, count in list(ledger.shed.items()):
        shed.add_metric((reason,), count)
    waiting = GaugeMetricFamily("merit_requests_waiting", "Requests that wait for their turn.")
    waiting.add_metric((), turns.waiting)
    lag = GaugeMetricFamily("merit_event_loop_lag_seconds", "By which the newest timer came late.")
    lag.add_metric((), max(0.0, turns.lag))
    yield from (shed, waiting, lag)


def _consumers(ledger: Ledger, holder: SnapshotHolder) -> Iterator[Metric]:
    refusals = CounterMetricFamily(
        "merit_limit_refusals", "Requests refused since the consumer had reached a limit.", labels=("consumer", "limit")
    )
    for key, count in list(ledger.refusals.items()):
        refusals.add_metric(key, count)
    admissions = CounterMetricFamily(
        "merit_admissions", "Requests of consumers with limits, by who decided: all pods, or one alone.", labels=("by",)
    )
    for by, count in list(ledger.admissions.items()):
        admissions.add_metric((by,), count)
    labels = ("consumer", "period")
    amount = GaugeMetricFamily("merit_budget_usd", "Budgets, in USD.", labels=labels)
    spent = GaugeMetricFamily(
        "merit_budget_spent_usd", "What all pods have spent of it, as this one knows.", labels=labels
    )
    for account in list(holder.live.consumers):
        for budget in account.budgets:
            named = (account.key, "month" if budget.terms.months else "day")
            budget.look(time.time())
            amount.add_metric(named, budget.terms.amount / PICO)
            spent.add_metric(named, budget.total() / PICO)
    yield from (refusals, admissions, amount, spent)


def _shared_health(ledger: Ledger) -> Metric:
    events = CounterMetricFamily(
        "merit_shared_health",
        "Circuits and cool-downs that pods told each other of, by what was told.",
        labels=("event",),
    )
    for event, count in list(ledger.health.items()):
        events.add_metric((event,), count)
    return events


def _shared_state(state: "SharedState") -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "merit_shared_state_up", "Whether Redis is asked: 1, or the share of its masters that are.", labels=("kind",)
    )
    breakers = state.breakers()
    for kind in ("reads", "writes"):
        asked = [not breaker.open for which, breaker in breakers if which == kind]
        up.add_metric((kind,), sum(asked) / len(asked) if asked else 0)
    commands = CounterMetricFamily("merit_shared_state_commands", "Commands, by outcome.", labels=("kind", "outcome"))
    for key, count in list(state.counts.outcomes.items()):
        commands.add_metric(key, count)
    waited = CounterMetricFamily(
        "merit_shared_state_waited_seconds", "Time that requests waited for answers of Redis.", labels=("kind",)
    )
    for kind, seconds in list(state.counts.seconds.items()):
        waited.add_metric((kind,), seconds)
    queued = GaugeMetricFamily("merit_shared_state_queued", "Writes on their way for which no request waits.")
    queued.add_metric((), state.queued_later)
    yield from (up, commands, waited, queued)


def _tokens(series: Series) -> Iterable[tuple[str, int]]:
    return (
        ("input", series.uncached_input_tokens),
        ("cached_input", series.cached_input_tokens),
        ("cache_write", series.cache_write_tokens),
        ("output", series.output_tokens),
    )


def _histogram(
    name: str, words: str, labels: tuple[str, ...], series: dict[tuple[str, ...], list[Histogram]]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, words, labels=labels)
    for key, parts in series.items():
        running, buckets = 0, []
        for i, bound in enumerate((*SECONDS, float("inf"))):
            running += sum(part.buckets[i] for part in parts)
            buckets.append(("+Inf" if bound == float("inf") else str(bound), running))
        if running:
            family.add_metric(key, buckets, sum(part.sum for part in parts))
    return family


def registry(  # noqa: PLR0917 # the parts
    ledger: Ledger,
    holder: SnapshotHolder,
    usage_log: UsageLog | None = None,
    state: "SharedState | None" = None,
    turns: Turns | None = None,
    stems: "Stems | None" = None,
) -> CollectorRegistry:
    """A registry of one process's metrics, with the usual process figures."""
    from prometheus_client import PlatformCollector, ProcessCollector  # noqa: PLC0415 # only in a real process

    made = CollectorRegistry()
    made.register(LedgerCollector(ledger, holder, usage_log, state, turns))
    made.register(CommitmentCollector(holder.live.commitments))
    if stems is not None:
        made.register(CacheCollector(ledger, stems))
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    return made


def exposition(made: CollectorRegistry) -> bytes:
    """The text format."""
    return generate_latest(made)
