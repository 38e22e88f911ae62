"""A year of a vendor's commitment, month by month to the cent: what is paid in any case, and what exceeds it.

`tests/golden/bills/commitments` has its page as source, its ProviderPricing, and for each month a minute's requests
with the sums by which a person comes to what exceeds the volume.
"""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from merit_crds.commitments import Period, fee_of, period_at, units_of, unused
from tests.support.clock import Clock
from tests.support.gateway import gateway, says, scripted
from tests.support.resources import CONSUMER, compiled, provider, route_of
from tests.unit.dataplane.test_bills import added_up

BILLS = sorted((Path(__file__).parents[2] / "golden/bills/commitments").glob("*.yaml"))
PICO = Decimal(10) ** 12
CENT = Decimal("0.01")


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("file", BILLS, ids=lambda file: file.stem)
async def test_a_year_of_a_commitment(file: Path, clock: Clock) -> None:
    text = file.read_text()  # noqa: ASYNC240 # a small file, before anything runs
    assert text.startswith("# source: https://")
    pricing, listed = text.split("\n---\n")
    document = yaml.safe_load(listed)
    model = yaml.safe_load(pricing)["spec"]["models"][0]["model"]
    current: list[Any] = []

    async def vendor(reader: Any, writer: Any) -> None:
        body = {"id": "x", "model": model, "choices": [], "usage": current[-1]}
        await says(json.dumps(body).encode())(reader, writer)

    tier = f"[{{name: all, candidates: [{{provider: {{name: vendor}}, model: {model}}}]}}]"
    async with (
        scripted(vendor) as url,
        gateway(provider("vendor", url), pricing, route_of(tier), CONSUMER) as merit,
    ):
        assert merit.compiled is not None
        (entry,) = merit.compiled.snapshot.pricings.values()
        total = Decimal(0)
        assert len(document["months"]) == 12
        for month in document["months"]:
            clock.set(month["at"])
            charged = effective = Decimal(0)
            drawn = dict.fromkeys((terms.name for terms in entry.commitments), Decimal(0))
            for request in month["requests"]:
                current.append(request["usage"])
                got = await merit.post({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]})
                exceeds = Decimal(0) if request["exceeds"] == "0" else added_up(request["exceeds"]) / 10**6
                assert Decimal(got.headers["x-merit-cost"]) == exceeds, (month["at"], request)
                line = json.loads(merit.log_text().splitlines()[-1])
                assert Decimal(line["cost"]) == exceeds
                charged, effective = charged + exceeds, effective + Decimal(line["effective_cost"])
                for one in line["commitments"]:
                    drawn[one["commitment"]] += Decimal(one["drawn"])
            fee = added_up(month["fee"])
            assert (fee + charged).quantize(CENT) == Decimal(month["bill"])
            total += fee + charged
            # of that minute: effective costs and what stays unused are its fee and what was charged, but for rounding
            of_minute = lost = Decimal(0)
            for terms in entry.commitments:
                period = period_at(terms, clock.now)
                assert period is not None
                of_minute += fee_of(terms, period) / PICO
                used = int(drawn[terms.name] * 10**6)
                assert 0 < used <= units_of(terms)
                lost += unused(terms, period, used) / PICO
            assert abs(effective + lost - of_minute - charged) < Decimal("1e-9")
        assert total.quantize(CENT) == Decimal(document["year"])


def test_fees_of_all_days_make_the_years(tmp_path: Path) -> None:
    """By the day, as it is sold, whatever the length of the period that is counted by."""
    for file in BILLS:
        pricing, _ = file.read_text().split("\n---\n")
        url = provider("vendor", "https://vendor.example.com/v1")
        (entry,) = compiled(url, pricing, CONSUMER).snapshot.pricings.values()
        for terms in entry.commitments:
            year = Period(terms.start, terms.end)
            days = Decimal((datetime(2027, 1, 1) - datetime(2026, 1, 1)).days)  # noqa: DTZ001 # a difference
            assert Decimal(fee_of(terms, year)) / PICO == days * Decimal(terms.fee) / 10**6
