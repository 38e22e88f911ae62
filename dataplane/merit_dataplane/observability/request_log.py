"""One JSON line per request, without prompts, answers or keys. Lines are gathered and written ten times a second."""

import asyncio
import sys
from typing import BinaryIO

import msgspec

_encode = msgspec.json.Encoder().encode
_FLUSH_SECONDS = 0.1
_MOST_PENDING = 10_000


class RequestLine(msgspec.Struct, omit_defaults=True):
    """What the log says of one request. Times are seconds, money is USD."""

    time: float
    request: str
    status: int
    duration: float
    consumer: str = ""
    route: str = ""
    tier: str = ""
    provider: str = ""
    model: str = ""
    snapshot: str = ""
    stream: bool = False
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost: str = ""
    expected_cost: str = ""
    estimated: bool = False
    cache: str = ""
    attempts: int = 0
    failures: list[str] = []
    first_token: float = 0.0
    error: str = ""


class RequestLog:
    """Writes lines to a binary stream, standard output by default. A line too many is dropped and counted."""

    def __init__(self, stream: BinaryIO | None = None):
        self._stream = stream or sys.stdout.buffer
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self.dropped = 0

    def write(self, line: RequestLine) -> None:
        """Queues one line."""
        if len(self._lines) >= _MOST_PENDING:
            self.dropped += 1
            return
        self._lines.append(_encode(line))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes what is queued."""
        self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            try:
                self._stream.write(b"\n".join(lines) + b"\n")
                self._stream.flush()
            except (OSError, ValueError):
                self.dropped += len(lines)
