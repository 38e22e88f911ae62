"""Bytes of providers and of clients that are no protocol's: recorded ones that were tampered with, and any others.

A translator says MalformedStreamError or ValueError, a request's parser RequestError; nothing else, at any split. The
same of a whole gateway is in `test_any_bytes_served`.
"""

import contextlib
import itertools
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.anthropic_anthropic.stream import PassedStream as PassedMessages
from merit_dataplane.wire.anthropic_openai.renderer import MessageRenderer
from merit_dataplane.wire.body import understood
from merit_dataplane.wire.clients import CLIENTS, dialect_for
from merit_dataplane.wire.dialects import DIALECTS, dialect_of
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_passed.stream import PassedStream as PassedSound
from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.openai_request import Call, Operation, parse
from merit_dataplane.wire.openai_whole import whole_of
from merit_dataplane.wire.responses_openai.renderer import ResponseRenderer
from merit_dataplane.wire.responses_openai.request import parse_responses
from merit_dataplane.wire.responses_responses.stream import PassedStream as PassedResponse
from merit_dataplane.wire.server_sent_events import MalformedStreamError
from tests.fidelity.exchanges import exchanges

RECORDED = [e for e in exchanges(extracts=True) if e.kind is not None]
PROTOCOLS = sorted(DIALECTS)
CHAT = parse(Operation.CHAT, b'{"model":"m","stream":true,"messages":[{"role":"user","content":"?"}]}')
EMBED = parse(Operation.EMBEDDINGS, b'{"model":"m","input":["a","b"]}')
RESPONSE = parse_responses(b'{"model":"m","stream":true,"input":"?"}', ())
MESSAGE = CLIENTS[Operation.MESSAGES].parse(
    b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"?"}]}', ()
)
STRANGE: tuple[bytes, ...] = (
    b"null", b"[]", b"{}", b"5", b'"x"', b"-1", b"1e999", b"true", b"[[[[", b"\xff", b"\x00", b"\\ud800", b"\r",
    b"\n\n", b"data: ", b":\n", b'{"a":', b"9" * 40, b"\xef\xbb\xbf", b"[DONE]", b"}", b'"',
)  # fmt: skip
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


@st.composite
def tampered(draw: st.DrawFn, bodies: list[bytes]) -> bytes:
    """A recorded body with a value, or any stretch of it, replaced, doubled or cut out; or no body at all."""
    body = draw(st.sampled_from([*bodies, b""]))[:6000]
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(body)))
        values = [found.span(1) for found in re.finditer(rb':\s*("[^"]*"|\d+|\[|\{|null|true)', body)]
        by_value = draw(st.booleans())
        if values and by_value:
            start, end = draw(st.sampled_from(values))
        else:
            end = draw(st.integers(start, min(len(body), start + 60)))
        body = body[:start] + draw(st.sampled_from(STRANGE) | st.binary(max_size=8)) + body[end:]
    return body


def cut(draw: st.DataObject, data: bytes) -> list[bytes]:
    places = sorted({0, len(data), *draw.draw(st.lists(st.integers(0, len(data)), max_size=4))})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def bodies_of(protocol: str, *, streamed: bool) -> list[bytes]:
    return [e.body for e in RECORDED if e.kind is not None and e.kind.protocol == protocol and e.streamed is streamed]


def fed(stream: Any, pieces: list[bytes]) -> bytes:
    out = b""
    with contextlib.suppress(MalformedStreamError):
        for piece in pieces:
            out += stream.feed(piece)
        out += stream.finish()
    return out


@pytest.mark.parametrize("protocol", PROTOCOLS)
@quick
@given(st.data())
def test_a_stream_of_any_protocol_and_its_renderings(protocol: str, data: st.DataObject) -> None:
    given_bytes = data.draw(tampered(bodies_of(protocol, streamed=True)))
    dialect, pieces = DIALECTS[protocol], cut(data, given_bytes)
    stream = dialect.stream(CHAT, "model", free, 1)
    out = fed(stream, pieces)
    if stream.usage is not None:
        assert min(stream.usage.input, stream.usage.all_output) >= 0
    progress = Progress()
    sent = progress.feed(out)
    whole_of(out, stream.usage)
    for renderer in (MessageRenderer(MESSAGE, "r"), ResponseRenderer(RESPONSE, "r")):
        fed(renderer, cut(data, sent))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@quick
