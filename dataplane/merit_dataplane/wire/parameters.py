"""Which parameters of a request a protocol's translation leaves out: what `provider.require_parameters` asks for."""

from collections.abc import Container, Mapping
from typing import Final

from merit_crds.pricing import STANDARD
from merit_dataplane.wire.openai_request import Call

_NO_PARAMETERS: Final = frozenset(
    {"model", "messages", "prompt", "input", "stream", "stream_options", "usage", "models", "provider"}
)
"""What every dialect says in its own way, and what is Merit's."""
_NOTHING: Final = frozenset({b"null", b"false", b"[]", b"{}", b'""'})
"""Values that ask for nothing."""
_USUAL: Final[Mapping[str, frozenset[bytes]]] = {
    "frequency_penalty": frozenset({b"0", b"0.0"}),
    "modalities": frozenset({b'["text"]'}),
    "n": frozenset({b"1"}),
    "presence_penalty": frozenset({b"0", b"0.0"}),
    "service_tier": frozenset(b'"%s"' % name.encode() for name in STANDARD),
    "verbosity": frozenset({b'"medium"'}),
}
"""Values that a request without the field has."""


def left_out(call: Call, kept: Container[str] | None) -> list[str]:
    """Names of the parameters that a dialect doesn't send on; `kept` is what it states, None for all."""
    if kept is None:
        return []
    return [
        name
        for name, raw in call.fields.items()
        if name not in kept
        and name not in _NO_PARAMETERS
        and bytes(raw) not in _NOTHING
        and bytes(raw) not in _USUAL.get(name, ())
    ]
