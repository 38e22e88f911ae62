"""What a question is given of what is known, and what its answer makes of it. Pure."""

from collections.abc import Sequence

from merit_dataplane.stems.gate import is_open
from merit_dataplane.stems.learning import Terms, Told, fits, heard
from merit_dataplane.stems.library import Known
from merit_dataplane.stems.opening import Opening
from merit_dataplane.stems.stemming import Stem


def chosen(openings: Sequence[Opening], known: Known, terms: Terms, now: float) -> Stem | None:
    """The stem of the longest opening whose gate is open, and which nothing in the question disables."""
    for opening in openings:
        record = known.records.get(opening.key)
        if (
            record is not None
            and record.open
            and now - record.touched <= terms.ttl
            and fits(record, opening)
            and is_open(record, known.pool, terms.threshold, whole=opening.whole)
        ):
            return Stem(opening.key, record.beginning, record.stem_tokens)
    return None


def taught(known: Known, openings: Sequence[Opening], told: Told, terms: Terms, now: float) -> Known:
    """After an answer that was made without a stem."""
    records, pool = dict(known.records), known.pool
    for opening in openings:
        records[opening.key], pool = heard(records.get(opening.key), pool, opening, told, terms, now)
    return Known(records, pool)