@given(st.data())
def test_a_whole_answer_of_any_protocol(protocol: str, data: st.DataObject) -> None:
    body = data.draw(tampered(bodies_of(protocol, streamed=False)))
    for call in (CHAT, EMBED):
        with contextlib.suppress(ValueError):
            made, usage = DIALECTS[protocol].answer(body, call, "model", 1)
            if usage is not None:
                assert min(usage.input, usage.all_output, usage.all_cached, usage.all_written) >= 0
            MessageRenderer(MESSAGE, "r").whole(made, 200)
            ResponseRenderer(RESPONSE, "r").whole(made, 200)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@quick
@given(st.data())
def test_an_error_of_any_protocol(protocol: str, data: st.DataObject) -> None:
    body = data.draw(tampered([e.body for e in RECORDED if e.fails]))
    headers = data.draw(st.dictionaries(st.sampled_from(["x-amzn-errortype", "retry-after"]), st.text(max_size=20)))
    for status in (400, 404, 429, 503):
        refusal = DIALECTS[protocol].error(status, body, headers.get)
        assert 400 <= refusal.status < 600
        MessageRenderer(MESSAGE, "r").whole(refusal.body, refusal.status)
        ResponseRenderer(RESPONSE, "r").whole(refusal.body, refusal.status)


PASSED: dict[str, tuple[Callable[[], Any], str]] = {
    "messages": (lambda: PassedMessages(MESSAGE, "m", free, 1), "Anthropic"),
    "responses": (lambda: PassedResponse(RESPONSE, "m", free, 1), "OpenAI"),
    "sound": (lambda: PassedSound(Operation.SPEECH, events=True), "OpenAI"),
    "no end": (lambda: _dialect("GPUStack").stream(CHAT, "m", free, 1), "OpenAI"),
}


def _dialect(vendor: str) -> Any:
    return dialect_of("OpenAI", vendor, "https://v.invalid/v1")


@pytest.mark.parametrize("name", sorted(PASSED))
@quick
@given(st.data())
def test_streams_that_pass(name: str, data: st.DataObject) -> None:
    make, protocol = PASSED[name]
    body = data.draw(tampered(bodies_of(protocol, streamed=True)))
    out = fed(make(), cut(data, body))
    renderer = MessageRenderer(MESSAGE, "r") if name == "messages" else ResponseRenderer(RESPONSE, "r")
    fed(renderer, cut(data, out))


REQUESTS = [msgspec.json.encode(e.request) for e in RECORDED if e.request is not None]
FORM = (
    b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--b\r\ncontent-disposition: form-data; '
    b'name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
)


@pytest.mark.parametrize("operation", sorted(CLIENTS))
@quick
@given(st.data())
def test_a_request_to_any_endpoint_and_what_each_protocol_makes_of_it(
    operation: Operation, data: st.DataObject
) -> None:
    body = data.draw(tampered([*REQUESTS, FORM]))
    kind = data.draw(
        st.sampled_from([b"multipart/form-data; boundary=b", b"application/json", b"", b"\xff;;boundary="])
    )
    with contextlib.suppress(RequestError):
        _put_to_all(CLIENTS[operation].parse(body, ((b"content-type", kind), (b"anthropic-beta", body[:40]))))


def _put_to_all(call: Call) -> None:
    for dialect in DIALECTS.values():
        if call.operation in dialect.paths:
            with contextlib.suppress(RequestError):
                understood(dialect_for(dialect, call, -1).request, call, msgspec.Raw(b'"model"'), 100)


@pytest.mark.parametrize("value", [b"1e999", b'{"\xff": 1}', b"[" * 2000 + b"]" * 2000])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_value_that_nobody_can_read_is_the_clients_mistake(protocol: str, value: bytes) -> None:
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"?","x":%b}],"stop":%b}' % (value, value)
    for operation in (Operation.CHAT, Operation.MESSAGES):
        with contextlib.suppress(RequestError):
            _put_to_all(CLIENTS[operation].parse(body, ()))
