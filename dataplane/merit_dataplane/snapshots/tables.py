"""A snapshot as a pod uses it: references followed, patterns compiled, headers made, once and not per request."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import msgspec
import re2

from merit_crds.credentials import Credentials
from merit_crds.pricing import price_version
from merit_crds.snapshot import (
    AwsSignature,
    AzureToken,
    Candidate,
    Commitment,
    ConsumerEntry,
    GoogleToken,
    HeaderKey,
    ModelPrice,
    PriceCeilings,
    PricingEntry,
    ProviderEntry,
    QueryKey,
    RouteEntry,
    Snapshot,
    Tier,
    TierCondition,
)
from merit_dataplane.authentication.contract import Authentication
from merit_dataplane.commitments.account import CommitmentAccount
from merit_dataplane.commitments.check import check
from merit_dataplane.feedback.answer_id import Byline, Labels, Seal
from merit_dataplane.feedback.belief import Accuracy, Trust, believed
from merit_dataplane.limits.account import Limits, UsageAccount
from merit_dataplane.live import Learned, Live
from merit_dataplane.metering.wins import Wins
from merit_dataplane.resilience.account import AccountLimits
from merit_dataplane.resilience.circuit import Circuit
from merit_dataplane.resilience.retry_budget import RetryBudget
from merit_dataplane.snapshots.cache_plan import CachePlan, cache_plan
from merit_dataplane.snapshots.current_price import CurrentPrice
from merit_dataplane.snapshots.hedging_plan import HedgingPlan, hedging_plan, late_plan
from merit_dataplane.snapshots.places import Place, of_streams, place
from merit_dataplane.snapshots.price_check import check_price, prices_caches
from merit_dataplane.snapshots.stems_plan import StemsPlan, stems_plan
from merit_dataplane.warmth.follow_ups import FollowUps
from merit_dataplane.warmth.warmth import Warmth
from merit_dataplane.wire.dialects import Dialect, dialect_of
from merit_dataplane.wire.features import mask
from merit_dataplane.wire.openai_request import Operation

_PATTERNS = re2.Options()
_PATTERNS.log_errors = False
_PATTERNS.max_mem = 1 << 20
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, eq=False)
class EndpointPlan:
    """One endpoint of one provider, ready to be called for one model. URLs may hold a key: they are never logged."""

    name: str
    urls: Mapping[Operation, str]
    stream_urls: Mapping[Operation, str]
    circuit: Circuit
    circuits: Mapping[str, Circuit]
    """Of all models here: they share the way to it."""
    has_siblings: bool
    """Whether it is one of several, and measured apart from them."""

    def __repr__(self) -> str:
        return f"EndpointPlan({self.name})"


@dataclass(frozen=True, slots=True, eq=False)
class ProviderPlan:
    """One provider, ready to be called. `headers` and `secrets` are never logged."""

    key: str
    dialect: Dialect
    headers: Mapping[str, str]
    stream_headers: Mapping[str, str]
    places: tuple[Place, ...]
    secrets: tuple[bytes, ...]
    """Keys that never change."""
    authentication: Authentication | None
    """Of a scheme that makes headers as it goes; None where `headers` and the URLs have all that is needed."""
    names_model: bool
    """Whether `{model}` stands in its URLs."""
    seal: Seal
    """Of the ids of its answers."""
    assistant_prefix: str
    account: AccountLimits
    connect_seconds: float
    first_byte_seconds: float
    per_token_seconds: float
    first_token_seconds: float
    idle_seconds: float
    total_seconds: float

    def __repr__(self) -> str:
        return f"ProviderPlan({self.key})"


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One candidate of one tier of one route."""

    provider: ProviderPlan
    endpoints: tuple[EndpointPlan, ...]
    model: str
    model_json: msgspec.Raw
    model_in_url: str
    """Percent-encoded."""
    price: CurrentPrice
    price_list: str
    """`namespace/name` of the ProviderPricing that this price is of."""
    price_version: str
    features: int
    context_window: int
    max_output_tokens: int
    accuracy: Accuracy
    learned: Learned
    byline: Byline
    """Makes the ids of its answers."""
    chooses: bool
    """Whether a request asks the endpoint that is measured to be fastest, not the one that is written first."""
    first_byte_seconds: float
    per_token_seconds: float
    """Seconds that an answer which is not streamed has more, for each token that is expected of it."""
    first_token_wait: float
    """Seconds that a stream has for its first token."""
    idle_seconds: float
    headers: Headers
    """Response headers that say who answered."""
    labels: tuple[str, str, str, str]
    """route, tier, provider, model: of metrics."""
    name: tuple[str, str]
    """provider, model."""
    warmth: Warmth | None
    """What its provider has in its cache; None where a cached input token costs what any other does."""
    commitments: tuple[CommitmentAccount, ...]
    """That cover its model."""


