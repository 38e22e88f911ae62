"""One consumer, or one provider, as this pod knows it: what is used now, what was spent, and what may be.

`now` is `loop.time()`, `wall` seconds since 1970, money pico-dollars.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from merit_crds.pricing.zones import zone
from merit_crds.snapshot import Budget, ConsumerEntry, ProviderEntry
from merit_dataplane.limits.calendar import Span, span_at
from merit_dataplane.limits.window import Window


class Limit(StrEnum):
    """Which one a request meets. The words are those of errors, metrics and the usage log."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent_requests"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a Consumer says; 0 is no limit."""

    requests: int
    tokens: int
    concurrent: int
    budgets: tuple[Budget, ...]

    @classmethod
    def of(cls, entry: ConsumerEntry) -> "Limits | None":
        """None where there are none: such a consumer costs nothing more."""
        made = cls(entry.requests_per_minute, entry.tokens_per_minute, entry.concurrent_requests, entry.budgets)
        return made if made.requests or made.tokens or made.concurrent or made.budgets else None

    @classmethod
    def of_provider(cls, entry: ProviderEntry) -> "Limits | None":
        """The same of a Provider."""
        made = cls(entry.requests_per_minute, entry.tokens_per_minute, entry.concurrent_requests, ())
        return made if made.requests or made.tokens or made.concurrent else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A limit that is reached."""

    limit: Limit
    seconds: float
    """Until there is room again, as far as is known."""
    budget: int = -1
    """Which of the budgets."""


class Spending:
    """Of one budget in the period that now is."""

    __slots__ = ("_known_at", "_known_own", "_known_total", "_rules", "inherited", "refunded", "span", "spent", "terms")

    def __init__(self, terms: Budget):
        self.terms = terms
        self._rules = zone(terms.time_zone)
        self.span = Span(0, 0)
        self.spent = 0
        """By this pod, its forerunners on this disk included; never goes down."""
        self.refunded = 0
        """Of what was booked ahead, by whatever pod; never goes down."""
        self.inherited = 0
        """By those alone."""
        self._known_own = self._known_total = self._known_at = 0

    def look(self, wall: float) -> Span:
        """The period that now is; another one begins with nothing spent."""
        if not self.span.start <= wall < self.span.end:
            self.span = span_at(self._rules, wall, months=self.terms.months)
            self.spent = self.inherited = self.refunded = self._known_own = self._known_total = 0
        return self.span

    def inherit(self, spent: int) -> None:
        """Forerunners have spent so much in this period."""
        self.inherited += spent
        self.spent += spent

    def correct(self, pico: int) -> None:
        """What was booked ahead has cost so much more, or less."""
        if pico > 0:
            self.spent += pico
        else:
            self.refunded -= pico

    @property
    def own(self) -> int:
        """What this pod adds to the total."""
        return self.spent - self.refunded

    def know(self, total: int, own: int, at: int) -> None:
        """All pods together had spent so much in this period when this one had `own`. `at` numbers what was asked."""
        if at >= self._known_at:
            self._known_total, self._known_own, self._known_at = total, own, at

    def total(self) -> int:
        """What all pods have spent, as far as is known."""
        return self._known_total + self.own - self._known_own

    def room(self, pods: int) -> int:
        """What this pod may still spend by itself: its share of what was left when it last knew."""
        return self._known_own + max(0, self.terms.amount - self._known_total) // pods - self.own


def _nobody(_: object) -> None:
    pass


