"""Answers that tell questions apart, for `merit fake-provider --recordings`, and what it says to a question.

Made of the packaged recordings: the same head and shape with 256 different texts, of which the vendor chooses by the
hash of what the user said last. An answer to another question is noticed in 255 of 256 cases.
"""

import json
from pathlib import Path
from typing import NamedTuple

import msgspec

from merit_dataplane.fake_provider.answers import answer
from merit_dataplane.fake_provider.question import question
from merit_dataplane.fake_provider.recordings import Recording, Replay, from_folder

_PACKAGED = Path(__file__).parents[1] / "dataplane/merit_dataplane/fake_provider/recordings"
_ANSWERS = 256
MEAN_OUTPUT_TOKENS = 60


def write(folder: Path) -> tuple[Replay, ...]:
    """256 answers, whole and as streams: the same text for the same question."""
    whole = msgspec.json.decode((_PACKAGED / "chat-gpt-4.1-mini.json").read_bytes(), type=Recording)
    stream = msgspec.json.decode((_PACKAGED / "chat-stream-gpt-4o-mini.json").read_bytes(), type=Recording)
    for number in range(_ANSWERS):
        tokens = MEAN_OUTPUT_TOKENS // 2 + number % (MEAN_OUTPUT_TOKENS + 1)
        said = f"Answer {number:03}. " + "word " * (tokens - 4)
        usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens}
        document = json.loads(whole.body) | {"usage": usage}
        document["choices"][0]["message"]["content"] = said
        _write(folder / f"chat-{number:03}.json", whole, json.dumps(document))
        _write(folder / f"stream-{number:03}.json", stream, _events(stream.body, said, usage))
    return from_folder(folder)


class Expected(NamedTuple):
    """What the vendor says to a request, and the tokens that it counts."""

    said: str
    tokens: int


def expected(replays: tuple[Replay, ...], body: dict[str, object]) -> Expected:
    """The same whether it is streamed or not."""
    told = answer(replays, "chat", question("chat", {**body, "stream": False}))
    return Expected(said_in(told.body), told.prompt_tokens + told.completion_tokens)


def said_in(body: bytes) -> str:
    """The text of an answer, whole or a stream. Raises ValueError, KeyError, IndexError where it is none."""
    if not body.lstrip().startswith(b"data:"):
        return str(json.loads(body)["choices"][0]["message"]["content"])
    lines = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
    if not lines or lines[-1] != b"[DONE]":
        raise ValueError("a stream without its end")
    chunks = [json.loads(line) for line in lines[:-1]]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def _events(recorded: str, said: str, usage: dict[str, int]) -> str:
    head = json.loads(recorded.split("data: ", 1)[1].split("\n", 1)[0])
    words = said.split(" ")
    deltas: list[dict[str, str]] = [
        {"role": "assistant", "content": ""},
        *({"content": word + " "} for word in words[:-1]),
    ]
    parts: list[dict[str, object]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    parts.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks = [{**head, "usage": None, **part} for part in parts] + [{**head, "choices": [], "usage": usage}]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def _write(path: Path, recording: Recording, body: str) -> None:
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(recording, name=path.stem, body=body)))
