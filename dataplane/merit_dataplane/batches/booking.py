"""A batch that has ended, into the accounts: each line at batch prices, to consumer, route, provider and model, once.

What it was expected to cost came off the consumer's budgets when it was created; now they get the difference.
"""

import asyncio
import logging
import time
from typing import NamedTuple

from merit_crds.pricing import (
    BATCH,
    CostDetails,
    Usage,
    charge_of,
    in_force,
    price_details,
    price_version,
    rates_in_force,
    stamped,
    stamped_excess,
    timed,
    usd,
)
from merit_crds.snapshot import Charge, ModelPrice
from merit_crds.usage_line import USAGE_LINE_FORMAT, StampedTokens, UsageLine
from merit_dataplane.batches.labels import BatchLabel, name_of
from merit_dataplane.batches.marks import Marks, NotNowError
from merit_dataplane.batches.output import Line, Output, output_of
from merit_dataplane.batches.shelf import Object, ProviderShelf
from merit_dataplane.commitments.account import CommitmentAccount
from merit_dataplane.commitments.draws import Draw, settle, stamped_draw
from merit_dataplane.feedback.resolve import place_of
from merit_dataplane.observability.ledger import Ledger, Series
from merit_dataplane.observability.usage_log import UsageLog
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.tables import Tables

log = logging.getLogger("merit.batches")
_NANO = 1000
_STEP = 500
_CROWDED_SECONDS = 0.1
_ENDS = ("completed_at", "failed_at", "expired_at", "cancelled_at")


class _Price(NamedTuple):
    charge: Charge
    known: bool
    """Whether it is a price for batches."""
    list: str
    version: str
    timed: bool
    at: float
    commitments: tuple[CommitmentAccount, ...]


class Bill(NamedTuple):
    """One line's."""

    line: Line
    cost: CostDetails
    listed: int
    draws: tuple[Draw, ...]
    estimated: bool


