"""`merit`: the command line of the data plane and of everything that needs no cluster.

Exit codes: 0 done; 1 the resources are wrong, or serving failed; 2 the command line is wrong.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from merit_crds import __version__

_COMMANDS = {
    "serve": ("merit_dataplane.cli.serve", "run the gateway: from a folder of resources, or pushed to by the operator"),
    "validate": ("merit_dataplane.cli.validate", "check resource YAML: file, line, field, reason, fix"),
    "compile": ("merit_dataplane.cli.compile", "print the snapshot and the status of each resource"),
    "explain": ("merit_dataplane.cli.explain", "print the merit order of a request read from standard input"),
    "usage": ("merit_dataplane.cli.usage", "add up usage logs, and write them as Parquet"),
    "recost": ("merit_dataplane.cli.recost", "price usage logs anew, by another price list or by the rates of then"),
    "plan": ("merit_dataplane.cli.plan", "replay recorded requests against a change of prices and routes"),
    "prices": ("merit_dataplane.cli.prices", "write ProviderPricing from price lists of others"),
    "cache": ("merit_dataplane.cli.cache", "end what was kept in the exact cache"),
    "crds": ("merit_dataplane.cli.crds", "print the CustomResourceDefinitions"),
    "fake-provider": ("merit_dataplane.fake_provider.cli", "run a simulated LLM vendor with recorded answers"),
}

_OF_PLAN = ("numpy", "polars")
"""What the extra `plan` brings."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="merit", description="Price-aware LLM routing.")
    parser.add_argument("--version", action="version", version=f"merit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module_name, words) in _COMMANDS.items():
        command = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        if given[:1] == [name]:  # only the wanted command's code is loaded
            try:
                importlib.import_module(module_name).add_arguments(command)
            except ModuleNotFoundError as error:
                if error.name not in _OF_PLAN:
                    raise
                print(f"merit {name} needs {error.name}: pip install 'merit-gateway[plan]'", file=sys.stderr)
                return 1
    args = parser.parse_args(given)
    try:
        return int(importlib.import_module(_COMMANDS[args.command][0]).run(args))
    except OSError as error:
        print(f"merit {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
