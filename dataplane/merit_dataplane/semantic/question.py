"""Which requests may share an answer with a question in other words, and what has to be the same in both."""

from collections.abc import Iterable
from typing import NamedTuple

from merit_dataplane.caching.key import exact_key
from merit_dataplane.stems.critical import criticals
from merit_dataplane.stems.eligible import digest, question_of
from merit_dataplane.stems.opening import MOST_WORDS
from merit_dataplane.stems.wording import Word, words
from merit_dataplane.wire.openai_request import Call

_SAME = frozenset({"Case", "WhiteSpace", "Punctuation"})


class Question(NamedTuple):
    """The last user message of a request."""

    text: str
    group: bytes
    """32 bytes: hash of all that another question must have in common with it to share an answer."""


def question(call: Call, *, scope: Iterable[bytes], tier: str, shared: bool) -> Question | None:
    """None for a request that never shares one. `scope`: that of its key in the exact cache; `shared`: as there."""
    asked = question_of(call)
    if asked is None or call.steering is not None:
        return None
    found = words(asked.text, _SAME)
    if not 0 < len(found) <= MOST_WORDS:
        return None
    around = exact_key(call, scope=scope, shared=shared, without_question=True)
    if around is None:
        return None
    said = (part.encode("utf-8", "surrogatepass") for part in critical(found))
    return Question(asked.text, digest((b"semantic", tier.encode(), around, *said)))


def critical(found: list[Word]) -> list[str]:
    """The words that no answer may be indifferent to, in their order: two questions with others are never alike."""
    return [word.same for word, kind in zip(found, criticals(found), strict=True) if kind]
