"""The official SDKs of OpenAI and Anthropic for Python."""

import json
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.fidelity.heard import Fields, Heard, hear, unwrapped

_ANTHROPICS = frozenset({
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_stop",
})  # fmt: skip
"""The SDK has events of its own beside them."""
_NAMED = ("model", "messages", "max_tokens", "prompt", "input", "encoding_format")
"""Arguments of the SDK's methods; all others of a body are given as `extra_body`."""


@dataclass(frozen=True)
class PythonClients:
    """Of one gateway."""

    openais: openai.AsyncOpenAI
    anthropics: anthropic.AsyncAnthropic

    async def ask(self, endpoint: str, body: Fields, *, stream: bool) -> Heard:
        """See Clients."""
        try:
            raw, final = await (self._stream(endpoint, body) if stream else self._whole(endpoint, body))
            return hear(endpoint, raw, final)
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            return Heard(
                exception=type(error).__name__,
                status=error.status_code,
                error=unwrapped(error.body),
                headers=dict(error.response.headers),
            )
        except (openai.APIError, anthropic.APIError) as error:  # an event of a stream, or no answer
            told = unwrapped(error.body) if isinstance(error.body, dict) else {"message": error.message}
            return Heard(exception=type(error).__name__, error=told)

    async def _whole(self, endpoint: str, body: Fields) -> tuple[list[Fields], Fields]:
        asked = _asked(body)
        if endpoint in ("messages", "count_tokens"):
            made = self.anthropics.messages.with_raw_response
            anthropics: Any = made.create if endpoint == "messages" else made.count_tokens
            answer = await anthropics(timeout=60, **asked)
            return [json.loads(answer.http_response.text)], _json(await answer.parse())
        clients: dict[str, Any] = {
            "chat": self.openais.chat.completions,
            "completions": self.openais.completions,
            "responses": self.openais.responses,
            "moderations": self.openais.moderations,
        }
        if endpoint == "embeddings":  # the SDK asks for base64, and gives floats
            vectors = _json(await self.openais.embeddings.create(**asked))
            return [vectors], vectors
        answer = await clients[endpoint].with_raw_response.create(**asked)
        return [json.loads(answer.http_response.text)], _json(answer.parse())

    async def _stream(self, endpoint: str, body: Fields) -> tuple[list[Fields], Fields | None]:
        asked, raw = _asked(body), list[Fields]()
        if endpoint == "messages":
            async with self.anthropics.messages.stream(**asked) as events:
                async for event in events:
                    if event.type in _ANTHROPICS:
                        raw.append(_json(event))
                return raw, _json(await events.get_final_message())
        if endpoint == "responses":
            async for event in await self.openais.responses.create(stream=True, **asked):
                raw.append(_json(event))
            return raw, next((event["response"] for event in reversed(raw) if "response" in event), {})
        asked["extra_body"]["stream_options"] = {"include_usage": True}
        if endpoint == "completions":
            async for chunk in await self.openais.completions.create(stream=True, **asked):
                raw.append(_json(chunk))
            return raw, None
        state = ChatCompletionStreamState()
        async for chunk in await self.openais.chat.completions.create(stream=True, **asked):
            raw.append(_json(chunk))
            state.handle_chunk(chunk)
        return raw, _json(state.current_completion_snapshot)


def _asked(body: Fields) -> Any:
    named = {name: value for name, value in body.items() if name in _NAMED}
    more = {name: value for name, value in body.items() if name not in (*_NAMED, "stream", "stream_options")}
    return {**named, "extra_body": more}


def _json(value: Any) -> Fields:
    made: Fields = value.to_dict(mode="json", warnings=False)
    return made
