"""The merit order of recorded requests, by columns: which candidate a snapshot would send each of them to.

The same classes as `dispatch.merit_order`: admissible by expected cost, then what misses an objective. What a trace
can't know is left out: rate limits, circuits, exploration. The input is as recorded, which a pod's learned count comes
close to. The output is expected as the mean of what the trace's answers had in that tier; latency is what the trace
measured of a candidate, and unknown (so it passes) with fewer than 20 answers. Of a prompt with shared prefixes each
candidate is expected to have what the replay has sent it: a pod's expectation comes there once it has learned.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from merit_crds.snapshot import ModelPrice, PriceCeilings, RouteEntry, Snapshot, Tier, TierCondition
from merit_dataplane.replay.names import Ints
from merit_dataplane.replay.prefixes import Blocks, blocks_of
from merit_dataplane.replay.pricing import above_ceilings, has_price, priced
from merit_dataplane.replay.shapes import Shapes, streamed
from merit_dataplane.replay.tokens import Tokens
from merit_dataplane.replay.warm_dispatch import Contests, Offer
from merit_dataplane.warmth.prefix import LEAST_TOKENS
from merit_dataplane.wire.features import MEDIA, mask

UNSERVED = -1
_ENOUGH = 20
_NEVER = np.int64((1 << 63) - 1)


@dataclass(frozen=True, slots=True)
class Place:
    """One candidate in one tier of one route."""

    route: str
    tier: str
    provider: str
    model: str

    @property
    def candidate(self) -> str:
        """Provider and model, as `Shapes.candidate` names them."""
        return f"{self.provider} {self.model}"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of one tier before its requests are dispatched."""

    route: str
    tier: Tier
    ceilings: PriceCeilings | None
    """`maxPrice` of the route."""
    rows: Ints
    """Its requests in the trace."""
    places: tuple[int, ...]
    """Its candidates, by position in `Dispatch.places`, in the order of the tier."""
    expected_output: int
    """Tokens of one answer."""
    latency: tuple[dict[str, float | None], ...]
    """Of each candidate, `total` and `first_token` at the tier's percentile, in seconds; None is unknown."""


@dataclass(slots=True)
class Dispatch:
    """Where each request of a trace goes."""

    chosen: Ints
    """Position in `places`, or UNSERVED."""
    missed: NDArray[np.bool_]
    """The candidate misses an objective: none met them."""
    places: list[Place] = field(default_factory=list)
    prices: list[ModelPrice] = field(default_factory=list)
    """Of each place."""
    tiers: list[Outlook] = field(default_factory=list)
    assumed: int = 0
    """Requests whose tier rests on conditions that a trace doesn't show (headers, text), and which names none."""


def dispatch(snapshot: Snapshot, shapes: Shapes) -> Dispatch:
    """Sends each request to the first of its merit order."""
    made = Dispatch(np.full(len(shapes), UNSERVED, np.int64), np.zeros(len(shapes), np.bool_))
    prices = {(p.provider, model): price for p in snapshot.pricings.values() for model, price in p.models.items()}
    contests = Contests(blocks_of(shapes.prefix, shapes.prefix_tokens, shapes.input))
    for key, route in snapshot.routes.items():
        code = shapes.route.code(key)
        rows = np.flatnonzero(shapes.route.codes == code) if code >= 0 else np.zeros(0, np.int64)
        for tier, members in _classified(route, rows, shapes, made):
            first = len(made.places)
            for candidate in tier.candidates:
                made.places.append(Place(key, tier.name, candidate.provider, candidate.model))
                made.prices.append(prices[candidate.provider, candidate.model])
            places = tuple(range(first, len(made.places)))
            outlook = Outlook(
                route=key,
                tier=tier,
                ceilings=route.max_price,
                rows=members,
                places=places,
                expected_output=_expected_output(tier, members, shapes),
                latency=tuple(_latency(made.places[place], tier.percentile, shapes) for place in places),
            )
            made.tiers.append(outlook)
            _choose(outlook, shapes, made, contests)
    names = sorted({place.candidate for place in made.places})
    accounts = [names.index(place.candidate) for place in made.places]
    contests.settle(made.chosen, accounts, made.prices, shapes)
    return made


