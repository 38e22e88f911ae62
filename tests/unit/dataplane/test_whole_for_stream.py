"""A vendor that answers a request for a stream with a whole answer: its client gets a stream all the same."""

import json
from typing import Any

import anthropic
import openai
import pytest

from tests.support.gateway import Running, Script, gateway, over, says, streams
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route
from tests.support.scripted_vendor import vendor

pytestmark = pytest.mark.asyncio(loop_scope="session")
HELLO: Any = [{"role": "user", "content": "Hello"}]
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
CHAT = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}  # fmt: skip
CALLED = {**CHAT, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
    "role": "assistant", "content": None,
    "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}],
}}]}  # fmt: skip
TEXT = {
    "id": "c1", "object": "text_completion", "created": 1, "model": "m", "usage": USAGE,
    "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}],
}  # fmt: skip
MESSAGE = {
    "id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 3},
}  # fmt: skip
RESPONSE = {
    "id": "r1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "error": None,
    "output": [{"id": "i1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}],
    "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
}  # fmt: skip


def whole(answer: object, kind: str = "application/json; charset=utf-8") -> Script:
    return says(json.dumps(answer).encode(), kind=kind)


def line(merit: Running) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(merit.log_text().splitlines()[-1])
    return made


async def streamed(merit: Running, client: str) -> str:
    """The text of a stream, as the client's own SDK reads it."""
    if client == "messages":
        claude = anthropic.AsyncAnthropic(base_url=merit.url, api_key=CONSUMER_KEY, max_retries=0)
        async with claude, claude.messages.stream(model="chat", max_tokens=50, messages=HELLO) as events:
            return await events.get_final_text()
    sdk = merit.client()
    if client == "responses":
        async with sdk.responses.stream(model="chat", input="Hello") as events:
            return (await events.get_final_response()).output_text
    if client == "completions":
        parts = await sdk.completions.create(model="chat", prompt="Hello", stream=True)
        return "".join([choice.text async for part in parts for choice in part.choices])
    chunks = await sdk.chat.completions.create(model="chat", messages=HELLO, stream=True)
    return "".join([choice.delta.content or "" async for chunk in chunks for choice in chunk.choices])


@pytest.mark.parametrize(
    ("client", "protocol", "answer"),
    [
        ("chat", "OpenAI", CHAT),
        ("chat", "Anthropic", MESSAGE),
        ("completions", "OpenAI", TEXT),
        ("messages", "OpenAI", CHAT),
        ("messages", "Anthropic", MESSAGE),
        ("responses", "OpenAI", CHAT),
        ("responses", "Anthropic", MESSAGE),
        ("responses", "Responses", RESPONSE),
    ],
)
async def test_every_client_gets_its_stream(client: str, protocol: str, answer: object) -> None:
    capabilities = "Streaming, Responses" if protocol == "Responses" else "Streaming"
    speaks = "OpenAI" if protocol == "Responses" else protocol
    async with (
        vendor(whole(answer)) as asked,
        gateway(
            CONSUMER,
            provider("a", asked.url, protocol=speaks),
            prices("a", "1", "2", capabilities=capabilities),
            route("a"),
        ) as merit,
    ):
        assert await streamed(merit, client) == "Hi"
        last = line(merit)
    assert (last["status"], last["input_tokens"], last["output_tokens"], last["attempts"]) == (200, 7, 3, 1)
    assert "estimated" not in last
    assert asked.asked[0].body["stream"] is True


async def test_a_tool_call_and_the_usage_that_was_asked_for_are_in_the_stream() -> None:
    async with over(whole(CALLED)) as merit:
        chunks = [
            chunk
            async for chunk in await merit.client().chat.completions.create(
                model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
            )
        ]
    (call,) = [c for k in chunks for choice in k.choices for c in choice.delta.tool_calls or ()]
    assert call.function is not None
    assert (call.function.name, call.function.arguments) == ("look", '{"at":1}')
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (7, 3)
    assert chunks[-1].usage.model_extra
    assert float(chunks[-1].usage.model_extra["cost"]) == pytest.approx((7 + 3) / 10**6)


GOOD = streams(
    b'data: {"choices":[{"index":0,"delta":{"content":"other"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


ODD = {
    "an error": whole({"error": {"message": "no"}}),
    "nothing": whole({"choices": []}),
    "no message": whole({"choices": [{"index": 0}]}),
    "half a message": whole({"choices": [{"index": 0, "message": {"content": "half"}, "finish_reason": None}]}),
    "a list": whole([1]),
    "no JSON": says(b"{", kind="application/json"),
    "HTML": whole(CHAT, kind="text/html"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_what_is_no_answer_is_nobodys_stream(odd: Script) -> None:
    async with over(odd, GOOD) as merit:
        answer = await merit.post({"model": "chat", "messages": HELLO, "stream": True})
        assert (answer.headers["x-merit-provider"], b"other" in answer.content) == ("b", True)


async def test_a_client_that_is_refused_hears_the_vendors_words() -> None:
    async with over(says(b'{"error":{"message":"no such field"}}', status="400 Bad Request")) as merit:
        with pytest.raises(openai.BadRequestError, match="no such field"):
            await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)
