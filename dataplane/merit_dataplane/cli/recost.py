"""`merit recost FILE…`, with `--prices DIR` or `--at VERSION`."""

import argparse
import json
import sys
from pathlib import Path

from merit_crds.pricing import usd
from merit_dataplane.cli.usage import columns
from merit_dataplane.replay.accounts import Recost, prices_in, prices_of, recost
from merit_dataplane.replay.lines import SCHEMA, batches
from merit_dataplane.replay.resources import compiled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="usage logs, their Parquet, and folders")
    prices = parser.add_mutually_exclusive_group()
    prices.add_argument("--prices", type=Path, metavar="DIR", help="by the price lists of these resources")
    prices.add_argument(
        "--at", metavar="VERSION", help="by the rates of a snapshot or price list, as the log has them of its requests"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prints booked and recomputed spend by model.

    Without --prices and --at each line is checked against its own rates, and 1 means that some differ. 1 also when a
    price is missing or a file is no usage log.
    """
    try:
        prices = None
        if args.prices is not None:
            prices = prices_of(compiled([args.prices]).snapshot)
        elif args.at is not None:
            prices = prices_in(batches(args.files, columns=list(SCHEMA)), args.at)
        found = recost(batches(args.files, columns=list(SCHEMA)), prices)
    except (ValueError, OverflowError) as error:
        print(f"merit recost: {error}", file=sys.stderr)
        return 1
    print(json.dumps(_document(found), indent=2) if args.json else _table(found))
    return 1 if prices is None and any(row.differ for row in found) else 0


def _document(found: list[Recost]) -> dict[str, object]:
    return {
        "bookedUSD": usd(sum(row.booked for row in found)),
        "recomputedUSD": usd(sum(row.anew for row in found)),
        "models": [
            {
                "provider": row.provider, "model": row.model,
                "requests": row.requests, "requestsThatDiffer": row.differ,
                "bookedUSD": usd(row.booked), "recomputedUSD": usd(row.anew),
            }
            for row in found
        ],
    }  # fmt: skip


def _table(found: list[Recost]) -> str:
    everything = Recost(
        "TOTAL", "", *(sum(getattr(row, name) for row in found) for name in ("requests", "booked", "anew", "differ"))
    )
    rows = [
        (r.provider, r.model, f"{r.requests}", f"{r.differ}", usd(r.booked), usd(r.anew), usd(r.anew - r.booked))
        for r in (*found, everything)
    ]
    head = ("PROVIDER", "MODEL", "REQUESTS", "DIFFER", "BOOKED USD", "RECOMPUTED USD", "DIFFERENCE")
    return columns([head, *rows], numbers=5)
