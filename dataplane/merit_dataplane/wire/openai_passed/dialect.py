"""How such a request is put to a provider that has the endpoint, and how its answer is heard."""

from dataclasses import replace

from merit_dataplane.wire.dialects import Dialect
from merit_dataplane.wire.openai_passed.request import Passed
from merit_dataplane.wire.openai_passed.stream import PassedStream
from merit_dataplane.wire.openai_passed.usage import estimate, usage_of
from merit_dataplane.wire.openai_request import Native


def passed(dialect: Dialect, native: Native) -> Dialect:
    """The provider's dialect for this one request."""
    if not isinstance(native, Passed):
        raise TypeError("a request for one of these endpoints has been read as such")
    return replace(
        dialect,
        more_headers=dict(native.headers),
        request=lambda _, model, __: native.body_for(model),
        answer=lambda body, *_: (body, usage_of(body, native.operation)),
        stream=lambda *_: PassedStream(native.operation, events=native.streams_events),
        stream_type="",
        keeps=lambda *_: None,
        estimate=lambda call, body: estimate(call, native.files, body),
    )
