"""Recorded answers: files, and the same made ready to be filled in."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from merit_dataplane.fake_provider.spans import Template, template, value_text, without

_BLANK_LINE = re.compile(r"\r?\n\r?\n")
_FUNCTION = {part: ("choices", "*", part, "tool_calls", "*", "function", "name") for part in ("message", "delta")}
_DONE = b"data: [DONE]\n\n"
_END = "[DONE]"


class InvalidRecordingError(ValueError):
    """A file is no recording; the message names it."""


class Recording(msgspec.Struct, frozen=True):
    """One recorded answer, as its file has it."""

    name: str
    operation: Literal["chat", "completions", "embeddings"]
    shape: Literal["text", "tools", "json", "vector", "base64"]
    stream: bool
    vendor: str
    headers: dict[str, str]
    body: str
    origin: dict[str, str]


class Event(msgspec.Struct, frozen=True):
    """One event of a stream."""

    plain: Template
    with_usage: Template
    """For a request that asked for usage: vendors then write `"usage":null` into the events before the last."""


class Replay(msgspec.Struct, frozen=True):
    """One recorded answer, ready to be filled in. Places: model, usage, function, data."""

    recording: Recording
    model: str
    headers: tuple[tuple[bytes, bytes], ...]
    usage: dict[str, object]
    """As recorded; empty where the vendor reported none."""
    body: Template | None
    """Of an answer that is not streamed."""
    element: Template | None = None
    """Of embeddings: one of them, with the place `index`."""
    events: tuple[Event, ...] = ()
    """Of a stream, without its usage event and its end."""
    usage_event: Template | None = None
    done: bytes = _DONE


@cache
def packaged() -> tuple[Replay, ...]:
    """The recordings that ship with Merit."""
    folder = files("merit_dataplane.fake_provider") / "recordings"
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return tuple(_read(file.name, file.read_bytes()) for file in found)


def from_folder(folder: Path) -> tuple[Replay, ...]:
    """Recordings of a folder. Raises InvalidRecordingError, OSError."""
    found = tuple(_read(str(file), file.read_bytes()) for file in sorted(folder.glob("*.json")))
    if not found:
        raise InvalidRecordingError(f"{folder}: has no recording; put some *.json there, shaped as the packaged ones")
    return found


def _read(name: str, data: bytes) -> Replay:
    try:
        return replay(msgspec.json.decode(data, type=Recording))
    except (ValueError, IndexError) as error:  # IndexError: the text ends inside a value
        raise InvalidRecordingError(f"{name}: is no recording: {error}") from error


def replay(recording: Recording) -> Replay:
    """Makes a recording ready. Raises ValueError or IndexError where its body is not what it says."""
    headers = tuple((name.encode(), value.encode()) for name, value in recording.headers.items())
    if recording.stream:
        return _streamed(recording, headers)
    body = recording.body
    usage = value_text(body, "usage")
    places: dict[str, tuple[str, ...]] = {"model": ("model",), "usage": ("usage",)}
    element = value_text(body, "data", "*") if recording.operation == "embeddings" else None
    places |= {"data": ("data",)} if element else {"function": _FUNCTION["message"]}
    return Replay(
        recording,
        _model(body),
        headers,
        _usage(usage),
        template(body, places),
        element=template(element, {"index": ("index",)}) if element else None,
    )


def _streamed(recording: Recording, headers: tuple[tuple[bytes, bytes], ...]) -> Replay:
    events: list[Event] = []
    usage: dict[str, object] = {}
    usage_event, done, first = None, _DONE, ""
    for text, ending in _events(recording.body):
        lead, payload = _payload(text)
        if payload == _END:
            done = (text + ending).encode()
        elif not payload.startswith("{"):  # a comment, or an event without data: vendors send them to keep a line open
            whole = Template((), (text + ending).encode())
            events.append(Event(whole, whole))
        else:
            first = first or payload
            found = _usage(value_text(payload, "usage"))
            usage = found or usage
            if found and value_text(payload, "choices", "*") is None:
                usage_event = _event(lead, payload, ending, usage=True)
                continue
            bare = without(payload, "usage")
            shown = bare if found else payload
            events.append(Event(_event(lead, bare, ending), _event(lead, shown, ending)))
    if not first:
        raise ValueError("the stream has no event with a JSON object")
    return Replay(
        recording,
        _model(first),
        headers,
        usage,
        None,
        events=tuple(events),
        usage_event=usage_event or _made_usage_event(first, usage),
        done=done,
    )


def _events(body: str) -> list[tuple[str, str]]:
    """The text of each event and the blank line after it; one is added to a last event that lost it."""
    found, at = [], 0
    for blank in _BLANK_LINE.finditer(body):
        found.append((body[at : blank.start()], blank.group()))
        at = blank.end()
    rest = body[at:].rstrip()
    return [*found, (rest, "\n\n")] if rest else found


def _payload(text: str) -> tuple[str, str]:
    """What stands before an event's data, and the data."""
    start = re.search(r"^data: ?", text, re.MULTILINE)
    return (text[: start.end()], text[start.end() :].strip()) if start else (text, "")


def _event(lead: str, payload: str, ending: str, *, usage: bool = False) -> Template:
    places = {"model": ("model",), "function": _FUNCTION["delta"], **({"usage": ("usage",)} if usage else {})}
    made = template(payload, places)
    if not made.pieces:
        return Template((), lead.encode() + made.tail + ending.encode())
    (text, place, recorded), *rest = made.pieces
    return Template(((lead.encode() + text, place, recorded), *rest), made.tail + ending.encode())


def _made_usage_event(first: str, usage: dict[str, object]) -> Template:
    """For a recording without one: what the first event says of the answer, no choices."""
    kept = {
        name: msgspec.Raw(text.encode()) for name in ("id", "object", "created") if (text := value_text(first, name))
    }
    document = {**kept, "model": _model(first), "choices": [], "usage": usage}
    return _event("data: ", msgspec.json.encode(document).decode(), "\n\n", usage=True)


def _model(text: str) -> str:
    found = value_text(text, "model")
    return msgspec.json.decode(found, type=str) if found else ""


def _usage(text: str | None) -> dict[str, object]:
    return msgspec.json.decode(text, type=dict[str, object] | None) or {} if text else {}
