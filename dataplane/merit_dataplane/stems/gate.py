"""Whether a stem may be used (docs/adr/0022).

What is known of one stem is little: each has few held-out answers. What is known of all stems of a route together is
much. So a stem begins as an average one that is taken at its worst: at the share of held-out answers that agree with
*some* stem of its kind, of which the lower end counts (90 % confidence). That is worth `PRIOR` answers of its own.
Stems of whole questions are one kind, those of first words another: many answers begin with the same few words.

    share = (PRIOR x worst + agreed) / (PRIOR + agreed + differed)

opens when the share is a quarter above the threshold, of what is left to 1; closes when it falls below the threshold.
"""

from functools import lru_cache

from merit_dataplane.feedback.beta import Beta
from merit_dataplane.stems.record import Pool, Record

PRIOR = 10.0
CONFIDENCE = 0.9
LEAST_AGREED, LEAST_AGREED_OF_FIRST = 2.0, 8.0
"""Answers that agree before a stem is used, or says something of others: one of a whole question, of first words."""
STEM_WINDOW, POOL_WINDOW = 64.0, 500.0
"""Answers; beyond these old ones fade, so that what has changed shows."""
_MARGIN = 0.25
_SCORES_PRIOR = 4.0
_FIRST = Beta(1.0, 1.0)


@lru_cache(maxsize=4096)
def _bound(agreed: float, differed: float) -> float:
    return _FIRST.and_seen(agreed, differed).quantile(1 - CONFIDENCE)


def least_agreed(*, whole: bool) -> float:
    """Of a stem of this kind."""
    return LEAST_AGREED if whole else LEAST_AGREED_OF_FIRST


def worst(pool: Pool, *, whole: bool = True) -> float:
    """The share of held-out answers that agree with a stem of this kind is at least this, with the confidence."""
    tally = pool.of(whole=whole)
    return _bound(round(tally.agreed, 1), round(tally.differed, 1))


def share(record: Record, pool: Pool, *, whole: bool = True) -> float:
    """How often answers are expected to begin with this stem."""
    seen = record.agreed + record.differed
    return (PRIOR * worst(pool, whole=whole) + record.agreed) / (PRIOR + seen)


def is_open(record: Record, pool: Pool, threshold: float, *, whole: bool = True) -> bool:
    """With hysteresis: what is open closes later than what is closed opens."""
    if not record.beginning:
        return False
    needed = threshold if record.open else threshold + _MARGIN * (1 - threshold)
    enough = record.open or record.agreed >= least_agreed(whole=whole)
    return enough and share(record, pool, whole=whole) >= needed


def is_disliked(record: Record, accuracy: float) -> bool:
    """Whether scores say that answers by this stem are worse than their model's, with the same confidence."""
    if not record.scored:
        return False
    likely = min(max(accuracy, 0.05), 0.95)
    belief = Beta(_SCORES_PRIOR * likely, _SCORES_PRIOR * (1 - likely))
    return belief.and_seen(record.right, record.scored - record.right).quantile(CONFIDENCE) < likely


def faded(one: float, other: float, window: float) -> tuple[float, float]:
    """Both, so that together they are no more than the window."""
    total = one + other
    return (one, other) if total <= window else (one * window / total, other * window / total)
