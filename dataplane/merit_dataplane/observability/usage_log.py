"""The usage log: one JSON line per request (`merit_crds.usage_line`), written by a thread of its own.

A request only appends to a queue. Encoding and writing happen ten times a second elsewhere, so that a slow disk or a
reader of standard output that stands still delays no request: lines that find the queue full are dropped and counted.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

import msgspec

from merit_crds.usage_line import UsageLine

_GATHER_SECONDS = 0.1
_MOST_PENDING = 20_000
_AT_ONCE = 200
"""Lines that are encoded in one go: the interpreter is held for no longer than that takes, some 0.3 ms."""
_encode = msgspec.json.Encoder().encode_lines
log = logging.getLogger("merit.usage_log")


class Sink(Protocol):
    """Where lines go. Called by one thread only."""

    def write(self, data: bytes) -> None:
        """Whole lines. Raises OSError."""

    def idle(self) -> None:
        """Called from time to time, with or without lines. Raises OSError."""

    def close(self) -> None:
        """No more lines will come. Raises OSError."""


class StreamSink:
    """Standard output, or any binary stream."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream

    def write(self, data: bytes) -> None:
        """Whole lines, at once."""
        self._stream.write(data)
        self._stream.flush()

    def idle(self) -> None:
        """A stream has nothing to do."""

    def close(self) -> None:
        """The stream is its owner's to close."""


class UsageLog:
    """Takes lines from the event loop, writes them in its own thread."""

    def __init__(self, sink: Sink, *, most_pending: int = _MOST_PENDING):
        self._sink, self._most_pending = sink, most_pending
        self._lines: deque[UsageLine] = deque()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._asleep, self._ends, self._busy = True, False, False
        self._thread: threading.Thread | None = None
        self._fault = ""
        self._overflowed = self._unwritten = 0
        self.written = 0
        """Lines that reached their place."""

    @property
    def dropped(self) -> int:
        """Lines that were lost: the queue was full, or they could not be written."""
        return self._overflowed + self._unwritten

    @property
    def crowded(self) -> bool:
        """Whether half of the queue is taken: who has many lines waits, and leaves the rest to requests."""
        return len(self._lines) > self._most_pending // 2

    def write(self, line: UsageLine) -> None:
        """Queues one line. Called by the event loop's thread only."""
        if len(self._lines) >= self._most_pending:
            self._overflowed += 1
            return
        self._lines.append(line)
        if self._asleep:
            self._asleep = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="usage-log", daemon=True)
                self._thread.start()
            self._wake.set()

    def flush(self, seconds: float = 5.0) -> None:
        """Waits until what is queued has been written, at most so long."""
        deadline = time.monotonic() + seconds
        while self._lines or self._busy:
            if time.monotonic() > deadline:
                return
            time.sleep(0.002)

    def close(self, seconds: float = 5.0) -> None:
        """Writes what is queued and ends the thread; gives up after these seconds, and counts what is left as lost."""
        self._ends = True
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                self._unwritten += len(self._lines)
                log.warning("usage log: %d lines were not taken within %.0f s", len(self._lines), seconds)

    def _run(self) -> None:
        while not self._ends:
            self._wake.wait(1.0)
            self._wake.clear()
            self._hurry.wait(_GATHER_SECONDS)
            self._asleep = True  # before the queue is read: a line that comes now wakes us once more
            self._drain()
        self._drain()
        self._attempt(self._sink.close)

    def _drain(self) -> None:
        self._busy = True
        while self._lines:
            batch = [self._lines.popleft() for _ in range(min(_AT_ONCE, len(self._lines)))]
            self._deliver(batch)
        self._busy = False
        self._attempt(self._sink.idle)

    def _deliver(self, batch: Sequence[UsageLine]) -> None:
        data = _encode(batch)
        if self._attempt(lambda: self._sink.write(data)):
            self.written += len(batch)
        else:
            self._unwritten += len(batch)

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Whether it was done. A fault is told once, not at each line."""
        try:
            action()
        except (OSError, ValueError) as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("usage log: lines are being lost: %s", error)
            return False
        return True
