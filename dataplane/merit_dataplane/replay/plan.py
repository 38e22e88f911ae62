"""What a change of prices and routes does to recorded traffic: figures, before they are written down anywhere."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from merit_crds.pricing import timed, usd
from merit_crds.snapshot import ModelPrice, Snapshot
from merit_dataplane.replay.commitments import CommitmentUse, uses
from merit_dataplane.replay.dispatch import UNSERVED, Dispatch, Outlook, Place, dispatch, miss
from merit_dataplane.replay.names import Ints
from merit_dataplane.replay.pricing import group_sums, total
from merit_dataplane.replay.shapes import Shapes, streamed
from merit_dataplane.replay.spend import billed, spend

MOST_BUCKETS = 120
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Share:
    """One candidate of one tier, on both sides. Money is pico-dollars."""

    place: Place
    requests_before: int
    requests_after: int
    spend_before: int
    spend_after: int


@dataclass(frozen=True, slots=True)
class Risk:
    """What a tier's objectives can expect, on both sides."""

    route: str
    tier: str
    requests: int
    missed_before: float
    missed_after: float
    """Share of requests whose candidate misses an objective."""
    accuracy_floor: float
    accuracy_before: float | None
    accuracy_after: float | None
    """Mean of what is stated of the candidates that serve it."""
    unmeasured: int
    """Requests after the change at candidates with a latency ceiling that the trace has no latency of."""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """What it takes for another candidate of a tier to cost as much as its leader, all of the tier's requests there."""

    route: str
    tier: str
    leader: str
    candidate: str
    leader_cost: int
    cost: int
    """Pico-dollars for all requests of the tier."""
    change: float | None
    """By which share all its prices would have to change; None when it costs nothing."""
    output_tokens: float | None
    """Mean output tokens per request at which both cost the same, the input as it is; None where there is no such."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The busiest minute of one provider."""

    provider: str
    before: int
    after: int
    """Requests."""
    limit: int
    """`requestsPerMinute` of one pod after the change; 0 is none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All figures. Money is pico-dollars."""

    requests: int
    left_out: int
    first: float
    last: float
    """Epoch seconds of the first and the last request."""
    before: int
    after: int
    unmoved: int
    """What it would cost after the change if every request stayed where it is, as far as that is still possible."""
    moved: int
    """Requests that go to another candidate."""
    unserved_before: int
    unserved_after: int
    """Requests that no route or no capable candidate takes."""
    assumed: int
    """Requests whose tier could not be told for certain."""
    shares: list[Share]
    risks: list[Risk]
    break_evens: list[BreakEven]
    commitments: list[CommitmentUse]
    """Of the resources after the change."""
    peaks: list[Peak]
    bucket_seconds: float
    spend_before: list[int]
    spend_after: list[int]
    """By time."""

    def document(self) -> dict[str, Any]:
        """For JSON; money as exact decimal USD."""
        return {
            "requests": self.requests,
            "leftOut": self.left_out,
            "spendUSD": {"before": usd(self.before), "after": usd(self.after), "unmoved": usd(self.unmoved)},
            "moved": self.moved,
            "unserved": {"before": self.unserved_before, "after": self.unserved_after},
            "tierAssumed": self.assumed,
            "candidates": [
                {
                    "route": s.place.route, "tier": s.place.tier, "provider": s.place.provider, "model": s.place.model,
                    "requests": {"before": s.requests_before, "after": s.requests_after},
                    "spendUSD": {"before": usd(s.spend_before), "after": usd(s.spend_after)},
                }
                for s in self.shares
            ],
            "risks": [
                {
                    "route": r.route, "tier": r.tier, "requests": r.requests,
                    "missed": {"before": r.missed_before, "after": r.missed_after},
                    "accuracy": {"floor": r.accuracy_floor, "before": r.accuracy_before, "after": r.accuracy_after},
                    "latencyUnmeasured": r.unmeasured,
                }
                for r in self.risks
            ],
            "breakEvens": [
                {
                    "route": b.route, "tier": b.tier, "leader": b.leader, "candidate": b.candidate,
                    "costUSD": {"leader": usd(b.leader_cost), "candidate": usd(b.cost)},
                    "priceChange": b.change, "outputTokens": b.output_tokens,
                }
                for b in self.break_evens
            ],
            "commitments": [
                {
                    "priceList": c.price_list, "name": c.name, "unit": c.unit, "requests": c.requests,
                    "usd": {"list": usd(c.listed), "fee": usd(c.fee), "bill": usd(c.bill)},
                    "used": c.wanted / c.volume, "breakEven": c.break_even,
                }
                for c in self.commitments
            ],
            "peakRequestsPerMinute": [
                {"provider": p.provider, "before": p.before, "after": p.after, "limitPerPod": p.limit}
                for p in self.peaks
            ],
        }  # fmt: skip


