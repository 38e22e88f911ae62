"""What one more answer makes of a record. Pure.

Only answers that were made without the stem come here: one that was given its beginning agrees with it in any case.
"""

from collections.abc import Sequence
from os.path import commonprefix
from typing import NamedTuple

from msgspec.structs import replace

from merit_dataplane.stems.gate import POOL_WINDOW, STEM_WINDOW, faded, is_disliked, is_open, least_agreed
from merit_dataplane.stems.opening import Opening
from merit_dataplane.stems.record import Pool, Record, Sample, Tally

LONGEST = 1500
"""Characters of a beginning."""
_LEAST_CHARACTERS, _LEAST_WORDS = 16, 3
_FIRST_SAMPLES = 3
_MOST_FAILURES = 4
"""After these an opening is left alone until its record is forgotten."""
_MOST_WORDS = 256
_DIFFERENT_VALUES = 3
"""Numbers and names that do not matter have to have been so many different ones."""
_SCORES_WINDOW = 50.0


class Told(NamedTuple):
    """One answer."""

    text: str
    tokens: float
    """Per character."""
    question: int


class Terms(NamedTuple):
    """Of the route."""

    threshold: float
    ttl: float
    """Seconds."""


class Learned(NamedTuple):
    """What becomes of a record, and of the pool."""

    record: Record
    pool: Pool


def heard(  # noqa: PLR0917 # one event
    record: Record | None, pool: Pool, opening: Opening, told: Told, terms: Terms, now: float
) -> Learned:
    """An answer was made without the stem."""
    if record is None or now - record.touched > terms.ttl:
        record = Record(created=now, touched=now)
    if record.failures >= _MOST_FAILURES:
        return Learned(record, pool)
    if not record.beginning:
        return Learned(_collected(record, opening, told, now), pool)
    return _compared(replace(record, touched=now), pool, opening, told, terms)


def scored(record: Record, score: float, accuracy: float, now: float) -> Record:
    """An answer by this stem was scored, 0 to 1; `accuracy` is that of the model which wrote the rest."""
    wrong, right = faded(record.scored - record.right + 1 - score, record.right + score, _SCORES_WINDOW)
    record = replace(record, right=right, scored=wrong + right)
    return _anew(record, now) if record.beginning and is_disliked(record, accuracy) else record


def fits(record: Record, opening: Opening) -> bool:
    """Whether nothing in the question says more than the questions that the stem was learned from.

    A number or name that does not matter has to have been three different ones, in that very place; else it does.
    """
    for seen, value in zip(record.values, opening.values, strict=False):
        if len(seen) < _DIFFERENT_VALUES and value not in seen:  # so far it is part of what is common
            return False
    return len(record.values) == len(opening.values) and opening.rest <= frozenset(record.good)


def begins(text: str, beginning: str) -> bool:
    """Whether an answer begins like that, whole words."""
    return text.startswith(beginning) and _is_edge(text, len(beginning))


def _collected(record: Record, opening: Opening, told: Told, now: float) -> Record:
    sample = Sample(
        text=told.text[:LONGEST],
        question=told.question,
        rest=tuple(sorted(opening.rest)),
        values=opening.values,
        tokens=told.tokens,
    )
    # of an opening that many questions share, each question counts once
    others = [s for s in record.samples if opening.whole or s.question != sample.question]
    samples = (*others, sample)
    record = replace(record, touched=now, samples=samples)
    if len(samples) < _FIRST_SAMPLES << record.failures:
        return record
    beginning = common(samples)
    if not beginning:
        return _anew(record, now)
    return replace(
        record,
        samples=(),
        beginning=beginning,
        tokens=sum(s.tokens for s in samples) / len(samples),
        good=tuple({word for s in samples for word in s.rest})[:_MOST_WORDS],
        values=tuple(tuple(set(place))[:_DIFFERENT_VALUES] for place in zip(*(s.values for s in samples), strict=True)),
    )


def _compared(record: Record, pool: Pool, opening: Opening, told: Told, terms: Terms) -> Learned:
    agrees, fitting = begins(told.text, record.beginning), fits(record, opening)
    if agrees and opening.values:
        record = replace(record, values=_with_values(record, opening.values))
    if not fitting:  # the stem would not have been used: nothing of it was right or wrong
        return Learned(_with_words(record, opening.rest, agrees=agrees), pool)
    known, whole = record.agreed >= least_agreed(whole=opening.whole), opening.whole
    if not agrees and not record.open and (shorter := _shared(record.beginning, told.text)):
        # what agreed with all of it agrees with its beginning; it was chosen for that, so it counts half
        record = replace(record, beginning=shorter, agreed=record.agreed / 2, differed=record.differed / 2)
        return Learned(record, _counted(pool, whole=whole, agrees=False) if known else pool)
    agreed, differed = faded(record.agreed + agrees, record.differed + (not agrees), STEM_WINDOW)
    record = replace(record, agreed=agreed, differed=differed)
    if known:
        pool = _counted(pool, whole=whole, agrees=agrees)
    opens = is_open(record, pool, terms.threshold, whole=whole)
    if record.open and not opens:
        return Learned(_anew(record, record.touched), pool)
    if not record.open and record.differed >= _FIRST_SAMPLES and record.differed > record.agreed:
        return Learned(_anew(record, record.touched), pool)
    return Learned(replace(record, open=opens), pool)


def _counted(pool: Pool, *, whole: bool, agrees: bool) -> Pool:
    before = pool.of(whole=whole)
    tally = Tally(*faded(before.agreed + agrees, before.differed + (not agrees), POOL_WINDOW))
    return Pool(tally, pool.first) if whole else Pool(pool.whole, tally)


def _with_values(record: Record, values: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(
        seen if value in seen or len(seen) >= _DIFFERENT_VALUES else (*seen, value)
        for seen, value in zip(record.values, values, strict=False)
    )


def _with_words(record: Record, rest: frozenset[int], *, agrees: bool) -> Record:
    """A word that was on both sides is no good one."""
    new = rest - frozenset(record.good)
    if agrees:
        good = tuple(new - frozenset(record.bad))
        return replace(record, good=(record.good + good)[:_MOST_WORDS])
    bad = tuple(new - frozenset(record.bad))
    return replace(record, bad=(record.bad + bad)[-_MOST_WORDS:])


def _anew(record: Record, now: float) -> Record:
    """It was no stem. The next one has to be right more often first."""
    return Record(created=now, touched=now, failures=record.failures + 1)


def common(samples: Sequence[Sample]) -> str:
    """What all begin with, in whole words; empty where that is too little."""
    texts = [sample.text for sample in samples]
    shared = commonprefix(texts)  # noqa: RUF071 # of texts: that it goes by characters is what is wanted
    return _cut(shared, all(_is_edge(text, len(shared)) for text in texts), texts)


def _shared(beginning: str, text: str) -> str:
    shared = commonprefix([beginning, text])  # noqa: RUF071 # as above
    return _cut(shared, _is_edge(beginning, len(shared)) and _is_edge(text, len(shared)), [beginning, text])


def _cut(shared: str, at_edge: bool, texts: Sequence[str]) -> str:
    """A model that is given all of an answer has nothing to say, and may say it all the same: the last word is left."""
    if not at_edge or any(len(text) == len(shared) for text in texts):
        shared = shared[: max(shared.rfind(" "), shared.rfind("\n"), 0)]
    shared = shared.rstrip()
    return shared if len(shared) >= _LEAST_CHARACTERS and len(shared.split()) >= _LEAST_WORDS else ""


def _is_edge(text: str, place: int) -> bool:
    return place >= len(text) or text[place].isspace()
