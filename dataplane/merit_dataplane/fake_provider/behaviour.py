"""How the simulated vendor behaves, and how that is changed while it runs."""

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import msgspec

FAULTS = (
    "none",
    "hang",
    "reset",
    "hang_at_chunk",
    "reset_at_chunk",
    "eof_at_chunk",
    "malformed_at_chunk",
    "malformed",
    "half_body",
    "lost_answer",
)
_MOST_MODELS = 1000
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,200}")


class InvalidBehaviourError(ValueError):
    """A field is unknown or has a value that it can't have; the message names field, value and fix."""


class Behaviour(msgspec.Struct, frozen=True):
    """Times are seconds."""

    latency: float = 0.0
    """To the first byte."""
    jitter: float = 0.0
    """Added to the latency, uniform between 0 and this."""
    first_token: float = 0.0
    """From a stream's head to its first event."""
    chunk_interval: float = 0.0
    """Between two events of a stream."""
    failure_rate: float = 0.0
    """Share of requests that are answered with `failure_status`."""
    failure_status: int = 500
    slow_rate: float = 0.0
    """Share of requests whose first byte takes `slow_latency` instead of `latency`."""
    slow_latency: float = 0.0
    status: int = 200
    """Every request is answered with this, and a body that fits."""
    code: str = ""
    """Of such an error; the usual one of the status when empty."""
    rejects_prefix: bool = False
    """A conversation that ends with an assistant message is refused; else the answer goes on from it."""
    retry_after: str = ""
    """Value of a Retry-After header on errors."""
    fault: str = "none"
    """none; hang: never answers; reset: TCP reset before the head; malformed: 200 with cut JSON (for a stream too, so
    that it is no stream); half_body: says more bytes than it sends; lost_answer: a file is kept, a batch created,
    and then comes a TCP reset. Of streams only, before event `chunk`:
    hang_at_chunk; reset_at_chunk; eof_at_chunk: ends without [DONE]; malformed_at_chunk: an event of cut JSON, then
    the rest."""
    chunk: int = 3
    """Past the end it is before the last event ([DONE], where there is one)."""
    batch_seconds: float = 0.0
    """From a batch's creation to its end."""
    match_model: str = ""
    """`status`, `failure_rate` and `fault` apply to requests for this model only."""
    times: int = -1
    """… and to this many requests more; -1 is without end."""

    def __post_init__(self) -> None:
        for name, (allowed, words) in _RULES.items():
            value = getattr(self, name)
            if not allowed(value):
                raise InvalidBehaviourError(f"{name}: must be {words} (is {value!r})")

    def changed(self, patch: bytes) -> "Behaviour":
        """This behaviour with the fields of a JSON object replaced. Raises InvalidBehaviourError."""
        try:
            given = msgspec.json.decode(patch, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise InvalidBehaviourError(f'body: must be a JSON object such as {{"fault": "hang"}} ({error})') from None
        for name, value in given.items():
            if name not in _RULES:
                near = get_close_matches(name, _RULES, 1)
                fix = f"did you mean {near[0]}?" if near else f"fields are {', '.join(_RULES)}"
                raise InvalidBehaviourError(f"{name}: unknown field (value {value!r}); {fix}")
        return Behaviour(**{**msgspec.structs.asdict(self), **given})

    @property
    def disturbs(self) -> bool:
        """Whether any request may be answered otherwise than well."""
        return self.fault != "none" or self.status != 200 or self.failure_rate > 0


def _number(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _whole(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


_SECONDS = (_number(0, 3600), "a number of seconds from 0 to 3600")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "latency": _SECONDS,
    "jitter": _SECONDS,
    "first_token": _SECONDS,
    "chunk_interval": _SECONDS,
    "failure_rate": (_number(0, 1), "a number from 0 to 1"),
    "failure_status": (lambda v: _whole(v, 400) and v <= 599, "an error from 400 to 599"),
    "slow_rate": (_number(0, 1), "a number from 0 to 1"),
    "slow_latency": _SECONDS,
    "status": (lambda v: _whole(v, 200) and (v == 200 or 400 <= v <= 599), "200, or an error from 400 to 599"),
    "code": (
        lambda v: isinstance(v, str) and _HEADER_VALUE.fullmatch(v) is not None,
        "a short code, such as context_length_exceeded",
    ),
    "rejects_prefix": (lambda v: isinstance(v, bool), "true or false"),
    "retry_after": (
        lambda v: isinstance(v, str) and _HEADER_VALUE.fullmatch(v) is not None,
        'a header value as a string of printable ASCII, such as "7"',
    ),
    "fault": (lambda v: isinstance(v, str) and v in FAULTS, f"one of {', '.join(FAULTS)}"),
    "chunk": (lambda v: _whole(v, 0), "the index of an event, 0 or more"),
    "batch_seconds": _SECONDS,
    "match_model": (lambda v: isinstance(v, str), 'the name of a model, or "" for all'),
    "times": (lambda v: _whole(v, -1), "a number of requests, or -1 for without end"),
}
"""Of each field: what it may be, for the machine and in words."""


class Stats(msgspec.Struct):
    """What the vendor was asked, the oracle of tests."""

    requests: int = 0
    """For completions and embeddings; asking for the models counts nowhere."""
    by_status: dict[str, int] = {}
    """Of the heads that were sent."""
    by_model: dict[str, int] = {}
    """Of the requests that named one, whatever became of them."""
    in_flight: int = 0
    client_disconnects: int = 0
    """Connections that the other side closed before the answer was complete."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Both of complete answers."""
    cut_prompt_tokens: int = 0
    cut_events: int = 0
    """Both of answers that ended before their end: prompts that were read, and events that were written."""
    last_request: dict[str, Any] = {}

    def answered(self, status: int) -> None:
        """The head of an answer goes out."""
        self.by_status[str(status)] = self.by_status.get(str(status), 0) + 1

    def served(self, prompt: int, completion: int, events: int, *, complete: bool) -> None:
        """An answer has gone out, or a part of it."""
        if complete:
            self.prompt_tokens += prompt
            self.completion_tokens += completion
        else:
            self.cut_prompt_tokens += prompt
            self.cut_events += events

    def asked_for(self, model: str) -> None:
        """A request names a model. Past the thousandth name it isn't counted: a long test must not fill the memory."""
        if len(self.by_model) < _MOST_MODELS or model in self.by_model:
            self.by_model[model] = self.by_model.get(model, 0) + 1
