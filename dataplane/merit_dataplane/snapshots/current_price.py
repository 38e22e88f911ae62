"""A model's price as time goes by: the tariff that holds is known until it changes, and looked up only then."""

from math import inf

from merit_crds.pricing import DailyWindow, daily_windows, in_force, timed
from merit_crds.snapshot import ModelPrice, Tariff


class CurrentPrice:
    """One per model of a price list, shared by all routes that use it."""

    __slots__ = ("_price", "_since", "_until", "billed_by_completion", "tariff", "timed")

    def __init__(self, price: ModelPrice):
        self._price = price
        self.timed = timed(price)
        """Whether time changes it; when not, `tariff` is all there is."""
        self.billed_by_completion = price.billed_by_completion and self.timed
        self.tariff: Tariff = price
        """As last looked up."""
        self._since = self._until = -inf

    def at(self, now: float) -> Tariff:
        """The tariff at an epoch second, by this pod's clock."""
        if not self._since <= now < self._until:
            self.tariff, self._until = in_force(self._price, now)
            self._since = now  # a clock that is set back looks again
        return self.tariff

    def windows(self, now: float) -> tuple[DailyWindow, ...]:
        """Hours of each day at which another tariff holds than now, as far as days don't differ."""
        return daily_windows(self._price, now)
