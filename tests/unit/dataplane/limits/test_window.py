"""The window of 60 seconds and the calendar, against what is obviously right."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing.zones import zone
from merit_dataplane.limits.calendar import span_at
from merit_dataplane.limits.window import Window

EVENTS = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 50)), max_size=60)


@given(EVENTS, st.floats(0, 200))
def test_a_window_counts_all_of_60_seconds_and_nothing_older_than_62(
    events: list[tuple[float, int]], rest: float
) -> None:
    window, now, told = Window(), 1000.0, []
    for gap, number in events:
        now += gap
        window.add(number, now)
        told.append((now, number))
    now += rest
    counted = window.look(now)
    assert sum(n for at, n in told if at > now - 60) <= counted <= sum(n for at, n in told if at > now - 62)


@given(EVENTS, st.integers(1, 100))
def test_after_the_wait_there_is_room(events: list[tuple[float, int]], excess: int) -> None:
    window, now = Window(), 1000.0
    for gap, number in events:
        now += gap
        window.add(number, now)
    total = window.look(now)
    wait = window.wait(min(excess, total), now)
    assert 0 <= wait <= 62
    assert window.look(now + wait + 1e-6) <= total - min(excess, total)


@pytest.mark.parametrize(
    ("at", "name", "months", "start", "end"),
    [
        ("2026-11-25T23:59:59Z", "UTC", False, "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"),
        ("2026-11-25T23:59:59Z", "Asia/Shanghai", False, "2026-11-25T16:00:00Z", "2026-11-26T16:00:00Z"),
        ("2026-03-29T12:00:00Z", "Europe/Berlin", False, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),  # 23 hours
        ("2026-10-25T12:00:00Z", "Europe/Berlin", False, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),  # 25 hours
        ("2026-12-31T23:30:00Z", "Europe/Berlin", True, "2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z"),
        ("2028-02-29T00:00:00Z", "UTC", True, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
    ],
)
def test_days_and_months(at: str, name: str, months: bool, start: str, end: str) -> None:
    def epoch(text: str) -> int:
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp())

    assert span_at(zone(name), epoch(at), months=months) == (epoch(start), epoch(end))


@given(
    st.integers(1_600_000_000, 2_000_000_000),
    st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"]),
    st.booleans(),
)
def test_periods_follow_each_other_without_gap(at: int, name: str, months: bool) -> None:
    span = span_at(zone(name), at, months=months)
    assert span.start <= at < span.end
    assert span_at(zone(name), span.end, months=months).start == span.end
    assert span_at(zone(name), span.start - 1, months=months).end == span.start
