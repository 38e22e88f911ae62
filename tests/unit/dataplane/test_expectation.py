"""Expected output: a candidate without traffic of its own is expected to write what its tier does."""

from merit_dataplane.metering.expectation import ExpectedOutput, TierOutput


def test_starts_at_the_stated_number() -> None:
    assert ExpectedOutput(TierOutput(60)).tokens(0) == 60


def test_a_silent_candidate_learns_from_the_others() -> None:
    tier = TierOutput(60)
    busy, silent = ExpectedOutput(tier), ExpectedOutput(tier)
    for _ in range(300):
        busy.observe(20)
    assert abs(busy.tokens(0) - 20) <= 1
    assert abs(silent.tokens(0) - busy.tokens(0)) <= 1


def test_a_verbose_candidate_is_known_as_one() -> None:
    tier = TierOutput(60)
    terse, verbose = ExpectedOutput(tier), ExpectedOutput(tier)
    for _ in range(400):
        terse.observe(50)
        verbose.observe(150)
    assert terse.tokens(0) < 70
    assert verbose.tokens(0) > 130


def test_bounded_by_the_requests_limit() -> None:
    assert ExpectedOutput(TierOutput(60)).tokens(16) == 16
