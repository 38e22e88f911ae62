"""The wall clock of this process, in a test's hand."""

import time
from datetime import datetime

import pytest


class Clock:
    """`time.time()` says what it was set to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 0.0
        monkeypatch.setattr(time, "time", lambda: self.now)

    def set(self, instant: str) -> None:
        """An instant in ISO 8601."""
        self.now = datetime.fromisoformat(instant).timestamp()
