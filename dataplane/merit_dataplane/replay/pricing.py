"""`merit_crds.pricing.price_details` for columns of requests, in integers.

A cost is an int64 of pico-dollars. Where the largest tokens and rates at hand could exceed that, Python's own integers
are used instead: slower, and as exact.
"""

from collections.abc import Iterator, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from merit_crds.pricing import Media, charge_of, in_force, price_details, rates_in_force, timed, too_dear
from merit_crds.snapshot import Charge, ContextTier, ModelPrice, PriceCeilings, Rates, Tariff
from merit_dataplane.replay.names import Ints, Names
from merit_dataplane.replay.tokens import INPUT, OUTPUT, Tokens, by_class
from merit_dataplane.wire.features import MEDIA, Feature

Seconds = NDArray[np.float64]
"""Epoch seconds."""
_MOST = 1 << 62
_LIMB = 21
"""Bits of a piece of a sum: 2^31 of them still add up exactly in a double."""


def priced(price: ModelPrice, at: Seconds, tokens: Tokens) -> Ints:
    """Pico-dollars of each request on one model, at the epoch second that says which of its tariffs holds.

    In a service tier that has no price it costs what it does in the standard one, as in the data plane.
    Raises OverflowError when one exceeds 4.6 million USD.
    """
    made = np.zeros(len(tokens), np.int64)
    for charge, rows in _by_charge(price, at, tokens.service_tiers):
        made[rows] = costs(charge, tokens[rows])
    return made


def has_price(price: ModelPrice, at: Seconds, service_tiers: Names) -> NDArray[np.bool_]:
    """Which requests are in a service tier that the model has a price for, at their time."""
    made = np.ones(len(at), np.bool_)
    for tariff, rows in _by_tariff(price, at):
        known = np.array([charge_of(tariff, name) is not None for name in service_tiers.names])
        made[rows] = known[service_tiers.codes[rows]]
    return made


def above_ceilings(  # noqa: PLR0917 # columns of the same requests
    price: ModelPrice,
    ceilings: PriceCeilings,
    at: Seconds,
    input_tokens: Ints,
    features: Ints,
    service_tiers: Names | None,
) -> NDArray[np.bool_]:
    """Which requests a model is too dear for, at their length, time and service tier.

    `features` are bits of `Feature`. That a request asks for images or sound back is not in a trace.
    """
    made = np.zeros(len(at), np.bool_)
    media = features & np.int64(MEDIA)
    for charge, rows in _by_charge(price, at, service_tiers):
        thresholds = np.array([tier.above for tier in charge.context_tiers], np.int64)
        held = np.searchsorted(thresholds, input_tokens[rows], side="left")
        for count in np.unique(held):
            equal = rows[held == count]
            for bits in np.unique(media[equal]):
                here = equal[media[equal] == bits]
                uses = Media(images=bool(bits & int(Feature.IMAGES)), sound=bool(bits & int(Feature.AUDIO)))
                made[here] = too_dear(charge, ceilings, int(input_tokens[here[0]]), uses) is not None
    return made


def _by_charge(price: ModelPrice, at: Seconds, service_tiers: Names | None) -> Iterator[tuple[Charge, Ints]]:
    """Rows of requests by what is charged for them."""
    for tariff, rows in _by_tariff(price, at):
        if service_tiers is None or not tariff.service_tiers:
            yield tariff, rows
            continue
        codes = service_tiers.codes[rows]
        for code in np.unique(codes):
            yield charge_of(tariff, service_tiers.names[code]) or tariff, rows[codes == code]


def _by_tariff(price: ModelPrice, at: Seconds) -> Iterator[tuple[Tariff, Ints]]:
    """Rows of requests by the tariff that holds for them."""
    if not timed(price):
        yield price, np.arange(len(at))
        return
    order = np.argsort(at, kind="stable")
    ordered = at[order]
    first = 0
    while first < len(order):  # each tariff holds for the requests before `until`
        tariff, until = in_force(price, float(ordered[first]))
        last = int(np.searchsorted(ordered, until, side="left")) if until != inf else len(order)
        yield tariff, order[first:last]
        first = last


