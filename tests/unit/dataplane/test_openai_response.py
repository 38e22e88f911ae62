"""An answer's usage, and the cost that is put into it."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import CostDetails, SpecialTokens, Usage, cost_details, usd
from merit_crds.snapshot import Rates
from merit_dataplane.wire.openai_response import usage_of, with_cost

COST = CostDetails(input=1_500_000, output=2_000_000, request=7)


def answer(usage: object) -> bytes:
    return json.dumps({"id": "x", "usage": usage}).encode()


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 5)),
        ({"prompt_tokens": 10}, Usage(10, 0)),
        ({"prompt_tokens": 10, "completion_tokens": None}, Usage(10, 0)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None}, Usage(10, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(6, 5, 4)),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 99}}, Usage(0, 0, 10)),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}},
            Usage(3, 0, 4, 3),
        ),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 9}},
            Usage(0, 0, 8, 2),
        ),
        ({"prompt_tokens": 10**25, "completion_tokens": 10**25}, Usage(10**25, 10**25)),
        ({"prompt_tokens": 12.0, "completion_tokens": 3.0}, Usage(12, 3)),
        (None, None),
        ({}, None),
        ({"prompt_tokens": None}, None),
        ("none", None),
        ([], None),
        ({"prompt_tokens": "12"}, None),
        ({"prompt_tokens": -12, "completion_tokens": 5}, None),
        ({"prompt_tokens": 12, "completion_tokens": -5}, None),
        ({"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": -5}}, None),
        ({"prompt_tokens": 12, "prompt_tokens_details": {"cache_write_tokens": -5}}, None),
    ],
)
def test_usage_in_disjoint_classes_or_none_where_it_makes_no_sense(usage: object, expected: Usage | None) -> None:
    assert usage_of(answer(usage)) == expected


RECORDED = [
    # xAI, grok-4: reasoning is not in the completion
    (
        {"prompt_tokens": 49, "completion_tokens": 32, "total_tokens": 264, "prompt_tokens_details": {
            "text_tokens": 49, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 7},
         "completion_tokens_details": {"reasoning_tokens": 183, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0}, "num_sources_used": 0},
        Usage(42, 32, 7, special=SpecialTokens(reasoning=183)),
    ),
    # OpenAI, gpt-5: reasoning is in the completion
    (
        {"prompt_tokens": 8, "completion_tokens": 82, "total_tokens": 90,
         "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
         "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0}},
        Usage(8, 18, special=SpecialTokens(reasoning=64)),
    ),
    # DeepSeek, deepseek-chat: the cache in words of its own
    (
        {"prompt_tokens": 220, "completion_tokens": 39, "total_tokens": 259, "prompt_cache_hit_tokens": 192,
         "prompt_cache_miss_tokens": 28},
        Usage(28, 39, 192),
    ),
    # Voyage, embeddings: a total alone
    ({"total_tokens": 12}, Usage(12, 0)),
    # Azure, grok-4-1-fast: more from the cache than there is; what can't be is not billed
    (
        {"prompt_tokens": 10, "completion_tokens": 213, "total_tokens": 223, "audio_prompt_tokens": 0,
         "prompt_tokens_details": {"cached_tokens": 161, "audio_tokens": 0, "text_tokens": 10, "image_tokens": 0},
         "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0}, "num_sources_used": 0},
        Usage(0, 213, 10),
    ),
    # Mistral: the service tier stands in the usage, and is null elsewhere
    (
        {"prompt_audio_seconds": None, "prompt_tokens": 11, "total_tokens": 11, "completion_tokens": 0,
         "request_count": None, "prompt_tokens_details": None, "completion_tokens_details": None,
         "service_tier": "standard", "prompt_token_details": None},
        Usage(11, 0, service_tier="standard"),
    ),
    # Gemini through other gateways (mozilla-ai/any-llm#1290): thoughts are in the total alone
    (
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        Usage(20, 198, special=SpecialTokens(reasoning=405)),
    ),
    # Claude at Bedrock, in the words of a gateway that adds its cache to the total alone
    (
        {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 7365,
         "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 7351}},
        Usage(10, 4, 0, 7351),
    ),
    # a total that nothing explains says nothing
    (
        {"prompt_tokens": 10, "completion_tokens": 40, "total_tokens": 99,
         "completion_tokens_details": {"reasoning_tokens": 30}},
        Usage(10, 10, special=SpecialTokens(reasoning=30)),
    ),
    ({"prompt_tokens": 10, "completion_tokens": 40, "total_tokens": 0}, Usage(10, 40)),
]  # fmt: skip


@pytest.mark.parametrize(("reported", "expected"), RECORDED)
def test_vendors_that_count_in_other_ways(reported: Any, expected: Usage) -> None:
    assert usage_of(answer(reported)) == expected


def test_no_usage_at_all() -> None:
    assert usage_of(b"{}") is None


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"<html>", b'{"a":' + b"[" * 100_000])
def test_what_is_no_json_object_is_told_apart(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"malformed|truncated|Expected|deeply"):
        usage_of(body)


tokens = st.integers(0, 10**9)


some = st.none() | st.integers(0, 100) | tokens
input_details = st.fixed_dictionaries(
    {},
    optional={
        "cached_tokens": some,
        "cache_write_tokens": some,
        "cache_creation_tokens": some,
        "cache_creation_token_details": st.fixed_dictionaries({"ephemeral_1h_input_tokens": some}),
        "audio_tokens": some,
        "image_tokens": some,
        "cached_tokens_details": st.none() | st.fixed_dictionaries({"audio_tokens": some}),
    },
)
output_details = st.fixed_dictionaries(
    {}, optional={"reasoning_tokens": some, "audio_tokens": some, "image_tokens": some}
)


@given(st.integers(0, 200) | tokens, st.integers(0, 200) | tokens, input_details, output_details)
def test_classes_add_up_to_the_whole(prompt: int, output: int, of_input: Any, of_output: Any) -> None:
    """Whatever a vendor counts twice, or beyond the whole: no token is lost, none is in two classes."""
    usage = usage_of(
        answer(
            {
                "prompt_tokens": prompt,
                "completion_tokens": output,
                "prompt_tokens_details": of_input,
                "completion_tokens_details": of_output,
            }
        )
    )
    assert usage is not None
    assert (usage.input, usage.all_output) == (prompt, output)
    assert min(*usage[:4], *(usage.special or (0,))) >= 0
    flat = Rates(input=3, output=5, cached_input=3, cache_write=3)
    assert cost_details(flat, usage).total == 3 * prompt + 5 * output


odd = (
    some
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.text(max_size=3)
    | st.lists(st.none(), max_size=1)
)
SHAPES: dict[str, tuple[str, ...]] = {
    "": ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "service_tier"),
    "prompt_tokens_details": (
        "cached_tokens", "cache_write_tokens", "cache_creation_tokens", "audio_tokens", "image_tokens",
        "cached_tokens_details", "cache_creation_token_details",
    ),
    "completion_tokens_details": ("reasoning_tokens", "audio_tokens", "image_tokens"),
}  # fmt: skip


@st.composite
def anything(draw: st.DrawFn) -> Any:
    """Usage with every field that some vendor has, each of any sense or none."""
    parts = {
        part: draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, odd if draw(st.booleans()) else some)))
        for part, names in SHAPES.items()
    }
    top = parts.pop("")
    return top | {name: part if draw(st.integers(0, 5)) else draw(odd) for name, part in parts.items()}


@given(anything())
def test_no_usage_has_a_class_below_zero_or_tokens_that_nobody_counted(reported: Any) -> None:
    usage = usage_of(json.dumps({"usage": reported}).replace("Infinity", "1e999").encode())
    if usage is None:
        return
    classes = (*usage[:4], *(usage.special or ()))
    assert all(type(count) is int and count >= 0 for count in classes)
    prompt, output, total = (int(reported.get(f"{n}_tokens") or 0) for n in ("prompt", "completion", "total"))
    assert usage.input + usage.all_output in {prompt + output, total}
    assert usage.input >= prompt
    assert usage.all_output >= output


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        # a reasoning model at OpenAI
        (
            {"prompt_tokens": 100, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 40}},
            Usage(100, 10, special=SpecialTokens(reasoning=40)),
        ),
        # gpt-4o-audio: sound in and out, some text from the cache
        (
            {"prompt_tokens": 100, "completion_tokens": 50,
             "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 60},
             "completion_tokens_details": {"audio_tokens": 45}},
            Usage(10, 5, 30, special=SpecialTokens(audio_input=60, audio_output=45)),
        ),
        # more sound than what is not cached: the rest of it must be in the cache
        (
            {"prompt_tokens": 100, "completion_tokens": 0,
             "prompt_tokens_details": {"cached_tokens": 80, "audio_tokens": 60}},
            Usage(0, 0, 40, special=SpecialTokens(audio_input=20, cached_audio_input=40)),
        ),
        (
            {"prompt_tokens": 100, "completion_tokens": 0, "prompt_tokens_details": {
                "cached_tokens": 80, "audio_tokens": 60, "cached_tokens_details": {"audio_tokens": 55}}},
            Usage(15, 0, 25, special=SpecialTokens(audio_input=5, cached_audio_input=55)),
        ),
        # LiteLLM's words for Anthropic's cache writes
        (
            {"prompt_tokens": 100, "completion_tokens": 0, "prompt_tokens_details": {
                "cache_creation_tokens": 70, "cache_creation_token_details": {"ephemeral_1h_input_tokens": 50}}},
            Usage(30, 0, 0, 20, SpecialTokens(cache_write_1h=50)),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 0, "prompt_tokens_details": {"audio_tokens": -1}}, None,
        ),
    ],
)  # fmt: skip
def test_special_classes(reported: Any, expected: Usage | None) -> None:
    assert usage_of(answer(reported)) == expected


@given(prompt=tokens, output=tokens, rate=st.integers(0, 10**10), output_rate=st.integers(0, 10**10))
def test_the_cost_in_a_body_is_the_decimal_cost(prompt: int, output: int, rate: int, output_rate: int) -> None:
    rates = Rates(input=rate, output=output_rate, cached_input=rate, cache_write=rate, request=3)
    body = with_cost(answer({"prompt_tokens": prompt}), cost_details(rates, Usage(prompt, output)))
    usage = json.loads(body, parse_float=Decimal, parse_int=Decimal)["usage"]
    exact = (Decimal(prompt) * rate + Decimal(output) * output_rate + 3) / 10**12
    assert usage["cost"] == exact
    assert usage["cost_details"]["upstream_inference_cost"] == exact


def test_every_other_field_keeps_its_bytes() -> None:
    body = (
        b'{"id": "a", "odd" : [1.50, 1e3, "\\u00e9"],'
        b'"usage":{"prompt_tokens" :1, "x":{"y" : 1.0}} ,"n":123456789012345678901}'
    )
    spliced = with_cost(body, COST)
    for piece in (b'[1.50, 1e3, "\\u00e9"]', b'{"y" : 1.0}', b"123456789012345678901"):
        assert piece in spliced
    assert json.loads(spliced)["usage"]["cost"] == 0.000003500007


@pytest.mark.parametrize("usage", [None, "none", [], 5])
def test_a_cost_finds_its_place_whatever_stands_there(usage: Any) -> None:
    assert json.loads(with_cost(answer(usage), COST))["usage"]["cost"] == 0.000003500007
    assert json.loads(with_cost(b"{}", COST))["usage"]["cost"] == 0.000003500007


def test_a_key_that_is_no_unicode_costs_no_answer() -> None:
    body = b'{"\xff":1,"usage":{"prompt_tokens":3}}'
    assert usage_of(body) == Usage(3, 0)
    assert with_cost(body, COST).startswith(body[:-2] + b',"cost":0.000003500007,')
    twice = b'{"usage":{"prompt_tokens":3},"\xff":{"usage":{"prompt_tokens":3}}}'
    assert with_cost(twice, COST) == twice


def test_all_but_the_cost_keeps_its_bytes() -> None:
    before, after = b'{ "id": "a",\n"text":"{\\"prompt_tokens\\" :1}", "usage": {"prompt_tokens" :1', b'} ,"n":1.0 }\n'
    spliced = with_cost(before + after, COST)
    assert spliced.startswith(before + b',"cost":')
    assert spliced.endswith(after)


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":{"usage":{"prompt_tokens":1}},"usage":{"prompt_tokens":1}}',
        b'{"usage":{"prompt_tokens":1},"x":{"usage":{"prompt_tokens":1}}}',
        b'{"usage":{"prompt_tokens":1,"cost":7,"cost_details":null}}',
        b'{"usage":{"prompt_tokens":1,"c\\u006fst":7}}',
        b'{"usage":{}}',
        b'{"usage":{ }}',
    ],
)
def test_the_cost_is_put_where_it_belongs_once(body: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)

    read = json.loads(with_cost(body, COST), object_pairs_hook=once)
    assert read["usage"]["cost"] == 0.000003500007
    assert read.get("x") == json.loads(body).get("x")


@pytest.mark.parametrize(
    ("pico", "text"),
    [(0, "0"), (1, "0.000000000001"), (10**12, "1"), (10**13, "10"), (15 * 10**11, "1.5"), (81_000_000, "0.000081")],
)
def test_usd(pico: int, text: str) -> None:
    assert usd(pico) == text
