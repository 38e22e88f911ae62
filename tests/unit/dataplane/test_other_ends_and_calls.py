"""Ends of streams and calls of tools in forms that vendors document or send beside OpenAI's: clients get them whole."""

import json
from typing import Any

import pytest

from tests.support.gateway import gateway, says, streams
from tests.support.resources import CONSUMER, prices, provider, route
from tests.support.scripted_vendor import vendor

pytestmark = pytest.mark.asyncio(loop_scope="session")

_DONE = b"data: [DONE]\n\n"
_PATHS = {"/v1/chat/completions": "messages", "/v1/responses": "input", "/v1/messages": "messages"}


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    )


async def _answer(path: str, script: Any, *, stream: bool, able: str = "Streaming, Tools") -> str:
    said: Any = [{"role": "user", "content": "?"}] if _PATHS[path] == "messages" else "?"
    body = {"model": "chat", _PATHS[path]: said, "stream": stream, "max_tokens": 50}
    if path == "/v1/responses":
        del body["max_tokens"]
    async with vendor(script) as asked:
        resources = provider("a", asked.url), prices("a", "1", "5", capabilities=able), route("a"), CONSUMER
        async with gateway(*resources) as merit:
            got = await merit.post(body, path=path)
    assert got.status_code == 200, got.text
    return got.text


async def test_a_stream_of_responses_that_ends_as_a_chat_does_keeps_its_last_event() -> None:
    """OpenRouter writes [DONE] after `response.completed`, and both may come in one piece."""
    response = {"id": "r1", "object": "response", "model": "m", "output": [], "status": "in_progress"}
    usage = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
    last = {"type": "response.completed", "response": {**response, "status": "completed", "usage": usage}}
    events = (
        _event({"type": "response.created", "response": response, "sequence_number": 0}),
        _event({"type": "response.output_text.delta", "delta": "Hi", "output_index": 0, "sequence_number": 1}),
        _event({**last, "sequence_number": 2}) + _DONE,
    )
    answer = await _answer("/v1/responses", streams(*events), stream=True, able="Streaming, Responses")
    assert "event: response.completed" in answer
    assert "error" not in answer.replace('"error":null', "")


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/v1/chat/completions", "data: [DONE]"),
        ("/v1/messages", "event: message_stop"),
        ("/v1/responses", "event: response.incomplete"),
    ],
)
async def test_an_error_after_the_finish_reason_leaves_the_answer_its_end(path: str, end: str) -> None:
    """The model had ended: with the error the vendor's own mark is held back, and another one is due."""
    error = _chunk({}, error={"code": 400, "message": "Token limit reached"})
    answer = await _answer(path, streams(_chunk({"content": "Hi"}), _chunk({}, "length"), error + _DONE), stream=True)
    assert "Hi" in answer
    assert answer.count(end) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_the_older_form_of_a_call_is_one_for_clients_of_other_protocols(path: str, *, stream: bool) -> None:
    called = {"name": "weather", "arguments": '{"city":"Rome"}'}
    if stream:
        begun, more = {"name": "weather", "arguments": ""}, {"arguments": '{"city":"Rome"}'}
        pieces = _chunk({"function_call": begun}), _chunk({"function_call": more}), _chunk({}, "function_call"), _DONE
        script = streams(*pieces)
    else:
        message = {"role": "assistant", "content": None, "function_call": called}
        choice = {"index": 0, "message": message, "finish_reason": "function_call"}
        script = says(json.dumps({"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}).encode())
    answer = await _answer(path, script, stream=stream)
    assert "weather" in answer
    assert "Rome" in answer


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_an_empty_call_beside_a_text_is_none(path: str) -> None:
    """Snowflake writes out all fields, with nothing in them."""
    message = {"role": "assistant", "content": "Hi", "function_call": {"name": "", "arguments": ""}}
    choice = {"index": 0, "message": message, "finish_reason": ""}
    script = says(json.dumps({"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}).encode())
    given = json.loads(await _answer(path, script, stream=False))
    parts = given["content"] if path == "/v1/messages" else given["output"]
    assert [part["type"] for part in parts] == ["text" if path == "/v1/messages" else "message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_an_empty_custom_tool_beside_a_function_is_none(path: str) -> None:
    """Snowflake's calls have all fields, too."""
    function = {"name": "weather", "arguments": '{"city":"Rome"}'}
    call = {"id": "t1", "type": "function", "function": function, "custom": {"name": "", "input": ""}}
    choice = {"index": 0, "message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"}
    script = says(json.dumps({"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}).encode())
    answer = await _answer(path, script, stream=False)
    assert "weather" in answer
    assert "Rome" in answer
