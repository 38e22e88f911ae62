"""`python -m merit_operator` is `merit-operator`."""

import sys

from merit_operator.cli import main

if __name__ == "__main__":
    sys.exit(main())
