"""Which hours of every day have a price of their own: what can be said of schedules without naming days.

Hours at which a schedule holds on some days only are left out, but for the ones that hold now. Hours are UTC's, by the
offsets that the schedules' zones have now: after a change of daylight saving they are others.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from merit_crds.pricing.in_force import DAY, HOLIDAY, in_force, shows, standing
from merit_crds.pricing.zones import offset, zone
from merit_crds.snapshot.model import ModelPrice, Schedule, Tariff


class DailyWindow(NamedTuple):
    """Hours of each day, in seconds since midnight UTC: from `start` to before `end`, which may be on the next day."""

    start: int
    end: int
    tariff: Tariff


def daily_windows(price: ModelPrice, at: float) -> tuple[DailyWindow, ...]:
    """The hours of each day at which another tariff holds than at the epoch second `at`, by their start."""
    usual, schedules, _ = standing(price, at)
    if not schedules:
        return ()
    second = int(at // 1)
    clocks = [(schedule, offset(zone(schedule.time_zone), second)) for schedule in schedules]
    edges = sorted({(edge - ahead) % DAY for schedule, ahead in clocks for edge in _edges(schedule)})
    now, found = in_force(price, at).tariff, list[DailyWindow]()
    for start, end in zip(edges, [*edges[1:], edges[0]], strict=True):
        tariff = _everyday(clocks, usual, start, here=_within(second % DAY, start, end))
        if tariff is None or tariff == now:
            continue
        if found and found[-1].end == start and found[-1].tariff == tariff:
            start = found.pop().start  # noqa: PLW2901
        found.append(DailyWindow(start, end, tariff))
    if len(found) > 1 and found[-1].end == found[0].start and found[-1].tariff == found[0].tariff:
        found[0] = DailyWindow(found.pop().start, found[0].end, found[0].tariff)
    return tuple(found)


def _everyday(clocks: Sequence[tuple[Schedule, int]], usual: Tariff, second: int, *, here: bool) -> Tariff | None:
    """What holds at this second of every day; None where `here`, and what holds depends on the day."""
    for schedule, ahead in clocks:
        local = (second + ahead) % DAY
        holds = {any(shows(w, *days, local) for w in schedule.windows) for days in _days(schedule)}
        if holds == {True}:
            return schedule.tariff
        if here and len(holds) > 1:
            return None
    return usual


def _edges(schedule: Schedule) -> Iterator[int]:
    for window in schedule.windows:
        yield from (window.start, window.end)


def _days(schedule: Schedule) -> Iterator[tuple[int, int]]:
    """A day and the one before it, as bits, of each kind that may come."""
    for day in range(7):
        today, yesterday = 1 << day, 1 << (day - 1) % 7
        yield today, yesterday
        if schedule.holidays:
            yield from ((HOLIDAY, yesterday), (today, HOLIDAY), (HOLIDAY, HOLIDAY))


def _within(second: int, start: int, end: int) -> bool:
    return start <= second < end if start < end else second >= start or second < end
