"""POST /v1/explain: what would be done, and why, for the consumer who asks."""

import json
import re
from typing import Any

import pytest

from tests.support.gateway import gateway
from tests.support.resources import PROVIDER_KEY, candidate, prices, route, route_of
from tests.unit.dataplane.conftest import Vendors

pytestmark = pytest.mark.asyncio(loop_scope="session")
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "x" * 1200}], "max_tokens": 100}


def world(vendors: Vendors) -> tuple[str, ...]:
    who = ", ".join(candidate(name, accuracy=a) for name, a in (("cheap", "0.7"), ("middle", "0.9"), ("dear", "")))
    tiers = f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.8", latency: {{total: 9s}}}}}}]'
    documents = [d for d in vendors.resources(route_of(tiers)) if "providerRef: {name: middle}" not in d]
    tier = 'contextTiers: [{above: 10, applies: Whole, prices: {input: "0.6"}}]'
    return (*documents, prices("middle", "0.5", "1.5", more_prices=', request: "0.001"', extra=tier),
            route("dear", model="backup", name="backup"))  # fmt: skip


async def test_the_whole_order_with_costs_measures_and_reasons(vendors: Vendors) -> None:
    async with gateway(*world(vendors)) as merit:
        answer = await merit.post({**CHAT, "models": ["backup"], "provider": {"ignore": ["dear"]}}, path="/v1/explain")
        assert answer.status_code == 200
        document = answer.json()
        tokens = document["inputTokens"]
        assert [v.stats.requests for v in vendors.all] == [0, 0, 0]
        order = document["meritOrder"]
        assert [(bid["provider"], bid["standing"], bid["reason"]) for bid in order] == [
            ("default/middle", "admissible", ""),
            ("default/cheap", "misses_objective", "accuracy 0.7 is below 0.8"),
            ("default/dear", "excluded", "in provider.ignore"),
        ]
        version = order[0].pop("priceVersion")
        assert merit.compiled is not None
        assert len(version) == 12
        per_million = order[0].pop("ratesUSDPerMillion")
        assert (per_million["input"], per_million["output"], per_million["request"]) == ("0.6", "1.5", "0.001")
        details = order[0].pop("expectedCostDetailsUSD")
        assert details == {"input": f"{tokens * 6 / 10**7:.7f}".rstrip("0"), "output": "0.00015", "request": "0.001"}
        assert order[0].pop("expectedCostUSD") == f"{tokens * 6 / 10**7 + 0.00115:.7f}".rstrip("0")
        assert order[0] == {
            "provider": "default/middle", "model": "middle-model", "standing": "admissible", "reason": "",
            "expectedInputTokens": tokens, "expectedOutputTokens": 100,
            "expectedCachedInputTokens": 0, "expectedCacheWriteTokens": 0, "cacheMarks": [],
            "contextTier": {"above": 10, "applies": "Whole"},
            "priceList": "default/middle", "accuracy": 0.9, "feedback": None,
            "firstTokenSeconds": None, "totalSeconds": None, "tokensPerSecond": None,
        }  # fmt: skip
        assert document["snapshot"] == merit.compiled.version[:12]
        goals = {
            "accuracy": 0.8,
            "confidence": 0.9,
            "percentile": "P95",
            "firstTokenSeconds": None,
            "totalSeconds": 9.0,
        }
        assert document["objectives"] == {**goals, "whenMissed": "BestEffort"}
        (fallback,) = document["fallbacks"]
        assert (fallback["model"], fallback["route"]) == ("backup", "default/backup")
        assert fallback["meritOrder"][0]["standing"] == "excluded"


async def test_what_was_measured_is_told(vendors: Vendors) -> None:
    async with gateway(*vendors.resources(route("cheap"))) as merit:
        for _ in range(25):
            assert (await merit.post(CHAT)).status_code == 200
        (bid,) = (await merit.post(CHAT, path="/v1/explain")).json()["meritOrder"]
        assert bid["totalSeconds"] > 0
        assert bid["tokensPerSecond"] > 0
        assert bid["firstTokenSeconds"] is None


async def test_who_may_ask_and_for_what(vendors: Vendors) -> None:
    async with gateway(*vendors.resources(route("cheap", extra="steering: Refused"))) as merit:
        for fields, key, status in (
            ({}, "", 401),
            ({"model": "gone"}, None, 404),
            ({"messages": None}, None, 400),
            ({"models": ["chat"]}, None, 400),
            ({}, None, 200),
        ):
            more = {} if key is None else {"key": key or "wrong"}
            answer = await merit.post({**CHAT, **fields}, path="/v1/explain", **more)
            assert answer.status_code == status
            if status != 200:
                assert answer.json()["error"]["message"]
        answer = await merit.post({**CHAT, "x": "y" * 2_000_000}, path="/v1/explain")
        assert answer.status_code == 413


async def test_neither_addresses_nor_credentials_are_told(vendors: Vendors) -> None:
    async with gateway(*world(vendors)) as merit:
        text = (await merit.post(CHAT, path="/v1/explain")).text
        assert json.loads(text)["meritOrder"]
        for secret in (PROVIDER_KEY, "127.0.0.1", "http", "provider-keys", *(v.url for v in vendors.all)):
            assert secret not in text


async def test_input_is_counted_as_each_model_counts_it(vendors: Vendors) -> None:
    async with gateway(*vendors.resources(route("cheap", "dear"))) as merit:
        first = (await merit.post(CHAT, path="/v1/explain")).json()
        assert {bid["expectedInputTokens"] for bid in first["meritOrder"]} == {first["inputTokens"]}
        for _ in range(60):
            answer = (await merit.post(CHAT)).json()
        reported = answer["usage"]["prompt_tokens"]
        assert abs(reported - first["inputTokens"]) > 3, "else this test shows nothing"
        then = (await merit.post(CHAT, path="/v1/explain")).json()
        assert then["inputTokens"] == first["inputTokens"]
        near = [abs(bid["expectedInputTokens"] - reported) for bid in then["meritOrder"]]
        assert max(near) <= 1, "also of the candidate that has not answered yet"
        text = await merit.metrics()
        assert re.search(r'merit_expected_tokens_total\{[^}]*gen_ai_token_type="input"', text)
        assert "merit_cost_error_usd_total{" in text
