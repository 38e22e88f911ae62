"""One column of the matrix, run: a real gateway, real sockets, all of its cells at once; what came of each."""

import asyncio
import json
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx

from merit_dataplane.exchange import CLIENT_GONE
from tests.support.fault_matrix.lanes import Lane
from tests.support.fault_matrix.reading import read
from tests.support.fault_matrix.vendor import Plan, Served, Vendor
from tests.support.gateway import eventually, gateway

_READS_SECONDS = 0.1
"""For what is in flight to arrive."""
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


async def run(lane: Lane, plans: Sequence[Plan], certificate: ssl.SSLContext) -> tuple[list[Cell], str]:
    """The cells, and what the gateway's metrics say in the end."""
    vendor = Vendor(dict(enumerate(plans)))
    async with AsyncExitStack() as stack:
        ports = []
        for context in (None, certificate):
            server = await asyncio.start_server(vendor.connected, "127.0.0.1", 0, ssl=context)
            stack.callback(server.close)
            ports.append(int(server.sockets[0].getsockname()[1]))
        documents = lane.resources(list(plans), *ports)
        merit = await stack.enter_async_context(gateway(*documents, alone=False))
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(cell: int, plan: Plan) -> httpx.Response | None:
            async with turns if not plan.fault.waits else AsyncExitStack():
                asked = merit.post(lane.request(cell, calls=plan.calls), path=f"/v1/{lane.operation}")
                if plan.fault.name != "client leaves":
                    return await asked
                client = asyncio.create_task(asked)
                await eventually(lambda: vendor.silent(cell), "the vendor never falls silent")
                await asyncio.sleep(_READS_SECONDS)
                client.cancel()
                await asyncio.wait([client])
                return None

        answers = await asyncio.gather(*(one(cell, plan) for cell, plan in enumerate(plans)))
        await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
        lines = {line["route"]: line for line in map(json.loads, merit.log_text().splitlines())}
        made = [
            _cell(lane, plan, answers[cell], lines[f"default/route-{cell}"], vendor, cell)
            for cell, plan in enumerate(plans)
        ]
        return made, await merit.metrics()


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
        return f"guessed ({said})"
    return f"UNBALANCED: {said}"
