"""Hours of every day that have a price of their own, against the price that holds at each instant."""

from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from merit_crds.pricing import daily_windows, in_force
from merit_crds.pricing.zones import offset, zone
from merit_crds.snapshot import ModelPrice, Period, Rates, Schedule, Tariff, Window

DAY = 86_400
ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe")
WEEKDAYS, ALL = 0b0001_1111, 0b1111_1111


def tariff(usd: int) -> Tariff:
    return Tariff(Rates(usd, usd, usd, usd))


def hhmm(hour: int, minute: int = 0) -> int:
    return hour * 3600 + minute * 60


def epoch(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


def shown(price: ModelPrice, at: float) -> dict[int, int]:
    """Hour and minute UTC at which each window begins, and its price."""
    return {w.start // 3600 * 100 + w.start % 3600 // 60: w.tariff.rates.input for w in daily_windows(price, at)}


def viewed(price: ModelPrice, at: float, then: float) -> Tariff:
    """The tariff at `then`, as a reader of what is listed at `at` sees it."""
    made = in_force(price, at).tariff
    for window in daily_windows(price, at):
        second = int(then // 1) % DAY
        if (second - window.start) % DAY < (window.end - window.start) % DAY:
            made = window.tariff
    return made


minutes = st.integers(0, 1439).map(lambda minute: minute * 60)


def schedules(days: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[Schedule, ...]]:
    windows = st.lists(st.builds(Window, days, minutes, minutes | st.just(DAY)), min_size=1, max_size=3).map(tuple)
    one = st.builds(
        Schedule,
        name=st.just("s"),
        time_zone=st.sampled_from(ZONES),
        windows=windows,
        tariff=st.integers(1, 3).map(tariff),
        holidays=st.just(()) | st.just((20_400, 20_401)),
    )
    return st.lists(one, max_size=3).map(tuple)


# about the changes of daylight saving in 2025 and 2026
instants = st.integers(1_735_689_600, 1_798_761_600)


@given(schedules(st.just(ALL)), instants, st.integers(0, DAY - 1))
def test_what_holds_every_day_is_shown_exactly_until_a_clock_is_set(
    given_schedules: tuple[Schedule, ...], at: int, later: int
) -> None:
    price = ModelPrice(tariff(9).rates, schedules=given_schedules)
    zones = [zone(schedule.time_zone) for schedule in given_schedules]
    assume(all(offset(rules, at) == offset(rules, at + later) for rules in zones))
    assert viewed(price, at, at + later) == in_force(price, at + later).tariff


@given(schedules(st.integers(1, 255)), instants)
def test_the_price_of_now_is_shown_whatever_the_days(given_schedules: tuple[Schedule, ...], at: int) -> None:
    price = ModelPrice(tariff(9).rates, schedules=given_schedules)
    assert viewed(price, at, at) == in_force(price, at).tariff


@given(schedules(st.integers(1, 255)), instants)
def test_windows_are_apart_and_of_another_price(given_schedules: tuple[Schedule, ...], at: int) -> None:
    price = ModelPrice(tariff(9).rates, schedules=given_schedules)
    found = daily_windows(price, at)
    assert sum((w.end - w.start) % DAY for w in found) < DAY
    assert [w.start for w in found[1:]] == sorted(w.start for w in found[1:])
    assert all(w.start != w.end and w.tariff != in_force(price, at).tariff for w in found)


def discount(zone_name: str, days: int, start: int, end: int, usd: int = 1) -> Schedule:
    return Schedule("night", zone_name, (Window(days, start, end),), tariff(usd))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (epoch(2026, 3, 28, 12), {2100: 1}),  # Berlin is an hour ahead
        (epoch(2026, 3, 29, 12), {2000: 1}),  # two, since that morning
        (epoch(2026, 10, 25, 12), {2100: 1}),
        (epoch(2026, 10, 24, 23), {400: 9}),  # it is night: what is shown is the day
    ],
)
def test_hours_follow_daylight_saving(at: float, expected: dict[int, int]) -> None:
    price = ModelPrice(tariff(9).rates, schedules=(discount("Europe/Berlin", ALL, hhmm(22), hhmm(6)),))
    assert shown(price, at) == expected


def test_hours_of_some_days_are_left_out_but_for_now() -> None:
    peak = discount("UTC", WEEKDAYS, hhmm(8), hhmm(20), usd=12)
    night = discount("UTC", ALL, hhmm(22), hhmm(6))
    price = ModelPrice(tariff(9).rates, schedules=(peak, night))
    monday, sunday = epoch(2026, 11, 23, 9), epoch(2026, 11, 22, 9)
    assert [w.start for w in daily_windows(price, monday)] == [hhmm(6), hhmm(20), hhmm(22)]
    assert viewed(price, monday, monday) == tariff(12)
    assert [(w.start, w.end) for w in daily_windows(price, sunday)] == [(hhmm(22), hhmm(6))]


def test_hours_that_all_days_share_are_shown_though_each_day_has_more() -> None:
    """Fireworks: 18:00 to 24:00 on weekdays, all of the weekend."""
    both = Schedule("s", "UTC", (Window(WEEKDAYS, hhmm(18), DAY), Window(ALL - WEEKDAYS, 0, DAY)), tariff(1))
    price = ModelPrice(tariff(9).rates, schedules=(both,))
    wednesday = epoch(2026, 11, 25, 12)
    assert [(w.start, w.end) for w in daily_windows(price, wednesday)] == [(hhmm(18), 0)]


def test_those_of_the_period_in_force_count() -> None:
    night = discount("UTC", ALL, hhmm(1), hhmm(2))
    period = Period(tariff(5).rates, start=1_000_000, schedules=(night,))
    price = ModelPrice(tariff(9).rates, periods=(period,))
    assert daily_windows(price, 999_999) == ()
    assert [w.tariff.rates.input for w in daily_windows(price, 1_000_000 - 1_000_000 % DAY + DAY)] == [1]
