"""What commitments are worth on recorded traffic: what of each would be used, what it costs, where it breaks even.

Requests are where the plan sends them, which is by the list's prices. A trace of a part of a period has that part of
the volume and of the fee. What a minute asks above a minute's volume, while others ask less, is not seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from merit_crds.commitments import Period, fee_of, period_at, units_of
from merit_crds.commitments.period import UNITS
from merit_crds.snapshot import Commitment, Snapshot, Terms, TokenWeights
from merit_dataplane.replay.dispatch import Dispatch
from merit_dataplane.replay.names import Ints
from merit_dataplane.replay.pricing import costs, total
from merit_dataplane.replay.shapes import Shapes
from merit_dataplane.replay.spend import billed
from merit_dataplane.replay.tokens import OUTPUT, Tokens

_MOST_PERIODS = 10_000
_PLAIN = TokenWeights()


@dataclass(frozen=True, slots=True)
class CommitmentUse:
    """One commitment in a trace. Money is pico-dollars, volumes are units."""

    price_list: str
    name: str
    unit: str
    requests: int
    listed: int
    """What these cost by the list."""
    wanted: int
    volume: int
    fee: int
    """For the time of the trace."""
    bill: int
    """The fee, and what is charged within the volume and beyond."""
    break_even: float | None
    """Share of the volume at which the fee is what the list would have charged; None where nothing is saved."""


def uses(snapshot: Snapshot, made: Dispatch, spent: Ints, shapes: Shapes) -> list[CommitmentUse]:
    """Of each commitment that holds in the trace's time, alone: others that cover the same are as if not there."""
    found = []
    for key, pricing in snapshot.pricings.items():
        for terms in pricing.commitments:
            covered = {(pricing.provider, model) for model in terms.models}
            places = [i for i, place in enumerate(made.places) if (place.provider, place.model) in covered]
            rows = np.flatnonzero(np.isin(made.chosen, places) & _holds(terms, shapes))
            listed = total(spent[rows])
            covered_cost = listed if terms.covers == "all" else _of_side(terms.covers, listed, rows, made, shapes)
            volume, fee = _of_time(terms, float(shapes.time.min()), float(shapes.time.max()))
            if volume:
                found.append(_use(key, terms, shapes.tokens[rows], (listed, covered_cost), (volume, fee)))
    return found


def _holds(terms: Commitment, shapes: Shapes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    held: np.ndarray[tuple[int], np.dtype[np.bool_]] = shapes.time >= terms.start
    return held & (shapes.time < terms.end) if terms.end else held


def _of_time(terms: Commitment, first: float, last: float) -> tuple[int, int]:
    """Units and fee of the part of each period that lies in the trace."""
    volume = fee = 0
    for period, part in _parts(terms, first, last):
        volume += int(units_of(terms) * part)
        fee += int(fee_of(terms, period) * part)
    return volume, fee


def _parts(terms: Commitment, first: float, last: float) -> Iterator[tuple[Period, float]]:
    if terms.seconds and (last - first) / terms.seconds > _MOST_PERIODS:  # by the minute, for months
        begin, end = max(first, terms.start), min(last, terms.end or last)
        if end > begin:
            yield Period(int(begin), begin + terms.seconds), (end - begin) / terms.seconds
        return
    at = max(first, terms.start)
    while at <= last and (period := period_at(terms, at)) is not None:
        yield period, max(0.0, min(period.end, last) - at) / period.seconds
        at = period.end


def _use(
    key: str, terms: Commitment, tokens: Tokens, listed_and_covered: tuple[int, int], of_time: tuple[int, int]
) -> CommitmentUse:
    (listed, of_part), (volume, fee) = listed_and_covered, of_time
    within, beyond = _charged(terms.within, of_part, tokens), _charged(terms.beyond, of_part, tokens)
    wanted = within if terms.unit == "usd" else _units(terms, tokens)
    inside = within if terms.unit != "usd" else 0
    drawn = min(wanted, volume)
    charged = (inside * drawn + beyond * (wanted - drawn)) // wanted if wanted else 0
    saves = of_part - inside
    return CommitmentUse(
        price_list=key,
        name=terms.name,
        unit=terms.unit,
        requests=len(tokens),
        listed=listed,
        wanted=wanted,
        volume=volume,
        fee=fee,
        bill=fee + charged + listed - of_part,
        break_even=fee * wanted / (saves * volume) if saves > 0 and wanted else None,
    )


def _charged(terms: Terms, listed: int, tokens: Tokens) -> int:
    if terms.charge is not None:
        return total(costs(terms.charge, tokens))
    return listed * terms.ppm // UNITS


def _of_side(covers: str, listed: int, rows: Ints, made: Dispatch, shapes: Shapes) -> int:
    """Of what the list asks, the part that is for input, or for output."""
    silent = shapes.tokens.of({**shapes.tokens.columns, **dict.fromkeys(OUTPUT, 0 * shapes.input)})
    of_input = of_calls = 0
    for place in np.unique(made.chosen[rows]):
        here = rows[made.chosen[rows] == place]
        of_input += total(billed(made.prices[place], here, silent, shapes))
        of_calls += made.prices[place].rates.request * len(here)
    return of_input - of_calls if covers == "input" else listed - of_input


def _units(terms: Commitment, tokens: Tokens) -> int:
    if terms.unit == "requests":
        return len(tokens) * UNITS
    weights = terms.weights or _PLAIN
    of_class = {name: total(column) for name, column in tokens.columns.items()}
    cached = of_class.get("cached_input", 0) + of_class.get("cached_audio_input", 0)
    written = of_class.get("cache_write", 0) + of_class.get("cache_write_1h", 0)
    of_input, of_output = total(tokens.input), total(tokens.output)
    units = 0
    if terms.covers != "output":
        plain = of_input - cached - written
        units += plain * weights.input + cached * weights.cached_input + written * weights.cache_write
    if terms.covers != "input":
        units += of_output * weights.output
    return units
