"""The merit order of one request: its candidates, cheapest first, in three classes.

1. admissible: capable, available, meets every objective as far as is known; by expected cost.
2. misses an objective: used when no better one is left, the most accurate first, then the fastest, then the cheapest.
3. unavailable now (rate limited, open circuit, own limit reached): the last resort before an error; over an own
   limit nothing is sent even then.

Candidates that lack a capability which the request uses are not in the order at all. Nor are those above the route's
`maxPrice`, those that the client's steering leaves out, and, in a tier that refuses them, those that miss an objective.
"""

from merit_crds.pricing import charge_of, text_cost, too_dear
from merit_crds.snapshot import Charge
from merit_dataplane.dispatch.bid import Bid, Standing, by_merit
from merit_dataplane.dispatch.ceiling import above, media_of
from merit_dataplane.dispatch.committed import committed
from merit_dataplane.dispatch.endpoints import latency as latency_of
from merit_dataplane.dispatch.endpoints import measured, over
from merit_dataplane.dispatch.lookahead import looked_ahead
from merit_dataplane.dispatch.steering import steer
from merit_dataplane.dispatch.stemmed import stemmed
from merit_dataplane.dispatch.warm import warmed
from merit_dataplane.feedback.belief import Accuracy
from merit_dataplane.live import Measured
from merit_dataplane.snapshots.tables import Target, TierPlan
from merit_dataplane.warmth.prefix import Prefix
from merit_dataplane.warmth.warmth import COLD
from merit_dataplane.wire.features import names
from merit_dataplane.wire.openai_request import Call

_new, _ADMISSIBLE, _MISSES = tuple.__new__, Standing.ADMISSIBLE, Standing.MISSES_OBJECTIVE
_UNAVAILABLE, _INCAPABLE = Standing.UNAVAILABLE, Standing.INCAPABLE
"""In the hot loop a named tuple's own constructor, and a look into an enum, are what takes longest."""
_NO_RANK: tuple[float, ...] = ()


def merit_order(  # noqa: PLR0917 # what an order depends on
    tier: TierPlan, call: Call, now: float, wall: float, prefix: Prefix | None = None, stem: int = 0
) -> list[Bid]:
    """Bids of the candidates that may serve the request, best first.

    `now` is `loop.time()`; `wall` is the epoch second at which prices and commitments are looked up.
    `prefix` is of a prompt that providers may have in their caches; `stem` is how many tokens of the answer are known.
    """
    bids = _bids(tier, call, now, wall, prefix, stem)
    if tier.narrows or call.steering is not None:
        bids = [bid for bid in _narrowed(bids, tier, call, now) if bid[0] < _INCAPABLE]
    else:
        bids = [bid for bid in bids if bid[0] is not _INCAPABLE]
    bids.sort(key=by_merit)
    return bids


def explain(tier: TierPlan, call: Call, now: float, wall: float, prefix: Prefix | None = None) -> list[Bid]:
    """Bids of all candidates, each with the reason why it is not first."""
    return sorted(_narrowed(_bids(tier, call, now, wall, prefix), tier, call, now), key=by_merit)


def _narrowed(bids: list[Bid], tier: TierPlan, call: Call, now: float) -> list[Bid]:
    """What the route forbids, then what the client wants."""
    if tier.narrows:
        ceilings, refuses, media = tier.ceilings, tier.refuses, media_of(call)
        bids = [
            _allowed(bid, tier, call, now)
            if bid[0] < _INCAPABLE
            and (refuses or (ceilings is not None and too_dear(bid.charge, ceilings, bid.input, media) is not None))
            else bid
            for bid in bids
        ]
    return bids if call.steering is None else steer(bids, call.steering, call, now)


def _allowed(bid: Bid, tier: TierPlan, call: Call, now: float) -> Bid:
    if tier.ceilings is not None and (reason := above(bid, tier.ceilings, call, "the route's maxPrice")):
        return bid._replace(standing=Standing.TOO_DEAR, rank=(), reason=reason)
    if tier.refuses and (miss := _misses(tier, bid.target, call, now)):  # asked again of who is unavailable
        return bid._replace(standing=Standing.REFUSED, rank=(), reason=miss[2])
    return bid


