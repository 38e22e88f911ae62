"""Output items of a response, and the events that tell of them: thoughts, messages, calls."""

from typing import Any

import msgspec

from merit_dataplane.wire.call_sequence import Begun, CallSequence, Ended, More, Step
from merit_dataplane.wire.chat_chunks import Delta, called_before, signed
from merit_dataplane.wire.responses_openai.events import Events
from merit_dataplane.wire.sealed import Detail, seal

Item = dict[str, Any]


class _Arguments(msgspec.Struct):
    input: str


_arguments = msgspec.json.Decoder(_Arguments)


class Output:
    """Of one response. One item is open at a time."""

    def __init__(self, events: Events, calls: CallSequence, customs: frozenset[str]):
        self._events, self._calls, self._customs = events, calls, customs
        self.identity = ""
        """What the ids of items are made of."""
        self.items: list[Item] = []
        self._open: Item | None = None
        self._part: Item | None = None
        """Of the open item, the part that is being written."""
        self._counted: dict[str, int] = {}
        """The part's place, by the name that its kind's events have for it."""
        self._details: list[Detail] = []
        self._pages: list[Item] = []
        """Cited before a word was said, as OpenRouter does."""
        self._passed = 0

    def passed(self, index: int) -> None:
        """The vendor's own event was about this item."""
        self._passed = max(self._passed, index + 1)

    def add(self, delta: Delta, logprobs: Any) -> bytes:
        """What a chunk adds."""
        out = b""
        if delta.reasoning_details:
            out += b"".join([self._thinks(detail) for detail in delta.reasoning_details])
        elif thought := delta.thought():
            out += self._thinks({"type": "reasoning.text", "text": thought})
        if text := delta.text():
            given = logprobs.get("content") if isinstance(logprobs, dict) else None
            out += self._says("output_text", "text", text, list(given or ()))
        if delta.refusal:
            out += self._says("refusal", "refusal", delta.refusal, [])
        for annotation in delta.annotations or ():
            out += self._cites(annotation)
        for detail in signed(delta.extra_content, ""):
            out += self._thinks(detail)
        for part in (*(delta.tool_calls or ()), *called_before(delta)):
            for detail in signed(part.extra_content, part.id or ""):
                out += self._thinks(detail)
            out += self._steps(self._calls.feed(part))
        return out

    def end(self, status: str) -> bytes:
        """The last item is over."""
        out = self._steps(self._calls.finish())
        if self._pages:
            out += self._says("output_text", "text", "", [])
        return out + self._closed(status)

    @property
    def _index(self) -> int:
        return self._passed + len(self.items)

    def _opened(self, prefix: str, item: Item) -> bytes:
        out = self._closed()
        self._open = {"id": f"{prefix}_{self.identity}_{self._index}", **item}
        return out + self._events.send("response.output_item.added", output_index=self._index, item=self._open)

    def _closed(self, status: str = "completed") -> bytes:
        item = self._open
        if item is None:
            return b""
        out = self._part_closed()
        if item["type"] == "reasoning":
            if any(name in detail for detail in self._details for name in ("signature", "data", "id")):
                item["encrypted_content"] = seal(self._details)
            self._details = []
        if "status" in item:
            item["status"] = status
        out += self._events.send("response.output_item.done", output_index=self._index, item=item)
        self.items.append(item)
        self._open = None
        return out

    def _told(self, kind: str, **fields: Any) -> bytes:
        item = self._open or {}
        return self._events.send(f"response.{kind}", item_id=item["id"], output_index=self._index, **fields)

    # ---- parts of messages and thoughts

    def _part_opened(self, kind: str, field: str, where: str, part: Item) -> bytes:
        """`field` of the open item is the list that the part goes into; `where` is its text's name in the part."""
        item = self._open or {}
        out = self._part_closed()
        index = len(item[field])
        item[field].append(part)
        self._part = {"kind": kind, "field": field, "where": where, "part": part, "index": index}
        self._counted = {"summary_index" if field == "summary" else "content_index": index}
        name = "reasoning_summary_part" if field == "summary" else "content_part"
        return out + self._told(f"{name}.added", part=part, **self._counted)

    def _part_closed(self) -> bytes:
        open_part, self._part = self._part, None
        if open_part is None:
            return b""
        part, kind, counted = open_part["part"], open_part["kind"], self._counted
        said = {open_part["where"]: part[open_part["where"]]}
        if kind == "output_text":
            said["logprobs"] = part["logprobs"]
        out = self._told(f"{kind}.done", **counted, **said)
        name = "reasoning_summary_part" if open_part["field"] == "summary" else "content_part"
        return out + self._told(f"{name}.done", part=part, **counted)

    def _says(self, kind: str, where: str, text: str, logprobs: list[Any]) -> bytes:
        out = b""
        if self._open is None or self._open["type"] != "message":
            out += self._steps(self._calls.finish())
            out += self._opened("msg", {"type": "message", "status": "in_progress", "role": "assistant", "content": []})
        if self._part is None or self._part["kind"] != kind:
            part: Item = {"type": kind, where: ""}
            if kind == "output_text":
                part |= {"annotations": [], "logprobs": []}
            out += self._part_opened(kind, "content", where, part)
        written = (self._part or {})["part"]
        written[where] += text
        more = {}
        if kind == "output_text":
            written["logprobs"] += logprobs
            more = {"logprobs": logprobs}
            pages, self._pages = self._pages, []
            out += b"".join([self._cited(page) for page in pages])
        return out + self._told(f"{kind}.delta", delta=text, **self._counted, **more)

    def _cites(self, annotation: Any) -> bytes:
        page = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if not isinstance(page, dict):
            return b""
        made = {"type": "url_citation", **{name: page.get(name) for name in ("url", "start_index", "end_index")}}
        made["title"] = page.get("title") or ""
        if self._part is None or self._part["kind"] != "output_text":
            self._pages.append(made)
            return b""
        return self._cited(made)

    def _cited(self, made: Item) -> bytes:
        listed: list[Item] = (self._part or {})["part"]["annotations"]
        place = len(listed)
        listed.append(made)
        return self._told("output_text.annotation.added", annotation=made, annotation_index=place, **self._counted)

    def _thinks(self, detail: Detail) -> bytes:
        out = b""
        if self._open is None or self._open["type"] != "reasoning":
            out += self._steps(self._calls.finish())
            out += self._opened("rs", {"type": "reasoning", "summary": [], "content": []})
        last = self._details[-1] if self._details else {}
        if last and last.get("index") == detail.get("index") and last.get("type") == detail.get("type"):
            for name in ("signature", "data"):
                if name in detail:
                    last[name] = str(last.get(name) or "") + str(detail[name])
        else:
            self._details.append(dict(detail))
        summed = detail.get("type") == "reasoning.summary"
        kind, field = ("reasoning_summary_text", "summary") if summed else ("reasoning_text", "content")
        text = detail.get("summary") if summed else detail.get("text")
        if not text:
            return out
        if self._part is None or self._part["kind"] != kind:
            part = {"type": "summary_text" if summed else "reasoning_text", "text": ""}
            out += self._part_opened(kind, field, "text", part)
        (self._part or {})["part"]["text"] += str(text)
        return out + self._told(f"{kind}.delta", delta=str(text), **self._counted)

    # ---- calls

    def _steps(self, steps: list[Step]) -> bytes:
        return b"".join([self._step(step) for step in steps])

    def _step(self, step: Step) -> bytes:
        item = self._open or {}
        match step:
            case Begun(identity, name, place):
                called = {"status": "in_progress", "call_id": identity or f"call_{self.identity}_{place}", "name": name}
                if name in self._customs:
                    return self._opened("ctc", {"type": "custom_tool_call", **called, "input": ""})
                return self._opened("fc", {"type": "function_call", **called, "arguments": ""})
            case More(text) if item["type"] == "function_call":
                item["arguments"] += text
                return self._told("function_call_arguments.delta", delta=text)
            case More():
                return b""  # the input of a custom tool is known when its JSON is whole
            case Ended(arguments):
                return self._called(item, arguments) + self._closed()

    def _called(self, item: Item, arguments: str) -> bytes:
        if item["type"] == "function_call":
            item["arguments"] = arguments or "{}"
            return self._told("function_call_arguments.done", name=item["name"], arguments=item["arguments"])
        try:
            item["input"] = _arguments.decode(arguments).input
        except (ValueError, RecursionError):
            item["input"] = arguments
        out = self._told("custom_tool_call_input.delta", delta=item["input"])
        return out + self._told("custom_tool_call_input.done", input=item["input"])
