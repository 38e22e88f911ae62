"""A request for a moderation, an image or audio: what Merit reads of it, and the bytes that go to a provider."""

import re
from typing import Final, NamedTuple

import msgspec

from merit_crds.pricing import STANDARD
from merit_dataplane.wire.body import decoded
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import TOKENS_PER_MEDIUM, Feature
from merit_dataplane.wire.openai_passed.multipart import Form, read_form
from merit_dataplane.wire.openai_request import BYTES_PER_TOKEN, OURS, Call, Native, Operation
from merit_dataplane.wire.steering import steered

_ABSENT = msgspec.Raw(b"")
_SHOWN = re.compile(rb"[\x20-\x7e]{1,300}")
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Row(NamedTuple):
    feature: Feature
    needs: tuple[str, ...]
    """One of these fields has to be there."""
    text: str
    """The field whose length counts as input."""
    default_model: str = ""
    """What OpenAI's document says that a request without a model asks for."""
    form: bool = False
    json: bool = True


TABLE: Final = {
    Operation.MODERATIONS: _Row(Feature.MODERATION, ("input",), "input", "omni-moderation-latest"),
    Operation.IMAGES: _Row(Feature.IMAGE_GENERATION, ("prompt",), "prompt", "dall-e-2"),
    Operation.IMAGE_EDITS: _Row(
        Feature.IMAGE_EDITS, ("image", "image[]", "images"), "prompt", "gpt-image-1.5", form=True
    ),
    Operation.IMAGE_VARIATIONS: _Row(Feature.IMAGE_VARIATIONS, ("image",), "", "dall-e-2", form=True, json=False),
    Operation.SPEECH: _Row(Feature.SPEECH, ("input",), "input"),
    Operation.TRANSCRIPTIONS: _Row(Feature.TRANSCRIPTION, ("file",), "prompt", form=True, json=False),
    Operation.TRANSLATIONS: _Row(Feature.TRANSLATION, ("file",), "prompt", form=True, json=False),
}
"""By endpoint."""


class _Head(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    stream_format: str | None = None
    n: int | None = None
    service_tier: str | None = None
    models: msgspec.Raw = _ABSENT
    provider: msgspec.Raw = _ABSENT


_head = msgspec.json.Decoder(_Head)


class Passed(Native, frozen=True):
    """Such a request, as its client wrote it."""

    form: Form | None = None
    """Where it is no JSON."""
    streams_events: bool = False

    @property
    def files(self) -> int:
        """How many of them it brings."""
        return self.form.files if self.form is not None else 0

    def body_for(self, model: msgspec.Raw) -> bytes:
        """The bytes for a provider: `model` is the JSON string of the model's name there."""
        if self.form is not None:
            return self.form.with_model(msgspec.json.decode(model, type=str))
        fields = {name: value for name, value in self.fields.items() if name not in OURS}
        return _encode({**fields, "model": model})


def parse_passed(operation: Operation, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> Call:
    """A request from its bytes. Raises RequestError (400) that names the field."""
    row = TABLE[operation]
    content_type = next((value for name, value in headers if name == b"content-type"), b"")
    accepts = next((value for name, value in headers if name == b"accept"), b"*/*")
    form, fields = None, {}
    if row.form and (not row.json or content_type.lower().lstrip().startswith(b"multipart/")):
        form = read_form(body, content_type)
        head, given = _of_form(form), frozenset(form.counts)
        text = len(form.values.get(row.text, b""))
    else:
        head, fields = decoded(_head, body), decoded(_fields, body)
        given = frozenset(name for name, raw in fields.items() if bytes(raw) not in (b"null", b"[]"))
        text = len(bytes(fields.get(row.text, b"")))
        content_type = b"application/json"
    if given.isdisjoint(row.needs):
        name = row.needs[0]
        raise RequestError(400, f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)
    steering, model = None, head.model
    if head.models is not _ABSENT or head.provider is not _ABSENT:
        steering, model = steered(bytes(head.models), bytes(head.provider), model)
    model = model or row.default_model
    if not model:
        raise RequestError(400, "Missing required parameter: 'model'.", param="model")
    streams_events = bool(head.stream) if operation is not Operation.SPEECH else head.stream_format == "sse"
    shown = [(name, value.decode()) for name, value in (("Content-Type", content_type), ("Accept", accepts))
             if _SHOWN.fullmatch(value)]  # fmt: skip
    native = Passed(operation=operation, fields=fields, headers=tuple(shown), form=form, streams_events=streams_events)
    return Call(
        operation=operation,
        model=model,
        stream=streams_events or operation is Operation.SPEECH,
        wants_usage=False,
        input_tokens=max(1, text // BYTES_PER_TOKEN + native.files * TOKENS_PER_MEDIUM),
        output_limit=0,
        choices=min(max(1, head.n or 1), 1000),
        features=int(row.feature),
        fields=fields,
        messages=_ABSENT,
        steering=steering,
        native=native,
        service_tier="" if head.service_tier in STANDARD else head.service_tier or "",
    )


def _of_form(form: Form) -> _Head:
    try:
        model = form.values["model"].decode() if "model" in form.values else None
    except UnicodeDecodeError:
        raise RequestError(400, "The model's name is no UTF-8.", param="model") from None
    stream = form.values.get("stream", b"").strip().lower() in {b"true", b"1"}
    number = form.values.get("n", b"").strip()
    return _Head(model=model, stream=stream, n=int(number) if re.fullmatch(rb"[0-9]{1,4}", number) else None)
