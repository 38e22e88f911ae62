"""Whether a model's price in a snapshot is one that requests can be priced by, and what it makes necessary."""

from collections.abc import Iterator
from itertools import pairwise

import msgspec

from merit_crds.pricing.zones import zone
from merit_crds.snapshot import Charge, ModelPrice, Rates, Schedule


def check_price(price: ModelPrice) -> None:
    """Raises ValueError for what would price requests wrongly, KeyError for a time zone that this pod doesn't know."""
    schedules = _schedules(price)
    for charge in _charges(price):
        all_rates = (charge.rates, *(tier.rates for tier in charge.context_tiers))
        if any(_negative(rates) for rates in all_rates):
            raise ValueError("a price is negative")
        above = [tier.above for tier in charge.context_tiers]
        if above and (above[0] < 0 or any(low >= high for low, high in pairwise(above))):
            raise ValueError("context tiers are not in ascending order")
    if any(early.start >= late.start for early, late in pairwise(price.periods)):
        raise ValueError("periods are not in ascending order")
    for schedule in schedules:
        zone(schedule.time_zone)
        for window in schedule.windows:
            if not 0 <= window.start < 86_400 or not 0 <= window.end <= 86_400:
                raise ValueError("a window is not within a day")


def _schedules(price: ModelPrice) -> list[Schedule]:
    return [*price.schedules, *(schedule for period in price.periods for schedule in period.schedules)]


def _charges(price: ModelPrice) -> Iterator[Charge]:
    """All that it can cost, at any time and in any service tier."""
    for tariff in (price, *price.periods, *(schedule.tariff for schedule in _schedules(price))):
        yield tariff
        yield from tariff.service_tiers


def prices_caches(price: ModelPrice) -> bool:
    """Whether reading a token from the cache, or writing it there, ever costs something else than reading it anew."""
    return any(
        rates.cached_input != rates.input or rates.cache_write != rates.input
        for charge in _charges(price)
        for rates in (charge.rates, *(tier.rates for tier in charge.context_tiers))
    )


def _negative(rates: Rates) -> bool:
    *plain, special = msgspec.structs.astuple(rates)
    return min(plain) < 0 or (special is not None and min(msgspec.structs.astuple(special)) < 0)
