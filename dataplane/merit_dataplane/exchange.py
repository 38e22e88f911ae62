"""What is known of one request while it is served, and its last words: account, log line, metrics."""

import asyncio
import copy
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

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
from merit_crds.usage_line import USAGE_LINE_FORMAT, StampedAttempt, StampedTokens, UsageLine
from merit_dataplane.commitments.account import Committed
from merit_dataplane.commitments.draws import Draw, learn, release, reserve, settle, stamped_draw
from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.feedback.answer_id import Byline
from merit_dataplane.limits.account import Grant
from merit_dataplane.live import Measured
from merit_dataplane.observability.ledger import Ledger, Series
from merit_dataplane.observability.usage_log import UsageLog
from merit_dataplane.resilience.guard import Verdict
from merit_dataplane.snapshots.tables import ConsumerPlan, EndpointPlan, RoutePlan, Tables, Target, TierPlan
from merit_dataplane.stems.stemming import Stemming
from merit_dataplane.upstream.attempt import AttemptFailedError
from merit_dataplane.upstream.spent import Spent
from merit_dataplane.warmth.prefix import Prefix
from merit_dataplane.wire.features import MEDIA, listed
from merit_dataplane.wire.openai_request import Call

if TYPE_CHECKING:
    from merit_dataplane.observability.tracing import RequestTrace
    from merit_dataplane.shared_state import Budget, SharedState
    from merit_dataplane.stages.late import LateHedge

CLIENT_GONE = 499
"""nginx's status for a client that closed its connection."""
NOTHING = CostDetails(input=0, output=0, request=0)
_random = random.Random()  # noqa: S311 # an identity, not a secret


def _new_id() -> str:
    return f"req_{(int(time.time()) << 64) + _random.getrandbits(64):024x}"


@dataclass(frozen=True, slots=True, eq=False)
class Lost:
    """An attempt that was paid for and whose answer did not reach its end."""

    target: Target
    endpoint: str
    outcome: str
    usage: Usage
    cost: CostDetails
    draws: tuple[Draw, ...]
    estimated: bool

    def stamped(self) -> StampedAttempt:
        """For the usage log."""
        target = self.target
        return StampedAttempt(
            provider=target.name[0],
            model=target.name[1],
            endpoint=self.endpoint,
            outcome=self.outcome,
            cost=usd(self.cost.total),
            input_tokens=self.usage.input,
            output_tokens=self.usage.all_output,
            estimated=self.estimated,
            price_list=target.price_list,
            price_version=target.price_version,
        )


class UnderWay(NamedTuple):
    """What a request knows of an attempt under way, while it turns to another one."""

    attempted: float
    waits_for: Target | None
    endpoint: EndpointPlan | None
    reserved: Committed | None
    draws: tuple[Draw, ...]
    span: object


class _Bill(NamedTuple):
    charge: Charge
    cost: CostDetails
    listed: int
    """Pico-dollars by the price list alone, where a commitment covers it."""
    known: bool
    """Whether the price list has the service tier."""


