"""What is known of one request while it is served, and its last words: account, log line, metrics."""

import asyncio
import random
import time

from merit_crds.pricing import CostDetails, Usage, tiered_cost_details, usd
from merit_dataplane.dispatch.merit_order import Bid
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.observability.request_log import RequestLine, RequestLog
from merit_dataplane.snapshots.tables import ConsumerPlan, EndpointPlan, RoutePlan, Tables, Target, TierPlan
from merit_dataplane.upstream.attempt import AttemptFailedError
from merit_dataplane.wire.openai_request import Call

CLIENT_GONE = 499
"""nginx's status for a client that closed its connection."""
_random = random.Random()  # noqa: S311 # an identity, not a secret


class Exchange:
    """One request. Lives as long as it does, belongs to one task."""

    __slots__ = (
        "attempts", "bid", "cache", "call", "consumer", "cost", "error", "estimated", "failures", "first_token", "id",
        "loop", "route", "saved", "started", "status", "tables", "target", "tier", "usage",
    )  # fmt: skip

    def __init__(self, tables: Tables | None):
        self.loop = asyncio.get_running_loop()
        self.started = self.loop.time()
        self.id = f"req_{_random.getrandbits(96):024x}"
        self.tables = tables
        self.consumer: ConsumerPlan | None = None
        self.call: Call | None = None
        self.route: RoutePlan | None = None
        self.tier: TierPlan | None = None
        self.bid: Bid | None = None
        self.target: Target | None = None
        self.usage: Usage | None = None
        self.cost: CostDetails | None = None
        self.estimated = False
        self.cache = ""
        self.saved = 0
        self.attempts = 0
        self.failures: list[str] = []
        self.status = 0
        self.first_token = 0.0
        self.error = ""

    def failed(self, bid: Bid, endpoint: EndpointPlan, failure: AttemptFailedError, ledger: Ledger) -> None:
        """An attempt gave nothing."""
        self.failures.append(f"{bid.target.labels[2]}/{endpoint.name}: {failure.outcome}")
        ledger.attempt(bid.target.labels[2], endpoint.name, bid.target.model, failure.outcome)

    def answered(self, bid: Bid, endpoint: EndpointPlan, ledger: Ledger) -> None:
        """An attempt gave an answer."""
        self.bid, self.target = bid, bid.target
        ledger.attempt(bid.target.labels[2], endpoint.name, bid.target.model, "answered")

    def book(self, usage: Usage, *, estimated: bool = False) -> CostDetails:
        """The usage that counts, and its price at the snapshot of this request."""
        if self.target is None:
            raise AssertionError("nobody has answered yet")
        self.usage, self.estimated = usage, estimated
        self.cost = tiered_cost_details(self.target.rates, self.target.context_tiers, usage)
        return self.cost

    def close(self, ledger: Ledger, log: RequestLog | None) -> None:
        """Account and log."""
        now = self.loop.time()
        duration = now - self.started
        labels = (
            self.target.labels
            if self.target
            else (self.route.key if self.route else "", self.tier.name if self.tier else "", "", "")
        )
        series = ledger.of((*labels, self.consumer.key if self.consumer else ""))
        series.statuses[self.status or 500] += 1
        series.duration.observe(duration)
        if self.first_token:
            series.first_token.observe(self.first_token)
        if self.usage is not None and self.cost is not None:
            series.uncached_input_tokens += self.usage.uncached_input
            series.cached_input_tokens += self.usage.cached_input
            series.cache_write_tokens += self.usage.cache_write
            series.output_tokens += self.usage.output
            series.cost += self.cost.total
            series.estimated += self.estimated
            if self.target is not None and self.status == 200:
                self._learn(self.target, self.usage, duration, now)
        if log is not None:
            log.write(self._line(duration))

    def _learn(self, target: Target, usage: Usage, duration: float, now: float) -> None:
        learned = target.learned
        if not self.estimated and self.call is not None:
            learned.expected_output.observe(usage.output // self.call.choices)
        learned.total.observe(duration, now)
        if self.first_token:
            learned.first_token.observe(self.first_token, now)

    def _line(self, duration: float) -> RequestLine:
        labels = self.target.labels if self.target else None
        usage = self.usage
        return RequestLine(
            time=round(time.time(), 3),
            request=self.id,
            status=self.status or 500,
            duration=round(duration, 4),
            consumer=self.consumer.key if self.consumer else "",
            route=self.route.key if self.route else "",
            tier=self.tier.name if self.tier else "",
            provider=labels[2] if labels else "",
            model=labels[3] if labels else "",
            snapshot=self.tables.version[:12] if self.tables else "",
            stream=self.call.stream if self.call else False,
            input_tokens=usage.input if usage else 0,
            cached_input_tokens=usage.cached_input if usage else 0,
            output_tokens=usage.output if usage else 0,
            cost=usd(self.cost.total) if self.cost else "",
            expected_cost=usd(self.bid.cost) if self.bid else "",
            estimated=self.estimated,
            cache=self.cache,
            attempts=self.attempts,
            failures=self.failures,
            first_token=round(self.first_token, 4),
            error=self.error,
        )
