"""Files of the usage log: bounded in size, time and number, so that a disk never fills.

usage-POD-20260801T120000Z-0001.jsonl.open   is being written; another process must not read it
usage-POD-20260801T120000Z-0001.jsonl        complete: it gets this name in one step, and never changes again
"""

import fcntl
import logging
import os
import re
import time
from pathlib import Path

_OPEN = ".open"
_UNSAFE = re.compile(r"[^A-Za-z0-9._]+")
log = logging.getLogger("merit.usage_log")


class FolderSink:
    """Writes lines to files in a folder; the oldest complete ones of this pod go when they exceed `keep_bytes`."""

    def __init__(self, folder: Path, *, pod: str, file_bytes: int, file_seconds: float, keep_bytes: int):
        self._folder = folder
        self._prefix = f"usage-{_UNSAFE.sub('_', pod) or 'merit'}-"
        self._file_bytes, self._file_seconds, self._keep_bytes = file_bytes, file_seconds, keep_bytes
        self._descriptor = -1
        self._path = folder
        self._size, self._opened, self._number = 0, 0.0, 0
        self._recovered = False

    def write(self, data: bytes) -> None:
        """Whole lines. Raises OSError; a file that could not be written to is ended at its last whole line."""
        if self._descriptor < 0:
            self._open()
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            os.ftruncate(self._descriptor, self._size)  # half a line would spoil the next one
            raise
        self._size += written
        if self._size >= self._file_bytes:
            self._complete()

    def idle(self) -> None:
        """Completes a file that has been open for long enough. Raises OSError."""
        if self._descriptor >= 0 and time.monotonic() - self._opened >= self._file_seconds:
            self._complete()

    def close(self) -> None:
        """Completes the open file. Raises OSError."""
        if self._descriptor >= 0:
            self._complete()

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._recovered:
            self._recover()
        self._number += 1
        began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self._path = self._folder / f"{self._prefix}{began}-{self._number:04d}.jsonl{_OPEN}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o640)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._size, self._opened = 0, time.monotonic()

    def _complete(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._path.rename(self._path.with_suffix(""))
        self._forget_oldest()

    def _recover(self) -> None:
        """Completes what a process that was killed left open, with the half line that it may end in cut off."""
        for path in sorted(self._folder.glob(f"{self._prefix}*.jsonl{_OPEN}")):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # another process of this name is alive
            else:
                os.ftruncate(descriptor, path.read_bytes().rfind(b"\n") + 1)
                path.rename(path.with_suffix(""))
            finally:
                os.close(descriptor)
        self._recovered = True

    def _forget_oldest(self) -> None:
        complete = sorted(self._folder.glob(f"{self._prefix}*.jsonl"))
        sizes = [path.stat().st_size for path in complete]
        total = sum(sizes)
        for path, size in zip(complete[:-1], sizes, strict=False):
            if total <= self._keep_bytes:
                break
            path.unlink()
            total -= size
            log.warning("usage log: %s was deleted, the files exceed %d bytes", path.name, self._keep_bytes)
