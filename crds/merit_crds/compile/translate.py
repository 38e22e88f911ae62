"""One resource alone: its spec checked and turned into a snapshot entry. References are only noted here."""

import ipaddress
from decimal import Decimal
from typing import TypeAlias
from urllib.parse import urlsplit

import re2

from merit_crds.compile import authentication, commitments, duplicates, prices
from merit_crds.compile.authentication import credential
from merit_crds.problems import Problem, check_spec, shown
from merit_crds.resources import Resource
from merit_crds.snapshot.model import (
    Budget,
    Candidate,
    ConsumerEntry,
    Endpoint,
    Hedging,
    PriceCeilings,
    PricingEntry,
    ProviderEntry,
    RouteEntry,
    Semantic,
    Stems,
    Tier,
    TierCondition,
)
from merit_crds.v1alpha1 import (
    Condition,
    ConsumerSpec,
    FeedbackPolicy,
    MaxPrice,
    ModelRouteSpec,
    ProviderPricingSpec,
    ProviderSpec,
    TierSpec,
)
from merit_crds.v1alpha1.fields import ObjectRef, milliseconds
from merit_crds.v1alpha1.retry import HedgingPolicy, RetryPolicy
from merit_crds.v1alpha1.semantic import SemanticCache
from merit_crds.v1alpha1.stems import StemsCache

Entry: TypeAlias = ProviderEntry | PricingEntry | RouteEntry | ConsumerEntry

_DEFAULT_EXPECTED_OUTPUT = 256
_DEFAULT_EXPLORATION_PPM = 10_000
_DEFAULT_CONFIDENCE = 0.9
_DEFAULT_LONGEST_WAIT_MS = 2_000


def translate(resource: Resource) -> Entry | tuple[Problem, ...]:
    """The resource's entry, with credentials unfingerprinted and references unresolved; or all its problems."""
    spec = check_spec(resource)
    problems = spec if isinstance(spec, list) else duplicates.find(resource.id.kind, resource.spec)
    if problems:
        return tuple(problems)
    match spec:
        case ProviderSpec():
            return _provider(resource, spec)
        case ProviderPricingSpec():
            return _pricing(resource, spec)
        case ModelRouteSpec():
            return _route(resource, spec)
        case ConsumerSpec():
            return _consumer(resource, spec)
    raise TypeError(f"no translation for {resource.id.kind}")


def _key(ref: ObjectRef, namespace: str) -> str:
    return f"{ref.namespace or namespace}/{ref.name}"


def _provider(resource: Resource, spec: ProviderSpec) -> Entry | tuple[Problem, ...]:
    problems = duplicates.twice([h.name.lower() for h in spec.headers], ("spec", "headers"), "header")
    problems += [p for i, endpoint in enumerate(spec.endpoints) for p in _address_problems(i, endpoint.url)]
    problems += authentication.problems(spec)
    if problems:
        return tuple(problems)
    t, limits, namespace = spec.timeouts, spec.limits, resource.id.namespace
    api_key = spec.credentials.api_key if spec.credentials else None
    return ProviderEntry(
        generation=resource.generation,
        protocol=spec.protocol,
        vendor=spec.vendor or "",
        endpoints=tuple(Endpoint(name=e.name, url=e.url.rstrip("/"), region=e.region or "") for e in spec.endpoints),
        api_key=credential(namespace, api_key) if api_key else None,
        authentication=authentication.scheme(namespace, spec),
        headers=tuple((h.name, h.value) for h in spec.headers),
        query=tuple((q.name, q.value) for q in spec.query),
        connect_ms=_ms(t.connect if t else None, 2_000),
        first_byte_ms=_ms(t.first_byte if t else None, 30_000),
        first_byte_per_token_ms=0 if t and t.first_byte else 100,
        first_token_ms=_ms(t.first_token if t else None, 10_000),
        idle_ms=_ms(t.idle if t else None, 15_000),
        total_ms=_ms(t.total if t else None, 120_000),
        concurrent_requests=(limits and limits.concurrent_requests) or 0,
        requests_per_minute=(limits and limits.requests_per_minute) or 0,
        assistant_prefix=spec.assistant_prefix,
        tokens_per_minute=(limits and limits.tokens_per_minute) or 0,
    )


