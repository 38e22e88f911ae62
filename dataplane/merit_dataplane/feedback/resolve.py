"""Whose answer an id is of, and what scores change for it. Time is an argument."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from merit_dataplane.feedback.answer_id import AnswerId, Labels, Seal, genuine, parse
from merit_dataplane.feedback.belief import believed
from merit_dataplane.feedback.tally import Tally
from merit_dataplane.snapshots.tables import ConsumerPlan, Tables, Target, TierPlan
from merit_dataplane.wire.errors import RequestError

LONGEST_SECONDS = 30 * 86_400
"""How late a score may come."""
_SHOWN = 80


class Known(NamedTuple):
    """What a pod knows of the candidates that it has had."""

    labels: Mapping[str, Labels]
    """By their mark."""
    seals: Mapping[str, Sequence[Seal]]
    """By provider: that of its API key, and of those before it."""


class Answer(NamedTuple):
    """An answer that may be scored."""

    id: AnswerId
    labels: Labels


def resolved(text: str, consumer: ConsumerPlan, known: Known, now: float) -> Answer:
    """Whose it is. `now`: epoch seconds. Raises RequestError: 404 for what is no answer to this consumer, 400 for one
    from too long ago.
    """
    answer = parse(text)
    labels = known.labels.get(answer.mark) if answer is not None else None
    if answer is None or labels is None:
        raise _not_found(text)
    seals = known.seals.get(labels[2], ())
    if not any(genuine(answer, labels, consumer.key, seal) for seal in seals):
        raise _not_found(text)
    if all(route.key != labels[0] for route in consumer.routes.values()):
        raise _not_found(text)
    age = now - answer.answered_at
    if age > LONGEST_SECONDS:
        raise RequestError(
            400,
            f"id: the answer is {age / 86_400:.0f} days old. Score it within {LONGEST_SECONDS // 86_400} days.",
            code="feedback_too_late",
            param="id",
        )
    return Answer(answer, labels)


def place_of(labels: Labels, tables: Tables) -> tuple[TierPlan, Target] | None:
    """The candidate in these tables; None where it is no longer one."""
    route = tables.routes.get(labels[0])
    for tier in route.tiers if route is not None else ():
        if tier.name == labels[1]:
            for target in tier.targets:
                if target.labels == labels:
                    return tier, target
    return None


def settle(tier: TierPlan, target: Target, tally: Tally, now: float) -> None:
    """From now on the next request is ranked by these scores. `now`: epoch seconds."""
    accuracy = target.accuracy
    accuracy.learn(believed(accuracy.stated, tally.faded(now, tier.trust.half_life), tier.trust))
    tier.recovering[:] = [t for t in tier.targets if t.accuracy.may_recover(tier.accuracy)]


def _not_found(text: str) -> RequestError:
    """The same words whatever is wrong: nobody learns which ids others have."""
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return RequestError(
        404,
        f"id: {shown!r} is no answer to this consumer that can be scored. Send the `x-merit-request-id` of an answer "
        "with status 200, whole, with the key that asked for it.",
        code="answer_not_found",
        param="id",
    )