def _bids(  # noqa: PLR0917 # as above
    tier: TierPlan, call: Call, now: float, wall: float, prefix: Prefix | None, stem: int = 0
) -> list[Bid]:
    """The hot loop: a candidate in good standing is found so with a few comparisons and two calls."""
    bids = []
    features, estimated, output_limit, choices = call.features, call.input_tokens, call.output_limit, call.choices
    service_tier, floor = call.service_tier, tier.accuracy
    has_ceiling = tier.total_seconds > 0 or (tier.first_token_seconds > 0 and call.stream)
    for target in tier.targets:
        limit = target.max_output_tokens
        if output_limit and (not limit or output_limit < limit):
            limit = output_limit
        tariff = target.price.at(wall) if tier.timed else target.price.tariff
        charge: Charge = tariff
        if service_tier:
            charge = charge_of(tariff, service_tier) or tariff
        rates, context_tiers = charge.rates, charge.context_tiers
        input_tokens = target.learned.expected_input.tokens(estimated)
        output = target.learned.expected_output.tokens(limit) * choices
        if context_tiers and input_tokens > context_tiers[0].above:
            price = text_cost(rates, context_tiers, input_tokens, output)
        else:
            price = input_tokens * rates.input + output * rates.output + rates.request
        account, name = target.provider.account, target.name
        standing, rank, reason = _ADMISSIBLE, _NO_RANK, ""
        if (
            features & ~target.features
            or 0 < target.context_window < input_tokens + output_limit
            or 0 < target.max_output_tokens < output_limit
            or (service_tier and charge is tariff)
        ):
            standing, reason = _INCAPABLE, _incapable(target, call)
        elif (
            now < account.cooling_until or now < account.watched_until or target.endpoints[0].circuit.open_until
        ) and (reason := _unavailable(target, now)):
            standing = _UNAVAILABLE
        elif (has_ceiling or (floor and target.accuracy.counts < floor)) and (miss := _misses(tier, target, call, now)):
            standing, rank, reason = _MISSES, miss[:2], miss[2]
        bids.append(
            _new(
                Bid, (standing, rank, price, name, target, tariff, charge, input_tokens, output, reason, COLD, 0, None)
            )
        )
    if stem:
        bids = stemmed(bids, stem, now)
    if prefix is not None:
        bids = warmed(bids, prefix, wall, marks=tier.marks)
        if not tier.committed:  # what is prepaid has a value of its own
            bids = looked_ahead(bids, tier.follow_ups)
    return committed(bids, wall) if tier.committed else bids


def _incapable(target: Target, call: Call) -> str:
    missing = call.features & ~target.features
    if missing:
        return f"lacks {names(missing)}"
    if 0 < target.max_output_tokens < call.output_limit:
        return f"writes at most {target.max_output_tokens} tokens, {call.output_limit} may be asked for"
    if charge_of(target.price.tariff, call.service_tier) is None:
        return f"has no price for the service tier {call.service_tier[:64]!r}"
    return f"context window of {target.context_window} tokens is too small"


def _unavailable(target: Target, now: float) -> str:
    if reason := target.provider.account.unavailable(now):
        return reason
    for endpoint in target.endpoints:
        if not endpoint.circuit.open_until or not (reason := endpoint.circuit.unavailable(now)):
            return ""
    return reason


def _misses(tier: TierPlan, target: Target, call: Call, now: float) -> tuple[float, float, str] | None:
    """(-accuracy where it is too low, seconds over the ceiling, reason), or None when every objective is met."""
    accuracy = target.accuracy.counts
    inaccurate = accuracy < tier.accuracy
    ceiling = tier.first_token_seconds if call.stream else 0.0
    latency = None
    known: Measured | None = target.learned
    if target.chooses:
        known = measured(target, tier, call, now) if over(target, tier, call, now) else None
    if known is not None:
        latency = latency_of(tier, known.first_token, now) if ceiling else None
        if latency is None or latency <= ceiling:
            ceiling = tier.total_seconds
            latency = latency_of(tier, known.total, now) if ceiling else None
    slow = latency is not None and latency > ceiling
    if not inaccurate and not slow:
        return None
    reasons = [_inaccurate(tier, target.accuracy)] if inaccurate else []
    if slow:
        reasons.append(f"p{tier.percentile} latency {latency:.3f} s is above {ceiling} s")
    return (-accuracy if inaccurate else -1.0, latency if slow and latency else 0.0, " and ".join(reasons))


def _inaccurate(tier: TierPlan, accuracy: Accuracy) -> str:
    if accuracy.belief is None:
        return f"accuracy {accuracy.stated} is below {tier.accuracy}"
    sure = f"with {100 * tier.trust.confidence:g} % confidence, by {accuracy.belief.answers} scored answers"
    return f"accuracy {accuracy.counts:.4f} ({sure}) is below {tier.accuracy}"
