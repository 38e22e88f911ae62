"""Circuits, cool-downs and limits, in virtual time."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.resilience.account import AccountLimits, retry_after_seconds
from merit_dataplane.resilience.health import EndpointHealth


def opened(now: float = 0.0) -> EndpointHealth:
    health = EndpointHealth()
    for _ in range(5):
        health.failed(now)
    return health


def test_four_failures_in_a_row_open_nothing_the_fifth_does() -> None:
    health = EndpointHealth()
    for _ in range(4):
        health.failed(0)
    assert health.unavailable(0) == ""
    health.failed(0)
    assert health.unavailable(0) == "circuit open for 30 s more"
    assert health.unavailable(29.9)
    assert health.unavailable(30) == ""


def test_a_success_between_them_starts_the_count_anew() -> None:
    health = EndpointHealth()
    for _ in range(10):
        for _ in range(4):
            health.failed(0)
        health.succeeded()
    assert health.unavailable(0) == ""


def test_half_open_lets_one_probe_through() -> None:
    health = opened()
    health.started(31)
    assert health.unavailable(31) == "circuit half open, a probe is under way"
    health.succeeded()
    assert health.unavailable(31) == ""


def test_a_failed_probe_opens_for_twice_as_long_up_to_five_minutes() -> None:
    health, now = opened(), 0.0
    lengths = []
    for _ in range(6):
        now = health.open_until
        health.started(now)
        health.failed(now)
        lengths.append(health.open_until - now)
    assert lengths == [60, 120, 240, 300, 300, 300]
    health.started(health.open_until)
    health.succeeded()
    for _ in range(5):
        health.failed(now)
    assert health.open_until - now == 30


def test_failures_of_attempts_from_before_it_opened_change_nothing() -> None:
    health = opened()
    for second in range(29):
        health.failed(second)
    assert health.open_until == 30


def test_a_probe_that_was_abandoned_lets_the_next_one_through() -> None:
    health = opened()
    health.started(31)
    health.abandoned()
    assert health.unavailable(31) == ""


def test_a_probe_that_never_reports_does_not_hold_the_circuit_for_ever() -> None:
    health = opened()
    health.started(31)
    assert health.unavailable(61) == ""


@given(st.lists(st.tuples(st.sampled_from(["start", "fail", "succeed", "abandon"]), st.floats(0, 100)), max_size=60))
def test_no_history_keeps_an_endpoint_out_for_more_than_five_minutes(history: list[tuple[str, float]]) -> None:
    health, now = EndpointHealth(), 1.0
    for event, seconds in history:
        now += seconds
        match event:
            case "start":
                health.started(now)
            case "fail":
                health.failed(now)
            case "succeed":
                health.succeeded()
            case _:
                health.abandoned()
    assert health.unavailable(now + 300) == ""


# ---- account


def test_without_limits_there_is_room() -> None:
    account = AccountLimits()
    for _ in range(10_000):
        account.started(0)
    assert account.unavailable(0) == ""


def test_concurrent_requests() -> None:
    account = AccountLimits()
    account.concurrent = 2
    account.started(0)
    assert account.unavailable(0) == ""
    account.started(0)
    assert "limits.concurrentRequests (2 per pod) reached" in account.unavailable(0)
    account.ended()
    assert account.unavailable(0) == ""


def test_requests_per_minute() -> None:
    account = AccountLimits()
    account.per_minute = 3
    for second in (60, 70, 80):
        assert account.unavailable(second) == ""
        account.started(second)
        account.ended()
    assert "limits.requestsPerMinute (3 per pod) reached" in account.unavailable(119)
    assert account.unavailable(120) == ""


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 1), (0, 0), (7, 7), (60, 60), (3600, 60)])
def test_a_cool_down_lasts_as_long_as_asked_for_but_a_minute_at_most(retry_after: float | None, seconds: float) -> None:
    account = AccountLimits()
    account.rate_limited(100, retry_after)
    assert account.cooling_until == 100 + seconds
    assert account.unavailable(100 + seconds) == ""
    if seconds:
        assert account.unavailable(100 + seconds - 0.1).startswith("rate limited for 0.1 s")


def test_a_later_shorter_cool_down_does_not_cut_a_longer_one() -> None:
    account = AccountLimits()
    account.rate_limited(0, 30)
    account.rate_limited(1, 2)
    assert account.cooling_until == 30


EPOCH = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5),
        ("0", 0),
        ("1.5", 1.5),
        (" 7 ", 7),
        (formatdate(EPOCH + 12, usegmt=True), 12),
        (formatdate(EPOCH - 12, usegmt=True), None),
        ("-3", None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Wed, 99 Foo 2026 99:99:99 GMT", None),
        ("5, 10", None),
        ("\u0665", 5),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, EPOCH) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_is_an_error(value: str) -> None:
    seconds = retry_after_seconds(value, EPOCH)
    assert seconds is None or 0 <= seconds < 86_400
