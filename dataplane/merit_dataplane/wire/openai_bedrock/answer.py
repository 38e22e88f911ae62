"""A whole answer of Bedrock's in OpenAI's format."""

from typing import Any

import msgspec

from merit_dataplane.wire.openai_bedrock.families import format_of_thoughts
from merit_dataplane.wire.openai_bedrock.tools import SCHEMA_TOOL
from merit_dataplane.wire.openai_bedrock.usage import beside, finish_reason, openai_usage, stop_sequence

_encode = msgspec.json.Encoder().encode


class _Text(msgspec.Struct):
    text: str = ""


class _ReasoningText(msgspec.Struct):
    text: str = ""
    signature: str = ""


class _Reasoning(msgspec.Struct, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str = ""


class _Cited(msgspec.Struct):
    content: list[_Text] = []
    citations: list[dict[str, Any]] = []


class _ToolUse(msgspec.Struct, rename="camel"):
    name: str
    tool_use_id: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    type: str = ""


class _Block(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Cited | None = None


class _Message(msgspec.Struct):
    content: list[msgspec.Raw]


class _Output(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output
    stop_reason: str = ""
    usage: dict[str, Any] | None = None


_answer = msgspec.json.Decoder(_Answer)
_block = msgspec.json.Decoder(_Block)
_object = msgspec.json.Decoder(dict[str, Any])


def answer_body(body: bytes, *, identity: str, model: str, created: int) -> bytes:
    """OpenAI's chat completion.

    Bedrock says neither `identity` nor `model`. `created`: epoch seconds. Raises ValueError when it is no answer of
    Bedrock's.
    """
    try:
        given = _answer.decode(body)
        said = _Said(format_of_thoughts(model))
        for raw in given.output.message.content:
            said.add(_block.decode(raw), raw)
        whole = _object.decode(body)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    choice = {
        "index": 0,
        "message": said.message(),
        "logprobs": None,
        "finish_reason": finish_reason(given.stop_reason, called=bool(said.calls)),
        "native_finish_reason": given.stop_reason,
    }
    if sequence := stop_sequence(whole.get("additionalModelResponseFields")):
        choice["stop_sequence"] = sequence
    made: dict[str, Any] = {
        "id": identity,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        **beside(whole),
    }
    if given.usage is not None:
        made["usage"] = openai_usage(given.usage)
    return _encode(made)


def detail(form: str, text: str, signature: str, data: str) -> dict[str, Any]:
    """OpenRouter's object of one thought, or of a piece of one. `form`: see `format_of_thoughts`."""
    if data:
        return {"type": "reasoning.encrypted", "data": data, "format": form}
    made = {"type": "reasoning.text", "text": text, "format": form}
    return made | {"signature": signature} if signature else made


def cited_in(citations: list[dict[str, Any]], start: int, end: int) -> dict[str, Any]:
    """Bedrock's citations with their place in `content`; those that name a page as OpenAI's annotations too."""
    made: dict[str, Any] = {"citations": [{**given, "start_index": start, "end_index": end} for given in citations]}
    pages = [
        {
            "type": "url_citation",
            "url_citation": {
                "url": url,
                "title": str(given.get("title") or ""),
                "start_index": start,
                "end_index": end,
            },
        }
        for given in citations
        if (url := _page(given))
    ]
    return made | {"annotations": pages} if pages else made


def _page(citation: dict[str, Any]) -> str:
    location = citation.get("location")
    web = location.get("web") if isinstance(location, dict) else None
    url = web.get("url") if isinstance(web, dict) else citation.get("source")
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) else ""


class _Said:
    """A message, put together from its blocks."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._texts: list[str] = []
        self._end = 0
        self._thoughts: list[dict[str, Any]] = []
        self._cited: dict[str, list[dict[str, Any]]] = {}
        self._others: list[msgspec.Raw] = []
        self.calls: list[dict[str, Any]] = []

    def add(self, block: _Block, raw: msgspec.Raw) -> None:
        if block.text is not None:
            self._text(block.text)
        elif block.tool_use is not None and block.tool_use.type != "server_tool_use":
            self._call(block.tool_use)
        elif block.reasoning_content is not None:
            thought = block.reasoning_content
            said = thought.reasoning_text or _ReasoningText()
            made = detail(self._form, said.text, said.signature, thought.redacted_content)
            self._thoughts.append({**made, "index": len(self._thoughts)})
        elif block.citations_content is not None:
            start = self._end
            self._text("".join(part.text for part in block.citations_content.content))
            for name, found in cited_in(block.citations_content.citations, start, self._end).items():
                self._cited.setdefault(name, []).extend(found)
        else:
            self._others.append(raw)

    def message(self) -> dict[str, Any]:
        content = "".join(self._texts) if self._texts else None
        made: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self._thoughts:
            made["reasoning_content"] = "".join(thought.get("text", "") for thought in self._thoughts)
            made["reasoning_details"] = self._thoughts
        if self.calls:
            made["tool_calls"] = self.calls
        made |= {name: found for name, found in self._cited.items() if found}
        if self._others:
            made["provider_blocks"] = self._others
        return made

    def _text(self, text: str) -> None:
        self._texts.append(text)
        self._end += len(text)

    def _call(self, call: _ToolUse) -> None:
        arguments = bytes(call.input).decode()
        if call.name == SCHEMA_TOOL:
            self._text(arguments)
            return
        function = {"name": call.name, "arguments": arguments}
        self.calls.append({"id": call.tool_use_id, "type": "function", "function": function})