def plan(before: Snapshot, after: Snapshot, shapes: Shapes) -> Plan:
    """Replays a trace against both. Raises ValueError when there is nothing to replay."""
    if not len(shapes):
        raise ValueError("the trace has no request that a model answered")
    old, new = dispatch(before, shapes), dispatch(after, shapes)
    places = list(dict.fromkeys([*old.places, *new.places]))
    old_at, new_at = _places(old, places), _places(new, places)
    old_spend = _spend(old.chosen, old, shapes)
    new_spend = _spend(new.chosen, new, shapes)
    width, buckets = _buckets(shapes)
    return Plan(
        requests=len(shapes),
        left_out=shapes.left_out,
        first=float(shapes.time.min()),
        last=float(shapes.time.max()),
        before=total(old_spend),
        after=total(new_spend),
        unmoved=total(_spend(_stayed(old, new), new, shapes)),
        moved=int((_accounts(old_at, places) != _accounts(new_at, places)).sum()),
        unserved_before=int((old.chosen == UNSERVED).sum()),
        unserved_after=int((new.chosen == UNSERVED).sum()),
        assumed=new.assumed,
        shares=_shares(places, (old_at, old_spend), (new_at, new_spend)),
        risks=[_risk(outlook, old, new, shapes) for outlook in new.tiers if len(outlook.rows)],
        break_evens=[even for outlook in new.tiers for even in _break_evens(outlook, new, shapes)],
        commitments=uses(after, new, new_spend, shapes),
        peaks=_peaks(old, new, after, shapes),
        bucket_seconds=width,
        spend_before=group_sums(old_spend, buckets, int(buckets.max()) + 1),
        spend_after=group_sums(new_spend, buckets, int(buckets.max()) + 1),
    )


def _spend(chosen: Ints, made: Dispatch, shapes: Shapes) -> Ints:
    return spend(chosen, [place.candidate for place in made.places], made.prices, shapes)


def _places(made: Dispatch, places: list[Place]) -> Ints:
    """Of each request the position of its place among those of both sides."""
    return np.array([*(places.index(place) for place in made.places), UNSERVED], np.int64)[made.chosen]


def _accounts(at: Ints, places: list[Place]) -> Ints:
    """Of each request who answers, whatever the tier is called."""
    names = sorted({place.candidate for place in places})
    return np.array([*(names.index(place.candidate) for place in places), UNSERVED], np.int64)[at]


def _stayed(old: Dispatch, new: Dispatch) -> Ints:
    """Where each request goes after the change if nothing moves; where it must move, it goes where it would."""
    positions = {(place.route, place.candidate): position for position, place in enumerate(new.places)}
    found = [positions.get((place.route, place.candidate), UNSERVED) for place in old.places]
    stayed = np.array([*found, UNSERVED], np.int64)[old.chosen]
    return np.where(stayed == UNSERVED, new.chosen, stayed)


def _shares(places: list[Place], *sides: tuple[Ints, Ints]) -> list[Share]:
    figures = []
    for at, spent in sides:
        served = at != UNSERVED
        figures.append(np.bincount(at[served], minlength=len(places)).tolist())
        figures.append(group_sums(spent[served], at[served], len(places)))
    rows = zip(places, figures[0], figures[2], figures[1], figures[3], strict=True)
    return [Share(*row) for row in rows if row[1] or row[2]]


def _risk(outlook: Outlook, old: Dispatch, new: Dispatch, shapes: Shapes) -> Risk:
    rows, tier = outlook.rows, outlook.tier
    unmeasured = 0
    for position, place in enumerate(outlook.places):
        here = rows[new.chosen[rows] == place]
        if tier.total_ms and outlook.latency[position]["total"] is None:
            unmeasured += len(here)
        elif tier.first_token_ms and outlook.latency[position]["first_token"] is None:
            unmeasured += int(streamed(shapes.features[here]).sum())
    return Risk(
        route=outlook.route,
        tier=tier.name,
        requests=len(rows),
        missed_before=float(old.missed[rows].mean()),
        missed_after=float(new.missed[rows].mean()),
        accuracy_floor=tier.accuracy,
        accuracy_before=_accuracy(old, rows),
        accuracy_after=_accuracy(new, rows),
        unmeasured=unmeasured,
    )