def expected_output(outlook: Outlook, price: ModelPrice, rows: Ints, shapes: Shapes) -> Ints:
    """Tokens that a candidate is expected to write for each of these requests."""
    most = np.full(len(rows), price.max_output_tokens or _NEVER, np.int64)
    limit = shapes.output_limit[rows]
    most = np.where(limit > 0, np.minimum(limit, most), most)
    output: Ints = np.minimum(outlook.expected_output, most) * shapes.choices[rows]
    return output


def expected_costs(price: ModelPrice, output: Ints, rows: Ints, shapes: Shapes) -> Ints:
    """Pico-dollars that a candidate is expected to ask for each of these requests, without its cache."""
    return priced(price, shapes.time[rows], _expected(output, rows, shapes))


def _expected(output: Ints, rows: Ints, shapes: Shapes) -> Tokens:
    tiers = shapes.tokens.service_tiers
    return Tokens({"uncached_input": shapes.input[rows], "output": output}, tiers[rows] if tiers else None)


# ---- tiers


def _classified(route: RouteEntry, rows: Ints, shapes: Shapes, made: Dispatch) -> Iterator[tuple[Tier, Ints]]:
    """Each tier and its requests: by the conditions where the trace shows all that they ask, else as recorded."""
    if len(route.tiers) == 1:
        yield route.tiers[0], rows
        return
    taken = np.full(len(rows), len(route.tiers) - 1, np.int64)
    for place, tier in reversed(list(enumerate(route.tiers[:-1]))):
        for when in tier.when:
            taken[_holds(when, rows, shapes)] = place
    if any(_needs_text(when) for tier in route.tiers for when in tier.when):
        recorded = np.full(len(rows), -1, np.int64)
        for place, tier in enumerate(route.tiers):
            recorded[shapes.tier.codes[rows] == shapes.tier.code(tier.name)] = place
        made.assumed += int((recorded < 0).sum())
        taken = np.where(recorded >= 0, recorded, taken)
    for place, tier in enumerate(route.tiers):
        yield tier, rows[taken == place]


def _needs_text(when: TierCondition) -> bool:
    return bool(when.headers or when.last_message)


def _holds(when: TierCondition, rows: Ints, shapes: Shapes) -> NDArray[np.bool_]:
    if _needs_text(when):
        return np.zeros(len(rows), np.bool_)
    length, features = shapes.estimated_input[rows], mask(when.uses)
    found: NDArray[np.bool_] = (length >= when.at_least) & ((shapes.features[rows] & features) == features)
    return found & (length < when.below) if when.below else found


# ---- candidates


def _expected_output(tier: Tier, rows: Ints, shapes: Shapes) -> int:
    if not len(rows):
        return tier.expected_output_tokens
    return int((shapes.tokens.output[rows] / shapes.choices[rows]).mean() + 0.5)


def _latency(place: Place, percentile: int, shapes: Shapes) -> dict[str, float | None]:
    rows = np.flatnonzero(shapes.candidate.codes == shapes.candidate.code(place.candidate))

    def quantile(seconds: NDArray[np.float64]) -> float | None:
        known = seconds[rows]
        known = known[known > 0]
        return float(np.percentile(known, percentile, method="higher")) if len(known) >= _ENOUGH else None

    return {"total": quantile(shapes.duration), "first_token": quantile(shapes.first_token)}


def miss(outlook: Outlook, position: int, *, stream: bool) -> tuple[float, float] | None:
    """What orders candidates that miss an objective, as `dispatch.merit_order` does; None when all are met."""
    tier, candidate, latency = outlook.tier, outlook.tier.candidates[position], outlook.latency[position]
    slow = 0.0
    for seconds, ceiling in (
        (latency["first_token"], tier.first_token_ms / 1000 if stream else 0.0),
        (latency["total"], tier.total_ms / 1000),
    ):
        if ceiling and seconds is not None and seconds > ceiling:
            slow = seconds
            break
    inaccurate = candidate.accuracy < tier.accuracy
    return (-candidate.accuracy if inaccurate else -1.0, slow) if inaccurate or slow else None