def _address_problems(i: int, url: str) -> list[Problem]:
    """An IPv6 address is beyond a pattern, and a pod would stumble over a wrong one."""
    try:
        if (host := urlsplit(url).hostname) and ":" in host:
            ipaddress.IPv6Address(host)
    except ValueError:
        return [Problem(path=("spec", "endpoints", i, "url"), reason="is no IPv6 address in []", value=shown(url))]
    return []


def _ms(duration: str | None, default: int) -> int:
    return default if duration is None else max(1, milliseconds(duration))


def _pricing(resource: Resource, spec: ProviderPricingSpec) -> Entry | tuple[Problem, ...]:
    if problems := [*prices.problems(spec), *commitments.problems(spec)]:
        return tuple(problems)
    return PricingEntry(
        generation=resource.generation,
        provider=f"{resource.id.namespace}/{spec.provider_ref.name}",
        models=prices.models(spec),
        commitments=commitments.commitments(spec),
    )


def _route(resource: Resource, spec: ModelRouteSpec) -> Entry | tuple[Problem, ...]:
    problems: list[Problem] = []
    for t, tier in enumerate(spec.tiers):
        problems += _pattern_problems(t, tier)
        refs = [f"{_key(c.provider, resource.id.namespace)} {c.model}" for c in tier.candidates]
        problems += duplicates.twice(refs, ("spec", "tiers", t, "candidates"), "candidate")
    alike = spec.cache.semantic if spec.cache else None
    if alike is not None and alike.embeddings == resource.id.name:
        path = ("spec", "cache", "semantic", "embeddings")
        problems.append(Problem(path=path, reason="is this route itself: name another", value=shown(alike.embeddings)))
    if problems:
        return tuple(problems)
    timeouts, typical, exact = spec.timeouts, spec.typical_request, spec.cache.exact if spec.cache else None
    retry = spec.retry or RetryPolicy()
    feedback = spec.feedback or FeedbackPolicy()
    return RouteEntry(
        generation=resource.generation,
        models=spec.models,
        tiers=tuple(_tier(resource, tier) for tier in spec.tiers),
        attempts=retry.attempts,
        first_byte_ms=_ms(timeouts.first_byte if timeouts else None, 0),
        first_token_ms=_ms(timeouts.first_token if timeouts else None, 0),
        idle_ms=_ms(timeouts.idle if timeouts else None, 0),
        total_ms=_ms(timeouts.total if timeouts else None, 120_000),
        cache_ttl_ms=milliseconds(exact.ttl) if exact else 0,
        cache_stale_ms=milliseconds(exact.stale_while_revalidate or "0s") if exact else 0,
        cache_shared=exact is not None and exact.scope == "Route",
        cache_generation=(exact and exact.generation) or "",
        cache_equal_under=tuple(sorted(exact.equal_under)) if exact else (),
        stems=_stems(spec.cache.stems) if spec.cache and spec.cache.stems else None,
        semantic=_semantic(alike, resource.id.namespace) if alike else None,
        typical_input_tokens=typical.input_tokens if typical else 300,
        typical_output_tokens=typical.output_tokens if typical else 60,
        max_price=_ceilings(spec.max_price) if spec.max_price else None,
        hysteresis_ppm=int(Decimal(spec.rebalancing.hysteresis_percent) * 10_000) if spec.rebalancing else 0,
        ramp_ms=milliseconds(spec.rebalancing.ramp) if spec.rebalancing and spec.rebalancing.ramp else 0,
        exploration_ppm=int(Decimal(spec.exploration.share) * 10**6) if spec.exploration else _DEFAULT_EXPLORATION_PPM,
        prior_weight=feedback.prior_weight,
        score_half_life_s=milliseconds(feedback.half_life) // 1000,
        retry_budget_ppm=int(Decimal(retry.budget_percent) * 10_000),
        longest_wait_ms=milliseconds(retry.longest_wait) if retry.longest_wait else _DEFAULT_LONGEST_WAIT_MS,
        mid_stream=retry.mid_stream,
        hedging=_hedging(spec.hedging) if spec.hedging else None,
        steerable=spec.steering == "Allowed",
        cache_marks=spec.cache_marks == "Automatic",
        allowed_namespaces=spec.allowed_namespaces,
    )


def _hedging(policy: HedgingPolicy) -> Hedging:
    return Hedging(
        percentile=int(policy.after[1:]),
        extra_cost_ppm=int(Decimal(policy.max_extra_cost_percent) * 10_000),
        share_ppm=int(Decimal(policy.max_share_percent) * 10_000),
    )


