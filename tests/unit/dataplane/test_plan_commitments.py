"""`merit plan` on a commitment: how much of it traffic would use, what the bill is with it, where it pays off."""

import json
from pathlib import Path
from typing import Any

import pytest

from merit_dataplane.cli import main
from tests.support.resources import prices, provider, route

JUNE = 1_780_272_000
DAY = 86_400


def planned(tmp_path: Path, terms: str, capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], str]:
    """Ten of June's days, 101 requests of 90,000 tokens in and 10,000 out, at 1 and 2 USD per million: 11.11 USD."""
    rows = [f"{JUNE + place * DAY / 10},default/chat,90000,10000" for place in range(101)]
    (tmp_path / "trace.csv").write_text("\n".join(["time,route,input_tokens,output_tokens", *rows]) + "\n")
    listed = f'  commitments:\n    - name: deal\n      starts: "2026-01-01T00:00:00Z"\n      {terms}\n'
    with_deal = prices("a", "1", "2").replace("  models:\n", f"{listed}  models:\n")
    for name, pricing in (("before", prices("a", "1", "2")), ("after", with_deal)):
        (tmp_path / name).mkdir()
        documents = (provider("a", "https://a.example/v1"), pricing, route("a"))
        (tmp_path / name / "all.yaml").write_text("\n---\n".join(documents))
    assert main(
        [
            *("plan", "--before", str(tmp_path / "before"), "--after", str(tmp_path / "after")),
            *("--trace", str(tmp_path / "trace.csv"), "--json", str(tmp_path / "plan.json")),
        ]
    ) == 0  # fmt: skip
    return json.loads((tmp_path / "plan.json").read_text())["commitments"], capsys.readouterr().out


MONTHLY = "period: {calendar: Month, timeZone: UTC}"


@pytest.mark.parametrize(
    ("terms", "fee", "bill", "used", "even"),
    [
        # a third of a month: 10 of 30 USD; 11.11 are asked for
        ('volume: {prepaid: "30"}', 10, 11.11, 1.111, 1.0),
        ('volume: {minimumSpend: "30"}\n      committed: {percentOff: "50"}\n      overage: {percentOff: "50"}',
         10, 10.0, 0.5555, 0.5),
        # 10.1 million tokens are asked for, 5 million are a third of 15
        ('volume: {tokens: 15000000}\n      fee: {amount: "9"}', 3, 3 + 11.11 * 5.1 / 10.1, 2.02, 3 / (11.11 / 2.02)),
        # 9.09 million of input, for which the list asks 9.09 USD, and 2.02 for output, which are charged as ever
        ('volume: {inputTokens: 30000000}\n      fee: {amount: "9"}', 3, 3 + 2.02, 0.909, 0.3),
        ('volume: {outputTokens: 3000000}\n      fee: {amount: "9"}', 3, 3 + 9.09 + 2.02 * 0.01 / 1.01, 1.01, 1.5),
        ('volume: {requests: 303}\n      fee: {amount: "9"}', 3, 3.0, 1.0, 3 / 11.11),
    ],
)  # fmt: skip
def test_what_a_commitment_is_worth(
    terms: str, fee: float, bill: float, used: float, even: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,), words = planned(tmp_path, f"{MONTHLY}\n      {terms}", capsys)
    assert found["requests"] == 101
    assert float(found["usd"]["list"]) == pytest.approx(11.11)
    assert float(found["usd"]["fee"]) == pytest.approx(fee)
    assert float(found["usd"]["bill"]) == pytest.approx(bill)
    assert found["used"] == pytest.approx(used)
    assert found["breakEven"] == pytest.approx(even)
    assert (
        f"| default/a, deal | 101 | 11.11 | {fee:.2f} | {bill:.2f} | {100 * used:.0f} % | {100 * even:.0f} % used |"
        in words
    )


def test_capacity_by_the_minute_over_days(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terms = 'period: {length: 1m}\n      volume: {tokens: 1000}\n      fee: {amount: "0.1", per: 24h}'
    (found,), _ = planned(tmp_path, terms, capsys)
    assert float(found["usd"]["fee"]) == pytest.approx(1.0)  # of ten days
    assert found["used"] == pytest.approx(10.1 / 14.4)


def test_one_that_has_not_begun_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, words = planned(tmp_path, 'expires: "2026-05-01T00:00:00Z"\n      volume: {prepaid: "30"}', capsys)
    assert not found
    assert "commitment" not in words
