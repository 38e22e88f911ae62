"""Cool-downs and limits, in virtual time."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.limits.account import Limits
from merit_dataplane.resilience.account import AccountLimits, retry_after_seconds


def test_without_limits_there_is_room() -> None:
    account = AccountLimits()
    for _ in range(10_000):
        account.started()
    assert account.unavailable(0) == ""


def limited(**limits: int) -> AccountLimits:
    account = AccountLimits()
    account.limit("provider a/b", Limits(**{"requests": 0, "tokens": 0, "concurrent": 0, **limits}, budgets=()))
    return account


def sent(account: AccountLimits, now: float, tokens: int = 0) -> None:
    assert account.usage is not None
    account.usage.enter(tokens, 0, now, 0.0)
    account.started()


def test_concurrent_requests() -> None:
    account = limited(concurrent=2)
    sent(account, 0)
    assert account.unavailable(0) == ""
    sent(account, 0)
    assert "limits.concurrentRequests reached" in account.unavailable(0)
    account.ended()
    assert account.unavailable(0) == ""


def test_requests_per_minute() -> None:
    account = limited(requests=3)
    for second in (60, 70, 80):
        assert account.unavailable(second) == ""
        sent(account, second)
        account.ended()
    assert "limits.requestsPerMinute reached" in account.unavailable(119)
    assert account.unavailable(122) == ""


def test_tokens_per_minute_go_by_what_was_used() -> None:
    account = limited(tokens=1000)
    sent(account, 60, tokens=300)
    assert account.unavailable(60) == ""
    account.used(1100, 300, 61)
    assert "limits.tokensPerMinute reached" in account.unavailable(61)


def test_limits_that_are_taken_away_limit_nothing() -> None:
    account = limited(concurrent=1)
    sent(account, 0)
    account.limit("provider a/b", None)
    assert account.unavailable(0) == ""
    account.ended()
    assert account.in_flight == 0


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


def test_a_key_that_is_refused_is_left_alone_for_a_minute_or_until_there_is_another() -> None:
    account = AccountLimits()
    account.uses("old")
    account.refused(0, "it answered 401")
    assert account.unavailable(30) == "left alone (it answered 401) for 30.0 s more"
    account.uses("old")
    assert account.unavailable(30)
    account.uses("new")
    assert account.unavailable(30) == ""
