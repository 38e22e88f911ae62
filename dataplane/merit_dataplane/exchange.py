"""What is known of one request while it is served, and its last words: account, log line, metrics."""

import asyncio
import copy
import random
import time
from typing import TYPE_CHECKING

from merit_crds.pricing import (
    CostDetails,
    Usage,
    charge_of,
    price_details,
    rates_in_force,
    stamped,
    stamped_excess,
    usd,
)
from merit_crds.snapshot import Charge
from merit_crds.usage_line import USAGE_LINE_FORMAT, StampedTokens, UsageLine
from merit_dataplane.commitments.account import Committed
from merit_dataplane.commitments.draws import Draw, learn, release, reserve, settle, stamped_draw
from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.feedback.answer_id import Byline
from merit_dataplane.limits.account import Grant
from merit_dataplane.live import Measured
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.observability.usage_log import UsageLog
from merit_dataplane.resilience.guard import Verdict
from merit_dataplane.snapshots.tables import ConsumerPlan, EndpointPlan, RoutePlan, Tables, Target, TierPlan
from merit_dataplane.upstream.attempt import AttemptFailedError
from merit_dataplane.warmth.prefix import Prefix
from merit_dataplane.wire.features import MEDIA, listed
from merit_dataplane.wire.openai_request import Call

if TYPE_CHECKING:
    from merit_dataplane.observability.tracing import RequestTrace
    from merit_dataplane.shared_state import Budget, SharedState

CLIENT_GONE = 499
"""nginx's status for a client that closed its connection."""
_random = random.Random()  # noqa: S311 # an identity, not a secret


def _new_id() -> str:
    return f"req_{(int(time.time()) << 64) + _random.getrandbits(64):024x}"


