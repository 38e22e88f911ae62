"""What a pod has learned from its traffic. Outlives snapshots: a price change forgets no latency, closes no circuit."""

from collections.abc import Callable, Container, Iterator
from typing import Any

from merit_crds.snapshot import Commitment
from merit_dataplane.authentication.schemes import Authentications
from merit_dataplane.batches.id_key import IdKey
from merit_dataplane.commitments.account import CommitmentAccount
from merit_dataplane.commitments.accounts import CommitmentAccounts
from merit_dataplane.feedback.answer_id import Byline, Labels, Seal, fingerprint, mark_of
from merit_dataplane.feedback.tally import Tally
from merit_dataplane.limits.accounts import ConsumerAccounts
from merit_dataplane.metering.expectation import ExpectedOutput, TierOutput
from merit_dataplane.metering.input_count import ExpectedInput, TierInput
from merit_dataplane.metering.latency import Latency
from merit_dataplane.metering.wins import Wins
from merit_dataplane.resilience.account import AccountLimits
from merit_dataplane.resilience.circuit import Circuit
from merit_dataplane.resilience.retry_budget import RetryBudget
from merit_dataplane.warmth.follow_ups import FollowUps
from merit_dataplane.warmth.table import PrefixTable
from merit_dataplane.warmth.warmth import Warmth

_STEP = 500
_MOST_SEALS = 8
_HEDGES_FLOOR = 1
"""Hedges in 10 to 20 s that are always allowed: with little traffic a share is less than one."""
_MOST_UNUSED = 1000
"""Candidates, models and endpoints that no snapshot names any more, of each so many: they may come back."""
_MOST_ENDPOINTS = 32
"""Twice those that a Provider may have: what is beyond them belongs to endpoints that are gone."""


class Measured:
    """Latencies, in seconds."""

    __slots__ = ("first_token", "total")

    def __init__(self) -> None:
        self.first_token = Latency()
        self.total = Latency()


class Learned(Measured):
    """Of one candidate in one tier of one route. Its own latencies are those of all its endpoints together."""

    __slots__ = (
        "_at", "_byline", "_slowness", "expected_input", "expected_output", "mark", "refuses_stems_until",
        "turn",
    )  # fmt: skip

    def __init__(self, tier_input: TierInput, tier_output: TierOutput, mark: str):
        super().__init__()
        self.mark = mark
        """Names the candidate in the ids of its answers."""
        self.refuses_stems_until = 0.0
        """`loop.time()`: whatever its price list says, it did not go on from the beginning of an answer."""
        self.turn = 0
        """Of the newest snapshot that names it."""
        self._byline: Byline | None = None
        self.expected_input = ExpectedInput(tier_input)
        self.expected_output = ExpectedOutput(tier_output)
        self._at: dict[Circuit, Measured] | None = None  # only for endpoints that have siblings
        self._slowness: Latency | None = None  # made by the first answer: most candidates of 40,000 never have one

    def byline(self, labels: Labels, seal: Seal) -> Byline:
        """What makes the ids of its answers: the same over all snapshots with this seal."""
        if self._byline is None or self._byline.seal is not seal:
            self._byline = Byline(labels, self.mark, seal)
        return self._byline

    def at(self, endpoint: Circuit) -> Measured:
        """Latencies of one of several endpoints."""
        if self._at is None:
            self._at = {}
        found = self._at.get(endpoint)
        if found is None:
            if len(self._at) >= _MOST_ENDPOINTS:
                del self._at[min(self._at, key=lambda known: self.at(known).total.observed_at)]
            found = self._at[endpoint] = Measured()
        return found

    def wrote(self, tokens: int, seconds: float, now: float) -> None:
        """An answer of so many output tokens took this long, from the request's start to its end."""
        if self._slowness is None:
            self._slowness = Latency()
        self._slowness.observe(1000 * seconds / tokens, now)

    def slowness(self, percent: int, now: float) -> float | None:
        """Seconds per 1,000 output tokens, as a quantile; None while too little is known."""
        return self._slowness.quantile(percent, now) if self._slowness is not None else None


