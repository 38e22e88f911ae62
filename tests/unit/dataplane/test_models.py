"""GET /v1/models: what a consumer may ask for, with prices as OpenRouter's viewers read them."""

from decimal import Decimal
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, CONSUMER_KEY, candidate, prices, provider, route, route_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
URL = "http://127.0.0.1:9/v1"


async def get(merit: Running, path: str = "/v1/models/chat") -> Any:
    answer = await merit.http.get(merit.url + path, headers={"authorization": f"Bearer {CONSUMER_KEY}"})
    assert answer.status_code == 200
    return answer.json()


async def test_the_price_of_a_model_in_openrouters_shape() -> None:
    more = ', cachedInput: "0.0126", cacheWrite: "0.15625", request: "0.002"'
    extra = """contextWindow: 1000000
      maxOutputTokens: 8192
      contextTiers:
        - {above: 200000, applies: Whole, prices: {input: "0.3", output: "9"}}
        - {above: 400000, applies: Excess, prices: {input: "0.4"}}"""
    listed = prices("a", "0.125001", "1.5", more_prices=more, capabilities="Streaming, Tools, Images", extra=extra)
    async with gateway(provider("a", URL), listed, route("a"), CONSUMER) as merit:
        (model,) = (await get(merit, "/v1/models"))["data"]
        assert model == await get(merit)
    assert model == {
        "id": "chat", "object": "model", "created": 0, "owned_by": "merit:chat", "name": "chat",
        "context_length": 1000000,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "supported_parameters": ["max_tokens", "tools", "tool_choice"],
        "pricing": {
            "prompt": "0.000000125001", "completion": "0.0000015", "input_cache_read": "0.0000000126",
            "input_cache_write": "0.00000015625", "request": "0.002",
            "overrides": [
                {"min_prompt_tokens": 200000, "prompt": "0.0000003", "completion": "0.000009",
                 "input_cache_read": "0.0000000126", "input_cache_write": "0.00000015625"},
                {"min_prompt_tokens": 400000, "prompt": "0.0000004", "input_cache_read": "0.0000000126",
                 "input_cache_write": "0.00000015625", "applies": "excess"},
            ],
        },
        "top_provider": {"context_length": 1000000, "max_completion_tokens": 8192, "is_moderated": False},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("instant", "shown", "hours"),
    [
        ("2026-11-25T12:00:00+01:00", ("1", "2"), (2130, 500)),
        ("2026-11-25T23:00:00+01:00", ("0.5", "1"), (500, 2130)),  # it is night: the day is what deviates
        ("2026-07-01T12:00:00+02:00", ("1", "2"), (2030, 400)),  # the same hours of the zone's clock
    ],
)
async def test_hours_of_every_day_in_openrouters_words(
    clock: Clock, instant: str, shown: tuple[str, str], hours: tuple[int, int]
) -> None:
    clock.set(instant)
    tier = '{above: 200000, applies: Whole, prices: {input: "%s"}}'
    night = f'{{name: night, prices: {{input: "0.5", output: "1", request: "0.01"}}, contextTiers: [{tier % "0.75"}]}}'
    week = '{name: weekend, prices: {input: "0.1", output: "0.2"}, contextTiers: []}'
    listed = f"""
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: a}}
spec:
  providerRef: {{name: a}}
  schedules:
    - {{name: weekend, timeZone: Europe/Berlin, windows: [{{days: [Sunday], from: "10:00", to: "12:00"}}]}}
    - {{name: night, timeZone: Europe/Berlin, windows: [{{from: "22:30", to: "06:00"}}]}}
  models:
    - model: a-model
      prices: {{input: "1", output: "2"}}
      contextTiers: [{tier % "1.5"}]
      schedules: [{week}, {night}]
"""
    async with gateway(provider("a", URL), listed, route("a"), CONSUMER) as merit:
        found = (await get(merit))["pricing"]
    assert {Decimal(found[name]) * 10**6 for name in ("prompt", "completion")} == {Decimal(usd) for usd in shown}
    tiers, *windows = found["overrides"]
    assert tiers["min_prompt_tokens"] == 200000
    assert [(window["utc_start"], window["utc_end"]) for window in windows] == [hours, hours]
    other = {"1": ("0.5", "1", "0.75", "0.01"), "0.5": ("1", "2", "1.5", "0")}[shown[0]]
    whole, long = windows
    assert (whole["prompt"], whole["completion"]) == tuple(
        format(Decimal(usd).scaleb(-6).normalize(), "f") for usd in other[:2]
    )
    assert "min_prompt_tokens" not in whole
    assert (Decimal(long["prompt"]) * 10**6, long["min_prompt_tokens"]) == (Decimal(other[2]), 200000)
    assert whole["request"] == other[3]


async def test_special_prices_have_openrouters_names() -> None:
    more = ', reasoning: "3", imageInput: "4", audioInput: "5", audioOutput: "6", cacheWrite1h: "7"'
    async with gateway(provider("a", URL), prices("a", "1", "2", more_prices=more), route("a"), CONSUMER) as merit:
        listed = (await get(merit))["pricing"]
    names = ("internal_reasoning", "image_token", "audio", "audio_output", "input_cache_write_1h")
    assert [Decimal(listed[name]) * 10**6 for name in names] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("typical", "objectives", "more", "expected"),
    [
        ("{inputTokens: 300, outputTokens: 1}", "{}", "", "1"),
        ("{inputTokens: 1, outputTokens: 300}", "{}", "", "2"),
        ("{inputTokens: 300, outputTokens: 1}", '{accuracy: "0.8"}', "", "2"),
        ("{inputTokens: 300, outputTokens: 1}", "{}", 'maxPrice: {output: "8"}', "2"),
    ],
)
async def test_of_several_candidates_the_one_that_the_typical_request_goes_to(
    typical: str, objectives: str, more: str, expected: str
) -> None:
    who = f"{candidate('reader', accuracy='0.7')}, {candidate('writer', accuracy='0.9')}"
    tiers = f"""
    - name: long
      when: [{{inputTokens: {{atLeast: 5000}}}}]
      candidates: [{candidate("other")}]
    - {{name: all, candidates: [{who}], objectives: {objectives}}}"""
    documents = [provider(name, URL) for name in ("reader", "writer", "other")]
    listed = prices("reader", "1", "9"), prices("writer", "2", "3"), prices("other", "0", "0")
    async with gateway(
        *documents, *listed, CONSUMER, route_of(tiers, extra=f"typicalRequest: {typical}\n  {more}")
    ) as merit:
        assert Decimal((await get(merit))["pricing"]["prompt"]) * 10**6 == Decimal(expected)


async def test_a_route_without_a_usable_candidate_has_no_price() -> None:
    async with gateway(CONSUMER, route("nobody"), complete=False) as merit:
        assert await get(merit) == {
            "id": "chat", "object": "model", "created": 0, "owned_by": "merit:chat", "name": "chat",
        }  # fmt: skip
