"""Real answers of Azure's and Voyage's, which speak OpenAI's format: their bytes pass, their usage is booked."""

import json
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_response import usage_of, with_cost
from merit_dataplane.wire.openai_stream import StreamTranslator
from tests.support.cassettes import Cassette, cassettes
from tests.support.chunks import events

CHATS = [c for c in cassettes("azure", "chat.completions") if c.body and c.status == 200]
WHOLE = [c for c in CHATS if not c.streamed]
STREAMED = [c for c in CHATS if c.streamed]
EMBEDDED = [c for p in ("azure", "voyage") for c in cassettes(p, "embeddings") if c.status == 200]


def name(cassette: Cassette) -> str:
    return cassette.name


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def check_usage(vendors: dict[str, Any], booked: Usage | None) -> None:
    assert booked is not None
    told = (vendors.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    cached = min(told, vendors["prompt_tokens"])  # Azure's Grok counts instructions that it doesn't bill
    beyond = vendors["total_tokens"] - vendors["prompt_tokens"] - vendors.get("completion_tokens", 0)
    assert booked.all_cached == cached
    assert booked.all_output == vendors.get("completion_tokens", 0) + beyond
    special = booked.special
    heard = special.audio_input + special.image_input if special else 0
    assert booked.uncached_input + heard + cached == vendors["prompt_tokens"]


@pytest.mark.parametrize("cassette", WHOLE, ids=name)
def test_a_whole_answer(cassette: Cassette) -> None:
    vendors = json.loads(cassette.body)
    ours = json.loads(with_cost(cassette.body, free(Usage(0, 0))))
    ChatCompletion.construct(**ours)  # as the SDK reads it: a filtered choice has no message
    assert {**ours, "usage": None} == {**vendors, "usage": None}
    assert vendors["usage"].items() <= ours["usage"].items()
    check_usage(vendors["usage"], usage_of(cassette.body))


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_a_stream_at_any_chunking(cassette: Cassette) -> None:
    def translated(size: int) -> tuple[bytes, StreamTranslator]:
        stream = StreamTranslator(wants_usage=True, price=free)
        pieces = [stream.feed(cassette.body[at : at + size]) for at in range(0, len(cassette.body), size)]
        return b"".join(pieces) + stream.finish(), stream

    whole, stream = translated(len(cassette.body))
    for size in (1, 7, 64, 1000):
        assert translated(size)[0] == whole
    assert stream.complete
    vendors, ours = list(events(cassette.body)), list(events(whole))
    assert [{**event, "usage": None} for event in ours] == [{**event, "usage": None} for event in vendors]
    for event in ours:  # as the SDK reads it: the first event's object is empty
        ChatCompletionChunk.construct(**event)
    told = [event["usage"] for event in vendors if event.get("usage")]
    if told:
        check_usage(told[-1], stream.usage)


@pytest.mark.parametrize("cassette", EMBEDDED, ids=name)
def test_embeddings(cassette: Cassette) -> None:
    vendors = json.loads(cassette.body)
    CreateEmbeddingResponse.construct(**vendors)
    booked = usage_of(cassette.body)
    assert booked is not None
    assert booked.uncached_input == vendors["usage"].get("prompt_tokens", vendors["usage"]["total_tokens"])


def test_there_are_recordings_of_each_kind() -> None:
    assert WHOLE
    assert STREAMED
