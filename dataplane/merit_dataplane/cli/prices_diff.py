"""`merit prices diff OLD NEW`: what a change of price lists does, in words, Markdown or JSON."""

import argparse
import json
import sys
from pathlib import Path

from merit_dataplane.price_changes.changes import changes
from merit_dataplane.price_changes.price_files import InvalidListError, price_lists
from merit_dataplane.price_changes.report import document, markdown, words

HELP = "say what a change of ProviderPricing YAML does"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the action."""
    parser.add_argument("old", type=Path, metavar="OLD", help="a YAML file or a folder of them, as it was")
    parser.add_argument("new", type=Path, metavar="NEW", help="the same, as it would be")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON, money as decimal strings")
    form.add_argument("--markdown", action="store_true", help="as Markdown, for a pull request")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 when anything differs, as git diff does")


def run(args: argparse.Namespace) -> int:
    """Prints the changes. 2 when a list can't be read."""
    try:
        found = changes(price_lists(args.old), price_lists(args.new))
    except (InvalidListError, OSError) as error:
        print(f"merit prices: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(document(found), indent=2, ensure_ascii=False))
    else:
        print(markdown(found) if args.markdown else words(found), end="")
    return 1 if args.exit_code and not found.none else 0
