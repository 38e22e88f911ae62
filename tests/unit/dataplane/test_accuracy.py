"""What is believed of an accuracy: the arithmetic, checked against sums that need no such functions."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merit_dataplane.feedback.belief import Accuracy, Belief, Trust, believed
from merit_dataplane.feedback.beta import Beta, stated
from merit_dataplane.feedback.scores import Scores
from merit_dataplane.feedback.tally import MILLION, SPAN_SECONDS, Faded, Tally

quick = settings(deadline=None, max_examples=100)
shares = st.floats(0.001, 0.999)
weights = st.floats(0.05, 3000)
NOW = 1_800_000_000.0
WEEK = 7 * 86_400.0


def exactly_below(right: int, wrong: int, share: float) -> float:
    """Of whole numbers the function is a sum of binomials."""
    n, x = right + wrong - 1, Fraction(share)
    return float(sum(comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(right, n + 1)))


@quick
@given(st.integers(1, 40), st.integers(1, 40), shares)
def test_probabilities_are_those_of_the_binomial_sum(right: int, wrong: int, share: float) -> None:
    assert Beta(right, wrong).below(share) == pytest.approx(exactly_below(right, wrong, share), abs=1e-12)


@quick
@given(weights, weights, st.floats(0.01, 0.99))
def test_a_quantile_is_where_the_probability_is(right: float, wrong: float, probability: float) -> None:
    beta = Beta(right, wrong)
    share = beta.quantile(probability)
    assert 0 <= share <= 1
    if 1e-6 < share < 1 - 1e-6:
        assert beta.below(share) == pytest.approx(probability, abs=1e-6)


@quick
@given(st.floats(0.01, 1.0), st.floats(1, 1_000_000), st.floats(0.5, 0.9999))
def test_a_statement_is_the_bound_that_it_says(accuracy: float, weight: float, confidence: float) -> None:
    prior = stated(accuracy, weight, confidence)
    assert prior.right + prior.wrong == pytest.approx(weight)
    assert prior.below(min(accuracy, 1 - 1e-6)) == pytest.approx(
        1 - confidence, abs=2e-5
    )  # what bisection leaves at a weight of a million


@quick
@given(
    st.floats(0, 1), st.floats(1, 10_000), st.floats(0.5, 0.999),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 50)), max_size=6),
)  # fmt: skip
def test_a_belief_moves_with_what_is_seen_and_never_jumps(
    accuracy: float, weight: float, confidence: float, seen: list[tuple[float, float]]
) -> None:
    trust = Trust(weight, WEEK, confidence)
    assert believed(accuracy, Faded(0, 0, 0), trust) is None
    right = sum(share * number for share, number in seen)
    total = sum(number for _, number in seen)
    belief = believed(accuracy, Faded(total, right, len(seen)), trust)
    if belief is None:
        return
    assert 0 <= belief.lower <= belief.estimate + 1e-9
    assert belief.estimate <= belief.upper + 1e-9
    assert belief.upper <= 1
    better = believed(accuracy, Faded(total + 1, right + 1, len(seen) + 1), trust)
    worse = believed(accuracy, Faded(total + 1, right, len(seen) + 1), trust)
    assert better is not None
    assert worse is not None
    assert worse.lower <= belief.lower + 1e-7
    assert belief.lower <= better.lower + 1e-7
    first = believed(accuracy, Faded(0.011, 0.0055, 1), trust)
    if accuracy and weight >= 20:
        assert first is not None
        assert first.lower == pytest.approx(accuracy, abs=0.01), "the first score changes little"


def test_much_is_believed_whatever_was_stated() -> None:
    for accuracy in (0.0, 0.5, 0.999):
        belief = believed(accuracy, Faded(100_000, 91_000, 100_000), Trust(100, WEEK, 0.9))
        assert belief is not None
        assert belief.lower < 0.91 < belief.upper
        assert belief.upper - belief.lower < 0.003


@pytest.mark.parametrize(
    ("accuracy", "lower", "upper", "recovers"),
    [(0.95, 0.85, 0.93, True), (0.95, 0.85, 0.89, False), (0.95, 0.91, 0.95, False), (0.85, 0.8, 0.95, False)],
)
def test_who_may_come_back(accuracy: float, lower: float, upper: float, recovers: bool) -> None:
    known = Accuracy(accuracy)
    assert not known.may_recover(0.9), "by statement alone nobody falls by bad luck"
    known.learn(Belief(lower, (lower + upper) / 2, upper, 50, 50))
    assert known.may_recover(0.9) is recovers
    known.learn(None)
    assert known.counts == accuracy


# ---- tallies


@quick
@given(st.lists(st.tuples(st.floats(0, 40 * 86_400), st.integers(0, MILLION)), max_size=30))
def test_scores_add_up_in_any_order_and_from_any_pod(scores: list[tuple[float, int]]) -> None:
    one, parts = Tally(), [Tally(), Tally(), Tally()]
    for age, score in scores:
        one.score(NOW - age, score, None)
    for place, (age, score) in enumerate(reversed(scores)):
        parts[place % 3].score(NOW - age, score, None)
    together = parts[0].faded(NOW, WEEK, *parts[1:])
    assert together == pytest.approx(one.faded(NOW, WEEK))


@quick
@given(st.integers(0, MILLION), st.integers(0, MILLION), st.floats(0, 30 * 86_400))
def test_a_score_that_replaces_another_leaves_no_trace_of_it(first: int, second: int, age: float) -> None:
    replaced, plain = Tally(), Tally()
    replaced.score(NOW - age, first, None)
    replaced.score(NOW - age, second, first)
    plain.score(NOW - age, second, None)
    assert replaced.spans == plain.spans


@quick
@given(st.floats(0, 5), st.floats(86_400, 2160 * 3600))
def test_a_score_weighs_half_after_a_half_life(half_lives: float, half_life: float) -> None:
    tally = Tally()
    tally.score(NOW - half_lives * half_life, MILLION, None)
    weight = tally.faded(NOW, half_life).weight
    assert weight == pytest.approx(0.5**half_lives, rel=0.1), "to half a span of time"


def test_what_is_kept_is_bounded() -> None:
    tally = Tally()
    for hour in range(0, 24 * 800, 3):
        tally.score(NOW + hour * 3600, MILLION, None)
    tally.forget(NOW + 800 * 86_400)
    assert len(tally.spans) <= 6 * 2160 * 3600 / SPAN_SECONDS + 2
    scores = Scores(most=10)
    for number in range(25):
        assert scores.put(f"{number:024x}", number) is None
    assert sum(map(len, scores.halves())) <= 10
    assert [scores.put(f"{number:024x}", 0) for number in (24, 20, 0)] == [24, 20, None]
