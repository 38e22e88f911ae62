"""One column of the matrix, run: a real gateway, real sockets, all of its cells at once; what came of each."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import httpx

from merit_dataplane.exchange import CLIENT_GONE
from tests.support.fault_matrix.lanes import Lane
from tests.support.fault_matrix.reading import read
from tests.support.fault_matrix.vendor import Plan, Served, Vendor
from tests.support.gateway import Running, eventually, gateway

_READS_SECONDS = 0.1
"""For what is in flight to arrive."""
_PATIENCE_SECONDS = 30.0
_PICO = Decimal("1e-12")
_AT_ONCE = 16
"""Cells; those that wait for a limit of time beside them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of a fault in one column."""

    lane: Lane
    plan: Plan
    client: str
    """What the client got."""
    asked: int
    """How often the primary was asked."""
    accounts: str
    """How what Merit booked for the primary compares with what that says it served."""
    fallback: str
    """The same of the fallback."""
    told: str
    """For who reads a failed test."""


class Column:
    """A gateway with one lane's resources, and its vendors. Everything is made before anybody asks."""

    def __init__(self, lane: Lane, plans: Sequence[Plan], merit: Running, vendor: Vendor):
        self.lane, self.plans, self.merit, self.vendor = lane, plans, merit, vendor

    async def run(self, turns: asyncio.Semaphore) -> list[Cell]:
        """Its cells, all at once as far as `turns` allow."""
        answers = await asyncio.gather(*(self._ask(cell, plan, turns) for cell, plan in enumerate(self.plans)))
        await eventually(lambda: self.merit.parts.ledger.in_flight == 0, "still in flight", _PATIENCE_SECONDS)
        lines = [json.loads(line) for line in self.merit.log_text().splitlines()]
        _check_sums(lines, await self.merit.metrics())
        by_route = {line["route"]: line for line in lines}
        return [
            _cell(self.lane, plan, answers[cell], by_route[f"default/route-{cell}"], self.vendor, cell)
            for cell, plan in enumerate(self.plans)
        ]

    async def _ask(self, cell: int, plan: Plan, turns: asyncio.Semaphore) -> httpx.Response | None:
        async with turns if not plan.fault.waits else AsyncExitStack():
            asked = self.merit.post(self.lane.request(cell, calls=plan.calls), path=f"/v1/{self.lane.operation}")
            if plan.fault.name != "client leaves":
                return await asked
            client = asyncio.create_task(asked)
            silent = partial(self.vendor.silent, cell)
            await eventually(silent, "the vendor never falls silent", _PATIENCE_SECONDS)
            await asyncio.sleep(_READS_SECONDS)
            client.cancel()
            await asyncio.wait([client])
            return None


@asynccontextmanager
async def column(
    lane: Lane, plans: Sequence[Plan], certificate: ssl.SSLContext, *, alone: bool = False
) -> AsyncIterator[Column]:
    """A lane that is ready. `certificate`: one that no client trusts. `alone`: no other one runs beside it."""
    vendor = Vendor(dict(enumerate(plans)))
    async with AsyncExitStack() as stack:
        ports = []
        for context in (None, certificate):
            server = await asyncio.start_server(vendor.connected, "127.0.0.1", 0, ssl=context)
            stack.callback(server.close)
            ports.append(int(server.sockets[0].getsockname()[1]))
        documents = lane.resources(list(plans), *ports)
        yield Column(lane, plans, await stack.enter_async_context(gateway(*documents, alone=alone)), vendor)


async def run(lanes: Sequence[Lane], certificate: ssl.SSLContext) -> list[Cell]:
    """All cells of some lanes."""
    turns = asyncio.Semaphore(_AT_ONCE)
    async with AsyncExitStack() as stack:
        columns = [await stack.enter_async_context(column(lane, lane.plans(), certificate)) for lane in lanes]
        found = await asyncio.gather(*(made.run(turns) for made in columns))
    return [cell for cells in found for cell in cells]


