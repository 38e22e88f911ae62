"""What pods have written of a circuit or an account in Redis, and what a pod makes of it. Pure.

    told      the endpoint itself said it: one pod's word is enough
    silent    nothing came, while that pod heard others: one pod's word is enough
    deaf      nothing came, and that pod heard nobody else: its own network may be at fault. More than half of all pods
              have to say so, two at least; less makes suspicious

Whoever has had a fresh success of its own is never more than suspicious: see Circuit.heard.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

LONGEST_MS = 60_000
"""No report is of a longer time: what says more is none of ours."""
_REPORT = re.compile(rb"(told|silent|deaf):(\d{1,15})")
_PAUSE = re.compile(rb"(limited|refused):(\d{1,15})")
_INSTANT = re.compile(rb"\d{1,15}")
_MOST_PODS = 2000


class Kind(StrEnum):
    """What a pod's circuit opened on."""

    TOLD = "told"
    SILENT = "silent"
    DEAF = "deaf"


class Word(StrEnum):
    """What all reports together say."""

    NOTHING = "nothing"
    SUSPECT = "suspect"
    OPEN = "open"
    RECOVERED = "recovered"


class Judgement(NamedTuple):
    """Of one circuit."""

    word: Word
    seconds: float = 0.0
    """That it holds for."""
    at: int = 0
    """Of a recovery: when, by Redis' clock, in milliseconds."""
    told: bool = False
    """Whether the endpoint said it to somebody."""


class Pause(NamedTuple):
    """Of one account."""

    seconds: float
    refused: bool
    """Our key was refused; else the account is at its rate limit."""


NOTHING = Judgement(Word.NOTHING)


def judged(fields: Mapping[bytes, bytes], me: bytes, pods: int, now: int) -> Judgement:
    """What the others have written of a circuit. `now`: Redis' clock, in milliseconds. What is no report is none."""
    recovered = fields.get(b"c", b"")
    if _INSTANT.fullmatch(recovered) and now - LONGEST_MS <= int(recovered) <= now:
        return Judgement(Word.RECOVERED, at=int(recovered))
    until = dict.fromkeys(Kind, 0)
    deaf = 0
    for field, value in list(fields.items())[:_MOST_PODS]:
        found = _REPORT.fullmatch(value) if field.startswith(b"o:") else None
        if found is None or not now < int(found[2]) <= now + LONGEST_MS:
            continue
        kind = Kind(found[1].decode())
        deaf += kind is Kind.DEAF
        if field[2:] != me:
            until[kind] = max(until[kind], int(found[2]))
    sure = max(until[Kind.TOLD], until[Kind.SILENT])
    if sure:
        return Judgement(Word.OPEN, (sure - now) / 1000, told=until[Kind.TOLD] > 0)
    if not until[Kind.DEAF]:
        return NOTHING
    word = Word.OPEN if deaf >= max(2, pods // 2 + 1) else Word.SUSPECT
    return Judgement(word, (until[Kind.DEAF] - now) / 1000)


def paused(fields: Mapping[bytes, bytes], now: int) -> Pause | None:
    """How long an account asked to be left alone; None where nothing says so. `now` as above."""
    found = _PAUSE.fullmatch(fields.get(b"u", b""))
    if found is None or not now < int(found[2]) <= now + LONGEST_MS:
        return None
    return Pause((int(found[2]) - now) / 1000, found[1] == b"refused")
