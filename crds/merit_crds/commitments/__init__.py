"""What commitments make of a price: their periods, what a request draws, and what drawing now costs later. Pure.

Amounts drawn are integers of units: a volume is stated in tokens, requests or micro-dollars, and a unit is a millionth
of those: so a unit of money is a pico-dollar.
"""

from merit_crds.commitments.draw import Drawn, Offer, Part, draw
from merit_crds.commitments.pace import GRID, place_of, price_at, shadow_price
from merit_crds.commitments.period import SHORTEST_SHARED_SECONDS, Period, fee_of, key_of, period_at, units_of, unused
from merit_crds.commitments.tally import Tally, Used

__all__ = [
    "GRID",
    "SHORTEST_SHARED_SECONDS",
    "Drawn",
    "Offer",
    "Part",
    "Period",
    "Tally",
    "Used",
    "draw",
    "fee_of",
    "key_of",
    "period_at",
    "place_of",
    "price_at",
    "shadow_price",
    "units_of",
    "unused",
]
