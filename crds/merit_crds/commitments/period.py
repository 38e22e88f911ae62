"""The periods of a commitment: for how long its volume lasts, and what that costs."""

from datetime import UTC, datetime
from math import inf
from typing import NamedTuple

from merit_crds.pricing.zones import zone
from merit_crds.snapshot.model import Commitment

UNITS = 10**6
"""Of one token, request or micro-dollar."""


SHORTEST_SHARED_SECONDS = 600
"""Of periods as long as this, pods tell each other what they have drawn; of shorter ones each has its share."""


class Period(NamedTuple):
    """Epoch seconds, start inclusive, end exclusive."""

    start: int
    end: float
    """`inf` never comes: a commitment without a period has an end."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


def period_at(terms: Commitment, at: float) -> Period | None:
    """The period that an epoch second lies in; None before the commitment starts and after it expires.

    The first month may be a part of one, and so may the last period: each has the whole volume.
    """
    second, last = int(at // 1), terms.end or inf
    if second < terms.start or second >= last:
        return None
    if terms.seconds:
        start = terms.start + (second - terms.start) // terms.seconds * terms.seconds
        return Period(start, min(start + terms.seconds, last))
    if terms.months_of:
        start, end = _month(terms.months_of, second)
        return Period(max(start, terms.start), min(end, last))
    return Period(terms.start, last)


def _month(name: str, second: int) -> tuple[int, int]:
    rules = zone(name)
    day = datetime.fromtimestamp(second, UTC).astimezone(rules)
    first = datetime(day.year, day.month, 1, tzinfo=rules)
    after = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=rules)
    return int(first.timestamp()), int(after.timestamp())


def key_of(price_list: str, terms: Commitment) -> str:
    """By which pods and operator know a commitment. What is counted otherwise is another one.

    `price_list` is `namespace/name`.
    """
    return f"{price_list}/{terms.name}/{terms.unit}"


def units_of(terms: Commitment) -> int:
    """The volume of a period, in units."""
    return terms.volume * UNITS


def fee_of(terms: Commitment, period: Period) -> int:
    """Pico-dollars that are paid for a period, used or not."""
    if not terms.fee_seconds or period.end == inf:
        return terms.fee * UNITS
    return terms.fee * UNITS * int(period.seconds) // terms.fee_seconds


def unused(terms: Commitment, period: Period, used: int) -> int:
    """Pico-dollars of a period's fee that no request accounts for: what is lost, or billed as the shortfall."""
    volume = units_of(terms)
    return max(0, volume - used) * fee_of(terms, period) // volume
