"""Prices by the clock: periods, schedules, holidays, daylight saving; the same as a naive reading."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.compile import compile_resources
from merit_crds.compile.translations import Translations
from merit_crds.manifest import read
from merit_crds.pricing import Usage, in_force, price_details, timed, usd
from merit_crds.resources import ResourceId, ResourceSet
from merit_crds.snapshot import ModelPrice, Period, Rates, Schedule, Tariff, Window
from tests.support.resources import compiled
from tests.unit.crds.worlds import quick

PROVIDER = """
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {name: deepseek}
spec: {protocol: OpenAI, endpoints: [{name: main, url: "https://api.deepseek.com/v1"}]}
"""
DEEPSEEK = """
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {name: deepseek}
spec:
  providerRef: {name: deepseek}
  schedules:
    - name: off-peak
      timeZone: Asia/Shanghai
      windows:
        - {days: [Monday, Tuesday, Wednesday, Thursday, Friday], from: "18:00", to: "24:00"}
        - {days: [Monday, Tuesday, Wednesday, Thursday, Friday], from: "00:00", to: "09:00"}
        - {days: [Monday, Tuesday, Wednesday, Thursday, Friday], from: "12:00", to: "14:00"}
        - {days: [Saturday, Sunday, Holiday], from: "00:00", to: "24:00"}
      holidays: ["2026-10-01"]
  models:
    - model: deepseek-flash
      billedBy: Completion
      prices: {input: "0.3", output: "1.2", cachedInput: "0.006"}
      schedules: [{name: off-peak, percentOff: "50"}]
      periods:
        - {validFrom: "2026-12-01T00:00:00Z", validTo: "2026-12-02T00:00:00Z", prices: {input: "0.2", output: "1"}}
        - {validFrom: "2026-12-01T12:00:00Z", validTo: "2026-12-01T13:00:00Z", prices: {input: "0.1", output: "1"}}