class Live:
    """Everything learned, by what it is of. `retain` drops what the snapshot no longer names, so it stays bounded."""

    def __init__(self, authentications: Authentications | None = None, secret: bytes | None = None) -> None:
        self.circuit_news: Callable[[Circuit], None] | None = None
        self.account_news: Callable[[AccountLimits], None] | None = None
        """Who is told of circuits and accounts, where pods share that; set before the first snapshot."""
        self.authentications = authentications or Authentications()
        """Tokens of providers."""
        self._turn = 0
        self._endpoints: dict[tuple[str, str, str], dict[str, Circuit]] = {}
        self._turns: dict[tuple[str, ...], int] = {}
        """The newest snapshot that names them: of endpoints, of models at them, and of models that may be warm."""
        self._budgets: dict[str, RetryBudget] = {}
        self._hedge_budgets: dict[str, RetryBudget] = {}
        self._accounts: dict[str, AccountLimits] = {}
        self._tiers: dict[tuple[str, str], tuple[TierInput, TierOutput]] = {}
        self._wins: dict[tuple[str, str], Wins] = {}
        self._learned: dict[tuple[str, str, str, str], Learned] = {}
        self.consumers = ConsumerAccounts()
        """What those that have limits have used."""
        self.prefixes = PrefixTable(secret=secret)
        """When each prompt's beginnings were last sent where."""
        self._warmths: dict[tuple[str, str], Warmth] = {}
        self._follow_ups: dict[tuple[str, str], FollowUps] = {}
        self.tallies: dict[Labels, Tally] = {}
        """Scores of candidates whose answers have been scored."""
        self.marks: dict[str, Labels] = {}
        """Candidates by the mark in the ids of their answers."""
        self.seals: dict[str, tuple[Seal, ...]] = {}
        """By provider, the newest first: ids of before a rotation stay good."""
        self.id_keys: dict[str, tuple[IdKey, ...]] = {}
        """By provider, the newest first, of the ids of files and batches."""
        self.commitments = CommitmentAccounts()

    def begin(self) -> None:
        """A snapshot is made ready: what it names from now on is in use."""
        self._turn += 1

    def circuits(self, provider: str, endpoint: str, url: str) -> dict[str, Circuit]:
        """Of an endpoint, by model; another URL is another endpoint."""
        key = (provider, endpoint, url)
        self._turns[key] = self._turn
        return self._endpoints.setdefault(key, {})

    def circuit(self, circuits: dict[str, Circuit], place: tuple[str, str, str], model: str) -> Circuit:
        """Of one model at an endpoint, in the table of that endpoint."""
        self._turns[*place, model] = self._turn
        found = circuits.get(model)
        if found is None:
            news = self.circuit_news
            found = circuits[model] = Circuit(place=(place, model), news=news) if news is not None else Circuit()
        return found

    def all_circuits(self) -> Iterator[tuple[tuple[str, str, str], dict[str, Circuit]]]:
        """By (provider, endpoint, URL) and model, as they are now."""
        yield from list(self._endpoints.items())

    def all_accounts(self) -> list[AccountLimits]:
        """Of all providers."""
        return list(self._accounts.values())

    def retry_budget(self, route: str) -> RetryBudget:
        """Of a route."""
        return self._budgets.setdefault(route, RetryBudget())

    def hedge_budget(self, route: str) -> RetryBudget:
        """Of a route's hedges."""
        return self._hedge_budgets.setdefault(route, RetryBudget(_HEDGES_FLOOR))

    def account(self, provider: str) -> AccountLimits:
        """Limits and cool-down of a provider."""
        found = self._accounts.get(provider)
        if found is None:
            found = self._accounts[provider] = AccountLimits(provider, self.account_news)
        return found

    def learned(self, route: str, tier: str, provider: str, model: str, expected_output_tokens: int) -> Learned:
        """What traffic has taught of a candidate."""
        key = (route, tier, provider, model)
        found = self._learned.get(key)
        if found is None:
            pools = self._tiers.setdefault((route, tier), (TierInput(), TierOutput(expected_output_tokens)))
            found = self._learned[key] = Learned(*pools, mark_of(key))
            self.marks[found.mark] = key
        found.turn = self._turn
        return found

    def seal(self, provider: str, secret: bytes) -> Seal:
        """What seals the ids of a provider's answers; `secret` is what all pods know of it, and no consumer."""
        known, of = self.seals.get(provider, ()), fingerprint(secret)
        found = next((seal for seal in known if seal.of == of), None) or Seal(secret)
        self.seals[provider] = (found, *(seal for seal in known if seal.of != of))[:_MOST_SEALS]
        return found

    def id_key(self, provider: str, secret: bytes) -> None:
        """What seals the ids of a provider's files and batches; `secret` as above."""
        known, of = self.id_keys.get(provider, ()), fingerprint(secret)
        found = next((key for key in known if key.of == of), None) or IdKey(secret)
        self.id_keys[provider] = (found, *(key for key in known if key.of != of))[:_MOST_SEALS]

    def wins(self, route: str, tier: str) -> Wins:
        """Which candidates of a tier have been first."""
        return self._wins.setdefault((route, tier), Wins())

    def follow_ups(self, route: str, tier: str) -> FollowUps:
        """How often prompts of a tier come again."""
        return self._follow_ups.setdefault((route, tier), FollowUps(self.prefixes))

    def warmth(self, provider: str, model: str, *, needs_marks: bool) -> Warmth:
        """What a model's provider has in its cache: of the account, whoever asks and by whichever route."""
        self._turns[provider, model] = self._turn
        found = self._warmths.get((provider, model))
        if found is None or found.needs_marks is not needs_marks:
            found = self._warmths[provider, model] = Warmth(
                self.prefixes, needs_marks=needs_marks, name=f"{provider}\0{model}"
            )
        return found

    def commitment(self, price_list: str, terms: Commitment) -> CommitmentAccount:
        """What is known of a commitment."""
        return self.commitments.of(price_list, terms)

    def retain(self, providers: Container[str], routes: Container[str], price_lists: Container[str]) -> Iterator[None]:
        """Forgets providers, routes and price lists that are gone, and most of what else is, in small steps."""
        self.commitments.retain(price_lists)
        for endpoint in [key for key in self._endpoints if key[0] not in providers]:
            del self._endpoints[endpoint]
        for account in [key for key in self._accounts if key not in providers]:
            del self._accounts[account]
        for model in [key for key in self._warmths if key[0] not in providers]:
            del self._warmths[model]
        self._forget_unused(self._endpoints, 3)
        self._forget_unused(self._warmths, 2)
        yield
        yield from self._forget_circuits()
        for provider in [key for key in self.seals if key not in providers]:
            del self.seals[provider]
            self.id_keys.pop(provider, None)
        for labels in [key for key in self.tallies if key[0] not in routes or key[2] not in providers]:
            del self.tallies[labels]
        yield
        for budgets in (self._budgets, self._hedge_budgets):
            for route in [key for key in budgets if key not in routes]:
                del budgets[route]
        for tier in [key for key in self._tiers if key[0] not in routes]:
            del self._tiers[tier]
        _forget_tiers(self._wins, routes)
        _forget_tiers(self._follow_ups, routes)
        yield
        yield from self._forget_candidates(providers, routes)

    def _forget_candidates(self, providers: Container[str], routes: Container[str]) -> Iterator[None]:
        unused: list[Labels] = []
        for place, (labels, learned) in enumerate(list(self._learned.items())):
            if labels[0] not in routes or labels[2] not in providers:
                self._forget(labels)
            elif learned.turn != self._turn:
                unused.append(labels)
            if not place % _STEP:
                yield
        for labels in unused[:-_MOST_UNUSED]:
            self._forget(labels)

    def _forget_unused(self, table: dict[Any, Any], size: int) -> None:
        """`size`: that of a key, by which those of several tables are told from each other."""
        for key in [key for key in table if self._turns.get(key) != self._turn][:-_MOST_UNUSED]:
            del table[key]
        for key in [key for key in self._turns if len(key) == size and key not in table]:
            del self._turns[key]

    def _forget_circuits(self) -> Iterator[None]:
        """Those of models that an endpoint's price list no longer names."""
        for place, circuits in list(self._endpoints.items()):
            for model in [model for model in circuits if self._turns.get((*place, model)) != self._turn][
                :-_MOST_UNUSED
            ]:
                del circuits[model]
            yield
        nothing: dict[str, Circuit] = {}
        for key in [
            key for key in self._turns if len(key) == 4 and key[3] not in self._endpoints.get(key[:3], nothing)
        ]:
            del self._turns[key]

    def _forget(self, labels: Labels) -> None:
        self.marks.pop(self._learned.pop(labels).mark, None)
        self.tallies.pop(labels, None)


def _forget_tiers(table: dict[tuple[str, str], Any], routes: Container[str]) -> None:
    """Those of routes that are gone."""
    for tier in [key for key in table if key[0] not in routes]:
        del table[tier]