class UsageAccount:
    """Outlives snapshots."""

    __slots__ = (
        "_closed",
        "budgets",
        "changed",
        "in_flight",
        "key",
        "limits",
        "requests",
        "reserved",
        "settled_tokens",
        "tokens",
    )

    def __init__(self, key: str, limits: Limits):
        self.key = key
        self.limits = limits
        self.requests, self.tokens = Window(), Window()
        self.in_flight = 0
        self.reserved = 0
        self.budgets = [Spending(terms) for terms in limits.budgets]
        self.settled_tokens = 0
        """Corrections of expected tokens that the other pods don't know yet."""
        self.changed: Callable[[UsageAccount], None] = _nobody
        """Is told when something has ended that the other pods don't know yet."""
        self._closed: dict[Limit, float] = {}
        """Until when all pods together have no room, as the script said last."""

    def renew(self, limits: Limits) -> None:
        """A new snapshot's limits; what was used stays used."""
        if limits == self.limits:
            return
        known = {(s.terms.months, s.terms.time_zone): s for s in self.budgets}
        self.budgets = []
        for terms in limits.budgets:
            found = known.get((terms.months, terms.time_zone)) or Spending(terms)
            found.terms = terms
            self.budgets.append(found)
        self.limits = limits
        self._closed.clear()

    # ---- one request

    def enter(self, tokens: int, cost: int, now: float, wall: float) -> "Grant":
        """A request begins. Whether it may go on is asked next."""
        self.in_flight += 1
        self.reserved += cost
        self.requests.add(1, now)
        self.tokens.add(tokens, now)
        for budget in self.budgets:
            budget.look(wall)
        return Grant(self, tokens, cost)

    def surely_refuses(self, now: float, wall: float, checked: int) -> Refusal | None:
        """What needs no asking: the script has said until when, or this pod alone is above a limit of all.

        `checked`: bits of the budgets that refuse.
        """
        for limit, until in self._closed.items():
            if now < until:
                return Refusal(limit, until - now)
        limits = self.limits
        if limits.requests and self.requests.total > limits.requests:
            return Refusal(Limit.REQUESTS, self.requests.wait(self.requests.total - limits.requests, now))
        if limits.tokens and self.tokens.total > limits.tokens:
            return Refusal(Limit.TOKENS, self.tokens.wait(self.tokens.total - limits.tokens, now))
        for place, budget in enumerate(self.budgets):
            if checked >> place & 1 and budget.total() >= budget.terms.amount:
                return Refusal(Limit.BUDGET, budget.span.end - wall, place)
        return None

    def refuses_alone(self, now: float, wall: float, checked: int, pods: int) -> Refusal | None:
        """Without Redis: whether this pod's share is used up."""
        limits = self.limits
        for place, budget in enumerate(self.budgets):
            if checked >> place & 1 and budget.room(pods) < self.reserved:
                return Refusal(Limit.BUDGET, budget.span.end - wall, place)
        if (excess := self.requests.total - share(limits.requests, pods)) > 0 and limits.requests:
            return Refusal(Limit.REQUESTS, self.requests.wait(excess, now))
        if (excess := self.tokens.total - share(limits.tokens, pods)) > 0 and limits.tokens:
            return Refusal(Limit.TOKENS, self.tokens.wait(excess, now))
        if limits.concurrent and self.in_flight > share(limits.concurrent, pods):
            return Refusal(Limit.CONCURRENT, 1.0)
        return None

    def closed(self, now: float) -> Refusal | None:
        """Whether one more would surely be refused, as `surely_refuses` for one that has not entered."""
        for limit, until in self._closed.items():
            if now < until:
                return Refusal(limit, until - now)
        limits = self.limits
        if limits.requests and self.requests.look(now) >= limits.requests:
            return Refusal(Limit.REQUESTS, self.requests.wait(self.requests.total - limits.requests + 1, now))
        if limits.tokens and self.tokens.look(now) >= limits.tokens:
            return Refusal(Limit.TOKENS, self.tokens.wait(self.tokens.total - limits.tokens + 1, now))
        if limits.concurrent and self.in_flight >= limits.concurrent:
            return Refusal(Limit.CONCURRENT, 1.0)
        return None

    def leave(self) -> None:
        """A request that had entered is over."""
        if self.in_flight:
            self.in_flight -= 1
            self.changed(self)

    def correct(self, tokens: int, now: float) -> None:
        """It took so many tokens more than was expected, or fewer."""
        self.tokens.add(tokens, now)
        self.settled_tokens += tokens
        self.changed(self)

    def charge(self, tokens: int, cost: int, now: float, wall: float) -> None:
        """What is none of its requests has taken so many tokens, and pico-dollars."""
        for budget in self.budgets:
            budget.look(wall)
            budget.spent += cost
        self.correct(tokens, now)

    def correct_cost(self, booked: int, spent: int, at: float, wall: float) -> None:
        """What was booked ahead, `at` an epoch second, cost so much; what is over comes back in its period alone."""
        for budget in self.budgets:
            budget.look(wall)
            if budget.span.start <= at:
                budget.correct(spent - booked)
            else:
                budget.correct(max(0, spent - booked))
        self.changed(self)

    def heard(self, refusal: Refusal, now: float) -> None:
        """All pods together have no room: nobody needs to ask again before there is."""
        if refusal.limit in {Limit.REQUESTS, Limit.TOKENS}:
            self._closed[refusal.limit] = now + min(refusal.seconds, 1.0)


class Grant:
    """One request's part of its consumer's account."""

    __slots__ = ("account", "cost", "remaining", "tokens")

    def __init__(self, account: UsageAccount, tokens: int, cost: int):
        self.account, self.tokens, self.cost = account, tokens, cost
        self.remaining: tuple[int, int] = (0, 0)
        """Requests and tokens that were left in the minute after this one."""

    def reprice(self, tokens: int, cost: int, now: float) -> None:
        """It goes to another tier."""
        self.account.tokens.add(tokens - self.tokens, now)
        self.account.reserved += cost - self.cost
        self.tokens, self.cost = tokens, cost

    def extend(self, tokens: int, cost: int, now: float) -> bool:
        """Whether it may take so much more, as far as this pod knows; if so that is reserved, too."""
        account = self.account
        most = account.limits.tokens
        if most and account.tokens.look(now) + tokens > most:
            return False
        if any(b.total() + account.reserved + cost > b.terms.amount for b in account.budgets):
            return False
        self.reprice(self.tokens + tokens, self.cost + cost, now)
        return True

    def refused(self, now: float) -> None:
        """It does not go on: nothing was used."""
        account = self.account
        account.in_flight -= 1
        account.reserved -= self.cost
        account.requests.add(-1, now)
        account.tokens.add(-self.tokens, now)

    def settle(self, tokens: int, cost: int, now: float, wall: float) -> None:
        """It is over, and has used so much."""
        account = self.account
        account.reserved -= self.cost
        for budget in account.budgets:
            budget.look(wall)
            budget.spent += cost
        account.leave()
        account.correct(tokens - self.tokens, now)


def share(limit: int, pods: int) -> int:
    """One pod's part of a limit; never nothing, or a consumer could be shut out for good."""
    return max(1, limit // pods)
