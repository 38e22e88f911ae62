"""The recordings: replayed byte for byte, and free of what must not be published."""

import json
import re
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from merit_dataplane.fake_provider.answers import NoRecordingError, answer
from merit_dataplane.fake_provider.question import question
from merit_dataplane.fake_provider.recordings import (
    InvalidRecordingError,
    Recording,
    Replay,
    from_folder,
    packaged,
    replay,
)
from merit_dataplane.fake_provider.spans import template, value_text, without

ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def recording(body: str, **changes: object) -> Recording:
    made = {"name": "r", "operation": "chat", "shape": "text", "stream": True, "vendor": "v"}
    return msgspec.convert({**made, "headers": {}, "origin": {}, "body": body, **changes}, Recording)


@pytest.mark.parametrize("made", packaged(), ids=lambda made: made.recording.name)
def test_all_bytes_but_model_and_usage_are_as_recorded(made: Replay) -> None:
    recorded = made.recording.body
    # a function without a name: the recorded one stays
    tools: object = [{"type": "function"}] if made.recording.shape == "tools" else None
    shape = {"tools": tools, "response_format": {"type": "json_object"} if made.recording.shape == "json" else None}
    wanted: dict[str, object] = {**ASK, **shape, "input": "", "model": made.model, "stream": made.recording.stream}
    wanted["stream_options"] = {"include_usage": True}
    found = answer((made,), made.recording.operation, question(made.recording.operation, wanted), counted=False)
    if not made.recording.stream:
        assert strip_usage(found.body.decode()) == strip_usage(recorded)
        assert json.loads(found.body)["usage"] == json.loads(recorded)["usage"]
        return
    sent = [event.decode() for event in found.events]
    assert sent[-1] == "data: [DONE]\n\n"
    kept = [strip_usage(e) for e in re.split(r"(?<=\n\n)", recorded.rstrip() + "\n\n") if e and '"choices":[]' not in e]
    assert [strip_usage(event) for event in sent if '"choices":[]' not in event] == kept


def strip_usage(text: str) -> str:
    lead, brace, rest = text.partition("{")
    if not brace:
        return text
    document, _, blank = rest.rpartition("}")
    return lead + without(f"{{{document}}}", "usage") + blank


def test_headers_tell_limits_and_no_account() -> None:
    harmless = re.compile(r"content-type|x-ratelimit-.*|openai-(version|processing-ms)")
    for made in packaged():
        assert made.recording.headers["content-type"]
        assert not [name for name in made.recording.headers if not harmless.fullmatch(name)], made.recording.name


def test_each_recording_is_free_and_named_in_the_notice() -> None:
    notice = (files("merit_dataplane.fake_provider") / "recordings" / "NOTICE").read_text()
    for made in packaged():
        origin = made.recording.origin
        assert origin["licence"] in ("MIT", "Apache-2.0", "CC-BY-4.0")
        entry = f"{made.recording.name}.json\n    {origin['repo']} @ {origin['commit']}\n    {origin['path']}\n"
        assert f"{entry}    {origin['licence']}" in notice


def test_several_vendors_answer() -> None:
    plain = [m for m in packaged() if m.recording.operation == "chat" and m.recording.shape == "text"]
    assert len({m.recording.vendor for m in plain}) >= 4


def test_comments_and_named_events_of_a_stream_are_kept_and_usage_moves_to_the_end() -> None:
    body = (
        ": PROCESSING\r\n\r\n"
        'event: x\r\ndata: {"id" : "i", "model":"old","choices":[{"delta":{}}],"usage":null}\r\n\r\n'
        'data: {"id":"i","model":"old","choices":[{"delta":{}}],"usage":{"completion_tokens":7}}\n\ndata: [DONE]'
    )
    made = replay(recording(body))
    plain = answer((made,), "chat", question("chat", {**ASK, "stream": True}))
    assert plain.events == (
        b": PROCESSING\r\n\r\n",
        b'event: x\r\ndata: {"id" : "i", "model":"m","choices":[{"delta":{}}]}\r\n\r\n',
        b'data: {"id":"i","model":"m","choices":[{"delta":{}}]}\n\n',
        b"data: [DONE]\n\n",
    )
    asked = question("chat", {**ASK, "stream": True, "stream_options": {"include_usage": True}})
    with_usage = answer((made,), "chat", asked)
    assert b'"usage":null' in with_usage.events[1]
    assert b'"usage"' not in with_usage.events[2]
    usage = b'{"prompt_tokens":1,"completion_tokens":7,"total_tokens":8}'
    assert with_usage.events[3] == b'data: {"id":"i","model":"m","choices":[],"usage":' + usage + b"}\n\n"


def test_without_a_fitting_recording() -> None:
    with pytest.raises(NoRecordingError, match="chat streams"):
        answer((), "chat", question("chat", {**ASK, "stream": True}))


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecordingError, match="has no recording"):
        from_folder(tmp_path)
    data = msgspec.json.encode(recording('{"model":"old","choices":[]}', stream=False))
    (tmp_path / "one.json").write_bytes(data)
    assert [made.model for made in from_folder(tmp_path)] == ["old"]
    for bad in (b"{", data.replace(b'"chat"', b'"talk"'), data.replace(b"[]}", b"["), data.replace(b"[]}", b"x}")):
        (tmp_path / "two.json").write_bytes(bad)
        with pytest.raises(InvalidRecordingError, match=r"two\.json: is no recording"):
            from_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ('{"a":1,"b":2}', "a", '{"b":2}'),
        ('{"a":1,"b":2}', "b", '{"a":1}'),
        ('{ "a" : 1 }', "a", "{  }"),
        ('{"a":{"b":1}}', "b", '{"a":{"b":1}}'),
        ('{"x":"\\"a\\":1","a":[1,{"a":2}] ,"c":0}', "a", '{"x":"\\"a\\":1" ,"c":0}'),
        ("{}", "a", "{}"),
    ],
)
def test_a_member_is_taken_out(text: str, name: str, expected: str) -> None:
    assert without(text, name) == expected


def test_only_the_value_at_the_path_is_a_place() -> None:
    text = '{"deep":{"model":"no"},"say":"\\"model\\":1", "model" : "é" ,"list":[{"n":1},{"n":2}]}'
    made = template(text, {"m": ("model",), "n": ("list", "*", "n")})
    assert made.filled({}) == text.encode()
    assert made.filled({"m": b"M", "n": b"N"}).decode() == text.replace('"é"', "M").replace('"n":1', '"n":N').replace(
        '"n":2', '"n":N'
    )
    assert value_text(text, "list", "*", "n") == "1"
    assert value_text(text, "none") is None
