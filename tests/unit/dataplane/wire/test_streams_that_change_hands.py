"""Streams of the client's own protocol that break off: who else can go on with them so that SDKs read one answer."""

import json
from typing import Any

from anthropic._models import construct_type
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.anthropic_anthropic.stream import PassedStream as PassedMessage
from merit_dataplane.wire.anthropic_openai.renderer import MessageRenderer
from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.openai_request import Operation
from merit_dataplane.wire.responses_openai.renderer import ResponseRenderer
from merit_dataplane.wire.responses_responses.stream import PassedStream as PassedResponse
from tests.unit.dataplane.wire.test_kept_answer import asks


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def said(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    fields = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


REST = chunk({"content": " round the world"}) + chunk({}, "stop") + b"data: [DONE]\n\n"


def datas(stream: bytes) -> list[Any]:
    return [json.loads(line[5:]) for line in stream.splitlines() if line.startswith(b"data:")]


def test_a_message() -> None:
    call = asks(Operation.MESSAGES, stream=True)
    passed, progress, renderer = PassedMessage(call, "m", free, 1), Progress(), MessageRenderer(call, "req_1")
    usage = {"input_tokens": 3, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    begun = said(
        {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "All the way"}},
    )
    sent = renderer.feed(progress.feed(passed.feed(begun)))
    assert not progress.fixed
    assert progress.text == "All the way"
    sent += renderer.feed(REST) + renderer.finish()
    whole, texts = None, dict[int, bytes]()
    for event in datas(sent):
        read: Any = construct_type(type_=RawMessageStreamEvent, value=event)
        whole = accumulate_event(event=read, current_snapshot=whole, json_bufs=texts)
    assert whole is not None
    assert "".join(block.text for block in whole.content if block.type == "text") == "All the way round the world"
    assert whole.stop_reason == "end_turn"
    assert [e["index"] for e in datas(sent) if e["type"] == "content_block_stop"] == [0, 1]


def test_a_response() -> None:
    call = asks(Operation.RESPONSES, stream=True)
    passed, progress, renderer = PassedResponse(call, "m", free, 1), Progress(), ResponseRenderer(call, "req_1")
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "in_progress"}
    response |= {"output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    begun = said(
        {"type": "response.created", "sequence_number": 0, "response": response},
        {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item},
        {"type": "response.content_part.added", "sequence_number": 2, **place,
         "part": {"type": "output_text", "text": "", "annotations": []}},
        {"type": "response.output_text.delta", "sequence_number": 3, **place, "delta": "All the way", "logprobs": []},
    )  # fmt: skip
    assert renderer.feed(progress.feed(passed.feed(begun))) == begun
    assert progress.text == "All the way"
    assert progress.fixed, "SDKs give up where a response changes its id"