"""
"""https://api-docs.deepseek.com/quick_start/pricing, as public price lists of 4 November 2026 have it: peak is 01:00 to
04:00 and 06:00 to 10:00 UTC from Monday to Friday. The holiday and the periods are made up."""


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def deepseek() -> ModelPrice:
    return compiled(PROVIDER, DEEPSEEK).snapshot.pricings["default/deepseek"].models["deepseek-flash"]


MONTH = Usage(uncached_input=400_000_000, output=100_000_000, cached_input=600_000_000)
PEAK, OFF_PEAK = "243.6", "121.8"


@pytest.mark.parametrize(
    ("instant", "bill"),
    [
        ("2026-11-04T00:59:59Z", OFF_PEAK),
        ("2026-11-04T01:00:00Z", PEAK),
        ("2026-11-04T03:59:59Z", PEAK),
        ("2026-11-04T04:00:00Z", OFF_PEAK),
        ("2026-11-04T05:59:59Z", OFF_PEAK),
        ("2026-11-04T06:00:00Z", PEAK),
        ("2026-11-04T09:59:59Z", PEAK),
        ("2026-11-04T10:00:00Z", OFF_PEAK),
        ("2026-11-04T16:00:00Z", OFF_PEAK),  # midnight in Beijing
        ("2026-11-06T23:00:00Z", OFF_PEAK),  # Friday here, Saturday there
        ("2026-11-07T02:00:00Z", OFF_PEAK),  # Saturday
        ("2026-11-08T23:30:00Z", OFF_PEAK),  # Sunday here, Monday there: the window of Sunday night
        ("2026-11-09T01:00:00Z", PEAK),  # Monday
        ("2026-10-01T02:00:00Z", OFF_PEAK),  # a holiday, a Thursday
        ("2026-10-02T01:00:00Z", PEAK),
    ],
)
def test_deepseeks_peak_and_off_peak(instant: str, bill: str) -> None:
    assert usd(price_details(in_force(deepseek(), seconds(instant)).tariff, MONTH).total) == bill


def test_the_second_of_valid_from() -> None:
    price = deepseek()

    def input_rate(instant: str) -> int:
        return in_force(price, seconds(instant)).tariff.rates.input

    assert input_rate("2026-11-30T23:59:59Z") == 150_000  # off-peak
    assert input_rate("2026-12-01T00:00:00Z") == 200_000  # the period has no schedule
    assert input_rate("2026-12-01T02:00:00Z") == 200_000
    assert input_rate("2026-12-01T11:59:59Z") == 200_000
    assert input_rate("2026-12-01T12:00:00Z") == 100_000  # the last to start counts
    assert input_rate("2026-12-01T13:00:00Z") == 200_000  # and goes back to the one before
    assert input_rate("2026-12-01T23:59:59Z") == 200_000
    assert input_rate("2026-12-02T00:00:00Z") == 150_000
    assert input_rate("2026-12-02T01:00:00Z") == 300_000
    assert in_force(price, seconds("2026-11-30T23:59:59.999Z")).until == seconds("2026-12-01T00:00:00Z")


NORMAL, NIGHT = Rates(input=2, output=2, cached_input=2, cache_write=2), Rates(1, 1, 1, 1)


def at_night(start: str, end: str, zone: str = "America/New_York") -> ModelPrice:
    hour, minute = (int(part) for part in start.split(":"))
    to_hour, to_minute = (int(part) for part in end.split(":"))
    window = Window(days=255, start=hour * 3600 + minute * 60, end=to_hour * 3600 + to_minute * 60)
    tariff = Tariff(rates=NIGHT)
    return ModelPrice(
        rates=NORMAL, schedules=(Schedule(name="night", time_zone=zone, windows=(window,), tariff=tariff),)
    )


@pytest.mark.parametrize(
    ("start", "end", "day", "held"),
    [
        # clocks go from 01:59:59 EST to 03:00 EDT
        ("02:00", "03:00", "2026-03-08", []),
        ("01:30", "02:30", "2026-03-08", [("06:30", "07:00")]),
        ("02:30", "04:00", "2026-03-08", [("07:00", "08:00")]),
        ("23:00", "06:00", "2026-03-08", [("05:00", "10:00")]),
        # clocks go from 01:59:59 EDT back to 01:00 EST
        ("01:00", "02:00", "2026-11-01", [("05:00", "07:00")]),
        ("01:30", "02:30", "2026-11-01", [("05:30", "06:00"), ("06:30", "07:30")]),
        ("23:00", "06:00", "2026-11-01", [("04:00", "11:00")]),
    ],
)
def test_daylight_saving_in_both_directions(start: str, end: str, day: str, held: list[tuple[str, str]]) -> None:
    """Hours of one night in New York, in UTC, walked from change to change."""
    price = at_night(start, end)
    at, last = seconds(f"{day}T04:00:00Z"), seconds(f"{day}T12:00:00Z")
    if start == "23:00":
        at += 3600 if day == "2026-03-08" else 0
    spans: list[tuple[float, float]] = []
    while at < last:
        tariff, until = in_force(price, at)
        if tariff.rates == NIGHT:
            joined = bool(spans) and spans[-1][1] == at
            spans[-1:] = [(spans[-1][0], until)] if joined else [*spans[-1:], (at, until)]
        at = until
    assert spans == [(seconds(f"{day}T{a}:00Z"), seconds(f"{day}T{b}:00Z")) for a, b in held]


ZONES = ["UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]
minutes = st.integers(0, 1439).map(lambda minute: minute * 60)
windows = st.builds(Window, days=st.integers(1, 255), start=minutes, end=minutes | st.just(86_400))
holidays = st.lists(st.integers(20_400, 20_900), max_size=40, unique=True).map(lambda days: tuple(sorted(days)))
moments = st.integers(1_767_225_600, 1_799_000_000)


@st.composite
def timed_prices(draw: st.DrawFn) -> ModelPrice:
    def schedules() -> tuple[Schedule, ...]:
        return tuple(
            Schedule(
                name=f"s{n}",
                time_zone=draw(st.sampled_from(ZONES)),
                windows=tuple(draw(st.lists(windows, min_size=1, max_size=3))),
                tariff=Tariff(rates=Rates(n, n, n, n)),
                holidays=draw(holidays),
            )
            for n in range(draw(st.integers(0, 2)))
        )

    starts = sorted(draw(st.sets(moments, max_size=3)))
    periods = tuple(
        Period(
            rates=Rates(start, 1, 1, 1),
            start=start,
            end=start + length if (length := draw(st.integers(0, 10**7))) else 0,
            schedules=schedules(),
        )
        for start in starts
    )
    return ModelPrice(rates=NORMAL, schedules=schedules(), periods=periods)


def naive(price: ModelPrice, at: int) -> Tariff:
    """As one reads a price list, with the standard library's calendar."""
    chosen: ModelPrice | Period = price
    for period in price.periods:
        if period.start <= at and (not period.end or at < period.end):
            chosen = period
    for schedule in chosen.schedules:
        local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(schedule.time_zone))
        second = local.hour * 3600 + local.minute * 60 + local.second
        for window in schedule.windows:
            crosses = window.end <= window.start
            for back in (0, 1) if crosses else (0,):
                day = local.date() - timedelta(days=back)
                number = day.toordinal() - 719_163
                bit = 7 if number in schedule.holidays else day.weekday()
                inside = second < window.end if back else second >= window.start
                if window.days >> bit & 1 and inside and (crosses or second < window.end):
                    return schedule.tariff
    return chosen