class Booking:
    """One for all batches. `usage_log` is None where there is none."""

    def __init__(self, holder: SnapshotHolder, ledger: Ledger, usage_log: UsageLog | None, marks: Marks):
        self._holder, self._ledger, self._log, self._marks = holder, ledger, usage_log, marks

    async def book(self, shelf: ProviderShelf, batch: Object, label: BatchLabel) -> None:
        """Books a batch that has ended, unless that has been done or is another's to do.

        Raises NotNowError, RequestError, UpstreamError or TimeoutError where it has to be tried again.
        """
        name = name_of(label.labels[2], str(batch.get("id", "")))
        ended = ended_at(batch)
        if self._marks.known(name) or not self._marks.is_ours(label.pod, ended):
            return
        tables = self._holder.tables
        if tables is None:
            raise NotNowError("there is no snapshot")
        began = _seconds(batch, "created_at") or ended
        if await self._marks.taken(name):
            return
        price = _price(tables, label, began, ended)
        output = await output_of(shelf, batch, label.operation)
        if not await self._marks.first(name):
            return
        status = str(batch.get("status", ""))
        self._ledger.batches[label.labels[2], label.labels[3], status] += 1
        bills = await self._account(label, price, output, batch)
        spent = sum(bill.cost.total for bill in bills)
        self._correct(tables, label, began, spent)
        await self._tell(name, label, price, bills, tables, began, ended)

    async def _account(self, label: BatchLabel, price: _Price, output: Output, batch: Object) -> list[Bill]:
        lines, series = output.lines, self._ledger.of((*label.labels, label.consumer))
        if not lines and _counted(batch) > 0:  # nobody says what they used
            cost = CostDetails(input=label.cost * _NANO, output=0, request=0)
            bills = [Bill(Line(200, None), cost, 0, (), estimated=True)]
            _count(series, bills[0])
        else:
            bills = []
            for place, line in enumerate(lines, 1):
                bills.append(_bill(line, price, whole=output.whole))
                _count(series, bills[-1])
                if not place % _STEP:
                    await asyncio.sleep(0)
        series.expected_cost += label.cost * _NANO
        series.cost_error += abs(label.cost * _NANO - sum(bill.cost.total for bill in bills))
        return bills

    def _correct(self, tables: Tables, label: BatchLabel, began: float, spent: int) -> None:
        """The budgets of its consumer."""
        account = next((c.account for c in tables.consumers.values() if c.key == label.consumer), None)
        if account is not None:
            account.correct_cost(label.cost * _NANO, spent, began, time.time())

    async def _tell(  # noqa: PLR0917 # of one batch
        self, name: str, label: BatchLabel, price: _Price, bills: list[Bill], tables: Tables, began: float, ended: float
    ) -> None:
        """The usage log; requests' own lines come first."""
        if self._log is None:
            return
        route, tier, provider, model = label.labels
        for place, bill in enumerate(bills, 1):
            while self._log.crowded:  # noqa: ASYNC110 # a thread of its own empties it
                await asyncio.sleep(_CROWDED_SECONDS)
            line = UsageLine(
                format=USAGE_LINE_FORMAT,
                time=began,
                request=f"{name}/{place}",
                status=bill.line.status or 502,
                duration=max(0.0, ended - began),
                operation=label.operation,
                features=["Batches"],
                consumer=label.consumer,
                route=route,
                tier=tier,
                provider=provider,
                model=model,
                attempts=1,
                service_tier=BATCH,
                expected_cost=usd(label.cost * _NANO // max(1, label.lines)),
                price_list=price.list,
                price_version=price.version,
                snapshot=tables.version[:12],
            )
            _fill(line, bill, price)
            self._log.write(line)
            if not place % _STEP:
                await asyncio.sleep(0)


def ended_at(batch: Object) -> float:
    """Epoch second; now, where the provider doesn't say."""
    return max((_seconds(batch, name) for name in _ENDS), default=0.0) or time.time()


def _seconds(batch: Object, name: str) -> float:
    value = batch.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _counted(batch: Object) -> int:
    counts = batch.get("request_counts")
    done = counts.get("completed") if isinstance(counts, dict) else None
    return done if isinstance(done, int) else 0


def _price(tables: Tables, label: BatchLabel, began: float, ended: float) -> _Price:
    """What its lines cost. Raises NotNowError where no price list has the model any more: it may come back."""
    provider, model = label.labels[2:]
    for key, pricing in tables.snapshot.pricings.items():
        if pricing.provider == provider and model in pricing.models:
            price: ModelPrice = pricing.models[model]
            at = ended if price.billed_by_completion else began
            tariff = in_force(price, at).tariff
            charge = charge_of(tariff, BATCH)
            place = place_of(label.labels, tables)
            commitments = place[1].commitments if place is not None else ()
            version = price_version(pricing)
            return _Price(charge or tariff, charge is not None, key, version, timed(price), at, commitments)
    raise NotNowError(f"no ProviderPricing prices {model!r} of {provider}")


def _bill(line: Line, price: _Price, *, whole: bool) -> Bill:
    usage = line.usage
    if usage is None:
        return Bill(line, CostDetails(0, 0, 0), 0, (), estimated=line.status == 200)
    cost = price_details(price.charge, usage)
    draws: tuple[Draw, ...] = ()
    listed = cost.total
    if price.commitments:
        cost, draws = settle(price.commitments, cost, usage, (), standard=False)
    return Bill(line, cost, listed, draws, estimated=not whole or not price.known)


def _count(series: Series, bill: Bill) -> None:
    series.statuses[bill.line.status or 502] += 1
    series.estimated += bill.estimated
    series.cost += bill.cost.total
    series.amortised += bill.cost.amortised or 0
    usage = bill.line.usage
    if usage is not None:
        cached, written = usage.all_cached, usage.all_written
        series.uncached_input_tokens += usage.input - cached - written
        series.cached_input_tokens += cached
        series.cache_write_tokens += written
        series.output_tokens += usage.all_output


def _fill(line: UsageLine, bill: Bill, price: _Price) -> None:
    """Tokens, rates and cost."""
    line.estimated = bill.estimated
    usage: Usage | None = bill.line.usage
    if usage is None:
        if bill.cost.total:
            line.cost = usd(bill.cost.total)
        return
    line.input_tokens, line.output_tokens = usage.input, usage.all_output
    line.cached_input_tokens, line.cache_write_tokens = usage.all_cached, usage.all_written
    if usage.special is not None:
        line.special = StampedTokens(*usage.special)
    rates, excess = rates_in_force(price.charge.rates, price.charge.context_tiers, usage.input)
    line.cost, line.rates = usd(bill.cost.total), stamped(rates)
    line.excess = [stamped_excess(tier) for tier in excess]
    if price.timed:
        line.billed_at = float(int(price.at))
    if bill.cost.amortised is not None:
        line.list_cost, line.effective_cost = usd(bill.listed), usd(bill.cost.effective)
        line.commitments = [stamped_draw(draw) for draw in bill.draws]
