"""How a stream is read: translated, then looked at. Where OpenAI's bytes pass as they are, one look is enough."""

from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.openai_stream import StreamTranslator
from merit_dataplane.wire.streamed import StreamedAnswer


class Reading:
    """Of one attempt's stream."""

    __slots__ = ("_passing", "_progress", "_translator")

    def __init__(self, translator: StreamedAnswer, progress: Progress):
        self._translator, self._progress = translator, progress
        self._passing = translator if isinstance(translator, StreamTranslator) else None

    def feed(self, piece: bytes) -> bytes:
        """The provider's next bytes in, what may be sent of them out. Raises MalformedStreamError."""
        passing, progress = self._passing, self._progress
        if passing is None or passing.pending:
            return progress.feed(self._translator.feed(piece))
        size = progress.plain(piece)
        return piece if size == len(piece) else piece[:size] + progress.look(passing.feed(piece[size:]))

    def finish(self) -> bytes:
        """The same for what is left when the provider's bytes have ended."""
        return self._progress.feed(self._translator.finish())
