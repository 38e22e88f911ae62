"""Which tariff of a model holds at an instant, and until when (DESIGN.md, section 4).

A period holds from its start to before its end; of several the last to start counts. A schedule holds while the clock
of its time zone shows a time inside one of its windows: an hour that daylight saving skips is never shown, one that it
repeats is shown twice. So between two changes of the zone's offset all is a matter of local seconds.
"""

from math import inf
from typing import NamedTuple
from zoneinfo import ZoneInfo

from merit_crds.pricing.zones import offset, zone
from merit_crds.snapshot.model import ModelPrice, Schedule, Tariff, Window

DAY = 86_400
HOLIDAY = 1 << 7


class InForce(NamedTuple):
    """A tariff, and the epoch second at which another one may hold; `inf` when none ever will."""

    tariff: Tariff
    until: float


def timed(price: ModelPrice) -> bool:
    """Whether the price changes with time."""
    return bool(price.periods or price.schedules)


def in_force(price: ModelPrice, at: float) -> InForce:
    """The tariff at an epoch second. It holds without a break until `until`, maybe longer."""
    chosen, schedules, until = standing(price, at)
    for schedule in schedules:
        holds, changes = _holds(schedule, int(at // 1))
        until = min(until, changes)
        if holds:
            return InForce(schedule.tariff, until)
    return InForce(chosen, until)


def standing(price: ModelPrice, at: float) -> tuple[Tariff, tuple[Schedule, ...], float]:
    """The period in force, or the model's own prices: its tariff outside of its schedules, these, and until when."""
    chosen: Tariff = price
    schedules, until = price.schedules, inf
    for period in price.periods:
        if period.start > at:
            until = min(until, period.start)
        elif not period.end or at < period.end:
            chosen, schedules = period, period.schedules
            until = min(until, period.end or inf)
    return chosen, schedules, until


def _holds(schedule: Schedule, at: int) -> tuple[bool, int]:
    """Whether a schedule holds at an epoch second, and when that may change."""
    rules = zone(schedule.time_zone)
    ahead = offset(rules, at)
    day, second = divmod(at + ahead, DAY)
    today, yesterday = _day_bit(schedule, day), _day_bit(schedule, day - 1)
    holds = any(shows(window, today, yesterday, second) for window in schedule.windows)
    boundaries = {DAY, *(edge for w in schedule.windows for edge in (w.start, w.end) if edge > second)}
    return holds, min(at - second + min(boundaries), _offset_change(rules, at, ahead))


def _day_bit(schedule: Schedule, day: int) -> int:
    return HOLIDAY if day in schedule.holidays else 1 << (day + 3) % 7  # 1970 began on a Thursday


def shows(window: Window, today: int, yesterday: int, second: int) -> bool:
    """Whether it holds at this second of a day; of today and of yesterday their bits."""
    if window.start < window.end:
        return bool(window.days & today) and window.start <= second < window.end
    return bool((window.days & today and second >= window.start) or (window.days & yesterday and second < window.end))


def _offset_change(rules: ZoneInfo, at: int, ahead: int) -> int:
    """When the zone's offset changes next, a day ahead; a day ahead where it doesn't."""
    same, other = at, at + DAY
    if offset(rules, other) == ahead:
        return other
    while other - same > 1:
        middle = (same + other) // 2
        same, other = (middle, other) if offset(rules, middle) == ahead else (same, middle)
    return other
