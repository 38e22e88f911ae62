"""How the simulated vendor behaves, and how that is changed while it runs."""

from typing import Any

import msgspec

FAULTS = (
    "none",
    "hang",
    "reset",
    "hang_at_chunk",
    "reset_at_chunk",
    "eof_at_chunk",
    "malformed",
    "half_body",
)


class InvalidBehaviourError(ValueError):
    """A field is unknown or has a value that it can't have; the message names field, value and fix."""


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times are seconds."""

    latency: float = 0.0
    """To the first byte."""
    jitter: float = 0.0
    """Added to the latency, uniform between 0 and this."""
    chunk_interval: float = 0.0
    """Between two events of a stream."""
    failure_rate: float = 0.0
    """Share of requests that are answered with 500."""
    status: int = 200
    """Every request is answered with this, and a body that fits."""
    retry_after: str = ""
    """Value of a Retry-After header on errors."""
    fault: str = "none"
    """none; hang: never answers; reset: TCP reset before the head; *_at_chunk: in a stream, before event `chunk`;
    malformed: no JSON; half_body: says more bytes than it sends."""
    chunk: int = 3
    match_model: str = ""
    """`status`, `failure_rate` and `fault` apply to requests for this model only."""
    times: int = -1
    """… and to this many requests more; -1 is without end."""

    def __post_init__(self) -> None:
        for name in ("latency", "jitter", "chunk_interval"):
            if not 0 <= getattr(self, name) <= 3600:
                raise InvalidBehaviourError(f"{name}: must be 0 to 3600 seconds (is {getattr(self, name)})")
        if not 0 <= self.failure_rate <= 1:
            raise InvalidBehaviourError(f"failure_rate: must be 0 to 1 (is {self.failure_rate})")
        if self.fault not in FAULTS:
            raise InvalidBehaviourError(f"fault: must be one of {', '.join(FAULTS)} (is {self.fault!r})")
        if self.status != 200 and not 400 <= self.status <= 599:
            raise InvalidBehaviourError(f"status: must be 200 or 400 to 599 (is {self.status})")

    def changed(self, patch: bytes) -> "Behaviour":
        """This behaviour with the fields of a JSON object replaced. Raises InvalidBehaviourError."""
        try:
            given = msgspec.json.decode(patch, type=dict[str, Any])
            return msgspec.convert({**msgspec.structs.asdict(self), **given}, Behaviour)
        except InvalidBehaviourError:
            raise
        except msgspec.MsgspecError as error:
            fields = ", ".join(Behaviour.__struct_fields__)
            raise InvalidBehaviourError(f"{error}; fields are {fields}") from None


class Stats(msgspec.Struct):
    """What the vendor was asked, the oracle of tests."""

    requests: int = 0
    by_status: dict[str, int] = {}
    by_model: dict[str, int] = {}
    in_flight: int = 0
    client_disconnects: int = 0
    """Connections that the other side closed before the answer was complete."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    last_request: dict[str, Any] = {}

    def ended(self, status: int, model: str) -> None:
        """An answer went out."""
        self.by_status[str(status)] = self.by_status.get(str(status), 0) + 1
        if len(self.by_model) < 1000 or model in self.by_model:
            self.by_model[model] = self.by_model.get(model, 0) + 1