@quick
@given(timed_prices(), moments, st.floats(0, 0.999))
def test_agrees_with_a_naive_reading(price: ModelPrice, at: int, part: float) -> None:
    assert in_force(price, at + part).tariff is naive(price, at)


@quick
@given(timed_prices(), moments, st.floats(0, 1, exclude_max=True))
def test_holds_without_a_break_until_it_says(price: ModelPrice, at: int, share: float) -> None:
    tariff, until = in_force(price, at)
    assert until > at
    if until == float("inf"):  # no schedule counts: there is none, or a period without any has begun and doesn't end
        endless = any(period.start <= at and not period.end and not period.schedules for period in price.periods)
        assert not timed(price) or not price.schedules or endless
    last = int(min(until, at + 10**6)) - 1
    later = min(last, int(at + share * (last + 1 - at)))
    assert naive(price, later) is tariff
    if until - at < 10**7:
        assert naive(price, int(until) - 1) is tariff


def test_clocks_that_change_by_half_an_hour() -> None:
    """Lord Howe Island, from +11:00 back to +10:30 at 15:00 UTC: 01:30 to 02:00 is shown twice."""
    price = at_night("01:30", "02:00", "Australia/Lord_Howe")
    instants = ["14:29:59", "14:30:00", "14:59:59", "15:00:00", "15:29:59", "15:30:00"]
    rates = [in_force(price, seconds(f"2026-04-04T{instant}Z")).tariff.rates for instant in instants]
    assert rates == [NORMAL, NIGHT, NIGHT, NIGHT, NIGHT, NORMAL]
    assert all(early < late for early, late in pairwise(instants))


ROUTE = """
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  models: [chat]
  tiers: [{name: all, candidates: [{provider: {name: deepseek}, model: deepseek-flash}]}]
  typicalRequest: {inputTokens: 1000000, outputTokens: 1}
"""


def test_a_status_has_the_merit_order_of_its_instant() -> None:
    """With what the compile before left, as an operator does it; the snapshot is the same at all times."""
    manifest = read("\n---\n".join([PROVIDER, DEEPSEEK, ROUTE]), source="test.yaml")
    resources, translations = ResourceSet.of(manifest.resources), Translations()
    route = ResourceId("ModelRoute", "default", "chat")
    seen, versions = [], set()
    for instant in ("2026-11-04T00:59:59Z", "2026-11-04T01:00:00Z", "2026-12-01T12:00:00Z", None):
        at = seconds(instant) if instant else None
        result = compile_resources(resources, None, translations, at=at)
        versions.add(result.version)
        seen.append(usd(result.statuses[route].merit_order[0].cost))
        if instant == "2026-11-04T00:59:59Z":
            assert result.current_until == seconds("2026-11-04T01:00:00Z")
    assert result.current_until == float("inf")
    assert seen == ["0.1500006", "0.3000012", "0.100001", "0.3000012"]
    assert len(versions) == 1
