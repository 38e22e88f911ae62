"""Scores over a restart, on the pod's own disk: `feedback.json` in the state folder. No text, no key, no consumer."""

import logging
import os
from pathlib import Path

import msgspec

from merit_dataplane.feedback.book import Kept

log = logging.getLogger("merit.feedback")
_FORMAT = 1


class _File(Kept):
    format: int = 0


class FeedbackDisk:
    """A full or read-only disk is logged and never fatal. Called outside of the event loop."""

    def __init__(self, folder: Path):
        self._path = folder / "feedback.json"
        self._fault = ""

    def store(self, kept: Kept) -> None:
        """Takes the place of what was there, in one step."""
        try:
            self._write(_File(kept.tallies, kept.scores, kept.pending, _FORMAT))
        except OSError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("feedback not written to %s: %s", self._path, error)

    def _write(self, kept: _File) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)

    def load(self) -> Kept:
        """What is there; nothing where there is none or it is damaged."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return Kept()
        except (OSError, ValueError) as error:
            log.warning("feedback in %s is damaged: %s", self._path, error)
            return Kept()
        if kept.format != _FORMAT:
            log.warning("feedback in %s is of another release", self._path)
            return Kept()
        return kept
