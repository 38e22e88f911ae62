"""What pods make of each other's words about a circuit or an account. Pure; whatever stands in Redis."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.resilience.reports import LONGEST_MS, NOTHING, Judgement, Pause, Word, judged, paused

NOW = 1_800_000_000_000
ME = b"me"


def reports(*kinds: str, until: int = 7000) -> dict[bytes, bytes]:
    return {b"o:pod%d" % i: f"{kind}:{NOW + until}".encode() for i, kind in enumerate(kinds)}


@pytest.mark.parametrize(
    ("kinds", "pods", "word"),
    [
        (["told"], 100, Word.OPEN),
        (["silent"], 100, Word.OPEN),
        (["deaf"], 1, Word.SUSPECT),
        (["deaf"], 2, Word.SUSPECT),
        (["deaf"] * 2, 2, Word.OPEN),
        (["deaf"] * 2, 3, Word.OPEN),
        (["deaf"] * 2, 4, Word.SUSPECT),
        (["deaf"] * 3, 4, Word.OPEN),
        (["deaf"] * 50, 100, Word.SUSPECT),
        (["deaf"] * 51, 100, Word.OPEN),
        (["deaf", "told"], 100, Word.OPEN),
        ([], 3, Word.NOTHING),
    ],
)
def test_who_may_be_deaf_is_believed_only_by_more_than_half(kinds: list[str], pods: int, word: Word) -> None:
    assert judged(reports(*kinds), ME, pods, NOW).word is word


def test_the_longest_time_counts_and_old_words_do_not() -> None:
    fields = {b"o:a": b"told:%d" % (NOW + 3000), b"o:b": b"silent:%d" % (NOW + 5000), b"o:c": b"told:%d" % NOW}
    assert judged(fields, ME, 3, NOW) == Judgement(Word.OPEN, 5.0, told=True)
    assert judged(reports("told", until=0), ME, 3, NOW) == NOTHING


def test_its_own_word_is_no_news_but_counts_with_those_of_others() -> None:
    assert judged({b"o:me": b"told:%d" % (NOW + 9000)}, ME, 3, NOW) == NOTHING
    mine = {b"o:me": b"deaf:%d" % (NOW + 9000)}
    assert judged(mine, ME, 2, NOW) == NOTHING
    assert judged(mine | reports("deaf"), ME, 2, NOW) == Judgement(Word.OPEN, 7.0)


def test_a_recovery_ends_all_that_was_said_before() -> None:
    fields = reports("told") | {b"c": b"%d" % (NOW - 50)}
    assert judged(fields, ME, 3, NOW) == Judgement(Word.RECOVERED, at=NOW - 50)


@pytest.mark.parametrize(
    "value",
    [
        b"told", b"told:", b"told:-1", b"told:1e99", b"told:%d" % (NOW + LONGEST_MS + 1), b"told:9999999999999999",
        b"TOLD:%d" % (NOW + 5), b"told:%d " % (NOW + 5), b"told:%d\n" % (NOW + 5), b"\xff\x00", b"", b"other:5",
        b"told:nan", "told:\u0665".encode(),
    ],
)  # fmt: skip
def test_what_no_pod_of_ours_writes_is_ignored(value: bytes) -> None:
    assert judged({b"o:x": value}, ME, 1, NOW) == NOTHING
    assert judged({b"c": value}, ME, 1, NOW) == NOTHING
    assert judged({value: b"told:%d" % (NOW + 5)}, ME, 1, NOW) == NOTHING
    assert paused({b"u": value}, NOW) is None


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=30), max_size=20), st.integers(0, 10**15))
def test_nothing_that_stands_there_is_an_error_or_lasts_longer_than_a_minute(
    fields: dict[bytes, bytes], now: int
) -> None:
    assert 0 <= judged(fields, ME, 3, now).seconds <= LONGEST_MS / 1000
    pause = paused(fields, now)
    assert pause is None or 0 < pause.seconds <= LONGEST_MS / 1000


def test_pauses() -> None:
    assert paused({b"u": b"limited:%d" % (NOW + 2500)}, NOW) == Pause(2.5, refused=False)
    assert paused({b"u": b"refused:%d" % (NOW + 60_000)}, NOW) == Pause(60, refused=True)
    assert paused({b"u": b"limited:%d" % NOW}, NOW) is None
    assert paused({}, NOW) is None
