"""`merit crds`."""

import argparse

from merit_crds.generate import crds_yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has none."""


def run(args: argparse.Namespace) -> int:  # noqa: ARG001 # every command has this shape
    """Prints the CustomResourceDefinitions as YAML."""
    print(crds_yaml(), end="")
    return 0
