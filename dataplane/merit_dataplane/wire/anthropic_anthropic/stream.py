"""A stream of Anthropic's to a client of Anthropic's: each event rides beside its translation."""

from collections.abc import Callable

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_anthropic.stream import AnthropicStream
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.passenger import event_beside
from merit_dataplane.wire.server_sent_events import EventReader


class PassedStream(AnthropicStream):
    """One stream. `feed` takes Anthropic's bytes and gives OpenAI's, with Anthropic's in them."""

    def __init__(self, call: Call, _: str, price: Callable[[Usage], CostDetails], created: int):
        super().__init__(wants_usage=call.wants_usage, price=price, created=created)
        self._events = EventReader()

    def feed(self, data: bytes) -> bytes:
        """See AnthropicStream."""
        return b"".join([event_beside(self.event(event), event) for event in self._events.feed(data)])

    def finish(self) -> bytes:
        """See AnthropicStream."""
        return b"".join([event_beside(self.event(event), event) for event in self._events.finish()])
