"""`merit prices diff`: what a change of price lists does, told so that a reviewer understands it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from merit_dataplane.cli import main

OLD: dict[str, Any] = {
    "model": "gpt-4o",
    "capabilities": ["Streaming", "Tools"],
    "prices": {"input": "2.5", "output": "10", "cachedInput": "1.25"},
}
LIST = "apiVersion: merit.dev/v1alpha1\nkind: ProviderPricing\nmetadata: {name: %s}\nspec: %s\n"
OFF_PEAK = {
    "name": "off-peak",
    "timeZone": "Asia/Shanghai",
    "windows": [{"days": ["Monday", "Friday"], "from": "18:00", "to": "08:30"}],
}


def written(path: Path, *models: dict[str, Any], name: str = "openai", **spec: Any) -> Path:
    path.mkdir(exist_ok=True)
    body = json.dumps({"providerRef": {"name": name}, "models": list(models), **spec})
    (path / f"{name}.yaml").write_text(LIST % (name, body))
    return path


def diff(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], new: list[dict[str, Any]], *flags: str, **spec: Any
) -> tuple[int, str]:
    before, after = written(tmp_path / "old", OLD), written(tmp_path / "new", *new, **spec)
    code = main(["prices", "diff", *flags, str(before), str(after)])
    return code, capsys.readouterr().out


def told(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any], **spec: Any) -> list[str]:
    code, out = diff(tmp_path, capsys, [OLD | more], **spec)
    assert code == 0
    return [line.strip() for line in out.splitlines()[2:]]


def test_a_lower_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = diff(tmp_path, capsys, [OLD | {"prices": {"input": "2.5", "output": "6", "cachedInput": "1.25"}}])
    assert code == 0
    assert out == (
        "1 cheaper\n\n"
        "default/openai gpt-4o: 0.00135 → 0.00111 USD (-17.8 %)\n"
        "  output 10 → 6 USD per million tokens (-40 %)\n"
    )


def test_the_same_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(tmp_path, capsys, [OLD], "--exit-code") == (0, "No price changes.\n")


@pytest.mark.parametrize("flags", [[], ["--json"], ["--markdown"]])
def test_exit_code_says_whether_anything_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    new = [OLD | {"prices": {"input": "2", "output": "10"}}]
    assert diff(tmp_path, capsys, new, "--exit-code", *flags)[0] == 1
    assert diff(tmp_path, capsys, new, *flags)[0] == 0


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        (
            {"serviceTiers": [{"name": "flex", "percentOff": "50"}]},
            ["service tier flex: new: input 1.25, output 5, cachedInput 0.625"],
        ),
        (
            {"contextTiers": [{"above": 272000, "applies": "Whole", "prices": {"input": "5", "output": "22.5"}}]},
            ["above 272000 input tokens, the whole request: new: input 5, output 22.5, cachedInput 1.25"],
        ),
        (
            {"contextTiers": [{"above": 4000, "applies": "Excess", "prices": {"input": "3"}}]},
            ["above 4000 input tokens, the input above it: new: input 3, cachedInput 1.25"],
        ),
        (
            {"periods": [{"validFrom": "2026-12-01T00:00:00Z", "prices": {"input": "2", "output": "8"}}]},
            ["from 2026-12-01T00:00:00Z: new: input 2, output 8"],
        ),
        ({"prices": {"input": "2.5", "output": "10"}}, ["cachedInput 1.25 → its default"]),
        (
            {"prices": {"input": "2.5", "output": "10", "cachedInput": "1.25", "request": "0.01"}},
            ["request its default → 0.01"],
        ),
        (
            {"prices": {"input": "2.5", "output": "10", "cachedInput": "1.25", "reasoning": "12"}},
            ["reasoning its default → 12"],
        ),
        ({"capabilities": ["Streaming"]}, ["capabilities Streaming, Tools → Streaming"]),
        ({"contextWindow": 128000}, ["contextWindow unknown → 128000"]),
        ({"billedBy": "Completion"}, ["billedBy Start → Completion"]),
    ],
)
def test_every_part_of_a_list_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, Any], lines: list[str]
) -> None:
    _, *found = told(tmp_path, capsys, more)
    assert found == lines


def test_schedules_have_their_hours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"schedules": [{"name": "off-peak", "percentOff": "50"}]}
    _, *found = told(tmp_path, capsys, more, schedules=[OFF_PEAK])
    hours = "hours Mon+Fri 18:00-08:30 by the clock of Asia/Shanghai"
    assert found == [f"schedule off-peak: new: {hours}, input 1.25, output 5, cachedInput 0.625"]


def test_a_discount_moves_every_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, *found = told(tmp_path, capsys, {}, discountPercent="10")
    assert found == [
        "input 2.5 → 2.25 USD per million tokens (-10 %)",
        "output 10 → 9 USD per million tokens (-10 %)",
        "cachedInput 1.25 → 1.125 USD per million tokens (-10 %)",
    ]


def test_models_and_lists_come_and_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = written(tmp_path / "old", OLD), written(tmp_path / "new", OLD | {"model": "gpt-5"}, name="azure")
    assert main(["prices", "diff", "--json", str(before), str(after)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(m["provider"], m["model"], m["kind"]) for m in found["models"]] == [
        ("default/azure", "gpt-5", "added"),
        ("default/openai", "gpt-4o", "removed"),
    ]
    assert found["models"][0]["typicalCostUSD"] == {"before": None, "after": "0.00135"}


def test_a_slip_by_the_unit_is_told_before_the_operator_meets_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slip = [OLD | {"prices": {"input": "250", "output": "10", "cachedInput": "1.25"}}]
    _, out = diff(tmp_path, capsys, slip)
    assert "The operator would keep the old form of default/openai:" in out
    assert "merit.dev/accept-price-moves: gpt-4o" in out
    _, out = diff(tmp_path, capsys, slip, "--markdown")
    assert "> - spec.models: input of 'gpt-4o' goes from 2.5 to 250 USD" in out


def test_markdown_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = [OLD | {"prices": {"input": "2.5", "output": "6", "cachedInput": "1.25"}}, OLD | {"model": "new"}]
    _, out = diff(tmp_path, capsys, new, "--markdown")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| def")]
    change = "output 10 → 6 USD per million tokens (-40 %)"
    assert rows[0] == ["default/openai", "gpt-4o", change, "0.00135 → 0.00111 USD (-17.8 %)"]
    assert rows[1][:2] == ["default/openai", "new"]
    assert rows[1][2].endswith("input 2.5, output 10, cachedInput 1.25")
    assert rows[1][3] == "added, 0.00135 USD"
    assert out.startswith("**1 added, 1 cheaper**\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LIST % ("openai", '{"providerRef": {"name": "openai"}}'), "spec.models"),
        ("a: [", "openai.yaml"),
        (LIST % ("openai", "{}") + "---\n" + LIST % ("openai", "{}"), "spec.providerRef"),
    ],
)
def test_a_broken_list_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    before = written(tmp_path / "old", OLD)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/openai.yaml").write_text(text)
    assert main(["prices", "diff", "--exit-code", str(before), str(tmp_path / "new")]) == 2
    assert words in capsys.readouterr().err


def test_other_resources_beside_them_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = written(tmp_path / "old", OLD), written(tmp_path / "new", OLD)
    (after / "other.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    (after / "README.md").write_text("not: [yaml")
    assert main(["prices", "diff", "--exit-code", str(before / "openai.yaml"), str(after)]) == 0
    assert main(["prices", "diff", str(before), str(tmp_path / "nowhere")]) == 2


def test_the_examples_diff() -> None:
    example = Path(__file__).parents[3] / "examples/cluster/prices.yaml"
    assert list(yaml.safe_load_all(example.read_text()))
    assert main(["prices", "diff", "--exit-code", str(example), str(example)]) == 0
