"""`merit validate PATH…`."""

import argparse
import sys
from pathlib import Path

from merit_crds.compile import compile_resources
from merit_dataplane.snapshots.folder import complaints, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files, and folders of them")
    parser.add_argument("--secrets", type=Path, metavar="DIR", help="Secrets as files: DIR/[NAMESPACE/]NAME/KEY")


def run(args: argparse.Namespace) -> int:
    """Prints everything that is wrong; 1 when something is."""
    loaded = load(args.paths, args.secrets)
    compiled = compile_resources(loaded.resources)
    wrong = complaints(loaded, compiled)
    for line in wrong:
        print(line)
    count = len(loaded.resources.resources)
    if wrong:
        print(f"{len(wrong)} problem{'s' * (len(wrong) > 1)} in {count} resources", file=sys.stderr)
        return 1
    print(f"{count} resources are valid")
    return 0
