"""One entry for JSON and SSE, whichever protocol a client speaks: the official SDKs ask one way, then the other."""

import asyncio
import json
from typing import Any

import anthropic
import pytest

from merit_dataplane.wire.anthropic_anthropic.whole import events_of as message_events
from merit_dataplane.wire.responses_responses.whole import events_of as response_events
from tests.support.gateway import Running, Script, gateway, says, streams
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route
from tests.support.scripted_vendor import vendor

pytestmark = pytest.mark.asyncio(loop_scope="session")

MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "Let me see.", "signature": "c2lnbmVk"},
        {"type": "text", "text": "It rains."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Zürich", "days": [1, 2]}},
    ],
    "stop_reason": "tool_use", "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 4},
}  # fmt: skip
SAID = {"type": "output_text", "text": "It rains.", "annotations": [], "logprobs": []}
RESPONSE: dict[str, Any] = {
    "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt", "error": None,
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [SAID]},
        {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "weather",
         "arguments": '{"city":"Zürich"}'},
    ],
    "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    "usage": {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
              "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
}  # fmt: skip
CHAT: dict[str, Any] = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It rains."}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
}  # fmt: skip
CHUNKS = [
    {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "choices": [choice]}
    for choice in (
        {"index": 0, "delta": {"role": "assistant", "content": "It "}, "finish_reason": None},
        {"index": 0, "delta": {"content": "rains."}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    )
]


def sse(*events: bytes, end: bytes = b"") -> tuple[bytes, ...]:
    return (*(b"event: %b\ndata: %b\n\n" % (json.loads(e).get("type", "").encode(), e) for e in events), end)


def chat_sse() -> tuple[bytes, ...]:
    used = {**CHUNKS[0], "choices": [], "usage": CHAT["usage"]}
    return (*(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in (*CHUNKS, used)), b"data: [DONE]\n\n")


def answers(kind: str, *, stream: bool) -> Script:
    if kind == "OpenAI":
        return streams(*chat_sse()) if stream else says(json.dumps(CHAT).encode())
    own, events = (MESSAGE, message_events) if kind == "Anthropic" else (RESPONSE, response_events)
    body = json.dumps(own).encode()
    return streams(*sse(*events(body))) if stream else says(body)


def documents(url: str, protocol: str) -> tuple[str, ...]:
    able = "Streaming, Tools" + (", Responses" if protocol == "Responses" else "")
    spoken = "Anthropic" if protocol == "Anthropic" else "OpenAI"
    chat = route("a", extra="cache: {exact: {ttl: 60s}}")
    return provider("a", url, protocol=spoken), prices("a", "1", "5", capabilities=able), chat, CONSUMER


async def messages(merit: Running, *, stream: bool) -> Any:
    """The message, as Anthropic's SDK has it in the end."""
    asked: Any = {"model": "chat", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}
    async with anthropic.AsyncAnthropic(base_url=merit.url, api_key=CONSUMER_KEY, max_retries=0) as client:
        if not stream:
            return (await client.messages.create(**asked)).to_dict(mode="json")
        async with client.messages.stream(**asked) as running:
            return (await running.get_final_message()).to_dict(mode="json")


async def response(merit: Running, *, stream: bool) -> Any:
    """The response, as OpenAI's SDK has it in the end."""
    client = merit.client()
    if not stream:
        return (await client.responses.create(model="chat", input="?")).to_dict(mode="json")
    async with client.responses.stream(model="chat", input="?") as running:
        return (await running.get_final_response()).to_dict(mode="json")


def content(told: Any) -> Any:
    """What it says, without what an SDK adds when it has parsed it."""
    parts = told.get("content") or told["output"]
    added = ("parsed_output", "parsed_arguments", "parsed")
    plain = json.dumps([{n: v for n, v in part.items() if n not in added and v is not None} for part in parts])
    found: Any = json.loads(plain)
    for part in found:
        for inner in part.get("content") or ():
            inner.pop("parsed", None)
            inner.pop("logprobs", None)
    return found


@pytest.mark.parametrize("first_streams", [False, True])
@pytest.mark.parametrize(
    ("ask", "protocol"),
    [(messages, "Anthropic"), (messages, "OpenAI"), (response, "Responses"), (response, "OpenAI")],
    ids=["messages", "messages of a chat", "responses", "responses of a chat"],
)
async def test_an_answer_that_came_one_way_is_a_hit_the_other_way(ask: Any, protocol: str, first_streams: bool) -> None:
    async with (
        vendor(answers(protocol, stream=first_streams)) as asked,
        gateway(*documents(asked.url, protocol)) as merit,
    ):
        first = await ask(merit, stream=first_streams)
        again = [await ask(merit, stream=stream) for stream in (not first_streams, first_streams)]
        how = [json.loads(line)["cache"] for line in merit.log_text().splitlines()]
    assert how == ["miss", "hit", "hit"]
    assert len(asked.asked) == 1
    assert [content(told) for told in again] == [content(first)] * 2
    if protocol == "Anthropic":
        assert content(first) == MESSAGE["content"]
    if protocol == "Responses":
        assert content(first) == content({"output": RESPONSE["output"]})


@pytest.mark.parametrize("protocol", ["Anthropic", "OpenAI"])
async def test_who_wants_it_whole_waits_for_a_stream_of_the_same_under_way(protocol: str) -> None:
    async with (
        vendor(answers(protocol, stream=True)) as asked,
        gateway(*documents(asked.url, protocol)) as merit,
    ):
        told = await asyncio.gather(*(messages(merit, stream=stream) for stream in (True, False, True, False)))
    assert len(asked.asked) == 1
    assert all(content(one) == content(told[0]) for one in told)