def _choose(outlook: Outlook, shapes: Shapes, made: Dispatch, contests: Contests) -> None:
    if outlook.tier.first_token_ms:
        streams = streamed(shapes.features[outlook.rows])
        _first_of_the_order(outlook, outlook.rows[streams], shapes, made, contests, stream=True)
        _first_of_the_order(outlook, outlook.rows[~streams], shapes, made, contests, stream=False)
    else:
        _first_of_the_order(outlook, outlook.rows, shapes, made, contests, stream=False)


def _first_of_the_order(  # what is known, and what is written
    outlook: Outlook, rows: Ints, shapes: Shapes, made: Dispatch, contests: Contests, *, stream: bool
) -> None:
    """Candidates of equal standing compete by price; the next ones get what no better one is capable of."""
    standings: dict[tuple[float, float] | None, list[int]] = {}
    for position in range(len(outlook.places)):
        standings.setdefault(miss(outlook, position, stream=stream), []).append(position)
    ordered = sorted(standings, key=lambda standing: (standing is not None, standing or (0.0, 0.0)))
    left = rows
    for standing in ordered:
        if not len(left) or (outlook.tier.refuses and standing is not None):
            return
        best = np.full(len(left), _NEVER, np.int64)
        chosen = np.full(len(left), UNSERVED, np.int64)
        by_name = sorted(standings[standing], key=lambda p: made.places[outlook.places[p]].candidate.split(" ", 1))
        cached = np.flatnonzero(_may_be_cached(left, shapes, contests.blocks))
        bids = []
        for position in by_name:
            place = outlook.places[position]
            price = made.prices[place]
            output = expected_output(outlook, price, left, shapes)
            asked = expected_costs(price, output, left, shapes)
            able = _may_serve(price, left, shapes, outlook.ceilings)
            if len(cached):
                cold, warm = _with_prefix(price, output[cached], left[cached], shapes, contests.blocks)
                bids.append(Offer(place, cold, warm, output[cached], able[cached]))
                asked[cached] = cold
            asked[~able] = _NEVER
            better = asked < best
            best[better], chosen[better] = asked[better], place
        if bids:
            contests.add(left[cached], bids, chosen[cached] != UNSERVED)
        served = chosen != UNSERVED
        made.chosen[left[served]] = chosen[served]
        made.missed[left[served]] = standing is not None
        left = left[~served]


def _may_be_cached(rows: Ints, shapes: Shapes, blocks: Blocks) -> NDArray[np.bool_]:
    """What a pod would know the prefix of: long chats without pictures or sound."""
    found: NDArray[np.bool_] = (
        (blocks.counts[rows] > 0)
        & (shapes.estimated_input[rows] >= LEAST_TOKENS)
        & ((shapes.features[rows] & np.int64(MEDIA)) == 0)
    )
    return found


def _with_prefix(price: ModelPrice, output: Ints, rows: Ints, shapes: Shapes, blocks: Blocks) -> tuple[Ints, Ints]:
    """What a candidate asks without and with all of the prefix in its cache."""
    tokens = _expected(output, rows, shapes)
    shared = np.minimum(blocks.counts[rows] * blocks.tokens[rows], shapes.input[rows])
    rest = shapes.input[rows] - shared
    cold = tokens.of({"uncached_input": rest, "output": output, "cache_write": shared})
    warm = tokens.of({"uncached_input": rest, "output": output, "cached_input": shared})
    at = shapes.time[rows]
    return priced(price, at, cold), priced(price, at, warm)


def _may_serve(price: ModelPrice, rows: Ints, shapes: Shapes, ceilings: PriceCeilings | None) -> NDArray[np.bool_]:
    """Capable of it, and not above the route's `maxPrice`."""
    found: NDArray[np.bool_] = (shapes.features[rows] & ~np.int64(mask(price.capabilities))) == 0
    if price.max_output_tokens:
        found &= shapes.output_limit[rows] <= price.max_output_tokens
    if price.context_window:
        found &= shapes.input[rows] + shapes.output_limit[rows] <= price.context_window
    tiers = shapes.tokens.service_tiers[rows] if shapes.tokens.service_tiers else None
    if tiers is not None:
        found &= has_price(price, shapes.time[rows], tiers)
    if ceilings is not None:
        found &= ~above_ceilings(price, ceilings, shapes.time[rows], shapes.input[rows], shapes.features[rows], tiers)
    return found
