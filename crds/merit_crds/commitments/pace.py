"""The pace of a commitment: what drawing a unit now costs, since it can't be drawn later.

While more is asked for than is left until the period ends, a volume is scarce, and a request that hardly gains by it
should leave it to one that gains much. The price at which just as much is asked for as is left is the volume's shadow
price: 0 where all of it would not be used up otherwise, and never more than what a request costs once it is spent
(`draw` sees to that). docs/adr/0016 says what this was compared with.

What is asked for at a price is known from the requests themselves: each would draw as long as the shadow price is below
its own break-even, which is what it costs elsewhere less what it costs here, by unit. A grid of break-evens with the
units per second at each is the demand.
"""

from collections.abc import Sequence
from math import log2

_PER_OCTAVE = 8
_OCTAVES = 48
GRID = _PER_OCTAVE * _OCTAVES
"""Places of the grid: break-evens from 1 pico-dollar for 1,000,000 units up, each 9 % above the one below."""


def place_of(price: float) -> int:
    """The place of a break-even on the grid; the last one takes all above it."""
    return min(int(_PER_OCTAVE * log2(price + 1)), GRID - 1) if price > 0 else 0


def price_at(position: float) -> int:
    """The price at a position, which may lie between two places: pico-dollars of 1,000,000 units."""
    return round(2 ** (position / _PER_OCTAVE) - 1)


def shadow_price(demand: Sequence[float], left: float, seconds: float) -> int:
    """The price at which as much is drawn until the period ends as is left.

    `demand` has, for each place of the grid, the units per second of requests with that break-even; `left` is units,
    `seconds` the time until the period ends. Pico-dollars of 1,000,000 units.
    """
    if seconds <= 0:
        return 0
    rate, asked = max(left, 0) / seconds, 0.0
    for place in range(len(demand) - 1, -1, -1):
        here = demand[place]
        if here and asked + here > rate:
            return price_at(place + 1 - (rate - asked) / here)
        asked += here
    return 0