def _ceilings(price: MaxPrice) -> PriceCeilings:
    return PriceCeilings(
        input=_pico(price.input, 10**6),
        output=_pico(price.output, 10**6),
        request=_pico(price.request, 10**12),
        image_input=_pico(price.image_input, 10**6),
        audio_input=_pico(price.audio_input, 10**6),
    )


def _stems(stems: StemsCache) -> Stems:
    return Stems(
        threshold=float(stems.threshold),
        held_out_ppm=stems.held_out_percent * 10_000,
        normalise=tuple(sorted(stems.normalise)),
        shared=stems.scope == "Route",
        ttl_ms=milliseconds(stems.ttl),
        generation=stems.generation or "",
    )


def _semantic(alike: SemanticCache, namespace: str) -> Semantic:
    return Semantic(
        embeddings=f"{namespace}/{alike.embeddings}",
        similarity=float(alike.similarity),
        timeout_ms=_ms(alike.timeout, 0),
    )


def _pico(price: str | None, unit: int) -> int | None:
    return None if price is None else int(Decimal(price) * unit)


def _pattern_problems(t: int, tier: TierSpec) -> list[Problem]:
    problems = []
    for w, condition in enumerate(tier.when):
        if condition.last_message is None:
            continue
        try:
            re2.compile(condition.last_message, quiet_options())
        except re2.error as error:
            path = ("spec", "tiers", t, "when", w, "lastMessage")
            problems.append(
                Problem(path=path, reason=f"is no RE2 pattern: {_words(error)}", value=shown(condition.last_message))
            )
    return problems


def quiet_options() -> re2.Options:
    """RE2 options: errors are returned, not printed; a pattern's program stays small."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return options


def _words(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode() if isinstance(text, bytes) else str(text)


def _tier(resource: Resource, tier: TierSpec) -> Tier:
    goals = tier.objectives
    latency = goals.latency if goals else None
    return Tier(
        name=tier.name,
        candidates=tuple(
            Candidate(provider=_key(c.provider, resource.id.namespace), model=c.model, accuracy=float(c.accuracy or 0))
            for c in tier.candidates
        ),
        when=tuple(_condition(c) for c in tier.when),
        accuracy=float((goals and goals.accuracy) or 0),
        percentile=int(latency.percentile[1:]) if latency else 95,
        first_token_ms=milliseconds(latency.first_token) if latency and latency.first_token else 0,
        total_ms=milliseconds(latency.total) if latency and latency.total else 0,
        expected_output_tokens=tier.expected_output_tokens or _DEFAULT_EXPECTED_OUTPUT,
        refuses=goals is not None and goals.when_missed == "Refuse",
        confidence=float(goals.confidence if goals else _DEFAULT_CONFIDENCE),
    )


def _condition(condition: Condition) -> TierCondition:
    tokens = condition.input_tokens
    return TierCondition(
        at_least=(tokens and tokens.at_least) or 0,
        below=(tokens and tokens.below) or 0,
        uses=tuple(sorted(condition.uses)),
        headers=tuple((h.name.lower(), h.value) for h in condition.headers),
        last_message=condition.last_message or "",
    )


def _consumer(resource: Resource, spec: ConsumerSpec) -> Entry | tuple[Problem, ...]:
    namespace, limits = resource.id.namespace, spec.limits
    zones = [(("spec", "budgets", i, "timeZone"), budget.time_zone or "UTC") for i, budget in enumerate(spec.budgets)]
    if problems := tuple(problem for path, name in zones for problem in prices.zone_problems(path, name)):
        return problems
    return ConsumerEntry(
        generation=resource.generation,
        api_keys=tuple(credential(namespace, key) for key in spec.api_keys),
        routes=tuple(_key(r, namespace) for r in spec.routes) or (f"{namespace}/*",),
        requests_per_minute=(limits and limits.requests_per_minute) or 0,
        tokens_per_minute=(limits and limits.tokens_per_minute) or 0,
        concurrent_requests=(limits and limits.concurrent_requests) or 0,
        budgets=tuple(
            Budget(
                months=budget.period == "Month",
                amount=int(Decimal(budget.amount) * 10**12),
                time_zone=budget.time_zone or "UTC",
                tier_when_spent=budget.tier_when_spent or "",
            )
            for budget in spec.budgets
        ),
        cache_generation=spec.cache.generation if spec.cache else "",
    )
