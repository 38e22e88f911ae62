"""`python -m merit_dataplane` is `merit`."""

import sys

from merit_dataplane.cli import main

if __name__ == "__main__":
    sys.exit(main())
