"""A request in the OpenAI protocol: what Merit reads of it, and the bytes that go to a provider.

Only the model's name and, for streams, the wish for usage are changed; every other field keeps its bytes, known or not.
"""

from enum import StrEnum

import msgspec

from merit_crds.pricing import STANDARD
from merit_dataplane.wire.body import undecodable
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import TOKENS_PER_MEDIUM, Feature
from merit_dataplane.wire.steering import Steering, steered

BYTES_PER_TOKEN = 4
"""English text in JSON; a calibrated count belongs to the next step of pricing."""
_FILE_BYTES_PER_TOKEN = 20
"""Of base64. PDFs of one page in recorded requests: 12 to 75, most about 20."""
_MOST_TOKENS_PER_FILE = 100_000
"""Pages that are pictures have many bytes and few tokens; vendors take about a hundred pages."""
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MEDIA_PARTS = (b'"image_url"', b'"input_audio"', b'"file"')
_TRUE = msgspec.Raw(b"true")
_ABSENT = msgspec.Raw(b"")


class Operation(StrEnum):
    """Endpoints of the hot path, by their path under `/v1`."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    COUNT_TOKENS = "messages/count_tokens"
    RESPONSES = "responses"
    MODERATIONS = "moderations"
    IMAGES = "images/generations"
    IMAGE_EDITS = "images/edits"
    IMAGE_VARIATIONS = "images/variations"
    SPEECH = "audio/speech"
    TRANSCRIPTIONS = "audio/transcriptions"
    TRANSLATIONS = "audio/translations"


OURS = ("usage", "models", "provider", "cache")
"""OpenRouter's fields, and LiteLLM's: ours to heed, vendors refuse them."""
_INPUT = {
    Operation.CHAT: "messages",
    Operation.COMPLETIONS: "prompt",
    Operation.EMBEDDINGS: "input",
    Operation.MESSAGES: "messages",
    Operation.COUNT_TOKENS: "messages",
    Operation.RESPONSES: "input",
    Operation.MODERATIONS: "input",
    Operation.IMAGES: "prompt",
    Operation.IMAGE_EDITS: "image",
    Operation.IMAGE_VARIATIONS: "image",
    Operation.SPEECH: "input",
    Operation.TRANSCRIPTIONS: "file",
    Operation.TRANSLATIONS: "file",
}


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str = "text"


class _UsageWish(msgspec.Struct):
    include: bool | None = None


class _Head(msgspec.Struct):
    model: str = ""
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    usage: _UsageWish | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    logprobs: bool | int | None = None
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None
    response_format: _ResponseFormat | None = None
    models: msgspec.Raw = _ABSENT
    provider: msgspec.Raw = _ABSENT


_LONG = frozenset({"messages", "prompt", "input", "tools", "functions"})
"""Fields that are kept as they are: most of a body, and passed over once is enough."""
_head = msgspec.json.Decoder(_Head)


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    image_url: msgspec.Raw = _ABSENT
    input_audio: msgspec.Raw = _ABSENT
    file: msgspec.Raw = _ABSENT


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[_Part] | None = None


_messages = msgspec.json.Decoder(list[_Message])


class Native(msgspec.Struct, frozen=True):
    """A request as its client wrote it, where that was in another protocol than OpenAI's Chat Completions."""

    operation: Operation
    fields: dict[str, msgspec.Raw]
    headers: tuple[tuple[str, str], ...] = ()
    """Those that a provider of the same protocol gets to see."""
    only_there: tuple[str, ...] = ()
    """Fields with what no other protocol can say."""


class Call(msgspec.Struct, frozen=True):
    """One request as Merit sees it: in OpenAI's words, whatever its client speaks."""

    operation: Operation
    model: str
    """The name that the client asked for."""
    stream: bool
    wants_usage: bool
    """A stream whose client asked for usage."""
    input_tokens: int
    """Estimated."""
    output_limit: int
    """Most output tokens of one choice; 0 is no limit."""
    choices: int
    features: int
    """Bits of `Feature`."""
    fields: dict[str, msgspec.Raw]
    messages: msgspec.Raw
    steering: Steering | None = None
    native: Native | None = None

    @property
    def asked(self) -> Operation:
        """The endpoint that the client called."""
        return self.operation if self.native is None else self.native.operation

    @property
    def given(self) -> dict[str, msgspec.Raw]:
        """The fields as the client wrote them."""
        return self.fields if self.native is None else self.native.fields

    @property
    def input_field(self) -> str:
        """The field that holds the input."""
        return _INPUT[self.asked]

    @property
    def limit_field(self) -> str:
        """The field that says how much may be written."""
        if self.asked is Operation.RESPONSES:
            return "max_output_tokens"
        newer = bytes(self.fields.get("max_completion_tokens", b"null"))
        return "max_completion_tokens" if newer not in (b"null", b"0") else "max_tokens"

    service_tier: str = ""
    """Asked for; empty is the standard one, or what the provider chooses."""

    def last_user_text(self) -> str:
        """Text of the last user message; empty where there is none."""
        for message in reversed(_read(self.messages)):
            if message.role == "user":
                if isinstance(message.content, list):
                    return "\n".join(part.text or "" for part in message.content if part.type == "text")
                return message.content or ""
        return ""

    def body_for(self, model: msgspec.Raw, _: int = 0) -> bytes:
        """The bytes for a provider: `model` is the JSON string of the model's name there."""
        fields = {**self.fields, "model": model}
        if self.stream:
            self.ask_for_usage(fields)
        for ours in OURS:
            fields.pop(ours, None)
        return _encode(fields)

    def ask_for_usage(self, fields: dict[str, msgspec.Raw]) -> None:
        """Puts the wish for usage into the fields of a stream's request."""
        if self.stream and self.operation is not Operation.EMBEDDINGS:
            given = fields.get("stream_options")
            options = _fields.decode(given) if given is not None and bytes(given) != b"null" else {}
            fields["stream_options"] = msgspec.Raw(_encode({**options, "include_usage": _TRUE}))