def _accuracy(made: Dispatch, rows: Ints) -> float | None:
    """Mean accuracy that is stated of who serves these; None where nothing is stated of one."""
    stated = np.full(len(made.places) + 1, np.nan)
    for outlook in made.tiers:
        for place, candidate in zip(outlook.places, outlook.tier.candidates, strict=True):
            stated[place] = candidate.accuracy or np.nan
    served = made.chosen[rows]
    served = served[served != UNSERVED]
    mean = float(stated[served].mean()) if len(served) else np.nan
    return None if np.isnan(mean) else mean


def _break_evens(outlook: Outlook, made: Dispatch, shapes: Shapes) -> list[BreakEven]:
    """Against the candidate that most requests go to, each other one that meets the objectives."""
    counts = Counter(made.chosen[outlook.rows].tolist())
    del counts[UNSERVED]
    if not counts:
        return []
    leader = max(counts, key=lambda place: (counts[place], -place))
    asked = {p: total(billed(made.prices[p], outlook.rows, shapes.tokens, shapes)) for p in outlook.places}
    found = []
    for position, place in enumerate(outlook.places):
        if place != leader and miss(outlook, position, stream=False) is None:
            found.append(
                BreakEven(
                    route=outlook.route,
                    tier=outlook.tier.name,
                    leader=made.places[leader].candidate,
                    candidate=made.places[place].candidate,
                    leader_cost=asked[leader],
                    cost=asked[place],
                    change=asked[leader] / asked[place] - 1 if asked[place] else None,
                    output_tokens=_equal_output(
                        outlook,
                        asked[place] - asked[leader],
                        _steeper(made.prices[leader], made.prices[place], shapes),
                        shapes,
                    ),
                )
            )
    return sorted(found, key=lambda even: even.cost)


def _steeper(leader: ModelPrice, price: ModelPrice, shapes: Shapes) -> int:
    """Pico-dollars that an output token of the leader costs more; 0 where that depends on the request."""
    if any(timed(p) or any(not tier.excess for tier in p.context_tiers) for p in (leader, price)):
        return 0
    if shapes.tokens.service_tiers is not None and (leader.service_tiers or price.service_tiers):
        return 0
    return leader.rates.output - price.rates.output


def _equal_output(outlook: Outlook, extra: int, steeper: int, shapes: Shapes) -> float | None:
    """Cost is linear in output: `extra` is what the candidate costs more, `steeper` by what its leader's token does."""
    if not steeper:
        return None
    requests = len(outlook.rows)
    equal = (total(shapes.tokens.output[outlook.rows]) + extra / steeper) / requests
    return equal if equal >= 0 else None


def _peaks(old: Dispatch, new: Dispatch, after: Snapshot, shapes: Shapes) -> list[Peak]:
    minutes = ((shapes.time - shapes.time.min()) // 60).astype(np.int64)
    names = sorted({place.provider for made in (old, new) for place in made.places})
    busiest = []
    for made in (old, new):
        provider = np.array([*(names.index(place.provider) for place in made.places), UNSERVED], np.int64)[made.chosen]
        most = [0] * len(names)
        for position in range(len(names)):
            here = minutes[provider == position]
            most[position] = int(np.bincount(here).max()) if len(here) else 0
        busiest.append(most)
    limits = [after.providers[name].requests_per_minute if name in after.providers else 0 for name in names]
    rows = zip(names, *busiest, limits, strict=True)
    return [Peak(*row) for row in rows if row[1] or row[2]]


def _buckets(shapes: Shapes) -> tuple[float, Ints]:
    """Whole hours, or as few of them together as give a plot of at most MOST_BUCKETS."""
    span = float(shapes.time.max() - shapes.time.min())
    width = _HOUR if span >= 2 * _HOUR else max(1.0, span / MOST_BUCKETS)
    while span / width > MOST_BUCKETS:
        width *= 2
    return width, ((shapes.time - shapes.time.min()) // width).astype(np.int64)
