"""Bills of real vendors: a price list as YAML and a recorded usage in; the cost in the answer, the header, the log.

`tests/golden/bills` has a file per vendor: its page as source, its ProviderPricing, then requests, each with the sum by
which a person comes to its bill, in USD per million tokens.
"""

import json
from decimal import Decimal
from math import prod
from pathlib import Path
from typing import Any

import pytest
import yaml

from merit_dataplane.cli import main
from tests.support.clock import Clock
from tests.support.gateway import Script, gateway, says, scripted, streams
from tests.support.resources import CONSUMER, provider, route_of

BILLS = sorted((Path(__file__).parents[2] / "golden/bills").glob("*.yaml"))


def of_vendor(file: Path) -> tuple[str, Any]:
    """Its ProviderPricing, and the requests."""
    text = file.read_text()
    assert text.startswith("# source: https://")
    pricing, listed = text.split("\n---\n")
    return pricing, yaml.safe_load(listed)


def added_up(text: str) -> Decimal:
    """Products added up: `10 * 1.25 + 7351 * 2`."""
    products = (prod(map(Decimal, product.split(" * ")), start=Decimal(1)) for product in text.split(" + "))
    return sum(products, Decimal(0))


def answering(case: Any, clock: Clock, protocol: str) -> Script:
    body = {"id": "x", "model": case["model"], "choices": [], "usage": case["usage"]}
    if protocol == "Anthropic":
        content = [{"type": "text", "text": "Hi"}]
        body |= {"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"}
    if "served" in case:
        body["service_tier"] = case["served"]
    text = json.dumps(body).encode()
    script = streams(b"data: " + text + b"\n\n", b"data: [DONE]\n\n") if case.get("stream") else says(text)

    async def answer(reader: Any, writer: Any) -> None:
        if "completed" in case:
            clock.set(case["completed"])
        await script(reader, writer)

    return answer


def cost_in(text: str, *, stream: bool) -> Decimal:
    found = next(line[6:] for line in text.splitlines() if '"cost"' in line) if stream else text
    cost: Decimal = json.loads(found, parse_float=Decimal, parse_int=Decimal)["usage"]["cost"]
    return cost


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("file", BILLS, ids=lambda file: file.stem)
async def test_a_vendors_bill(file: Path, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pricing, cases = of_vendor(file)
    protocol = "Anthropic" if "# protocol: Anthropic" in pricing else "OpenAI"
    current: list[Any] = []

    async def vendor(reader: Any, writer: Any) -> None:
        await answering(current[-1], clock, protocol)(reader, writer)

    models = {case["model"]: f"m{place}" for place, case in enumerate(cases)}
    routes = [
        route_of(
            f"[{{name: all, candidates: [{{provider: {{name: vendor}}, model: {model}}}]}}]", model=name, name=name
        )
        for model, name in models.items()
    ]
    async with (
        scripted(vendor) as url,
        gateway(provider("vendor", url, protocol=protocol), pricing, *routes, CONSUMER) as merit,
    ):
        for case in cases:
            current.append(case)
            clock.set(case.get("at", "2026-08-03T12:00:00Z"))
            bill, stream = Decimal(case["bill"]), bool(case.get("stream"))
            assert added_up(case["sum"]) / 10**6 == bill, f"{file.name}: {case['sum']}"
            asked = {
                "model": models[case["model"]],
                "messages": [{"role": "user", "content": "Hi"}],
                **case.get("request", {}),
            }
            if stream:
                asked |= {"stream": True, "stream_options": {"include_usage": True}}
            got = await merit.post(asked)
            assert got.status_code == 200, got.text
            line = json.loads(merit.log_text().splitlines()[-1])
            assert (line["cost"], "estimated" in line) == (case["bill"], False), case
            assert cost_in(got.text, stream=stream) == bill
            assert stream or got.headers["x-merit-cost"] == case["bill"]
        log = tmp_path / "usage.jsonl"
        log.write_text(merit.log_text())
    (tmp_path / "prices").mkdir()
    resources = [provider("vendor", "https://vendor.example.com/v1"), pricing, *routes, CONSUMER]
    (tmp_path / "prices/all.yaml").write_text("\n---\n".join(resources))
    for more in ((), ("--prices", str(tmp_path / "prices"))):
        assert main(["recost", "--json", str(log), *more]) == 0
        found = json.loads(capsys.readouterr().out)
        everything = sum((Decimal(case["bill"]) for case in cases), Decimal(0))
        assert Decimal(found["bookedUSD"]) == Decimal(found["recomputedUSD"]) == everything
        assert not any(model["requestsThatDiffer"] for model in found["models"])


def test_every_vendor_of_the_issue_has_a_bill() -> None:
    assert {file.stem for file in BILLS} >= {"anthropic", "deepseek", "google", "openai", "xai"}