def parse(operation: Operation, body: bytes) -> Call:
    """A request from its bytes.

    Raises RequestError (400) that names the field, when it is no JSON object or a field has the wrong type.
    """
    try:
        fields = _fields.decode(body)
        head = _head.decode(_encode({name: value for name, value in fields.items() if name not in _LONG}))
    except (ValueError, RecursionError) as error:
        raise undecodable(error) from None
    content = fields.get(_INPUT[operation], _ABSENT)
    if not _present(content):
        name = _INPUT[operation]
        raise RequestError(400, f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)
    steering, model = None, head.model
    if head.models is not _ABSENT or head.provider is not _ABSENT:
        steering, model = steered(bytes(head.models), bytes(head.provider), model)
    if not model:
        raise RequestError(400, "Missing required parameter: 'model'.", param="model")
    raw = bytes(content)
    stream = bool(head.stream) and operation is not Operation.EMBEDDINGS
    asked = head.stream_options is not None and bool(head.stream_options.include_usage)
    tools = fields.get("tools", _ABSENT)
    features, media_bytes = _features(operation, head, fields, stream=stream), 0
    # messages of plain strings have no parts; a word in a text looks the same as a part of that type
    if operation is Operation.CHAT and raw.find(b"[", 1) > 0 and any(medium in raw for medium in _MEDIA_PARTS):
        media, media_bytes = _media(content)
        features |= media
    return Call(
        operation=operation,
        model=model,
        stream=stream,
        wants_usage=asked or (head.usage is not None and bool(head.usage.include)),
        input_tokens=max(1, (len(raw) + len(bytes(tools)) - media_bytes - _escaping(raw)) // BYTES_PER_TOKEN),
        output_limit=max(0, head.max_completion_tokens or head.max_tokens or 0),
        choices=max(1, head.n or 1),
        features=features,
        fields=fields,
        messages=fields.get("messages", _ABSENT),
        service_tier="" if head.service_tier in STANDARD else head.service_tier or "",
        steering=steering,
    )


def _features(operation: Operation, head: _Head, fields: dict[str, msgspec.Raw], *, stream: bool) -> int:
    if operation is Operation.EMBEDDINGS:
        return int(Feature.EMBEDDINGS)
    bits = int(Feature.STREAMING) if stream else 0
    if operation is Operation.COMPLETIONS:
        bits |= int(Feature.COMPLETIONS)
    if (head.n or 1) > 1:
        bits |= int(Feature.CHOICES)
    if _present(fields.get("tools", _ABSENT)) or _present(fields.get("functions", _ABSENT)):
        bits |= int(Feature.TOOLS)
        if head.parallel_tool_calls:
            bits |= int(Feature.PARALLEL_TOOLS)
    if head.response_format is not None:
        if head.response_format.type == "json_schema":
            bits |= int(Feature.JSON_SCHEMA)
        elif head.response_format.type == "json_object":
            bits |= int(Feature.JSON_OBJECT)
    if head.logprobs:
        bits |= int(Feature.LOGPROBS)
    return bits


def _media(content: msgspec.Raw) -> tuple[int, int]:
    """Features of images and sounds, and the bytes by which these and files exceed, in base64, what they count for."""
    bits, excess = 0, 0
    for message in _read(content):
        for part in message.content if isinstance(message.content, list) else ():
            if part.type == "image_url":
                bits |= int(Feature.IMAGES)
            elif part.type == "input_audio":
                bits |= int(Feature.AUDIO)
            elif part.type == "file":
                size = len(bytes(part.file))
                excess += size - min(size // _FILE_BYTES_PER_TOKEN, _MOST_TOKENS_PER_FILE) * BYTES_PER_TOKEN
                continue
            else:
                continue
            excess += len(bytes(part.image_url)) + len(bytes(part.input_audio)) - TOKENS_PER_MEDIUM * BYTES_PER_TOKEN
    return bits, excess


def _read(messages: msgspec.Raw) -> list[_Message]:
    """Messages, as far as they are such as we know."""
    try:
        return _messages.decode(messages)
    except (ValueError, RecursionError):
        return []


def _escaping(raw: bytes) -> int:
    """Bytes that a text has more than in UTF-8, because its client writes `\\u0416` for one letter."""
    if b"\\" not in raw or b"\\u" not in raw:  # a single byte is found far quicker
        return 0
    of_two_bytes = sum(raw.count(b"\\u0%d" % digit) for digit in range(8))  # up to U+07FF
    return 3 * raw.count(b"\\u") + of_two_bytes


def _present(raw: msgspec.Raw) -> bool:
    return raw is not _ABSENT and bytes(raw) not in (b"", b"null", b"[]")