def costs(price: Charge, tokens: Tokens) -> Ints:
    """Pico-dollars of each request at one charge, whatever its service tier. Raises OverflowError as `priced` does."""
    if not len(tokens):
        return np.zeros(0, np.int64)
    if _bound(price, tokens) >= _MOST:
        return _one_by_one(price, tokens)
    if not price.context_tiers:
        return _flat(price.rates, tokens)
    return _tiered(price, tokens)


def group_sums(values: Ints, groups: Ints, count: int) -> list[int]:
    """Exact sums of values from 0 to 2^62 by group (0 to `count` - 1), as Python's integers."""
    sums = [0] * count
    for shift in (0, _LIMB, 2 * _LIMB):
        limb = (values >> shift) & ((1 << _LIMB) - 1)
        for group, part in enumerate(np.bincount(groups, weights=limb, minlength=count)):
            sums[group] += int(part) << shift
    return sums


def total(values: Ints) -> int:
    """Exact sum."""
    return group_sums(values, np.zeros(len(values), np.int64), 1)[0]


def _bound(price: Charge, tokens: Tokens) -> int:
    rates = [price.rates, *(tier.rates for tier in price.context_tiers)]
    dearest = max(max(by_class(r).values()) for r in rates)
    most: int = sum(int(column.max()) for column in tokens.columns.values())
    return most * dearest + max(r.request for r in rates)


def _one_by_one(price: Charge, tokens: Tokens) -> Ints:
    exact = [price_details(price, usage).total for usage in tokens.usages()]
    if max(exact) >= _MOST:
        raise OverflowError(f"a request costs {max(exact) / 10**12:.0f} USD: are its tokens right?")
    return np.array(exact, np.int64)


def _flat(rates: Rates, tokens: Tokens) -> Ints:
    made, per_token = np.full(len(tokens), rates.request, np.int64), by_class(rates)
    for name, column in tokens.columns.items():
        made += column * per_token[name]
    return made


def _tiered(price: Charge, tokens: Tokens) -> Ints:
    """Requests between two thresholds have the same tiers in force."""
    made = np.zeros(len(tokens), np.int64)
    lengths = tokens.input
    tiers = price.context_tiers
    held = np.searchsorted(np.array([tier.above for tier in tiers]), lengths, side="left")
    for count in range(len(tiers) + 1):
        rows = np.flatnonzero(held == count)
        if len(rows):
            in_force_here = rates_in_force(price.rates, tiers, int(lengths[rows[0]]))
            made[rows] = _banded(*in_force_here, tokens[rows])
    return made


def _banded(whole: Rates, excess: Sequence[ContextTier], tokens: Tokens) -> Ints:
    if not excess:
        return _flat(whole, tokens)
    made, per_token = np.full(len(tokens), whole.request, np.int64), by_class(whole)
    for name in OUTPUT:
        if name in tokens.columns:
            made += tokens.columns[name] * per_token[name]
    start, band, lengths = 0, whole, tokens.input
    for tier in excess:
        made += _input_cost(band, tokens, start, np.full(len(tokens), tier.above, np.int64))
        start, band = tier.above, tier.rates
    return made + _input_cost(band, tokens, start, lengths)


def _input_cost(rates: Rates, tokens: Tokens, start: int, end: Ints) -> Ints:
    """Pico-dollars for the input tokens from position `start` to before `end`."""
    per_token = by_class(rates)
    first, made = np.zeros(len(tokens), np.int64), np.zeros(len(tokens), np.int64)
    for name in INPUT:
        if name in tokens.columns:
            last = first + tokens.columns[name]
            made += np.maximum(0, np.minimum(last, end) - np.maximum(first, start)) * per_token[name]
            first = last
    return made
