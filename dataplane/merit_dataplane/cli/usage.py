"""`merit usage PATH…`."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from merit_crds.pricing import usd
from merit_dataplane.replay.accounts import GROUPS, Sum, sums
from merit_dataplane.replay.lines import SCHEMA, batches

_MONEY = ("cost", "list_cost", "effective_cost", "expected_cost", "saved")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="usage logs, and folders of them")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.parquet", help="write all lines as Parquet")
    parser.add_argument(
        "--by", default="route,provider,model", metavar="FIELDS", help=f"add up by these, of {','.join(GROUPS)}"
    )
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    """Prints what was used and spent. 1 when a file is no usage log."""
    by = args.by.split(",")
    if wrong := [name for name in by if name not in GROUPS]:
        args.parser.error(f"--by: {wrong[0]!r} is none of {', '.join(GROUPS)}")
    try:
        lines = batches(args.paths, columns=list(SCHEMA))
        print(_table(by, sums(lines if args.output is None else _written(lines, args.output), by)))
    except ValueError as error:
        print(f"merit usage: {error}", file=sys.stderr)
        return 1
    return 0


def _written(lines: Iterable[pl.DataFrame], output: Path) -> Iterator[pl.DataFrame]:
    """The same lines; at their end all of them are in one Parquet file, or there is none."""
    money = [pl.col(name).replace("", None).cast(pl.Decimal(38, 12)) for name in _MONEY]
    with TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as folder:
        for number, batch in enumerate(lines):
            batch.with_columns(money).write_parquet(Path(folder) / f"{number:06d}.parquet")
            yield batch
        whole = Path(folder) / "whole"
        pl.scan_parquet(Path(folder) / "*.parquet").sink_parquet(whole, compression="zstd")
        whole.replace(output)


def _table(by: list[str], found: list[Sum]) -> str:
    head = (*(name.upper() for name in by), "REQUESTS", "INPUT TOKENS", "OUTPUT TOKENS", "USD")
    rows = [
        (*(name or "-" for name in s.group), f"{s.requests}", f"{s.input_tokens}", f"{s.output_tokens}", usd(s.spend))
        for s in found
    ]
    all_of_it = (
        "TOTAL", *[""] * (len(by) - 1), f"{sum(s.requests for s in found)}", f"{sum(s.input_tokens for s in found)}",
        f"{sum(s.output_tokens for s in found)}", usd(sum(s.spend for s in found)),
    )  # fmt: skip
    return columns([head, *rows, all_of_it], numbers=4)


def columns(rows: list[tuple[str, ...]], *, numbers: int) -> str:
    """Rows as aligned text, the last `numbers` columns to the right."""
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(wide[i]) if i >= len(row) - numbers else cell.ljust(wide[i]) for i, cell in enumerate(row)
        ).rstrip()
        for row in rows
    )
