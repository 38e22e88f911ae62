"""`merit prices import`: exact prices out of each source, what can't be said listed, imports over imports."""

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.compile import compile_resources
from merit_crds.manifest import read
from merit_crds.resources import ResourceSet
from merit_dataplane.cli import main
from merit_dataplane.price_lists.writing import price_text
from tests.support.shared import SHARED_DATA

SHARED = SHARED_DATA / "prices"
SNAPSHOTS = sorted(SHARED.glob("litellm_snapshots/*.json.gz"))
VENDORS = (
    "openai",
    "anthropic",
    "gemini",
    "deepseek",
    "mistral",
    "xai",
    "groq",
    "cohere",
    "bedrock",
    "azure",
    "vertex-ai",
)
needs_shared = pytest.mark.skipif(not SNAPSHOTS, reason="needs ../shared")
LITELLM = """{
  "sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of"},
  "azure/gpt-x": {"litellm_provider": "azure", "mode": "chat", "max_input_tokens": 1050000, "max_output_tokens": 128000,
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5000000000000002e-05,
    "cache_read_input_token_cost": 2.5e-07, "input_cost_per_token_above_272k_tokens": 5e-06,
    "output_cost_per_token_above_272k_tokens": 2.25e-05, "input_cost_per_token_flex": 1.25e-06,
    "output_cost_per_token_flex": 7.5e-06, "output_cost_per_image": 0.04, "supports_function_calling": true},
  "tiny": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-13, "output_cost_per_token": 1e-06},
  "groq/free": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0.0},
  "groq/unknown": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-06}
}"""


def imported(
    file: Path, source: str, output: Path, *more: str
) -> tuple[int, list[dict[str, Any]], list[dict[str, str]]]:
    """Exit code, documents and report."""
    report = output.parent / "report.json"
    code = main(
        ["prices", "import", "--from", source, "--output", str(output), "--report", str(report), *more, str(file)]
    )
    files = sorted(output.glob("*.yaml")) if output.is_dir() else [output]
    documents = [d for f in files for d in yaml.safe_load_all(f.read_text())]
    return code, documents, json.loads(report.read_text())


