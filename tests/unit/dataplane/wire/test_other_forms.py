"""Answers as no vendor of the recordings wrote them, but as another one may: what they say stays the same.

By the rules of server-sent events (WHATWG HTML 9.2), of Amazon's event stream, and of JSON.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.anthropic_openai.renderer import MessageRenderer
from merit_dataplane.wire.clients import CLIENTS, dialect_for
from merit_dataplane.wire.dialects import DIALECTS
from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.openai_request import Operation
from tests.fidelity.exchanges import Exchange, exchanges
from tests.support.event_stream import message
from tests.support.said import anthropic, bedrock
from tests.support.said.answer import Said

MESSAGE = CLIENTS[Operation.MESSAGES].parse(
    b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"?"}]}', ()
)
SERVED = [
    e for e in exchanges(extracts=True)
    if e.kind is not None and e.kind.operation in ("chat", "messages")
    and not e.fails and b"exception-type" not in e.body
]  # fmt: skip
STREAMS = [e for e in SERVED if e.streamed]
WHOLE = [e for e in SERVED if not e.streamed]


def name(exchange: Exchange) -> str:
    return exchange.name[-40:]


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def streamed(exchange: Exchange, body: bytes, size: int) -> tuple[Said, Usage | None]:
    """What a client of Messages reads of it, and what is booked."""
    if exchange.kind is None:
        raise AssertionError("it is served")
    stream = dialect_for(DIALECTS[exchange.kind.protocol], MESSAGE, 0).stream(MESSAGE, "model", free, 1)
    renderer, progress, out = MessageRenderer(MESSAGE, "r"), Progress(), b""
    for at in range(0, len(body), size):
        out += renderer.feed(progress.feed(stream.feed(body[at : at + size])))
    out += renderer.feed(progress.feed(stream.finish())) + renderer.finish()
    assert stream.complete
    assert not progress.broken
    return replace(anthropic.stream(out), identity=""), stream.usage


def lines(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda body: b"".join(change(line) for line in body.splitlines(keepends=True))


def datas(change: Callable[[Any], str]) -> Callable[[bytes], bytes]:
    """Another writing of each event's JSON; one of several lines is several lines of data."""

    def changed(line: bytes) -> bytes:
        if not line.startswith(b"data:") or b"[DONE]" in line:
            return line
        made = change(json.loads(line[5:])).encode()
        return b"".join(b"data: " + one + b"\n" for one in made.split(b"\n"))

    return lines(changed)


def stranger(value: Any) -> Any:
    """Fields that are newer than this, in every object but those of arguments and schemas."""
    if isinstance(value, list):
        return [stranger(one) for one in value]
    if not isinstance(value, dict):
        return value
    closed = ("input", "args", "arguments", "function_call", "functionCall")
    made = {key: one if key in closed else stranger(one) for key, one in value.items()}
    return {"zz_new": {"deep": [1, None]}, **made, "zz_newer": "?"}


def reversed_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [reversed_keys(one) for one in value]
    return {key: reversed_keys(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


JSONS: dict[str, Callable[[Any], str]] = {
    "spaces": lambda given: json.dumps(given, indent=1, ensure_ascii=False),
    "escapes": lambda given: json.dumps(given, separators=(" , ", " : ")),
    "new fields": lambda given: json.dumps(stranger(given)),
    "another order": lambda given: json.dumps(reversed_keys(given)),
}
EVENTS: dict[str, Callable[[bytes], bytes]] = {
    "carriage returns": lambda body: re.sub(rb"\r?\n", b"\r\n", body),
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "comments": lambda body: b": here\n\n" + re.sub(rb"(\r?\n){2}", b"\n: keep-alive\n\n: again\n\n", body),
    "ids and times": lambda body: (
        b"retry: 100\n" + lines(lambda x: b"id: 7\n" + x if x.startswith(b"data") else x)(body)
    ),
    "no space": lines(lambda line: line.replace(b"data: ", b"data:", 1)),
    "more blank lines": lambda body: b"\n\n" + re.sub(rb"(\r?\n){2}", b"\n\n\n\n", body),
    "no last blank line": lambda body: body.rstrip(b"\r\n"),
    **{how: datas(change) for how, change in JSONS.items()},
}


@pytest.mark.parametrize("exchange", [e for e in STREAMS if e.body[:1] not in b"\0["], ids=name)
@pytest.mark.parametrize("how", list(EVENTS))
def test_a_stream_of_events(exchange: Exchange, how: str) -> None:
    changed = EVENTS[how](exchange.body)
    wanted = streamed(exchange, exchange.body, len(exchange.body))
    for size in (len(changed), 61, 1) if len(changed) < 3_000 else (len(changed), 61):
        assert streamed(exchange, changed, size) == wanted


@pytest.mark.parametrize("exchange", [e for e in STREAMS if e.body[:1] == b"\0"], ids=name)
@pytest.mark.parametrize("how", list(JSONS))
def test_a_stream_of_amazons(exchange: Exchange, how: str) -> None:
    changed = b""
    for headers, event in bedrock.messages(exchange.body):
        changed += message({**headers, ":new": True}, JSONS[how](event).encode())
        changed += message({":event-type": "newEvent", ":message-type": "event"}, b'{"p":"abc"}')
    assert streamed(exchange, changed, 100) == streamed(exchange, exchange.body, len(exchange.body))


@pytest.mark.parametrize("exchange", WHOLE, ids=name)
@pytest.mark.parametrize("how", [*JSONS, "white space around it"])
def test_a_whole_answer(exchange: Exchange, how: str) -> None:
    def read(body: bytes) -> tuple[Said, Usage | None]:
        if exchange.kind is None:
            raise AssertionError("it is served")
        made, usage = DIALECTS[exchange.kind.protocol].answer(body, MESSAGE, "model", 1)
        status, rendered = MessageRenderer(MESSAGE, "r").whole(made, 200)
        assert status == 200
        return replace(anthropic.whole(rendered), identity=""), usage  # Bedrock's answers have none: it is made up

    changed = b"\r\n \n" + exchange.body + b"\n "
    if how in JSONS:
        changed = JSONS[how](json.loads(exchange.body)).encode()
    assert read(changed) == read(exchange.body)
