"""What every translator of a stream is."""

from collections.abc import Callable
from typing import Protocol

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_request import Call


class StreamedAnswer(Protocol):
    """A state machine fed with any split of the bytes."""

    @property
    def usage(self) -> Usage | None:
        """As the provider reported it."""

    @property
    def complete(self) -> bool:
        """The provider said that it is finished."""

    @property
    def failed(self) -> bool:
        """The provider sent an error event."""

    @property
    def told(self) -> Usage | None:
        """What the provider has reported before the end: all of the input, the output so far."""

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for the provider's next ones. Raises MalformedStreamError."""

    def finish(self) -> bytes:
        """What is left when the provider's bytes have ended. Raises MalformedStreamError."""


OpenStream = Callable[[Call, str, Callable[[Usage], CostDetails], int], StreamedAnswer]
"""Of the call, the model's name at the provider, the price of a usage, and the epoch second."""
