"""JSON lines out of pieces of any size."""

from collections.abc import Iterable, Iterator

_BOM = b"\xef\xbb\xbf"


def lines_of(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Number, from 1 on, and bytes of each line that is not blank; its end may be CRLF, and the last one's is missing
    or not. Holds one line.
    """
    number, begun = 0, list[bytes]()
    for piece in pieces:
        *whole, rest = piece.split(b"\n")
        for line in whole:
            number += 1
            yield from _shown(number, b"".join((*begun, line)))
            begun.clear()
        if rest:
            begun.append(rest)
    if begun:
        yield from _shown(number + 1, b"".join(begun))


def _shown(number: int, line: bytes) -> Iterator[tuple[int, bytes]]:
    if number == 1:
        line = line.removeprefix(_BOM)
    line = line.strip()
    if line:
        yield number, line
