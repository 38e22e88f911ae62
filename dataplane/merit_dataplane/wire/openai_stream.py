"""A streamed answer in the OpenAI protocol, as a state machine fed with any split of the bytes.

Bytes pass through untouched, but for the usage event: it is priced for a client that asked for it, and taken out for
one that did not (Merit asks for it on every stream, to account).
"""

import re
from collections.abc import Callable

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_response import decoded, usage_of, with_cost
from merit_dataplane.wire.server_sent_events import MAX_EVENT_BYTES, MalformedStreamError

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_END = re.compile(rb"\r?\n\r?\n")
_EMPTY_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_DONE = b"[DONE]"
_ERROR = b'"error"'
_NAME = b'"usage"'


class StreamTranslator:
    """One stream. `feed` takes the provider's bytes and gives the client's."""

    def __init__(self, *, wants_usage: bool, price: Callable[[Usage], CostDetails]):
        self._wants_usage = wants_usage
        self._price = price
        self.pending = b""
        """The beginning of an event whose end is to come."""
        self.usage: Usage | None = None
        self.complete = False
        """The provider said that it is finished."""
        self.failed = False
        """The provider sent an error event."""
        self.told: Usage | None = None
        """Nothing before the end but in `usage`: some vendors put into every event what they count so far."""

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for the provider's next bytes; may be empty.

        Raises MalformedStreamError when an event grows past MAX_EVENT_BYTES.
        """
        if (
            not self.pending
            and data.endswith(b"\n\n")
            and _DONE not in data
            and _ERROR not in data
            and (_NAME not in data or not _USAGE.search(data))
        ):  # whole events, nothing of note in them
            return data
        looked_at = max(0, len(self.pending) - 3)
        data = self.pending + data
        out, start = [], 0
        for end in _END.finditer(data, looked_at):
            out.append(self._event(data[start : end.end()]))
            start = end.end()
        self.pending = data[start:]
        if len(self.pending) > MAX_EVENT_BYTES:
            raise MalformedStreamError(f"an event has more than {MAX_EVENT_BYTES} bytes")
        return b"".join(out)

    def finish(self) -> bytes:
        """What is left when the provider's bytes have ended: a last event without a blank line, if it is whole."""
        rest, self.pending = self.pending, b""
        payload = _payload(rest)
        if payload != _DONE and decoded(payload) is None:
            return b""
        return self._event(rest.rstrip() + b"\n\n")

    def _event(self, event: bytes) -> bytes:
        payload = _payload(event)
        if payload == _DONE:
            self.complete = True
            return event
        if _ERROR in payload and bytes((decoded(payload) or {}).get("error", b"null")) != b"null":
            self.failed = True
        if not _USAGE.search(payload):
            return event
        try:
            usage = usage_of(payload)
        except ValueError:
            return event
        if usage is None:
            return event
        self.usage = usage
        if self._wants_usage:
            return b"data: " + with_cost(payload, self._price(usage)) + b"\n\n"
        # some vendors put usage into the last event that has a choice: that one must stay
        return b"" if _EMPTY_CHOICES.search(payload) else event


def _payload(event: bytes) -> bytes:
    """Of several lines of data one: between JSON's tokens a space is as good as the end of a line."""
    return b" ".join([line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")])
