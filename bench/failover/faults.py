"""The 16 faults of Failover Bench, as this repository's simulated vendor shows them, and the rules of their verdicts.

Restated from failoverbench/failoverbench (MIT), methodology v0.1. The answer here has 72 tokens of a recorded stream
instead of 60 made-up ones: what happens after 40, 20 or 10 of them stays so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.failover.observed import Observed

Behaviour = dict[str, Any]
Check = Callable[[Observed], bool]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    name: str
    words: str
    stream: Behaviour
    """Of the primary, for a streamed request."""
    whole: Behaviour | None
    """The same for an answer that is not streamed; None where there is nothing like it."""
    required: dict[str, Check] = field(default_factory=dict)
    advisory: dict[str, Check] = field(default_factory=dict)
    fallback: Behaviour = field(default_factory=dict)
    ends_within: float = 40.0
    """Seconds after which it counts as a hang."""
    ideal_error: str = ""
    """What a clean error must say, where that is the ideal."""


def _attempts(most: int, seconds: float | None = None) -> Check:
    return lambda seen: (
        len(seen.primary_at if seconds is None else [at for at in seen.primary_at if at <= seconds]) <= most
    )


def _later(seconds: float) -> Check:
    return lambda seen: len(seen.primary_at) >= 2 and seen.primary_at[1] - seen.primary_at[0] >= seconds


def _twice(seen: Observed) -> bool:
    return len(seen.primary_at) >= 2


def _once(seen: Observed) -> bool:
    return len(seen.primary_at) == 1


def _usage(seen: Observed) -> bool:
    return seen.usage


def _names_fallback(seen: Observed) -> bool:
    return seen.says_model.endswith("fallback")


def _died(chunk: int) -> Behaviour:
    return {"fault": "reset_at_chunk", "chunk": chunk, "chunk_interval": 0.01}


FAULTS = (
    Fault("S01", "429 with Retry-After 2 once", {"status": 429, "retry_after": "2", "times": 1},
          {"status": 429, "retry_after": "2", "times": 1},
          {"at most 2 primary attempts within 1.5 s": _attempts(2, 1.5)},
          {"2nd primary attempt 1.8 s after the 1st or later": _later(1.8)}),
    Fault("S02", "always 429", {"status": 429}, {"status": 429},
          {"at most 4 primary attempts within 3 s": _attempts(4, 3.0), "at most 6": _attempts(6)}),
    Fault("S03", "500 once", {"status": 500, "times": 1}, {"status": 500, "times": 1},
          advisory={"tried once more on the same provider": _twice}, ends_within=20),
    Fault("S04", "always 503", {"status": 503}, {"status": 503}, {"at most 6 primary attempts": _attempts(6)}),
    Fault("S05", "reset before any byte, once", {"fault": "reset", "times": 1}, {"fault": "reset", "times": 1},
          ends_within=20),
    Fault("S06", "accepts and never answers", {"fault": "hang"}, {"fault": "hang"},
          advisory={"tried once": _once}, ends_within=100),
    Fault("S07", "headers at once, first token after 20 s", {"first_token": 20}, {"latency": 20},
          advisory={"done within 15 s": lambda seen: seen.seconds <= 15}, ends_within=60),
    Fault("S08", "dies after 40 tokens", _died(41), {"fault": "half_body"}),
    Fault("S09", "silent after 20 tokens", {"fault": "hang_at_chunk", "chunk": 21, "chunk_interval": 0.01},
          None, ends_within=45),
    Fault("S10", "10th event is no JSON", {"fault": "malformed_at_chunk", "chunk": 9, "chunk_interval": 0.01},
          {"fault": "malformed"}, {"no garbage to the caller": lambda seen: not seen.garbage}),
    Fault("S11", "complete, without [DONE]", {"fault": "eof_at_chunk", "chunk": 9999}, None,
          advisory={"usage reported": _usage}, ends_within=8),
    Fault("S12", "400 context_length_exceeded", {"status": 400, "code": "context_length_exceeded"},
          {"status": 400, "code": "context_length_exceeded"},
          {"exactly 1 primary attempt": _once, "the larger model answers": _names_fallback}),
    Fault("S13", "400 content_policy_violation", {"status": 400, "code": "content_policy_violation"},
          {"status": 400, "code": "content_policy_violation"}, {"exactly 1 primary attempt": _once},
          ideal_error="content_policy_violation"),
    Fault("S14", "dies after 40 tokens, fallback rejects a prefix", _died(41), {"fault": "half_body"},
          {"never the prefix error": lambda seen: "prefill" not in seen.error}, fallback={"rejects_prefix": True}),
    Fault("S16", "always 503, names the fallback", {"status": 503}, {"status": 503},
          {"the response names the fallback's model": _names_fallback, "at most 6 primary attempts": _attempts(6)},
          {"usage present": _usage}),
)  # fmt: skip
"""S15 takes 80 s and is another kind of run: see `outage`."""