def models(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{d['spec']['providerRef']['name']} {m['model']}": m for d in documents for m in d["spec"]["models"]}


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "acme.json"
    file.write_text(text)
    return file


def test_litellm(tmp_path: Path) -> None:
    code, documents, report = imported(written(tmp_path, LITELLM), "litellm", tmp_path / "out")
    assert code == 0
    assert models(documents) == {
        "azure gpt-x": {
            "model": "gpt-x",
            "prices": {"input": "2.5", "output": "15", "cachedInput": "0.25"},
            "contextTiers": [{"above": 272000, "applies": "Whole", "prices": {"input": "5", "output": "22.5"}}],
            "serviceTiers": [{"name": "flex", "prices": {"input": "1.25", "output": "7.5"}, "contextTiers": []}],
            "capabilities": ["Streaming", "Tools"],
            "contextWindow": 1050000,
            "maxOutputTokens": 128000,
        },
        "groq free": {"model": "free", "prices": {"input": "0", "output": "0"}, "capabilities": ["Streaming"]},
    }
    assert {one["path"] for one in report} == {
        "azure/gpt-x.output_cost_per_image", "azure/gpt-x (service tier flex)", "tiny", "groq/unknown",
    }  # fmt: skip
    assert "unknown is never 0" in next(one["reason"] for one in report if one["path"] == "groq/unknown")


def test_off_peak_hours_become_a_schedule(tmp_path: Path) -> None:
    weekdays = {"hours_utc": ["04:00-06:00", "10:00-00:00"], "weekdays": [1, 5]}
    windows = [weekdays, {"hours_utc": "00:00-00:00", "weekdays": [7]}]
    off_peak = {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "windows": windows}
    usual = {"input_cost_per_token": 3e-07, "output_cost_per_token": 1.2e-06, "cache_read_input_token_cost": 6e-09}
    model = {"litellm_provider": "deepseek", "mode": "chat", **usual, "off_peak_pricing": off_peak}
    elsewhere = {**model, "off_peak_pricing": {**off_peak, "weekday_timezone": "Asia/Shanghai"}}
    text = json.dumps({"deepseek/v": model, "deepseek/w": elsewhere})
    _, [document], report = imported(written(tmp_path, text), "litellm", tmp_path / "out")
    [schedule] = document["spec"]["schedules"]
    assert schedule == {
        "name": "off-peak",
        "timeZone": "UTC",
        "windows": [
            {"days": ["Monday", "Friday"], "from": "04:00", "to": "06:00"},
            {"days": ["Monday", "Friday"], "from": "10:00", "to": "24:00"},
            {"days": ["Sunday"], "from": "00:00", "to": "24:00"},
        ],
    }
    prices = {"input": "0.15", "output": "0.6", "cachedInput": "0.006"}
    assert document["spec"]["models"][0]["schedules"] == [{"name": "off-peak", "prices": prices}]
    assert [one["path"] for one in report] == ["deepseek/w.off_peak_pricing"]


def test_openrouter(tmp_path: Path) -> None:
    overrides = [{"min_prompt_tokens": 272000, "prompt": "0.000002", "completion": "0.000009"}]
    usual = {"prompt": "0.00000100000000000000015", "completion": "0.000006", "web_search": "0.005"}
    pricing = {**usual, "overrides": overrides}
    text = json.dumps({"data": [
        {"id": "acme/x", "context_length": 100, "pricing": pricing, "supported_parameters": ["tools"]},
        {"id": "acme/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
    ]})  # fmt: skip
    code, documents, report = imported(written(tmp_path, text), "openrouter", tmp_path / "out", "--strict")
    assert code == 1
    model = models(documents)["openrouter acme/x"]
    assert model["prices"] == {"input": "1", "output": "6"}
    assert model["contextTiers"] == [{"above": 272000, "applies": "Whole", "prices": {"input": "2", "output": "9"}}]
    assert {one["path"] for one in report} == {"acme/auto.pricing", "acme/x.pricing.web_search"}


def test_portkey_is_in_cents_per_token(tmp_path: Path) -> None:
    units = {"cache_write_1h": {"price": 0.0006}, "web_search": {"price": 1}}
    tokens = {"request_token": {"price": 0.0003}, "response_token": {"price": 0.0015}}
    config = {"pay_as_you_go": {**tokens, "additional_units": units}}
    text = json.dumps({"default": {}, "claude": {"pricing_config": config}})
    _, documents, report = imported(written(tmp_path, text), "portkey", tmp_path / "out", "--provider", "acme=mine")
    assert models(documents)["mine claude"]["prices"] == {"input": "3", "output": "15", "cacheWrite1h": "6"}
    assert [one["path"] for one in report] == ["claude.pricing_config.pay_as_you_go.additional_units.web_search"]


GENAI = """[{"id": "acme", "models": [
  {"id": "tiered", "match": {"equals": "tiered"}, "context_window": 200000, "prices": {
    "input_mtok": {"base": 5, "tiers": [{"start": 200000, "price": 10}]}, "output_mtok": 25,
    "cache_read_mtok": 0.5, "requests_kcount": 12}},
  {"id": "dated", "match": {"equals": "dated"}, "prices": [
    {"prices": {"input_mtok": 5, "output_mtok": 20}},
    {"constraint": {"start_date": "2026-03-13"}, "prices": {"input_mtok": 2, "output_mtok": 8}}]},
  {"id": "hourly", "match": {"equals": "hourly"}, "prices": [
    {"prices": {"input_mtok": 0.135, "output_mtok": 0.55}},
    {"constraint": {"start_time": "00:30:00Z", "end_time": "16:30:00Z"},
     "prices": {"input_mtok": 0.27, "output_mtok": 1.1}}]},
  {"id": "odd", "match": {"equals": "odd"}, "prices": [
    {"prices": {"input_mtok": 1, "output_mtok": 1, "input_video_mtok": 3}},
    {"constraint": {"moon": "full"}, "prices": {"input_mtok": 2, "output_mtok": 2}}]}
]}]"""


def test_genai_prices_with_dates_and_hours(tmp_path: Path) -> None:
    _, [document], report = imported(written(tmp_path, GENAI), "genai-prices", tmp_path / "out")
    made = {model["model"]: model for model in document["spec"]["models"]}
    assert made["tiered"]["prices"] == {"input": "5", "output": "25", "cachedInput": "0.5", "request": "0.012"}
    assert made["tiered"]["contextTiers"] == [{"above": 200000, "applies": "Whole", "prices": {"input": "10"}}]
    (period,) = made["dated"]["periods"]
    assert (period["validFrom"], period["prices"]) == ("2026-03-13T00:00:00Z", {"input": "2", "output": "8"})
    (schedule,) = document["spec"]["schedules"]
    assert (schedule["timeZone"], schedule["windows"]) == ("UTC", [{"from": "00:30", "to": "16:30"}])
    (hours,) = made["hourly"]["schedules"]
    assert (hours["name"], hours["prices"]) == (schedule["name"], {"input": "0.27", "output": "1.1"})
    assert [one["path"] for one in report] == ["acme.odd.prices[0].input_video_mtok", "acme.odd.prices[1].constraint"]


MODELS_DEV = """{"acme": {"id": "acme", "models": {
  "old": {"id": "old", "tool_call": true, "modalities": {"input": ["text", "image"]},
    "limit": {"context": 1000000, "output": 64000},
    "cost": {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75,
      "context_over_200k": {"input": 6, "output": 22.5}}},
  "new": {"id": "new", "cost": {"input": 2.5, "output": 15, "reasoning": 20, "image": 0.01,
      "tiers": [{"input": 5, "output": 22.5, "tier": {"type": "context", "size": 272000}}],
      "context_over_200k": {"input": 5, "output": 22.5}}},
  "free-of-prices": {"id": "free-of-prices", "limit": {"context": 1, "output": 1}}
}}}"""


def test_models_dev(tmp_path: Path) -> None:
    _, [document], report = imported(written(tmp_path, MODELS_DEV), "models.dev", tmp_path / "out")
    made = {model["model"]: model for model in document["spec"]["models"]}
    assert made["old"]["prices"] == {"input": "3", "output": "15", "cachedInput": "0.3", "cacheWrite": "3.75"}
    tier = {"above": 200000, "applies": "Whole", "prices": {"input": "6", "output": "22.5"}}
    assert made["old"]["contextTiers"] == [tier]
    assert made["old"]["capabilities"] == ["Images", "Streaming", "Tools"]
    assert (made["old"]["contextWindow"], made["old"]["maxOutputTokens"]) == (1000000, 64000)
    assert [tier["above"] for tier in made["new"]["contextTiers"]] == [272000]
    assert made["new"]["prices"]["reasoning"] == "20"
    assert "acme.new.cost.image" in {one["path"] for one in report}
    assert any(one["path"].startswith("acme.free-of-prices") for one in report)
    assert "free-of-prices" not in made


@needs_shared
def test_every_model_of_genai_prices(tmp_path: Path) -> None:
    file = SHARED / "genai-prices/prices/data.json"
    _, documents, report = imported(file, "genai-prices", tmp_path / "out")
    complete(documents, tmp_path / "out")
    made, listed = models(documents), [one["path"] for one in report]
    for provider in json.loads(file.read_text()):
        for model in provider["models"]:
            path = f"{provider['id']}.{model['id']}"
            there = f"{provider['id'].replace('_', '-')} {model['id']}" in made
            assert there or any(one.startswith(path) for one in listed), path


def test_an_import_over_an_import_keeps_what_is_not_prices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, output = written(tmp_path, LITELLM), tmp_path / "azure.yaml"
    arguments = ("litellm", output, "--provider", "azure")
    imported(file, *arguments)
    first = output.read_bytes()
    imported(file, *arguments)
    assert output.read_bytes() == first

    [document] = yaml.safe_load_all(output.read_text())
    document["metadata"]["annotations"] = {"team": "search"}
    document["spec"]["discountPercent"] = "10"
    document["spec"]["models"][0] |= {"capabilities": ["Streaming"], "prices": {"input": "2", "output": "9"}}
    document["spec"]["models"].append({"model": "our-own", "prices": {"input": "1", "output": "1"}})
    output.write_text(yaml.safe_dump(document))
    _, [after], _ = imported(file, *arguments)
    assert after["metadata"] == {"name": "azure", "annotations": {"team": "search"}}
    assert after["spec"]["discountPercent"] == "10"
    ours, theirs = models([after])["azure our-own"], models([after])["azure gpt-x"]
    assert (ours["prices"]["input"], theirs["prices"]["input"], theirs["capabilities"]) == ("1", "2.5", ["Streaming"])
    assert "note: our-own: is in the file and not in the source: kept as it is" in capsys.readouterr().err


def test_a_broken_file_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "azure.yaml"
    output.write_text("kind: [")
    arguments = ["--from", "litellm", "--provider", "azure", "--output", str(output)]
    assert main(["prices", "import", *arguments, str(written(tmp_path, LITELLM))]) == 1
    assert output.read_text() == "kind: ["
    assert "azure.yaml is there and not valid" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("[]", [], "must be an object"),
        ("{", [], "is no price list of litellm"),
        (LITELLM, ["--provider", "asure"], "the list has no provider 'asure'; it has: azure, groq"),
        (LITELLM, ["--model", "nothing*"], "no model of the list has such a name"),
    ],
)
def test_what_is_wrong_is_said(
    text: str, more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prices", "import", "--from", "litellm", *more, str(written(tmp_path, text))]) == 1
    assert words in capsys.readouterr().err


@given(st.integers(0, 9_999_999_999_999))
def test_every_price_in_pico_dollars_is_exact(pico: int) -> None:
    price = Decimal(pico) / 1_000_000
    assert Decimal(price_text(price)) == price


@needs_shared
@pytest.mark.parametrize("file", SNAPSHOTS, ids=lambda f: f.name[:10])
def test_every_monthly_file_of_litellm(file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    _, documents, report = imported(file, "litellm", tmp_path / "out")
    complete(documents, tmp_path / "out")
    source = json.loads(gzip.decompress(file.read_bytes()), parse_float=Decimal, parse_int=Decimal)
    listed = {one["path"].split(" (")[0] for one in report}
    made = models(documents)
    for key, fields in source.items():
        provider = fields.get("litellm_provider")
        if key == "sample_spec" or fields.get("mode") != "chat" or provider not in VENDORS:
            continue
        model = made.get(f"{provider} {key.removeprefix(f'{provider}/')}")
        price = fields.get("input_cost_per_token")
        assert model is not None or key in listed, key
        if model is not None and key not in listed and price is not None:
            assert abs(Decimal(model["prices"]["input"]) - price * 1_000_000) < Decimal("1e-8"), key


@needs_shared
@pytest.mark.parametrize(
    "file", sorted([*SHARED.glob("portkey/pricing/*.json"), *SHARED.glob("openrouter/*.json")]), ids=lambda f: f.stem
)
def test_every_file_of_portkey_and_openrouter(file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    _, documents, report = imported(
        file, "portkey" if file.parent.name == "pricing" else "openrouter", tmp_path / "out"
    )
    complete(documents, tmp_path / "out")
    assert documents or report


@needs_shared
def test_main_vendors_are_in_the_newest_file(tmp_path: Path) -> None:
    _, documents, _ = imported(SNAPSHOTS[-1], "litellm", tmp_path / "out")
    assert set(VENDORS) <= {d["spec"]["providerRef"]["name"] for d in documents}


def complete(documents: list[dict[str, Any]], folder: Path) -> None:
    """Compile takes all of it; a provider of each name would make it serve."""
    manifests = [read(f.read_text(), source=str(f)) for f in folder.glob("*.yaml")]
    compiled = compile_resources(ResourceSet.of(r for m in manifests for r in m.resources))
    assert [p for status in compiled.statuses.values() for p in status.problems] == []
    assert len(compiled.statuses) == len(documents)