class Exchange:
    """One request. Lives as long as it does, belongs to one task."""

    __slots__ = (
        "attempted", "attempts", "bid", "billed_at", "body_bytes", "byline", "cache", "call", "charge", "consumer",
        "cost", "draws", "endpoint", "error", "estimated", "failures", "first_token", "flown", "forced_tier", "grant",
        "hedge", "id", "late", "limits", "listed", "loop", "lost", "lost_cost", "mid_stream", "placement", "prefix",
        "reserved", "route", "saved", "similarity", "started", "state_budget", "status", "stemming", "tables", "target",
        "tier",
        "trace", "usage", "waits_for",
    )  # fmt: skip

    def __init__(self, tables: Tables | None):
        self.loop = asyncio.get_running_loop()
        self.started = self.loop.time()
        self.id, self.tables = _new_id(), tables
        self.consumer: ConsumerPlan | None = None
        self.call: Call | None = None
        self.route: RoutePlan | None = None
        self.tier: TierPlan | None = None
        self.prefix: Prefix | None = None
        self.bid: Bid | None = None
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
        self.estimated, self.body_bytes = False, 0  # of the request's body, as long as it is held
        self.grant: Grant | None = None
        """Its part of the consumer's account, where the consumer has limits."""
        self.forced_tier = ""
        """The tier that serves it whatever it is, since a budget is spent."""
        self.state_budget: Budget | None = None
        """How long it may still wait for Redis; made when it is first asked."""
        self.limits: tuple[tuple[bytes, bytes], ...] = ()  # that the last provider's headers told
        self.cache = self.placement = self.error = self.hedge = ""
        self.mid_stream = ""
        """How a stream that broke off went on."""
        self.saved = self.attempts = self.status = 0
        self.failures: list[str] = []
        self.lost: list[Lost] = []
        """Attempts that cost something and gave no whole answer."""
        self.lost_cost = NOTHING
        self.flown: Exchange | None = None
        """The call that was made for this request and all like it: that one's account is this one's."""

        self.first_token = self.billed_at = self.attempted = self.similarity = 0.0
        """`loop.time()` at which the last attempt began; 0 before the first."""
        self.waits_for: Target | None = None
        """Whom an attempt under way asks."""
        self.late: LateHedge | None = None
        """The second attempt beside one that is late, if there is one or soon will be."""
        self.endpoint: EndpointPlan | None = None
        """Where the last attempt went."""
        self.stemming: Stemming | None = None
        """Its part in stems; None where the route has none, or the request is none for them."""
        self.trace: RequestTrace | None = None
        """Its spans; None where none are made."""

    @property
    def is_part(self) -> bool:
        """Whether the last model wrote only a part of the answer: that says nothing of wholes."""
        return bool(self.mid_stream) or (self.stemming is not None and self.stemming.used)

    def shared(self, state: "SharedState") -> "Budget":
        """How long this request may still wait for Redis."""
        if self.state_budget is None:
            self.state_budget = state.budget()
        return self.state_budget

    def fork(self, *, anew: bool) -> "Exchange":
        """For a call that goes on without this request. `anew`: as another request than this one."""
        forked = copy.copy(self)
        forked.failures, forked.lost = [], []
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

    def failed(
        self, bid: Bid, endpoint: EndpointPlan, failure: AttemptFailedError, spent: Spent | None, ledger: Ledger
    ) -> None:
        """An attempt gave nothing. `spent`: what it costs all the same."""
        if spent is not None:
            self.lose(bid, endpoint, failure.outcome, spent)
        self.failures.append(f"{bid.target.labels[2]}/{endpoint.name}: {failure.outcome}")
        ledger.attempt(bid.target.labels[2], endpoint.name, bid.target.model, failure.outcome)
        self.waits_for = None
        self.release()
        if self.trace is not None:
            self.trace.failed(failure.outcome, failure.status)
        now = self.loop.time()
        if failure.outcome in (Verdict.FIRST_BYTE, Verdict.FIRST_TOKEN):
            self._never(bid.target, now)
        elif failure.outcome == Verdict.TOTAL:
            self._at_least(bid.target, now)

    def answered(self, bid: Bid, endpoint: EndpointPlan, ledger: Ledger) -> None:
        """An attempt gave an answer."""
        self.bid, self.target, self.waits_for, self.byline = bid, bid.target, None, bid.target.byline
        ledger.attempt(bid.target.labels[2], endpoint.name, bid.target.model, "answered")
        if self.trace is not None:
            self.trace.answered(stream=self.call is not None and self.call.stream)

    def set_aside(self) -> UnderWay:
        """The attempt that has just begun goes on by itself."""
        span = self.trace.set_aside() if self.trace is not None else None
        made = UnderWay(self.attempted, self.waits_for, self.endpoint, self.reserved, self.draws, span)
        self.reserved, self.draws = None, ()
        return made

    def take_up(self, under_way: UnderWay) -> None:
        """Turns to an attempt that was set aside: it is over, or the only one left."""
        self.attempted, self.waits_for, self.endpoint, self.reserved, self.draws, span = under_way
        if self.trace is not None:
            self.trace.take_up(span)

    def outpaced(self, bid: Bid, endpoint: EndpointPlan, spent: Spent | None, ledger: Ledger, *, first: bool) -> None:
        """An attempt was ended since another one has answered. It is paid for, and nothing is wrong with it.

        `first`: it had the time that is usual. With none but quick ones seen, what is usual would shrink.
        """
        if spent is not None:
            self.lose(bid, endpoint, Verdict.OUTPACED, spent)
        self.failures.append(f"{bid.target.labels[2]}/{endpoint.name}: {Verdict.OUTPACED}")
        ledger.attempt(bid.target.labels[2], endpoint.name, bid.target.model, Verdict.OUTPACED)
        if self.trace is not None:
            self.trace.failed(Verdict.OUTPACED, 0)
        if first and self.call is not None:
            now = self.loop.time()
            for measured in self._measured(bid.target):
                (measured.first_token if self.call.stream else measured.total).observe(now - self.attempted, now)

    def sign(self) -> str:
        """The id that the client gets; that of an answer says whose it is, so that it can be scored."""
        byline, self.byline = self.byline, None
        if byline is not None and self.consumer is not None and self.status < 300:
            self.id = byline.signed(self.id, self.consumer.key)
        return self.id

    def lose(self, bid: Bid, endpoint: EndpointPlan, outcome: str, spent: Spent) -> Lost:
        """An attempt is paid for and useless."""
        self.release()
        bill = self._bill(bid, spent.usage)
        lost = Lost(bid.target, endpoint.name, outcome, spent.usage, bill.cost, self.draws, estimated=spent.estimated)
        self.draws = ()
        self.lost.append(lost)
        self.lost_cost = added(self.lost_cost, bill.cost)
        return lost

    def keep(self, lost: Lost) -> None:
        """It is the request's last attempt after all: its own account has it."""
        self.lost.remove(lost)
        self.lost_cost = NOTHING
        for other in self.lost:
            self.lost_cost = added(self.lost_cost, other.cost)
        self.draws = lost.draws

    def paid(self) -> tuple[int, int]:
        """Tokens and pico-dollars of all attempts."""
        usages = [lost.usage for lost in self.lost]
        pico = self.lost_cost.total
        if self.usage is not None and self.cost is not None:
            usages.append(self.usage)
            pico += self.cost.total
        return sum(usage.input + usage.all_output for usage in usages), pico

    def price(self, bid: Bid, usage: Usage) -> CostDetails:
        """What the request costs if that is the answer's usage: what was lost before included."""
        cost = self._bill(bid, usage).cost
        return added(cost, self.lost_cost) if self.lost else cost

    def book(self, usage: Usage, *, estimated: bool = False) -> CostDetails:
        """The usage that counts, and its price in the snapshot of this request, at its start or now.

        What comes back is for the client: it has what was lost before, too.
        """
        if self.bid is None:
            raise AssertionError("nobody has answered yet")
        if self.bid.target.commitments:
            self.release()
        bill = self._bill(self.bid, usage)
        self.usage, self.charge, self.cost, self.listed = usage, bill.charge, bill.cost, bill.listed
        self.estimated = estimated or not bill.known
        return added(self.cost, self.lost_cost) if self.lost else self.cost

    def _bill(self, bid: Bid, usage: Usage) -> _Bill:
        """What a usage costs; draws from commitments, in place of what was drawn for it before."""
        tariff = bid.tariff
        if bid.target.price.billed_by_completion:
            self.billed_at = time.time()
            tariff = bid.target.price.at(self.billed_at)
        served = usage.service_tier or (self.call.service_tier if self.call else "")
        found = charge_of(tariff, served) if served else tariff
        charge = found or tariff
        cost = price_details(charge, usage)
        listed = cost.total if bid.target.commitments else 0
        if bid.target.commitments:
            standard = charge is tariff
            cost, self.draws = settle(bid.target.commitments, cost, usage, self.draws, standard=standard)
        return _Bill(charge, cost, listed, known=found is not None)

    def release(self) -> None:
        """Nothing more is expected to be drawn by the attempt under way."""
        if self.reserved is not None:
            release(self.reserved)
            self.reserved = None

    def close(self, ledger: Ledger, log: UsageLog | None) -> None:
        """Account and log."""
        if self.reserved is not None:
            self.release()
        now = self.loop.time()
        duration = now - self.started
        target, usage, cost = self.target, self.usage, self.cost
        consumer = self.consumer.key if self.consumer else ""
        if target is not None:
            series = ledger.of((*target.labels, consumer))
        else:
            route, tier = self.route.key if self.route else "", self.tier.name if self.tier else ""
            series = ledger.of((route, tier, "", "", consumer))
        series.statuses[self.status or 500] += 1
        series.duration.observe(duration)
        if self.first_token:
            series.first_token.observe(self.first_token)
        for lost in self.lost:
            ledger.lost[*lost.target.labels, lost.outcome] += lost.cost.total
            _count(ledger.of((*lost.target.labels, consumer)), lost.usage, lost.cost)
        if usage is not None and cost is not None:
            self._account(usage, cost, series, now)
        if target is not None and (self.first_token or self.error):
            self._learn_of_stream(target, now)
        if self.status == CLIENT_GONE:
            self._at_least(self.waits_for or target, now)
        if log is not None or self.trace is not None:
            line = self._line(duration)
            if log is not None:
                log.write(line)
            if self.trace is not None:
                self.trace.end(line, self.call)

    def _account(self, usage: Usage, cost: CostDetails, series: Series, now: float) -> None:
        """What it was, beside what was expected."""
        bid, target = self.bid, self.target
        _count(series, usage, cost)
        series.estimated += self.estimated
        if bid is not None:
            input_tokens, output_tokens, expected = bid.input, bid.output, bid.marginal
            series.expected_input_tokens += input_tokens
            series.expected_output_tokens += output_tokens
            series.expected_cost += expected
            series.cost_error += abs(expected - cost.total)
            # the provider's tokens per minute: what was expected of this request makes room for what it took
            given, _, _, written = usage.totals()
            bid.target.provider.account.used(given + written, input_tokens + output_tokens, now)
        if target is not None and self.status == 200 and not self.is_part:
            self._learn(target, usage, now)

    def _learn(self, target: Target, usage: Usage, now: float) -> None:
        learned, seconds = target.learned, now - self.attempted  # what others took before it is not its own
        if not self.estimated and self.call is not None:
            input_tokens, _, _, output_tokens = usage.totals()
            if input_tokens and not self.call.features & MEDIA:  # a picture's tokens say nothing of a text's
                learned.expected_input.observe(self.call.input_tokens, input_tokens)
            learned.expected_output.observe(output_tokens // self.call.choices)
            if self.bid is not None and self.bid.committed is not None:
                learn(self.bid.committed, self.draws)
            if self.prefix is not None and target.warmth is not None and self.bid is not None:
                target.warmth.observe(self.prefix, self.bid.warm, usage, time.time())
            if output_tokens and self.hedge != "won":
                learned.wrote(output_tokens, seconds, now)
        if self.hedge == "won":  # a hedge that is slow is never seen: what is seen says nothing of what is usual
            return
        learned.total.observe(seconds, now)
        if self.endpoint is not None and self.endpoint.has_siblings:
            learned.at(self.endpoint.circuit).total.observe(seconds, now)

    def _learn_of_stream(self, target: Target, now: float) -> None:
        if self.first_token and not self.is_part and self.hedge != "won":  # known of one that broke off, too
            first = self.started + self.first_token - self.attempted
            for measured in self._measured(target):
                measured.first_token.observe(first, now)
        if self.status != CLIENT_GONE and self.error == f"stream_{Verdict.IDLE}":
            for measured in self._measured(target):
                measured.total.never(now)

    def _measured(self, target: Target) -> tuple[Measured, ...]:
        """Whose latency the last attempt says something of: the candidate's, and that of one of several endpoints."""
        if self.endpoint is None or not self.endpoint.has_siblings:
            return (target.learned,)
        return target.learned, target.learned.at(self.endpoint.circuit)

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
        # cut, not rounded: a line never moves past the moment at which a price changed
        began = int((time.time() - duration) * 1000) / 1000
        # set one by one, since to name them all to the constructor takes twice as long
        line = UsageLine(USAGE_LINE_FORMAT, began, self.id, self.status or 500, _rounded(duration))
        line.error, line.attempts, line.failures = self.error, self.attempts, self.failures
        line.placement, line.hedge, line.cache = self.placement, self.hedge, self.cache
        line.consumer = self.consumer.key if self.consumer else ""
        line.route = self.route.key if self.route else ""
        line.tier = self.tier.name if self.tier else ""
        line.snapshot = self.tables.version[:12] if self.tables else ""
        line.first_token = _rounded(self.first_token) if self.first_token else 0.0
        line.saved = usd(self.saved) if self.saved else ""
        if call is not None:
            line.operation, line.features = call.asked, listed(call.features)
            line.expected_input_tokens, line.output_limit = call.input_tokens, call.output_limit
            line.choices = call.choices
        if self.similarity:
            line.similarity = round(self.similarity, 4)
        if target is not None:
            line.provider, line.model = target.name
            line.price_list, line.price_version = target.price_list, target.price_version
        if self.endpoint is not None and self.endpoint.has_siblings and target is not None:
            line.endpoint = self.endpoint.name
        if self.lost:
            line.lost, line.lost_cost = [lost.stamped() for lost in self.lost], usd(self.lost_cost.total)
        if self.bid is not None:
            line.expected_cost = usd(self.bid.marginal)
            line.expected_cached_input_tokens = self.bid.warm.cached
            line.objectives_missed = self.bid.standing is Standing.MISSES_OBJECTIVE
        if usage is not None and self.cost is not None and self.charge is not None:
            line.service_tier = usage.service_tier or (call.service_tier if call else "")
            given, line.cached_input_tokens, line.cache_write_tokens, line.output_tokens = usage.totals()
            line.input_tokens = given
            if usage.special is not None:
                line.special = StampedTokens(*usage.special)
            line.estimated = self.estimated
            rates, excess = rates_in_force(self.charge.rates, self.charge.context_tiers, given)
            line.cost, line.rates = usd(self.cost.total), stamped(rates)
            line.mid_stream = self.mid_stream
            if self.stemming is not None and self.stemming.saves and self.stemming.stem is not None:
                line.stem_tokens = self.stemming.stem.tokens
            if self.billed_at and self.bid is not None and self.bid.target.price.timed:
                line.billed_at = int(self.billed_at * 1000) / 1000
            line.excess = [stamped_excess(tier) for tier in excess]
            if self.cost.amortised is not None:
                line.list_cost, line.effective_cost = usd(self.listed), usd(self.cost.effective)
                line.commitments = [stamped_draw(draw) for draw in self.draws]
        return line


def _rounded(seconds: float) -> float:
    """To a tenth of a millisecond; `round` takes five times as long."""
    return int(seconds * 10_000 + 0.5) / 10_000


def added(one: CostDetails, other: CostDetails) -> CostDetails:
    """Both together."""
    amortised = (
        None if one.amortised is None and other.amortised is None else (one.amortised or 0) + (other.amortised or 0)
    )
    return CostDetails(one.input + other.input, one.output + other.output, one.request + other.request, amortised)


def _count(series: Series, usage: Usage, cost: CostDetails) -> None:
    given, cached, written, output = usage.totals()
    series.uncached_input_tokens += given - cached - written
    series.cached_input_tokens += cached
    series.cache_write_tokens += written
    series.output_tokens += output
    series.cost += cost.total
    if cost.amortised:
        series.amortised += cost.amortised
