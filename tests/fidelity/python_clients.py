"""What the official SDKs of OpenAI and Anthropic for Python read from Merit, as `Said`."""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.support.said import anthropic as of_anthropic
from tests.support.said import openai as of_openai
from tests.support.said import responses as of_responses
from tests.support.said.answer import Said

Fields = dict[str, Any]


@dataclass
class Heard:
    """What the SDK gave to its program."""

    said: Said = field(default_factory=Said)
    raw: list[Fields] = field(default_factory=list)
    """The answer, or the events, with the SDK's own types as JSON again."""
    exception: str = ""
    """Name of the SDK's class."""
    status: int = 0
    error: Fields = field(default_factory=dict)
    """The error's body, unwrapped as the SDK does it."""
    headers: Fields = field(default_factory=dict)


@dataclass(frozen=True)
class Clients:
    """Of one gateway."""

    openais: openai.AsyncOpenAI
    anthropics: anthropic.AsyncAnthropic

    async def ask(self, endpoint: str, body: Fields, *, stream: bool) -> Heard:
        """Sends the body with what the SDK calls that endpoint."""
        heard = Heard()
        asks: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
            "chat": self._chat,
            "completions": self._completions,
            "responses": self._responses,
            "messages": self._messages,
            "embeddings": self._embeddings,
            "moderations": self._moderations,
            "count_tokens": self._count_tokens,
        }
        try:
            await asks[endpoint](body, heard, stream=stream)
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            heard.exception, heard.status = type(error).__name__, error.status_code
            heard.error = _unwrapped(error.body)
            heard.headers = dict(error.response.headers)
        except (openai.APIError, anthropic.APIError) as error:  # an event of a stream, or no answer
            heard.exception = type(error).__name__
            heard.error = _unwrapped(error.body) if isinstance(error.body, dict) else {"message": error.message}
        return heard

    async def _chat(self, body: Fields, heard: Heard, *, stream: bool) -> None:
        more = _more(body, "model", "messages")
        asked: Any = {"model": body["model"], "messages": body["messages"], "extra_body": more}
        if not stream:
            raw = await self.openais.chat.completions.with_raw_response.create(**asked)
            heard.raw = [json.loads(raw.http_response.text)]
            heard.said = of_openai.whole(json.dumps(raw.parse().to_dict(mode="json", warnings=False)).encode())
            return
        state = ChatCompletionStreamState()
        more["stream_options"] = {"include_usage": True}
        async for chunk in await self.openais.chat.completions.create(stream=True, **asked):
            heard.raw.append(chunk.to_dict(mode="json", warnings=False))
            state.handle_chunk(chunk)
        heard.said = of_openai.whole(
            json.dumps(state.current_completion_snapshot.to_dict(mode="json", warnings=False)).encode()
        )

    async def _completions(self, body: Fields, heard: Heard, *, stream: bool) -> None:
        asked: Any = {"model": body["model"], "prompt": body["prompt"], "extra_body": _more(body, "model", "prompt")}
        if not stream:
            raw = await self.openais.completions.with_raw_response.create(**asked)
            heard.raw = [json.loads(raw.http_response.text)]
            heard.said = of_openai.whole(json.dumps(raw.parse().to_dict(mode="json", warnings=False)).encode())
            return
        asked["extra_body"]["stream_options"] = {"include_usage": True}
        heard.raw = [
            chunk.to_dict(mode="json", warnings=False)
            async for chunk in await self.openais.completions.create(stream=True, **asked)
        ]
        heard.said = of_openai.stream(b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in heard.raw))

    async def _responses(self, body: Fields, heard: Heard, *, stream: bool) -> None:
        asked: Any = {"model": body["model"], "input": body["input"], "extra_body": _more(body, "model", "input")}
        if not stream:
            raw = await self.openais.responses.with_raw_response.create(**asked)
            heard.raw = [json.loads(raw.http_response.text)]
            heard.said = of_responses.of(raw.parse().to_dict(mode="json", warnings=False))
            return
        heard.raw = [
            event.to_dict(mode="json", warnings=False)
            async for event in await self.openais.responses.create(stream=True, **asked)
        ]
        last: Fields = next((event["response"] for event in reversed(heard.raw) if "response" in event), {})
        heard.said = of_responses.of(last)
        text = of_responses.written(heard.raw)
        if heard.said.turns[0].text and text != heard.said.turns[0].text:
            raise AssertionError(f"the deltas say {text[:200]!r}, the last event {heard.said.turns[0].text[:200]!r}")

    async def _messages(self, body: Fields, heard: Heard, *, stream: bool) -> None:
        more = _more(body, "model", "messages", "max_tokens")
        asked: Any = {name: body[name] for name in ("model", "messages", "max_tokens")} | {"timeout": 60}
        if not stream:
            raw = await self.anthropics.messages.with_raw_response.create(extra_body=more, **asked)
            heard.raw = [json.loads(raw.http_response.text)]
            heard.said = of_anthropic.whole(
                json.dumps((await raw.parse()).to_dict(mode="json", warnings=False)).encode()
            )
            return
        async with self.anthropics.messages.stream(extra_body=more, **asked) as events:
            async for event in events:
                if event.type in _ANTHROPICS:
                    heard.raw.append(event.to_dict(mode="json", warnings=False))
            message = await events.get_final_message()
        heard.said = of_anthropic.whole(json.dumps(message.to_dict(mode="json", warnings=False)).encode())

    async def _embeddings(self, body: Fields, heard: Heard, *, stream: bool) -> None:
        asked: Any = {name: body[name] for name in ("model", "input", "encoding_format") if name in body}
        asked["extra_body"] = _more(body, "model", "input", "encoding_format")
        made = await self.openais.embeddings.create(**asked)  # asks for base64, gives floats
        heard.raw = [made.to_dict(mode="json", warnings=False)]
        heard.said = of_openai.embeddings(json.dumps(heard.raw[0]).encode())

    async def _moderations(self, body: Fields, heard: Heard, *, stream: bool) -> None:
        raw = await self.openais.moderations.with_raw_response.create(model=body["model"], input=body["input"])
        heard.raw = [json.loads(raw.http_response.text)]
        heard.said = Said(identity=raw.parse().id)

    async def _count_tokens(self, body: Fields, heard: Heard, *, stream: bool) -> None:
        more = _more(body, "model", "messages")
        asked: Any = {"model": body["model"], "messages": body["messages"]}
        made = await self.anthropics.messages.count_tokens(extra_body=more, **asked)
        heard.raw = [made.to_dict(mode="json", warnings=False)]


_ANTHROPICS = frozenset({
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_stop",
})  # fmt: skip
"""The SDK has events of its own beside them."""


def _unwrapped(body: object) -> Fields:
    """OpenAI's SDK unwraps an error by itself, Anthropic's doesn't."""
    if not isinstance(body, dict):
        return {"message": str(body)}
    inner = body.get("error")
    return inner if isinstance(inner, dict) else body


def _more(body: Fields, *names: str) -> Fields:
    return {name: value for name, value in body.items() if name not in (*names, "stream", "stream_options")}
