"""What providers' headers say is left: their formats as recorded, and what follows from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.resilience.allowance import Allowances

NOON = 1_764_072_000.0  # 2025-11-25T12:00:00Z


def openai(left: str, limit: str, reset: str, kind: str = "requests") -> dict[bytes, bytes]:
    names = ("x-ratelimit-remaining-", "x-ratelimit-limit-", "x-ratelimit-reset-")
    return {(n + kind).encode(): v.encode() for n, v in zip(names, (left, limit, reset), strict=True)}


def anthropic(left: str, limit: str, reset: str, kind: str = "requests") -> dict[bytes, bytes]:
    values = (("remaining", left), ("limit", limit), ("reset", reset))
    return {f"anthropic-ratelimit-{kind}-{n}".encode(): v.encode() for n, v in values}


def waits(headers: dict[bytes, bytes], now: float = 100.0) -> float:
    allowances = Allowances()
    allowances.read(headers, 100.0, NOON)
    return allowances.wait(now)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        (openai("499", "500", "120ms"), 0),
        (openai("1", "500", "59.88s"), 0),
        (openai("0", "500", "1m0s"), 0.12),  # all 500 in a minute: the next in 0.12 s
        (openai("0", "60", "60"), 1),
        (openai("0", "60", "6m0s"), 1),  # nobody is left alone for longer than a minute
        (openai("0", "3", "20s"), 20 / 3),
        (anthropic("0", "50", "2025-11-25T12:00:30Z"), 0.6),
        (anthropic("0", "50", "2025-11-25T11:00:00Z"), 0.0002),
        ({**openai("100", "500", "5s"), **openai("0", "1000", "10s", "tokens")}, 0.01),
        (
            {
                **anthropic("100", "500", "2025-11-25T12:00:05Z"),
                **anthropic("0", "1000", "2025-11-25T12:00:10Z", "tokens"),
            },
            0.01,
        ),
        (openai("none", "500", "1s"), 0),
        (openai("0", "500", "soon"), 0),
        (openai("0", "0", "1s"), 0),
        (openai("-1", "500", "1s"), 0),
        (openai("0", "500", ""), 0),
        (openai("0", "5" * 30, "1s"), 0),
        (openai("0", "500", "9" * 60), 0),
    ],
)
def test_headers(headers: dict[bytes, bytes], seconds: float) -> None:
    assert waits(headers) == pytest.approx(seconds, abs=1e-6)


def test_what_was_sent_since_counts_and_what_came_back() -> None:
    allowances = Allowances()
    allowances.read(openai("2", "60", "58s"), 100.0, NOON)
    assert allowances.wait(100.0) == 0
    allowances.started()
    allowances.started()
    assert allowances.wait(100.0) == pytest.approx(1.0)
    assert allowances.wait(101.0) == pytest.approx(0.0, abs=1e-9)
    allowances.read(openai("50", "60", "10s"), 101.0, NOON)
    assert allowances.wait(101.0) == 0


def test_tokens_go_by_what_requests_usually_take() -> None:
    allowances = Allowances()
    for _ in range(100):
        allowances.used(500)
    allowances.read({**openai("400", "500", "9s"), **openai("400", "10000", "57.6s", "tokens")}, 100.0, NOON)
    assert 0.5 < allowances.wait(100.0) < 0.7  # 100 of 166 a second


@given(
    st.dictionaries(
        st.sampled_from([*openai("", "", ""), *openai("", "", "", "tokens"), *anthropic("", "", "")]),
        st.binary(max_size=50) | st.text(max_size=50).map(str.encode),
    )
)
def test_no_header_breaks_anything(headers: dict[bytes, bytes]) -> None:
    assert 0 <= waits(headers) <= 60
