"""Circuits, retry budgets, back-off, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.resilience.backoff import after, backoff
from merit_dataplane.resilience.circuit import Circuit, Evidence, Kind
from merit_dataplane.resilience.retry_budget import RetryBudget


def circuit() -> Circuit:
    return Circuit(draw=lambda: 0.0)


def opened(now: float = 0.0) -> Circuit:
    made = circuit()
    for _ in range(5):
        made.failed(now)
    return made


def test_four_failures_in_a_row_open_nothing_the_fifth_does() -> None:
    made = circuit()
    for _ in range(4):
        made.failed(0)
    assert made.unavailable(0) == ""
    made.failed(0)
    assert made.unavailable(0) == "circuit open for 5 s more: 5 failures in a row"
    assert made.unavailable(4.9)
    assert made.unavailable(5) == ""


def test_a_success_between_them_starts_the_count_anew() -> None:
    made = circuit()
    for second in range(4):
        for _ in range(4):
            made.failed(second)
        for _ in range(6):
            made.succeeded(second, second)
    assert made.unavailable(3) == ""


def test_half_of_twenty_calls_failing_opens_it_whatever_their_order() -> None:
    made = circuit()
    for second in range(9):
        made.succeeded(second, second)
        made.failed(second)
    made.succeeded(9, 9)
    assert made.unavailable(9) == ""
    made.failed(9)
    assert made.unavailable(9) == "circuit open for 5 s more: half of its answers are failures"


def test_failures_of_long_ago_don_t_count() -> None:
    made = circuit()
    for second in range(9):
        made.succeeded(second, second)
        made.failed(second)
    for _ in range(2):
        made.succeeded(60, 60)
        made.failed(60)
    assert made.unavailable(60) == ""


def test_half_open_lets_one_probe_through() -> None:
    made = opened()
    made.started(6)
    assert made.unavailable(6) == "circuit half open, a probe is under way"
    made.succeeded(7, 6)
    assert made.unavailable(7) == ""


def test_a_probe_that_begins_to_answer_is_enough() -> None:
    made = opened()
    made.started(6)
    made.answers(6.5, 6, Kind.FIRST_ONE, 0.5)
    assert made.unavailable(6.5) == ""


def test_a_failed_probe_opens_for_longer_up_to_fifteen_seconds() -> None:
    made, now = opened(), 0.0
    lengths = []
    for _ in range(4):
        now = made.open_until
        made.started(now)
        made.failed(now)
        lengths.append(made.open_until - now)
    assert lengths == [10, 15, 15, 15]
    made.succeeded(made.open_until, made.open_until)
    for _ in range(5):
        made.failed(100)
    assert made.open_until == 105


def test_pods_that_saw_the_same_outage_do_not_probe_at_once() -> None:
    early = Circuit(draw=lambda: 1.0)
    for _ in range(5):
        early.failed(0)
    assert early.open_until == 4


def test_failures_of_attempts_from_before_it_opened_change_nothing() -> None:
    made = opened()
    for tenth in range(49):
        made.failed(tenth / 10)
    assert made.open_until == 5


def test_an_answer_to_an_attempt_from_before_it_opened_does_not_close_it() -> None:
    made = opened(10)
    made.succeeded(11, 9)
    made.answers(11, 9, Kind.FIRST_ONE, 2)
    assert made.unavailable(11)
    made.succeeded(12, 11)  # all circuits were open, so it was tried all the same
    assert made.unavailable(12) == ""


def test_a_probe_that_was_abandoned_lets_the_next_one_through() -> None:
    made = opened()
    made.started(6)
    made.abandoned()
    assert made.unavailable(6) == ""


def test_a_probe_that_never_reports_does_not_hold_the_circuit_for_ever() -> None:
    made = opened()
    made.started(6)
    assert made.unavailable(36) == ""


def test_a_model_that_is_not_known_there_is_left_alone_for_a_minute() -> None:
    made = circuit()
    made.shut(0, "it answered 404 for this model")
    assert made.unavailable(30) == "circuit open for 30 s more: it answered 404 for this model"
    assert made.unavailable(60) == ""


def test_answers_far_slower_than_usual_open_it() -> None:
    made, now = circuit(), 0.0
    for _ in range(30):
        now += 0.1
        made.answers(now, now, Kind.FIRST_ONE, 0.3)
        made.succeeded(now, now)
    seconds = 0
    while not made.open_until and seconds < 60:
        seconds += 1
        now += 0.1
        made.answers(now, now - 6, Kind.FIRST_ONE, 6.0)
        made.succeeded(now, now - 6)
    assert "far slower than usual (6.0 s per first token)" in made.unavailable(now)
    assert 20 < seconds <= 35  # half of all


def test_a_new_normal_is_learned() -> None:
    made = circuit()
    for call in range(1000):
        now = 20.0 * call  # never enough of them in a window
        made.answers(now, now, Kind.FIRST_ONE, 0.3 if call < 100 else 6.0)
        made.succeeded(now, now)
    for tenth in range(100):
        now = 30_000 + tenth / 10
        made.answers(now, now, Kind.FIRST_ONE, 6.0)
        made.succeeded(now, now)
    assert made.unavailable(now) == ""


def test_a_probe_has_less_time_than_others_but_enough() -> None:
    made = circuit()
    assert made.patience(30) == 30
    for call in range(30):
        made.answers(call, call, Kind.FIRST_ONE, 2.0)
        made.succeeded(call, call)
    for _ in range(5):
        made.failed(30)
    assert made.patience(30) == 8
    assert made.patience(5) == 5
    assert opened().patience(30) == 15


@given(st.lists(st.tuples(st.sampled_from(["start", "fail", "succeed", "abandon"]), st.floats(0, 100)), max_size=60))
def test_no_history_keeps_an_endpoint_out_for_more_than_thirty_seconds(history: list[tuple[str, float]]) -> None:
    made, now = Circuit(), 1.0
    for event, seconds in history:
        now += seconds
        match event:
            case "start":
                made.started(now)
            case "fail":
                made.failed(now)
            case "succeed":
                made.succeeded(now, now)
            case _:
                made.abandoned()
    assert made.unavailable(now + 30) == ""


# ---- retry budget


# ---- the word of other pods


def test_who_knows_nothing_believes_and_probes_when_its_time_is_up() -> None:
    made = circuit()
    assert made.heard(100, 7, "errors")
    assert made.unavailable(100) == "circuit open for 7 s more: errors, by the word of other pods"
    assert made.unavailable(107) == ""
    made.started(107)
    made.succeeded(108, 107)
    assert made.open_until == 0


def test_no_word_counts_for_longer_than_a_minute() -> None:
    made = circuit()
    made.heard(0, 1e9, "errors")
    assert made.open_until == 60


def test_its_own_fresh_success_weighs_more_and_the_first_failure_then_opens_it() -> None:
    made = circuit()
    made.succeeded(98, 97)
    assert not made.heard(100, 7, "errors")
    assert made.unavailable(100) == ""
    made.failed(101, told=True)
    assert made.unavailable(101) == "circuit open for 5 s more: a failure, as other pods had"
    assert made.evidence is Evidence.TOLD


def test_suspicion_passes() -> None:
    made = circuit()
    made.suspect(100, 7)
    made.failed(107)
    assert made.unavailable(107) == ""


def test_a_probe_of_another_pod_that_failed_keeps_it_open_for_longer() -> None:
    made = opened(100)
    assert made.heard(104, 9, "errors")
    assert made.open_until == 113
    assert not made.heard(105, 3, "errors")
    assert made.open_until == 113


def test_what_others_took_back_is_closed_and_what_it_saw_itself_is_probed_at_once() -> None:
    heard, own = circuit(), opened(100)
    heard.heard(100, 7, "errors")
    for made in (heard, own):
        made.led_until = 110.0
        made.recovered(101)
    assert heard.open_until == 0
    assert own.open_until == 101
    assert own.unavailable(101) == "", "it has leave to probe"
    own.started(101)
    assert own.unavailable(101) == "circuit half open, a probe is under way"


def test_while_pods_share_what_they_know_a_probe_needs_leave() -> None:
    made = opened(100)
    made.led_until = 120.0
    assert made.unavailable(106) == "circuit half open, one pod at a time probes it"
    made.leave_until = 109.0
    assert made.unavailable(106) == ""
    assert made.unavailable(109) == "circuit half open, one pod at a time probes it"
    assert made.unavailable(120) == "", "the others are not heard any more"


@pytest.mark.parametrize(
    ("failures", "evidence"),
    [
        ([True] * 5, Evidence.TOLD),
        ([True, False, True, True, True], Evidence.SILENCE),
        ([False] * 5, Evidence.SILENCE),
    ],
)
def test_what_it_opened_on(failures: list[bool], evidence: Evidence) -> None:
    made = circuit()
    for told in failures:
        made.failed(0, told=told)
    assert made.unavailable(0)
    assert made.evidence is evidence


def test_of_mixed_failures_those_that_were_told_must_be_enough_alone() -> None:
    for told, evidence in ((10, Evidence.TOLD), (9, Evidence.SILENCE)):
        made = circuit()
        for call in range(10):
            made.succeeded(0, 0)
            made.failed(0, told=call < told)
        assert made.unavailable(0)
        assert made.evidence is evidence


def test_news_are_of_what_it_saw_itself_never_of_what_it_heard() -> None:
    news: list[float] = []
    made = Circuit(draw=lambda: 0.0, news=lambda circuit: news.append(circuit.open_until))
    made.heard(100, 7, "errors")
    made.recovered(101)
    assert news == []
    for _ in range(5):
        made.failed(102)
    made.succeeded(110, 109)
    assert news == [107, 0]


def test_ten_retries_in_ten_seconds_are_always_allowed() -> None:
    budget = RetryBudget()
    assert [budget.take(1, 0.2) for _ in range(11)] == [True] * 10 + [False]
    assert budget.take(40, 0.2)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_beyond_that_a_share_of_the_requests(share: float) -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.request(1)
    assert sum(budget.take(2, share) for _ in range(2000)) == 10 + share * 1000


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=300))
def test_retries_are_never_more_than_their_share_of_twenty_seconds(events: list[tuple[bool, float]]) -> None:
    budget, now = RetryBudget(), 0.0
    asked: list[float] = []
    taken: list[float] = []
    for is_request, seconds in events:
        now += seconds
        if is_request:
            budget.request(now)
            asked.append(now)
        elif budget.take(now, 0.2):
            taken.append(now)
            assert sum(at > now - 10 for at in taken) <= 10 + 0.2 * sum(at > now - 20 for at in asked) + 1


# ---- back-off


def test_back_off_grows_to_two_seconds_and_is_drawn_from_all_of_it() -> None:
    assert [backoff(n, lambda: 1.0) for n in range(6)] == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0])
    assert backoff(3, lambda: 0.0) == 0


def test_who_asked_for_a_pause_gets_it() -> None:
    assert after(2, lambda: 0.0) == 2
    assert after(2, lambda: 1.0) == pytest.approx(2.1)