class Exchange:
    """One request. Lives as long as it does, belongs to one task."""

    __slots__ = (
        "attempted", "attempts", "bid", "billed_at", "byline", "cache", "call", "charge", "consumer", "cost", "draws",
        "endpoint", "error", "estimated", "failures", "first_token", "flown", "forced_tier", "grant", "id", "listed",
        "loop", "placement", "prefix", "reserved", "route", "saved", "started", "state_budget", "status", "tables",
        "target", "tier", "trace", "usage", "waits_for",
    )  # fmt: skip

    def __init__(self, tables: Tables | None):
        self.loop = asyncio.get_running_loop()
        self.started = self.loop.time()
        self.id = _new_id()
        self.tables = tables
        self.consumer: ConsumerPlan | None = None
        self.call: Call | None = None
        self.route: RoutePlan | None = None
        self.tier: TierPlan | None = None
        self.prefix: Prefix | None = None
        self.bid: Bid | None = None
        self.billed_at = 0.0
        self.target: Target | None = None
        self.byline: Byline | None = None
        """Of who wrote the answer; a hit's is who wrote it then."""
        self.charge: Charge | None = None
        self.usage: Usage | None = None
        self.cost: CostDetails | None = None
        self.listed = 0
        """Pico-dollars that the price list alone asks for."""
        self.draws: tuple[Draw, ...] = ()
        self.reserved: Committed | None = None
        """What an attempt under way is expected to draw."""
        self.estimated = False
        self.cache = ""
        self.grant: Grant | None = None
        """Its part of the consumer's account, where the consumer has limits."""
        self.forced_tier = ""
        """The tier that serves it whatever it is, since a budget is spent."""
        self.state_budget: Budget | None = None
        """How long it may still wait for Redis; made when it is first asked."""
        self.placement = ""
        self.saved = 0
        self.attempts = 0
        self.failures: list[str] = []
        self.status = 0
        self.first_token = 0.0
        self.error = ""
        self.flown: Exchange | None = None
        """The call that was made for this request and all like it: that one's account is this one's."""

        self.attempted = 0.0
        """`loop.time()` at which the last attempt began; 0 before the first."""
        self.waits_for: Target | None = None
        """Whom an attempt under way asks."""
        self.endpoint: EndpointPlan | None = None
        """Where the last attempt went."""
        self.trace: RequestTrace | None = None
        """Its spans; None where none are made."""

    def shared(self, state: "SharedState") -> "Budget":
        """How long this request may still wait for Redis."""
        if self.state_budget is None:
            self.state_budget = state.budget()
        return self.state_budget

    def fork(self, *, anew: bool) -> "Exchange":
        """For a call that goes on without this request. `anew`: as another request than this one."""
        forked = copy.copy(self)
        forked.failures = []
        if anew:
            forked.rename()
        return forked

    def rename(self) -> None:
        """It goes on as another request than the one for which it began."""
        self.id, self.trace = _new_id(), None

    def asks(self, bid: Bid, endpoint: EndpointPlan) -> None:
        """An attempt begins."""
        self.attempts += 1
        self.attempted, self.waits_for, self.endpoint = self.loop.time(), bid.target, endpoint
        if bid.committed is not None:
            self.reserved = reserve(bid.committed)
        if self.trace is not None:
            self.trace.asks(bid, endpoint, self.attempts, self.tables)

    def failed(self, bid: Bid, endpoint: EndpointPlan, failure: AttemptFailedError, ledger: Ledger) -> None:
        """An attempt gave nothing."""
        self.failures.append(f"{bid.target.labels[2]}/{endpoint.name}: {failure.outcome}")
        ledger.attempt(bid.target.labels[2], endpoint.name, bid.target.model, failure.outcome)
        self.waits_for = None
        self._release()
        if self.trace is not None:
            self.trace.failed(failure.outcome, failure.status)
        now = self.loop.time()
        if failure.outcome == Verdict.FIRST_BYTE:
            self._never(bid.target, now)
        elif failure.outcome == Verdict.TOTAL:
            self._at_least(bid.target, now)

    def answered(self, bid: Bid, endpoint: EndpointPlan, ledger: Ledger) -> None:
        """An attempt gave an answer."""
        self.bid, self.target, self.waits_for, self.byline = bid, bid.target, None, bid.target.byline
        ledger.attempt(bid.target.labels[2], endpoint.name, bid.target.model, "answered")
        if self.trace is not None:
            self.trace.answered(stream=self.call is not None and self.call.stream)

    def sign(self) -> str:
        """The id that the client gets; that of an answer says whose it is, so that it can be scored."""
        byline, self.byline = self.byline, None
        if byline is not None and self.consumer is not None and self.status < 300:
            self.id = byline.signed(self.id, self.consumer.key)
        return self.id

    def book(self, usage: Usage, *, estimated: bool = False) -> CostDetails:
        """The usage that counts, and its price in the snapshot of this request, at its start or now."""
        if self.bid is None:
            raise AssertionError("nobody has answered yet")
        price = self.bid.target.price
        tariff = self.bid.tariff
        if price.billed_by_completion:
            self.billed_at = time.time()
            tariff = price.at(self.billed_at)
        served = usage.service_tier or (self.call.service_tier if self.call else "")
        charge = charge_of(tariff, served) if served else tariff
        self.usage, self.estimated = usage, estimated or charge is None  # a tier that the price list doesn't know
        self.charge = charge or tariff
        self.cost = price_details(self.charge, usage)
        if self.bid.target.commitments:
            self._release()
            self.listed = self.cost.total
            standard = self.charge is tariff
            self.cost, self.draws = settle(self.bid.target.commitments, self.cost, usage, self.draws, standard=standard)
        return self.cost

    def _release(self) -> None:
        if self.reserved is not None:
            release(self.reserved)
            self.reserved = None

    def close(self, ledger: Ledger, log: UsageLog | None) -> None:
        """Account and log."""
        self._release()
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
            cached, written = self.usage.all_cached, self.usage.all_written
            series.uncached_input_tokens += self.usage.input - cached - written
            series.cached_input_tokens += cached
            series.cache_write_tokens += written
            series.output_tokens += self.usage.all_output
            series.cost += self.cost.total
            series.amortised += self.cost.amortised or 0
            if self.bid is not None:
                series.expected_input_tokens += self.bid.input
                series.expected_output_tokens += self.bid.output
                expected = self.bid.marginal
                series.expected_cost += expected
                series.cost_error += abs(expected - self.cost.total)
            series.estimated += self.estimated
            if self.target is not None and self.status == 200:
                self._learn(self.target, self.usage, now)
        if self.first_token and self.target is not None:  # known of a stream that broke off, too
            first = self.started + self.first_token - self.attempted
            for measured in self._measured(self.target):
                measured.first_token.observe(first, now)
        if self.status == CLIENT_GONE:
            self._at_least(self.waits_for or self.target, now)
        elif self.target is not None and self.error == f"stream_{Verdict.IDLE}":
            for measured in self._measured(self.target):
                measured.total.never(now)
        if log is not None or self.trace is not None:
            self._tell(self._line(duration), log)

    def _tell(self, line: UsageLine, log: UsageLog | None) -> None:
        if log is not None:
            log.write(line)
        if self.trace is not None:
            self.trace.end(line, self.call)

    def _learn(self, target: Target, usage: Usage, now: float) -> None:
        learned, seconds = target.learned, now - self.attempted  # what others took before it is not its own
        if not self.estimated and self.call is not None:
            if usage.input and not self.call.features & MEDIA:  # a picture's tokens say nothing of a text's
                learned.expected_input.observe(self.call.input_tokens, usage.input)
            learned.expected_output.observe(usage.all_output // self.call.choices)
            if self.bid is not None and self.bid.committed is not None:
                learn(self.bid.committed, self.draws)
            if self.prefix is not None and target.warmth is not None and self.bid is not None:
                target.warmth.observe(self.prefix, self.bid.warm, usage, time.time())
            if usage.all_output:
                learned.wrote(usage.all_output, seconds, now)
        for measured in self._measured(target):
            measured.total.observe(seconds, now)

    def _measured(self, target: Target) -> tuple[Measured, ...]:
        """Whose latency the last attempt says something of: the candidate's, and that of one of several endpoints."""
        if self.endpoint is None or not self.endpoint.has_siblings:
            return (target.learned,)
        return target.learned, target.learned.at(self.endpoint.health)

    def _never(self, target: Target, now: float) -> None:
        for measured in self._measured(target):
            measured.total.never(now)
            if self.call is not None and self.call.stream:
                measured.first_token.never(now)

    def _at_least(self, target: Target | None, now: float) -> None:
        """It was given up before its end. That says something only once it is over a ceiling: less would look fast."""
        if target is None or self.tier is None or self.call is None:
            return
        seconds = now - self.attempted
        for measured in self._measured(target):
            if 0 < self.tier.total_seconds < seconds:
                measured.total.observe(seconds, now)
            if self.call.stream and not self.first_token and 0 < self.tier.first_token_seconds < seconds:
                measured.first_token.observe(seconds, now)

    def _line(self, duration: float) -> UsageLine:
        call, target, usage = self.call, self.target, self.usage
        line = UsageLine(
            format=USAGE_LINE_FORMAT,
            # cut, not rounded: a line never moves past the moment at which a price changed
            time=int((time.time() - duration) * 1000) / 1000,
            request=self.id,
            status=self.status or 500,
            duration=round(duration, 4),
            first_token=round(self.first_token, 4),
            error=self.error,
            consumer=self.consumer.key if self.consumer else "",
            route=self.route.key if self.route else "",
            tier=self.tier.name if self.tier else "",
            attempts=self.attempts,
            failures=self.failures,
            placement=self.placement,
            cache=self.cache,
            saved=usd(self.saved) if self.saved else "",
            snapshot=self.tables.version[:12] if self.tables else "",
        )
        if call is not None:
            line.operation, line.features = call.asked.value, listed(call.features)
            line.expected_input_tokens, line.output_limit = call.input_tokens, call.output_limit
            line.choices = call.choices
        if target is not None:
            line.provider, line.model = target.name
            line.price_list, line.price_version = target.price_list, target.price_version
        if self.endpoint is not None and self.endpoint.has_siblings and target is not None:
            line.endpoint = self.endpoint.name
        if self.bid is not None:
            line.expected_cost = usd(self.bid.marginal)
            line.expected_cached_input_tokens = self.bid.warm.cached
            line.objectives_missed = self.bid.standing is Standing.MISSES_OBJECTIVE
        if usage is not None and self.cost is not None and self.charge is not None:
            line.service_tier = usage.service_tier or (call.service_tier if call else "")
            line.input_tokens, line.output_tokens = usage.input, usage.all_output
            line.cached_input_tokens, line.cache_write_tokens = usage.all_cached, usage.all_written
            if usage.special is not None:
                line.special = StampedTokens(*usage.special)
            line.estimated = self.estimated
            rates, excess = rates_in_force(self.charge.rates, self.charge.context_tiers, usage.input)
            line.cost, line.rates = usd(self.cost.total), stamped(rates)
            if self.billed_at and self.bid is not None and self.bid.target.price.timed:
                line.billed_at = int(self.billed_at * 1000) / 1000
            line.excess = [stamped_excess(tier) for tier in excess]
            if self.cost.amortised is not None:
                line.list_cost, line.effective_cost = usd(self.listed), usd(self.cost.effective)
                line.commitments = [stamped_draw(draw) for draw in self.draws]
        return line