@dataclass(frozen=True, slots=True, eq=False)
class When:
    """A tier's condition, compiled."""

    at_least: int
    below: int
    features: int
    headers: Headers
    last_message: Any
    """An RE2 pattern, or None."""


@dataclass(frozen=True, slots=True, eq=False)
class TierPlan:
    """One tier of one route."""

    name: str
    when: tuple[When, ...]
    targets: tuple[Target, ...]
    accuracy: float
    """Floor; 0 is none."""
    trust: Trust
    """How scores of answers move what is held against it."""
    recovering: list[Target]
    """Who fell below it by scores, and perhaps by bad luck. Changes with them."""
    percentile: int
    first_token_seconds: float
    total_seconds: float
    timed: bool
    """Whether time changes the price of a target."""
    warms: bool
    """Whether a target charges less for what it has in its cache."""
    marks: bool
    """Whether Merit may mark what is to be cached, for providers that cache nothing else."""
    committed: bool
    """Whether a commitment covers a target."""
    ceilings: PriceCeilings | None
    refuses: bool
    """Whether nothing is sent to who misses an objective."""
    narrows: bool
    """Whether one of these two may leave a candidate out."""
    hysteresis_ppm: int
    ramp_seconds: float
    exploration_ppm: int
    wins: Wins
    follow_ups: FollowUps
    explores: bool
    """Whether a request may go to a candidate because its latency is not known."""
    explores_endpoints: bool
    """Whether it may go to an endpoint for the same reason."""
    rebalances: bool
    """Whether there is hysteresis or a ramp."""
    places: bool
    """Whether another than the cheapest may be first, for one of these reasons."""
    remembers: bool
    """Whether a latency that is no longer fresh counts until exploration knows better."""


@dataclass(frozen=True, slots=True, eq=False)
class RoutePlan:
    """One route."""

    key: str
    name: str
    models: tuple[str, ...]
    tiers: tuple[TierPlan, ...]
    attempts: int
    total_seconds: float
    cache: CachePlan | None
    stems: StemsPlan | None
    retry_budget: RetryBudget
    retry_share: float
    longest_wait: float
    """Seconds of a Retry-After that are waited for."""
    mid_stream: str
    hedging: HedgingPlan | None
    late: HedgingPlan
    steerable: bool


@dataclass(frozen=True, slots=True, eq=False)
class ConsumerPlan:
    """One consumer and the routes it may call, by model name."""

    key: str
    routes: Mapping[str, RoutePlan]
    account: UsageAccount | None
    """What it has used; None where it has no limits."""
    cache_scope: tuple[bytes, ...]
    """What of the consumer is part of the keys of its own answers."""


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """One snapshot in force. A request takes the reference once and keeps it for its life."""

    version: str
    snapshot: Snapshot
    consumers: Mapping[bytes, ConsumerPlan]
    """By SHA-256 of the API key."""
    routes: Mapping[str, RoutePlan]
    providers: Mapping[str, ProviderPlan]
    version_header: tuple[bytes, bytes]


class _Priced(NamedTuple):
    price: ModelPrice
    current: CurrentPrice
    price_list: str
    version: str
    commitments: tuple[CommitmentAccount, ...]


