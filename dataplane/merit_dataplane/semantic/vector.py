"""An embedding as it is kept: of length 1, in half floats, and the signs of its dimensions as one number.

How many signs differ says nearly what the angle is, and costs a hundredth of what the angle does in plain Python.
"""

import math
from functools import lru_cache
from operator import mul
from struct import Struct
from typing import NamedTuple

import msgspec

MOST_DIMENSIONS = 8192


class Vector(NamedTuple):
    """Of one text, by one model."""

    packed: bytes
    signs: int

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        return len(self.packed) + len(self.packed) // 16 + 100


class _Row(msgspec.Struct):
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Row]


_answer = msgspec.json.Decoder(_Answer)


def vector_in(body: bytes) -> Vector | None:
    """That of an answer to an embeddings request with one text; None where there is none that could be compared."""
    try:
        (row,) = _answer.decode(body).data
    except (ValueError, RecursionError):
        return None
    return vector(row.embedding)


def vector(numbers: list[float]) -> Vector | None:
    """None where they have no direction."""
    if not 0 < len(numbers) <= MOST_DIMENSIONS:
        return None
    length = math.sqrt(sum(map(mul, numbers, numbers)))
    if not 0 < length < math.inf:  # nor NaN
        return None
    packed = _floats(len(numbers)).pack(*(number / length for number in numbers))
    return Vector(packed, _signs(packed))


def unpacked(packed: bytes) -> Vector | None:
    """Of what was kept elsewhere."""
    if not packed or len(packed) % 2 or len(packed) > 2 * MOST_DIMENSIONS:
        return None
    return Vector(packed, _signs(packed))


def numbers_in(packed: bytes) -> tuple[float, ...]:
    """Of a vector."""
    return _floats(len(packed) // 2).unpack(packed)


def cosine(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """To three decimals; of vectors of the same model."""
    return min(1.0, float(sum(map(mul, one, other))))


def most_signs(dimensions: int, similarity: float) -> int:
    """More signs than these hardly ever differ between two that are so alike.

    Of vectors that point anywhere, as many in the mean as the angle is of half a turn; six standard deviations more. Of
    all-MiniLM-L6-v2's embeddings of bank questions none of 20,690 pairs at 0.8 or more had more than four.
    """
    share = max(0.01, math.acos(similarity) / math.pi)
    return math.ceil(dimensions * share + 6 * math.sqrt(dimensions * share * (1 - share)))


def _signs(packed: bytes) -> int:
    return int("".join("1" if byte & 0x80 else "0" for byte in packed[1::2]), 2)


@lru_cache(maxsize=64)
def _floats(dimensions: int) -> Struct:
    return Struct(f"<{dimensions}e")
