"""Latency quantiles and the expected output, in virtual time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.metering.expectation import ExpectedOutput, TierOutput
from merit_dataplane.metering.input_count import ExpectedInput, TierInput
from merit_dataplane.metering.latency import Latency

NOW = 500.0


@given(st.lists(st.floats(0.0011, 600), min_size=20, max_size=300), st.sampled_from([50, 90, 95, 99]))
def test_a_quantile_is_exact_to_one_bucket(seconds: list[float], percent: int) -> None:
    latency = Latency()
    for value in seconds:
        latency.observe(value, NOW)
    exact = sorted(seconds)[math.ceil(len(seconds) * percent / 100) - 1]
    found = latency.quantile(percent, NOW)
    assert found is not None
    assert exact / 1.0001 <= found <= exact * 1.15 * 1.0001


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.0001, 1e9])
def test_extremes_fall_into_the_outer_buckets(seconds: float) -> None:
    latency = Latency()
    for _ in range(20):
        latency.observe(seconds, NOW)
    found = latency.quantile(95, NOW)
    assert found is not None
    assert 0.001 < found < 1000


def test_too_little_is_not_known() -> None:
    latency = Latency()
    assert latency.quantile(95, NOW) is None
    for _ in range(19):
        latency.observe(0.1, NOW)
    assert latency.quantile(95, NOW + 1) is None
    latency.observe(0.1, NOW)
    assert latency.quantile(95, NOW + 2) is not None


def test_old_latencies_fade_within_minutes() -> None:
    latency, now = Latency(), NOW
    for _ in range(1000):
        latency.observe(10.0, now)
    for _ in range(300):  # five minutes of one fast answer a second
        now += 1
        latency.observe(0.1, now)
    p50 = latency.quantile(50, now)
    assert p50 is not None
    assert p50 < 0.2
    assert latency.quantile(50, now + 3600) is None


def test_a_quantile_is_looked_up_again_after_a_second_and_for_another_percentile() -> None:
    latency = Latency()
    for value in [0.1] * 50 + [5.0] * 50:
        latency.observe(value, NOW)
    low, high = latency.quantile(50, NOW), latency.quantile(95, NOW)
    assert low is not None
    assert high is not None
    assert low < 1 < high
    for _ in range(900):
        latency.observe(5.0, NOW)
    median = latency.quantile(50, NOW + 1)
    assert median is not None
    assert median > 1


def test_expected_output_starts_at_the_prior_and_moves_to_what_is_seen() -> None:
    expected = ExpectedOutput(TierOutput(256))
    assert expected.tokens(0) == 256
    for _ in range(100):
        expected.observe(40)
    assert 40 <= expected.tokens(0) <= 60
    for _ in range(2000):
        expected.observe(40)
    assert expected.tokens(0) == 40


def test_a_candidate_without_traffic_is_expected_to_write_as_much_as_its_tier_does() -> None:
    tier = TierOutput(256)
    busy, idle = ExpectedOutput(tier), ExpectedOutput(tier)
    for _ in range(2000):
        busy.observe(40)
    assert idle.tokens(0) == 40


def test_one_long_answer_does_not_upset_the_expectation() -> None:
    expected = ExpectedOutput(TierOutput(50))
    for _ in range(500):
        expected.observe(50)
    expected.observe(5000)
    assert expected.tokens(0) < 80


def test_expected_output_is_bounded_by_the_limit() -> None:
    assert ExpectedOutput(TierOutput(256)).tokens(10) == 10
    assert ExpectedOutput(TierOutput(256)).tokens(1000) == 256


@given(st.integers(1, 10_000), st.lists(st.integers(0, 100_000), max_size=50))
def test_the_expectation_stays_between_the_extremes(prior: int, seen: list[int]) -> None:
    expected = ExpectedOutput(TierOutput(prior))
    for tokens in seen:
        expected.observe(tokens)
    assert min([prior, *seen]) <= expected.tokens(0) <= max([prior, *seen])


def test_a_model_counts_as_it_did_before() -> None:
    tier = TierInput()
    frugal, wordy, unasked = ExpectedInput(tier), ExpectedInput(tier), ExpectedInput(tier)
    assert frugal.tokens(400) == 400
    for _ in range(200):
        frugal.observe(400, 320)
        wordy.observe(400, 600)
    assert frugal.tokens(1000) == pytest.approx(800, rel=0.03)
    assert wordy.tokens(1000) == pytest.approx(1500, rel=0.03)
    assert unasked.tokens(1000) == pytest.approx(1150, rel=0.03), "as its tier does"


def test_it_follows_a_model_that_changes() -> None:
    count = ExpectedInput(TierInput())
    for _ in range(10_000):
        count.observe(400, 400)
    for _ in range(10_000):
        count.observe(400, 800)
    assert count.tokens(1000) == pytest.approx(2000, rel=0.1)


@given(
    st.lists(st.tuples(st.integers(1, 10_000_000), st.integers(1, 10_000_000)), max_size=60), st.integers(1, 10_000_000)
)
def test_no_report_makes_an_expectation_absurd(reports: list[tuple[int, int]], estimated: int) -> None:
    tier = TierInput()
    count, other = ExpectedInput(tier), ExpectedInput(tier)
    for report in reports:
        count.observe(*report)
    for expected in (count.tokens(estimated), other.tokens(estimated)):
        assert max(1, estimated // 8) <= expected <= estimated * 8 + 1
    assert count.tokens(estimated) <= count.tokens(estimated + 1), "a longer request is never expected to be shorter"
