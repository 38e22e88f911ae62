"""The merit order of a request with all that it rests on, as a document and as a table. Calls nobody.

A consumer may read it: it has neither a provider's addresses nor credentials.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from merit_crds.pricing import price_details, rates_in_force, stamped, tier_in_force, usd
from merit_dataplane.commitments.shown import shown
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.dispatch.endpoints import in_order, measured
from merit_dataplane.dispatch.hedge import hedged_after
from merit_dataplane.dispatch.legs import Leg
from merit_dataplane.dispatch.merit_order import explain
from merit_dataplane.dispatch.tiers import classify
from merit_dataplane.feedback.belief import Accuracy
from merit_dataplane.live import Measured
from merit_dataplane.snapshots.hedging_plan import HedgingPlan
from merit_dataplane.snapshots.tables import Headers, RoutePlan, TierPlan
from merit_dataplane.warmth.marks import named
from merit_dataplane.warmth.prefix import prefix_of
from merit_dataplane.wire.openai_request import Call

Document = dict[str, Any]
_COLUMNS = ("", "PROVIDER", "MODEL", "EXPECTED USD", "STANDING", "REASON")


def explanation(chain: Sequence[Leg], headers: Headers, *, now: float, wall: float) -> Document:
    """`now` is `loop.time()`, `wall` the epoch second at which prices hold. Money is USD, latency seconds."""
    first, *further = [_leg(leg, headers, now, wall) for leg in chain]
    return {**first, "fallbacks": further} if further else first


def _leg(leg: Leg, headers: Headers, now: float, wall: float) -> Document:
    route, call = leg
    tier = classify(route, call, headers)
    prefix = prefix_of(call, tier.follow_ups.salt) if tier.warms else None
    return {
        "model": call.model,
        "route": route.key,
        "tier": tier.name,
        "inputTokens": call.input_tokens,
        "objectives": _objectives(tier),
        "rebalancing": _rebalancing(tier, now),
        "followUps": {
            "expected": round(tier.follow_ups.expected, 2),
            "sharedShare": round(tier.follow_ups.shared, 2),
        },
        "hedging": _hedging(route.hedging) if route.hedging is not None else None,
        "meritOrder": [
            _bid(bid, tier, call, now) | _hedged(bid, route, call, now)
            for bid in explain(tier, call, now, wall, prefix)
        ],
    }


def _hedging(plan: HedgingPlan) -> Document:
    return {
        "after": f"P{plan.percentile}",
        "maxExtraCostPercent": plan.extra_cost_ppm / 10_000,
        "maxSharePercent": plan.share * 100,
    }


def _hedged(bid: Bid, route: RoutePlan, call: Call, now: float) -> Document:
    """After how many seconds a second attempt begins beside one of this candidate; null while too little is known."""
    if route.hedging is None:
        return {}
    return {"hedgedAfterSeconds": _shown(hedged_after(route.hedging, bid, bid.target.endpoints[0], call, now))}


def _objectives(tier: TierPlan) -> Document:
    goals: Document = {"accuracy": tier.accuracy or None, "confidence": tier.trust.confidence}
    goals["percentile"] = f"P{tier.percentile}"
    goals |= {"firstTokenSeconds": tier.first_token_seconds or None, "totalSeconds": tier.total_seconds or None}
    return goals | {"whenMissed": "Refuse" if tier.refuses else "BestEffort"}


def _rebalancing(tier: TierPlan, now: float) -> Document:
    """What may put another candidate first than the cheapest, and who was first before."""
    wins, ramp = tier.wins, tier.ramp_seconds
    rising = [target for target in tier.targets if tier.rebalances and 0 < wins.share(target.name, ramp, now) < 1]
    return {
        "hysteresisPercent": tier.hysteresis_ppm / 10_000,
        "rampSeconds": ramp,
        "explorationShare": tier.exploration_ppm / 10**6
        if tier.explores or tier.explores_endpoints or tier.recovering
        else 0.0,
        "first": " ".join(wins.first) if wins.first else None,
        "rising": {" ".join(target.name): round(wins.share(target.name, ramp, now), 4) for target in rising},
    }


def _bid(bid: Bid, tier: TierPlan, call: Call, now: float) -> Document:
    target, learned = bid.target, bid.target.learned
    warm = bid.warm
    cost = price_details(bid.charge, warm.usage(bid.input, bid.output))
    held = tier_in_force(bid.charge.context_tiers, bid.input)
    rates, _ = rates_in_force(bid.charge.rates, bid.charge.context_tiers, bid.input)
    slowness = learned.slowness(50, now)
    return {
        "provider": target.labels[2],
        "model": target.model,
        "standing": bid.standing.name.lower(),
        "reason": bid.reason,
        "expectedCostUSD": usd(bid.marginal),
        "expectedCostDetailsUSD": {"input": usd(cost.input), "output": usd(cost.output), "request": usd(cost.request)},
        "expectedInputTokens": bid.input,
        "expectedCachedInputTokens": warm.cached,
        "expectedCacheWriteTokens": warm.written,
        "cacheMarks": named(warm.marks),
        "expectedOutputTokens": bid.output,
        "ratesUSDPerMillion": msgspec.to_builtins(stamped(rates)),
        "contextTier": {"above": held.above, "applies": "Excess" if held.excess else "Whole"} if held else None,
        "priceList": target.price_list,
        "priceVersion": target.price_version,
        "accuracy": round(target.accuracy.counts, 4) or None,
        "feedback": _feedback(target.accuracy),
        **_latencies(measured(target, tier, call, now), tier, now),
        "tokensPerSecond": _shown(1000 / slowness if slowness else None),
        **({"endpoints": _endpoints(bid, tier, call, now)} if len(target.endpoints) > 1 else {}),
        **(shown(bid.committed) if bid.committed else {}),
    }


def _paced(bid: Document) -> float:
    return float(bid["pacedCostUSD"] if "pacedCostUSD" in bid else bid["expectedCostUSD"])


def _drawn(one: Document) -> str:
    if not float(one["draws"]):
        return f"commitment {one['name']} is spent"
    pace = "" if one["paceUSD"] == "0" else f" at a pace of {one['paceUSD']} USD"
    unit = "" if one["unit"] == "requests" else f" {one['unit']}"
    return f"draws {one['draws']}{unit} of {one['remaining']} left of commitment {one['name']}{pace}"


def _feedback(accuracy: Accuracy) -> Document | None:
    """What scores have made of a stated accuracy; None where there are none."""
    belief = accuracy.belief
    if belief is None:
        return None
    return {
        "stated": accuracy.stated or None,
        "estimate": round(belief.estimate, 4),
        "atLeast": round(belief.lower, 4),
        "atMost": round(belief.upper, 4),
        "answers": belief.answers,
        "weight": round(belief.weight, 2),
    }


def _latencies(known: Measured, tier: TierPlan, now: float) -> Document:
    return {
        "firstTokenSeconds": _shown(known.first_token.quantile(tier.percentile, now)),
        "totalSeconds": _shown(known.total.quantile(tier.percentile, now)),
    }


def _endpoints(bid: Bid, tier: TierPlan, call: Call, now: float) -> list[Document]:
    """In the order in which they would be asked; one with an open circuit comes after all the others."""
    target = bid.target
    return [
        {
            "name": endpoint.name,
            **_latencies(target.learned.at(endpoint.circuit), tier, now),
            "unavailable": endpoint.circuit.unavailable(now),
        }
        for endpoint in (in_order(target, tier, call, now) if target.chooses else target.endpoints)
    ]


def _shown(measured: float | None) -> float | None:
    return None if measured is None else round(measured, 3)


def table(document: Document) -> str:
    """For people: one line per candidate."""
    orders = [document, *document.get("fallbacks", ())]
    return "\n\nthen ".join(_order(order) for order in orders)


def _order(document: Document) -> str:
    route, tier, tokens = document["route"], document["tier"], document["inputTokens"]
    bids = document["meritOrder"]
    rows = [_COLUMNS]
    cheapest = _paced(bids[0]) if bids else 0.0
    for place, bid in enumerate(bids, 1):
        cost, reason, held = _paced(bid), bid["reason"], bid["contextTier"]
        dearer = f"{100 * (cost - cheapest) / cheapest:+.0f} %" if place > 1 and cheapest and not reason else ""
        tiered = f"context tier above {held['above']} tokens" if held else ""
        drawn = [_drawn(one) for one in bid.get("commitments", ())]
        why = ", ".join(words for words in (reason or dearer, tiered, *drawn) if words)
        standing = bid["standing"].replace("_", " ")
        rows.append((str(place), bid["provider"], bid["model"], bid["expectedCostUSD"], standing, why))
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"route {route}, tier {tier}, about {tokens} input tokens", "", *lines])