def _check_sums(lines: Sequence[dict[str, Any]], metrics: str) -> None:
    """Metrics, usage log and prices say the same, to the token and to the pico-dollar. Raises AssertionError."""
    booked = [part for line in lines for part in (line, *line.get("lost", ())) if "cost" in part]
    tokens = sum(part.get("input_tokens", 0) + part.get("output_tokens", 0) for part in booked)
    assert _sum(metrics, "merit_tokens_total") == tokens
    cost = sum((Decimal(part["cost"]) for part in booked), Decimal(0))
    assert abs(Decimal(_sum(metrics, "merit_cost_usd_total")) - cost) < _PICO
    for part in booked:
        dear = part["provider"] == "default/fallback"
        price = (part.get("input_tokens", 0) + 2 * part.get("output_tokens", 0)) * (10 if dear else 1)
        assert Decimal(part["cost"]) == Decimal(price) / 1_000_000, part


def _sum(metrics: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(name + "{"))


def _cell(
    lane: Lane, plan: Plan, answer: httpx.Response | None, line: dict[str, Any], vendor: Vendor, cell: int
) -> Cell:
    primary = vendor.ledger.by(cell, fallback=False)
    content = b"" if answer is None else answer.content
    served = vendor.ledger.served.get(cell)
    return Cell(
        lane,
        plan,
        _client(lane, plan, answer, line),
        len(primary),
        _balance(line, f"default/primary-{cell}", primary),
        _balance(line, "default/fallback", vendor.ledger.by(cell, fallback=True)),
        f"{lane}, {plan.fault.name} {plan.moment}: {content[-500:]!r}\n{line}\n{served}",
    )


def _client(lane: Lane, plan: Plan, answer: httpx.Response | None, line: dict[str, Any]) -> str:
    """`primary`, `fallback`: its whole answer. `continued`: begun by one, ended by the other. `error event`, or an
    error's status. `gone`: nobody is left to tell."""
    if answer is None:
        return "gone" if line["status"] == CLIENT_GONE else f"NOT GONE: {line}"
    got = read(lane.operation, answer.status_code, answer.headers.get("content-type", ""), answer.content)
    if got.whole(calls=plan.calls):
        by = "fallback" if line["provider"] == "default/fallback" else "primary"
        return {"prefix": "continued", "restart": "restarted"}.get(line.get("mid_stream", ""), by)
    if got.broken or not got.error or got.finished:
        return f"NOT WHOLE: {got}"
    return "error event" if got.status == 200 else str(got.status)


def _balance(line: dict[str, Any], name: str, served: list[Served]) -> str:
    """`exact`: as the vendor says. `counted`: the output counted by us, and right. `estimated`: the prompt, too, is
    what was expected of it. `guessed`: so is the output. `nothing`: nothing was served, nothing booked."""
    booked = [part for part in line.get("lost", ()) if part["provider"] == name]
    if line.get("provider") == name and "cost" in line:
        booked.append(line)
    ins, outs = (sum(part.get(f"{side}_tokens", 0) for part in booked) for side in ("input", "output"))
    real_in, real_out = sum(part.input for part in served), sum(part.output for part in served)
    expected = line["expected_input_tokens"] * len(booked)
    estimated = any(part.get("estimated") for part in booked)
    said = f"served {real_in}+{real_out}, booked {ins}+{outs}{' estimated' if estimated else ''}"
    if not booked:
        return "nothing" if real_in == real_out == 0 else f"LOST: {said}"
    if (ins, outs) == (real_in, real_out):
        told = all(part.told_all for part in served if part.input)
        return ("counted" if estimated else "exact") if told is not estimated else f"MARKED WRONG: {said}"
    if not estimated:
        return f"UNBALANCED: {said}"
    if ins == expected and outs == real_out:
        return "estimated"
    if ins == expected:
        return "guessed"
    return f"UNBALANCED: {said}"
