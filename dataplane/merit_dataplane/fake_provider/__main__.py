"""`python -m merit_dataplane.fake_provider` is `merit fake-provider`."""

import argparse
import sys

from merit_dataplane.fake_provider.cli import add_arguments, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="merit fake-provider", description="A simulated LLM vendor.")
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))
