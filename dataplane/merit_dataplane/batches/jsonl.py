"""JSON lines out of pieces of any size."""

from collections.abc import Iterable, Iterator

_BOM = b"\xef\xbb\xbf"


class Lines:
    """Holds one line. A line's end may be CRLF, that of the last one is missing or not; blank lines are left out."""

    __slots__ = ("_begun", "_number", "held")

    def __init__(self) -> None:
        self._number, self._begun = 0, list[bytes]()
        self.held = 0
        """Bytes of the line that has begun."""

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Number, from 1 on, and bytes of the lines that are complete now."""
        *whole, rest = piece.split(b"\n")
        for line in whole:
            yield from self._next(line)
        if rest:
            self._begun.append(rest)
            self.held += len(rest)

    def finish(self) -> Iterator[tuple[int, bytes]]:
        """The last one."""
        return self._next(b"")

    def _next(self, rest: bytes) -> Iterator[tuple[int, bytes]]:
        self._number += 1
        line = b"".join((*self._begun, rest))
        self._begun.clear()
        self.held = 0
        line = (line.removeprefix(_BOM) if self._number == 1 else line).strip()
        if line:
            yield self._number, line


def lines_of(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Of a whole file."""
    lines = Lines()
    for piece in pieces:
        yield from lines.feed(piece)
    yield from lines.finish()
