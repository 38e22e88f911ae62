"""The material beside the repository, where it is: tests that read it pass over what is missing."""

import os
from pathlib import Path

SHARED_DATA = Path(os.environ.get("MERIT_SHARED", Path(__file__).parents[3] / "shared")) / "data"
