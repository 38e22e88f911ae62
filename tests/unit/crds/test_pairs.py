"""Every close pair of a real price list is ranked right, given true counts: the rules of other routers are not."""

from pathlib import Path

import pytest

from bench.pairs import REQUESTS, RULES, Point, Request, close_pairs, points, wrong

LISTS = sorted((Path(__file__).parents[2] / "prices/portkey").glob("*.json"))


@pytest.fixture(scope="module")
def listed() -> list[Point]:
    return points(LISTS)


@pytest.mark.parametrize("request_shape", REQUESTS, ids=lambda shape: shape.name)
def test_no_pair_is_ranked_wrong(listed: list[Point], request_shape: Request) -> None:
    usable = [point for point in listed if point.cached is not None or not request_shape.cached]
    pairs = close_pairs(usable, request_shape)
    assert len(pairs) > 10
    assert wrong(pairs, RULES["Merit"], request_shape) == 0
    assert wrong(pairs, RULES["input alone (vLLM's router)"], request_shape) > 0


def test_the_sum_of_both_prices_is_wrong_at_five_to_one(listed: list[Point]) -> None:
    pairs = close_pairs(listed, REQUESTS[0])
    (one_to_one,) = (rule for name, rule in RULES.items() if "one to one" in name)
    assert wrong(pairs, one_to_one, REQUESTS[0]) > len(pairs) / 10


def test_what_is_compiled_is_what_is_listed(listed: list[Point]) -> None:
    for point in listed:
        assert point.compiled.rates.input == point.input * 10**6
        assert point.compiled.rates.output == point.output * 10**6
