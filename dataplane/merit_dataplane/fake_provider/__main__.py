"""`python -m merit_dataplane.fake_provider` is `merit fake-provider`."""

import sys

from merit_dataplane.cli import main

if __name__ == "__main__":
    sys.exit(main(["fake-provider", *sys.argv[1:]]))
