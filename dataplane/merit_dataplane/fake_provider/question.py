"""What a request asks for, as far as the choice of an answer depends on it."""

from typing import Any

import msgspec

_BYTES_PER_TOKEN = 4
_MOST_INPUTS = 2048
"""As OpenAI allows in one embeddings request."""
_NEEDED = {"chat": "messages", "embeddings": "input"}


class InvalidQuestionError(ValueError):
    """The body is no request that the vendor understands; the message is for its error body."""


class Question(msgspec.Struct, frozen=True):
    """The fields that matter; the others are ignored."""

    model: str
    messages: list[dict[str, Any]] | None = None
    prompt: str | list[Any] | None = None
    input: str | list[Any] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    encoding_format: str | None = None

    @property
    def wants_usage(self) -> bool:
        """Of a stream: whether its last event reports usage."""
        return bool((self.stream_options or {}).get("include_usage"))

    @property
    def only_function(self) -> str | None:
        """The function's name, where exactly one is offered."""
        if not self.tools or len(self.tools) != 1:
            return None
        function = self.tools[0].get("function")
        name = function.get("name") if isinstance(function, dict) else None
        return name if isinstance(name, str) else None

    @property
    def prompt_tokens(self) -> int:
        """A plain estimate that tests can repeat: bytes of message text / 4, token ids as they are; at least 1."""
        given = [*_listed(self.prompt), *_listed(self.input)]
        ids = sum(isinstance(value, int) for value in _flat(given))
        return max(1, len(self._text(self.messages or []).encode()) // _BYTES_PER_TOKEN + ids)

    @property
    def inputs(self) -> int:
        """How many embeddings are asked for: a string or one list of token ids is one."""
        given = _listed(self.input)
        return 1 if not given or isinstance(given[0], int) else len(given)

    @property
    def last_said(self) -> str:
        """What the user said last: equal words get equal answers, whatever stood before them."""
        said = [message for message in self.messages or [] if message.get("role") == "user"]
        return self._text(said[-1:])

    @property
    def prefix(self) -> str:
        """The beginning of the answer that is to be gone on from; empty where there is none."""
        last = (self.messages or [{}])[-1]
        content = last.get("content")
        return content if last.get("role") == "assistant" and isinstance(content, str) else ""

    def shape(self, operation: str) -> str:
        """Of the answer: text, tools, json, vector or base64."""
        if operation == "embeddings":
            return "base64" if self.encoding_format == "base64" else "vector"
        answers_tool = bool(self.messages) and (self.messages or [{}])[-1].get("role") == "tool"
        if self.tools and self.tool_choice != "none" and not answers_tool:
            return "tools"
        kind = (self.response_format or {}).get("type")
        return "json" if kind in ("json_schema", "json_object") else "text"

    def _text(self, messages: list[dict[str, Any]]) -> str:
        parts: list[str] = []
        for message in messages:
            content = message.get("content")
            if isinstance(content, str):
                parts.append(content)
            elif isinstance(content, list):
                parts += [str(part.get("text", "")) for part in content if isinstance(part, dict)]
        parts += [v for v in _flat([*_listed(self.prompt), *_listed(self.input)]) if isinstance(v, str)]
        return "".join(parts)


def question(operation: str, body: dict[str, Any]) -> Question:
    """The request of a decoded body. Raises InvalidQuestionError."""
    try:
        asked = msgspec.convert(body, Question)
    except msgspec.ValidationError as error:
        raise InvalidQuestionError(f"Invalid request: {error}.") from None
    needed = _NEEDED.get(operation)
    if not asked.model:
        raise InvalidQuestionError("you must provide a model parameter")
    if needed and getattr(asked, needed) is None:
        raise InvalidQuestionError(f"Missing required parameter: '{needed}'.")
    if asked.inputs > _MOST_INPUTS:
        raise InvalidQuestionError(f"'input' must have at most {_MOST_INPUTS} items (has {asked.inputs}).")
    return asked


def _listed(value: str | list[Any] | None) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _flat(values: list[Any]) -> list[Any]:
    return [inner for value in values for inner in (value if isinstance(value, list) else [value])]
