"""`merit explain --route R < request.json`: the merit order, without calling anyone."""

import argparse
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from merit_crds.compile import compile_resources
from merit_crds.pricing import tier_in_force, usd
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.dispatch.merit_order import explain
from merit_dataplane.dispatch.tiers import classify
from merit_dataplane.live import Live
from merit_dataplane.snapshots.folder import complaints, load
from merit_dataplane.snapshots.tables import Builder, RoutePlan, Tables
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call, Operation, parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--route", required=True, metavar="ROUTE", help="NAME, NAMESPACE/NAME, or a model name that clients ask for"
    )
    parser.add_argument(
        "--resources", type=Path, default=Path(), metavar="DIR", help="folder of resource YAML, default the current one"
    )
    parser.add_argument("--secrets", type=Path, metavar="DIR", help="Secrets as files: DIR/[NAMESPACE/]NAME/KEY")
    parser.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="a request header (repeatable)"
    )
    parser.add_argument(
        "--at", type=_instant, metavar="INSTANT", help="at which prices hold, e.g. 2026-12-01T00:00:00Z, default now"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints each candidate's expected cost, and why it lost. 1 when there is no such route or no valid request."""
    loaded = load([args.resources], args.secrets)
    compiled = compile_resources(loaded.resources)
    for line in complaints(loaded, compiled):
        print(line, file=sys.stderr)
    tables = Builder(compiled.version, compiled.snapshot, compiled.credentials, Live()).build()
    route = _route(tables, args.route)
    if route is None:
        print(
            f"merit explain: there is no usable route {args.route!r}; there are: {', '.join(tables.routes) or 'none'}",
            file=sys.stderr,
        )
        return 1
    try:
        call = parse(Operation.CHAT, _with_model(sys.stdin.buffer.read(), route))
    except RequestError as error:
        print(f"merit explain: {error}", file=sys.stderr)
        return 1
    headers = tuple(
        (n.strip().lower().encode(), v.strip().encode()) for n, _, v in (h.partition(":") for h in args.header)
    )
    tier = classify(route, call, headers)
    bids = explain(tier, call, 0.0, time.time() if args.at is None else args.at)
    print(
        json.dumps(_document(route, tier.name, call, bids), indent=2)
        if args.json
        else _table(route, tier.name, call, bids)
    )
    return 0


def _instant(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("needs an offset, or Z for UTC")
    return moment.timestamp()


def _route(tables: Tables, wanted: str) -> RoutePlan | None:
    for key, route in tables.routes.items():
        if wanted in (key, route.name) or wanted in route.models:
            return route
    return None


def _with_model(body: bytes, route: RoutePlan) -> bytes:
    """A request may leave its model out: the route is named."""
    try:
        request = json.loads(body)
    except ValueError:
        return body
    return json.dumps({"model": route.models[0], **request}).encode() if isinstance(request, dict) else body


def _document(route: RoutePlan, tier: str, call: Call, bids: list[Bid]) -> dict[str, Any]:
    return {
        "route": route.key,
        "tier": tier,
        "inputTokens": call.input_tokens,
        "meritOrder": [
            {
                "provider": bid.target.labels[2],
                "model": bid.target.model,
                "expectedCostUSD": usd(bid.cost),
                "expectedOutputTokens": bid.output,
                "contextTier": _context_tier(bid, call),
                "standing": bid.standing.name.lower(),
                "reason": bid.reason,
            }
            for bid in bids
        ],
    }


def _context_tier(bid: Bid, call: Call) -> dict[str, Any] | None:
    held = tier_in_force(bid.tariff.context_tiers, call.input_tokens)
    return {"above": held.above, "applies": "Excess" if held.excess else "Whole"} if held else None


def _table(route: RoutePlan, tier: str, call: Call, bids: list[Bid]) -> str:
    lines = [f"route {route.key}, tier {tier}, about {call.input_tokens} input tokens", ""]
    rows = [("", "PROVIDER", "MODEL", "EXPECTED USD", "STANDING", "REASON")]
    cheapest = bids[0].cost if bids else 0
    for place, bid in enumerate(bids, 1):
        dearer = f"+{100 * (bid.cost - cheapest) / cheapest:.0f} %" if place > 1 and cheapest and not bid.reason else ""
        standing = bid.standing.name.lower().replace("_", " ")
        held = tier_in_force(bid.tariff.context_tiers, call.input_tokens)
        tiered = f"context tier above {held.above} tokens" if held else ""
        why = ", ".join(words for words in (bid.reason or dearer, tiered) if words)
        rows.append((str(place), bid.target.labels[2], bid.target.model, usd(bid.cost), standing, why))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines += ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)
