"""What of an answer's features reached a client: counted, not claimed."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.fidelity.matrix import Outcome
from tests.support.said.answer import Said

Value = Callable[[Said], Any]


def _each(name: str) -> Value:
    return lambda said: [found for turn in said.turns[:1] if (found := getattr(turn, name))]


FEATURES: Final[Mapping[str, Value]] = {
    "text": _each("text"),
    "tool calls": _each("calls"),
    "finish reason": _each("stop"),
    "thoughts": _each("thoughts"),
    "signed thoughts": lambda said: any(turn.signatures for turn in said.turns[:1]),
    "cited pages": _each("pages"),
    "other citations": lambda said: any(turn.citations > turn.pages for turn in said.turns[:1]),
    "refusal": _each("refusal"),
    "log-probs": _each("logprobs"),
    "pictures": _each("images"),
    "server tools": lambda said: bool([kind for turn in said.turns[:1] for kind in turn.others]),
    "usage": lambda said: said.usage is not None and (said.usage.input, said.usage.output),
    "cached": lambda said: said.usage is not None and min(said.usage.cached, said.usage.input),
    "cache writes": lambda said: said.usage is not None and said.usage.written,
    "reasoning tokens": lambda said: said.usage is not None and said.usage.reasoning,
    "vectors": lambda said: bool(said.vectors),
}
"""By name: what is compared. Empty: the answer has nothing of the kind."""
_WORDED = frozenset({"finish reason"})
"""Each protocol has its own words: `compare` knows which belong together."""
KEPT, MAPPED, LEFT_OUT, WRONG = "kept", "mapped", "left out", "wrong"


def judged(outcome: Outcome, said: Said, *, same: bool) -> dict[str, str]:
    """By feature that the vendor's answer has: what became of it. `same`: client and vendor speak one protocol."""
    if outcome.case.exchange.fails or said.error:
        return {"error": WRONG if outcome.differences else MAPPED}
    made = {}
    for name, value in FEATURES.items():
        if not (there := value(said)):
            continue
        heard = value(outcome.heard.said)
        if same and not outcome.differences:
            made[name] = KEPT
        elif there == heard or (name in _WORDED and heard and not outcome.differences):
            made[name] = MAPPED
        elif name == "refusal" and outcome.case.endpoint == "messages" and not outcome.differences:
            made[name] = MAPPED  # as text
        else:
            made[name] = WRONG if outcome.differences else LEFT_OUT
    return made
