"""`merit plan --before DIR --after DIR --trace FILE…`."""

import argparse
import json
import sys
from pathlib import Path

from merit_dataplane.replay.lines import read
from merit_dataplane.replay.plan import plan
from merit_dataplane.replay.plan_chart import html, svg
from merit_dataplane.replay.plan_markdown import markdown
from merit_dataplane.replay.resources import compiled
from merit_dataplane.replay.shapes import COLUMNS, shapes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--before", required=True, type=Path, metavar="DIR", help="resources as they are")
    parser.add_argument("--after", required=True, type=Path, metavar="DIR", help="resources as they would be")
    parser.add_argument(
        "--trace", required=True, nargs="+", type=Path, metavar="FILE", help="usage logs, their Parquet, CSV, folders"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="where the comment goes, default standard output")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="a picture: FILE.svg, or FILE.html with the text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, money exact")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    """Writes what the change does to the trace's requests. 1 when resources or trace can't be used."""
    if args.chart is not None and args.chart.suffix not in {".svg", ".html"}:
        args.parser.error(f"--chart must end in .svg or .html (is {args.chart.name!r})")
    try:
        before, after = compiled([args.before]), compiled([args.after])
        found = plan(before.snapshot, after.snapshot, shapes(read(args.trace, columns=COLUMNS)))
    except (ValueError, OverflowError) as error:
        print(f"merit plan: {error}", file=sys.stderr)
        return 1
    text = markdown(found)
    if args.markdown is None:
        print(text, end="")
    else:
        args.markdown.write_text(text, encoding="utf-8")
    if args.chart is not None:
        args.chart.write_text(svg(found) if args.chart.suffix == ".svg" else html(found, text), encoding="utf-8")
    if args.json is not None:
        args.json.write_text(json.dumps(found.document(), indent=2) + "\n", encoding="utf-8")
    return 0
