"""`merit prices ACTION`."""

import argparse
from types import ModuleType

from merit_dataplane.cli import prices_diff, prices_import

_ACTIONS: dict[str, ModuleType] = {"import": prices_import, "diff": prices_diff}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, action in _ACTIONS.items():
        action.add_arguments(actions.add_parser(name, help=action.HELP))


def run(args: argparse.Namespace) -> int:
    """Exit code of the action."""
    code: int = _ACTIONS[args.action].run(args)
    return code
