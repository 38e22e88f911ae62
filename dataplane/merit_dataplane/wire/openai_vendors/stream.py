"""A stream whose vendor doesn't write [DONE]."""

import re
from collections.abc import Callable

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_stream import StreamTranslator

_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
_OVERLAP = 64
"""Longer than what the pattern finds, so that no split hides it."""


class UnmarkedStream(StreamTranslator):
    """Complete when its bytes have ended properly and a finish reason was among them; [DONE] is then written for it."""

    def __init__(self, *, wants_usage: bool, price: Callable[[Usage], CostDetails]):
        super().__init__(wants_usage=wants_usage, price=price)
        self._finished, self._before = False, b""

    def feed(self, data: bytes) -> bytes:
        """See StreamTranslator."""
        if not self._finished:
            self._finished = _FINISHED.search(self._before + data) is not None
            self._before = data[-_OVERLAP:] if len(data) >= _OVERLAP else (self._before + data)[-_OVERLAP:]
        return super().feed(data)

    def finish(self) -> bytes:
        """See StreamTranslator."""
        rest = super().finish()
        if self.complete or self.failed or not self._finished:
            return rest
        self.complete = True
        return rest + b"data: [DONE]\n\n"