class Builder:
    """Builds tables step by step, so that the event loop can be given a breath between two steps."""

    def __init__(self, version: str, snapshot: Snapshot, credentials: Credentials, live: Live):
        self._version, self._snapshot, self._credentials, self._live = version, snapshot, credentials, live
        self._all = b""
        self._places: dict[tuple[str, str], tuple[EndpointPlan, ...]] = {}
        self.tables: Tables | None = None
        self.at = ""
        """The entry that is being worked on."""
        self._renewed: list[tuple[CommitmentAccount, Commitment]] = []

    def build(self) -> Tables:
        """All steps at once."""
        for _ in self.steps():
            pass
        if self.tables is None:
            raise AssertionError("the last step makes the tables")
        return self.tables

    def steps(self) -> Iterator[None]:
        """Each step is far below a millisecond; after the last one `tables` is set."""
        snapshot = self._snapshot
        self._live.begin()
        providers: dict[str, ProviderPlan] = {}
        for key, provider in snapshot.providers.items():
            self.at = f"providers[{key!r}]"
            providers[key] = self._provider(key, provider)
            yield
        prices: dict[tuple[str, str], _Priced] = {}
        for key, pricing in snapshot.pricings.items():
            self.at = f"pricings[{key!r}]"
            for price in pricing.models.values():
                check_price(price)
            version = price_version(pricing)
            covering = self._commitments(key, pricing)
            prices |= {
                (pricing.provider, model): _Priced(price, CurrentPrice(price), key, version, covering.get(model, ()))
                for model, price in pricing.models.items()
            }
            yield
        routes: dict[str, RoutePlan] = {}
        for key, route in snapshot.routes.items():
            self.at = f"routes[{key!r}]"
            if not route.tiers:
                raise ValueError("has no tier")
            routes[key] = RoutePlan(
                key=key,
                name=key.split("/", 1)[1],
                models=route.models,
                tiers=tuple(self._tier(key, route, tier, providers, prices) for tier in route.tiers),
                attempts=route.attempts,
                total_seconds=route.total_ms / 1000,
                cache=cache_plan(key, route),
                stems=stems_plan(key, route),
                retry_budget=self._live.retry_budget(key),
                retry_share=route.retry_budget_ppm / 10**6,
                longest_wait=route.longest_wait_ms / 1000,
                mid_stream=route.mid_stream,
                hedging=hedging_plan(key, route, self._live),
                late=late_plan(),
                steerable=route.steerable,
            )
            yield
        by_namespace: dict[str, dict[str, RoutePlan]] = {}
        for key, plan in routes.items():
            names = by_namespace.setdefault(key.split("/", 1)[0], {})
            for model in plan.models:
                names.setdefault(model, plan)
        consumers: dict[bytes, ConsumerPlan] = {}
        for key, consumer in snapshot.consumers.items():
            self.at = f"consumers[{key!r}]"
            self._consumer(key, consumer, routes, by_namespace, consumers)
            yield
        self._renew()
        yield from self._live.retain(providers, routes, snapshot.pricings)
        self.tables = Tables(
            version=self._version,
            snapshot=snapshot,
            consumers=consumers,
            routes=routes,
            providers=providers,
            version_header=(b"x-merit-snapshot", self._version[:12].encode()),
        )

    def _renew(self) -> None:
        """Last, so that a snapshot which is refused changes nothing."""
        for key, provider in self._snapshot.providers.items():
            account = self._live.account(key)
            account.limit(f"provider {key}", Limits.of_provider(provider))
            account.uses(
                provider.api_key.fingerprint if provider.api_key is not None else repr(provider.authentication)
            )
        for key, consumer in self._snapshot.consumers.items():
            if (limits := Limits.of(consumer)) is not None:
                self._live.consumers.renew(key, limits)
        self._live.consumers.retain(self._snapshot.consumers)
        for commitment, terms in self._renewed:
            commitment.renew(terms)

    def _commitments(self, key: str, pricing: PricingEntry) -> dict[str, tuple[CommitmentAccount, ...]]:
        """By the models that they cover."""
        covering: dict[str, tuple[CommitmentAccount, ...]] = {}
        for terms in pricing.commitments:
            check(terms)
            account = self._live.commitment(key, terms)
            self._renewed.append((account, terms))
            for model in terms.models:
                covering[model] = (*covering.get(model, ()), account)
        return covering

    def _provider(self, key: str, entry: ProviderEntry) -> ProviderPlan:
        account = self._live.account(key)
        dialect = dialect_of(entry.protocol, entry.vendor, entry.endpoints[0].url if entry.endpoints else "")
        if dialect is None:
            raise ValueError(f"this pod does not know the protocol {entry.protocol!r}")
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "merit"}
        given = {name.lower() for name, _ in entry.headers}
        headers |= {name: value for name, value in dialect.headers.items() if name not in given}
        headers |= dict(entry.headers)
        named = {name for name, _ in entry.query}
        secret, query = "", [*((n, v) for n, v in dialect.query if n not in named), *entry.query]
        authentication: Authentication | None = None
        match entry.authentication:
            case None if entry.api_key is not None:
                secret = self._credentials[entry.api_key.ref]
                name, value = dialect.api_key(secret)
                headers[name] = value
            case HeaderKey() as scheme:
                secret = self._credentials[scheme.value.ref]
                headers = {n: v for n, v in headers.items() if n.lower() != scheme.name.lower()}
                headers[scheme.name] = scheme.prefix + secret
            case QueryKey() as scheme:
                secret = self._credentials[scheme.value.ref]
                query.append((scheme.name, secret))
            case GoogleToken() | AwsSignature() | AzureToken() as scheme:
                authentication = self._live.authentications.of(key, scheme, self._credentials)
        known_to_pods = secret.encode() or self._of_all()
        self._live.id_key(key, known_to_pods)
        return ProviderPlan(
            key=key,
            seal=self._live.seal(key, known_to_pods),
            dialect=dialect,
            places=tuple(place(e, dialect, query, self._live.circuits(key, e.name, e.url)) for e in entry.endpoints),
            headers=headers,
            stream_headers=of_streams(headers, dialect),
            secrets=_spellings(secret),
            authentication=authentication,
            names_model=dialect.names_model,
            assistant_prefix=entry.assistant_prefix,
            account=account,
            connect_seconds=entry.connect_ms / 1000,
            first_byte_seconds=entry.first_byte_ms / 1000,
            per_token_seconds=entry.first_byte_per_token_ms / 1000,
            first_token_seconds=entry.first_token_ms / 1000,
            idle_seconds=entry.idle_ms / 1000,
            total_seconds=entry.total_ms / 1000,
        )

    def _of_all(self) -> bytes:
        """The secret of a provider without a key of its own: all providers' keys, else all consumers'."""
        if not self._all:
            consumers = {key.ref for entry in self._snapshot.consumers.values() for key in entry.api_keys}
            providers = {ref: value for ref, value in self._credentials.items() if ref not in consumers}
            known = sorted((providers or self._credentials).items())
            self._all = hashlib.sha256("\0".join(f"{ref} {value}" for ref, value in known).encode()).digest()
        return self._all

    def _endpoints(self, key: str, provider: ProviderPlan, model: str) -> tuple[EndpointPlan, ...]:
        """Of one model; made once, however many tiers have it as a candidate."""
        found = self._places.get((key, model))
        if found is None:
            several = len(provider.places) > 1
            found = self._places[key, model] = tuple(
                EndpointPlan(
                    name=at.name,
                    urls=at.urls,
                    stream_urls=at.stream_urls,
                    circuit=self._live.circuit(at.circuits, (key, at.name, at.base), model),
                    circuits=at.circuits,
                    has_siblings=several,
                )
                for at in provider.places
            )
        return found

    def _tier(
        self,
        key: str,
        route: RouteEntry,
        tier: Tier,
        providers: Mapping[str, ProviderPlan],
        prices: Mapping[tuple[str, str], _Priced],
    ) -> TierPlan:
        namespace, name = key.split("/", 1)
        has_ceiling = bool(tier.first_token_ms or tier.total_ms)
        trust = Trust(route.prior_weight, route.score_half_life_s, tier.confidence)
        targets = []
        for candidate in tier.candidates:
            provider = providers[candidate.provider]
            priced = prices[candidate.provider, candidate.model]
            price = priced.price
            shown = candidate.provider.removeprefix(f"{namespace}/")
            labels = (key, tier.name, candidate.provider, candidate.model)
            learned = self._live.learned(*labels, tier.expected_output_tokens)
            targets.append(
                Target(
                    provider=provider,
                    endpoints=self._endpoints(candidate.provider, provider, candidate.model),
                    model=candidate.model,
                    model_json=msgspec.Raw(msgspec.json.encode(candidate.model)),
                    model_in_url=quote(candidate.model, safe=":@"),
                    price=priced.current,
                    price_list=priced.price_list,
                    price_version=priced.version,
                    features=mask(price.capabilities) & provider.dialect.can_say | provider.dialect.always,
                    context_window=price.context_window,
                    max_output_tokens=price.max_output_tokens,
                    accuracy=self._accuracy(candidate, labels, trust),
                    learned=learned,
                    byline=learned.byline(labels, provider.seal),
                    chooses=has_ceiling and len(provider.places) > 1,
                    first_byte_seconds=min(
                        route.first_byte_ms / 1000 or provider.first_byte_seconds, provider.first_byte_seconds
                    ),
                    per_token_seconds=0.0 if route.first_byte_ms else provider.per_token_seconds,
                    first_token_wait=min(
                        route.first_token_ms / 1000 or provider.first_token_seconds, provider.first_token_seconds
                    ),
                    idle_seconds=min(route.idle_ms / 1000 or provider.idle_seconds, provider.idle_seconds),
                    headers=(
                        (b"x-merit-provider", shown.encode()),
                        (b"x-merit-model", candidate.model.encode()),
                        (b"x-merit-route", name.encode()),
                        (b"x-merit-tier", tier.name.encode()),
                        (b"x-merit-price-version", priced.version.encode()),
                    ),
                    labels=labels,
                    name=(candidate.provider, candidate.model),
                    warmth=self._live.warmth(
                        candidate.provider, candidate.model, needs_marks=provider.dialect.caches_only_marked
                    )
                    if prices_caches(price)
                    else None,
                    commitments=priced.commitments,
                )
            )
        several = len(targets) > 1
        explores = several and route.exploration_ppm > 0 and has_ceiling
        explores_endpoints = route.exploration_ppm > 0 and any(target.chooses for target in targets)
        rebalances = several and bool(route.hysteresis_ppm or route.ramp_ms)
        return TierPlan(
            name=tier.name,
            when=tuple(_when(condition) for condition in tier.when),
            targets=tuple(targets),
            accuracy=tier.accuracy,
            trust=trust,
            recovering=[target for target in targets if target.accuracy.may_recover(tier.accuracy)],
            percentile=tier.percentile,
            first_token_seconds=tier.first_token_ms / 1000,
            total_seconds=tier.total_ms / 1000,
            timed=any(target.price.timed for target in targets),
            warms=any(target.warmth is not None for target in targets),
            marks=route.cache_marks,
            committed=any(target.commitments for target in targets),
            ceilings=route.max_price,
            refuses=tier.refuses,
            narrows=tier.refuses or route.max_price is not None,
            hysteresis_ppm=route.hysteresis_ppm,
            ramp_seconds=route.ramp_ms / 1000,
            exploration_ppm=route.exploration_ppm,
            wins=self._live.wins(key, tier.name),
            follow_ups=self._live.follow_ups(key, tier.name),
            explores=explores,
            explores_endpoints=explores_endpoints,
            rebalances=rebalances,
            places=explores or rebalances,
            remembers=(explores or explores_endpoints) and not tier.refuses,
        )

    def _accuracy(self, candidate: Candidate, labels: Labels, trust: Trust) -> Accuracy:
        accuracy = Accuracy(candidate.accuracy)
        if (tally := self._live.tallies.get(labels)) is not None:
            accuracy.learn(believed(candidate.accuracy, tally.faded(time.time(), trust.half_life), trust))
        return accuracy

    def _consumer(
        self,
        key: str,
        entry: ConsumerEntry,
        routes: Mapping[str, RoutePlan],
        by_namespace: Mapping[str, Mapping[str, RoutePlan]],
        consumers: dict[bytes, ConsumerPlan],
    ) -> None:
        names: dict[str, RoutePlan] = {}
        for route in entry.routes:
            namespace, name = route.split("/", 1)
            if name == "*":
                names = {**by_namespace.get(namespace, {}), **names}
            else:
                for model in routes[route].models:
                    names.setdefault(model, routes[route])
        limits = Limits.of(entry)
        plan = ConsumerPlan(
            key=key,
            routes=names,
            account=self._live.consumers.of(key, limits) if limits is not None else None,
            cache_scope=(key.encode(), entry.cache_generation.encode()),
        )
        for credential in entry.api_keys:
            digest = hashlib.sha256(self._credentials[credential.ref].encode()).digest()
            consumers.setdefault(digest, plan)


def _spellings(key: str) -> tuple[bytes, ...]:
    """As it is, and as a URL has it."""
    return tuple(dict.fromkeys(spelt.encode() for spelt in (key, quote_plus(key)) if spelt))


def _when(condition: TierCondition) -> When:
    return When(
        at_least=condition.at_least,
        below=condition.below or 1 << 62,
        features=mask(condition.uses),
        headers=tuple((name.encode(), value.encode()) for name, value in condition.headers),
        last_message=re2.compile(condition.last_message, _PATTERNS) if condition.last_message else None,
    )
