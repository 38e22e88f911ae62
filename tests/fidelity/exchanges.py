"""Recorded exchanges, and by the path at which a vendor was called: its protocol, or why Merit never asks like that.

All of `../shared/data/cassettes` where it is, else the extracts in `tests/cassettes`.
"""

import base64
import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.shared import SHARED_DATA

ALL = SHARED_DATA / "cassettes"
EXTRACTS = Path(__file__).parents[1] / "cassettes"


@dataclass(frozen=True)
class Kind:
    """How a vendor is asked for something that Merit asks for, too."""

    protocol: str
    """Of the Provider."""
    operation: str
    base: str
    """Path of the endpoint's URL."""
    streamed: bool = False
    """Whether the path says so."""


@dataclass(frozen=True)
class Exchange:
    """One of them."""

    name: str
    vendor: str
    path: str
    """As it was asked; made up where it was not recorded."""
    kind: Kind | None
    """None: see `why`."""
    why: str
    model: str
    status: int
    request: dict[str, Any] | None
    headers: dict[str, str]
    """Of the answer, by lower-case name."""
    body: bytes
    features: frozenset[str]
    """What the index says of it."""

    @property
    def streamed(self) -> bool:
        """Whether the client of then got a stream."""
        if self.kind is not None and self.kind.streamed:
            return True
        return self.body.lstrip(b"\xef\xbb\xbf \r\n").startswith((b"event:", b"data:", b":", b"id:", b"\0"))

    @property
    def fails(self) -> bool:
        """An error: it changes whom Merit asks next."""
        return self.status >= 400


_CHAT, _MESSAGES = "chat", "messages"
_SERVED: tuple[tuple[str, str, str], ...] = (
    (r"(?P<base>)/openai/deployments/[^/]+/chat/completions", "AzureOpenAI", _CHAT),
    (r"(?P<base>)/openai/deployments/[^/]+/completions", "AzureOpenAI", "completions"),
    (r"(?P<base>)/openai/deployments/[^/]+/embeddings", "AzureOpenAI", "embeddings"),
    (r"(?P<base>.*)/chat/completions", "OpenAI", _CHAT),
    (r"(?P<base>(?!/api/embeddings$).*)/embeddings", "OpenAI", "embeddings"),
    (r"(?P<base>(?!.*/organization/usage).*)/completions", "OpenAI", "completions"),
    (r"(?P<base>.*)/responses", "OpenAI", "responses"),
    (r"(?P<base>.*)/moderations", "OpenAI", "moderations"),
    (r"(?P<base>(?!.*/threads/).*)/messages", "Anthropic", _MESSAGES),
    (r"(?P<base>.*)/messages/count_tokens", "Anthropic", "count_tokens"),
    (r"(?P<base>.*)/publishers/google/models/[^/:]+:generateContent", "VertexGemini", _CHAT),
    (r"(?P<base>.*)/publishers/google/models/[^/:]+:(?P<streamed>streamGenerateContent)", "VertexGemini", _CHAT),
    (r"(?P<base>.*)/publishers/google/models/[^/:]+:predict", "VertexGemini", "embeddings"),
    (r"(?P<base>.*)/models/[^/:]+:generateContent", "Gemini", _CHAT),
    (r"(?P<base>.*)/models/[^/:]+:(?P<streamed>streamGenerateContent)", "Gemini", _CHAT),
    (r"(?P<base>.*)/models/[^/:]+:batchEmbedContents", "Gemini", "embeddings"),
    (r"(?P<base>)/model/[^/]+/converse", "Bedrock", _CHAT),
    (r"(?P<base>)/model/[^/]+/(?P<streamed>converse-stream)", "Bedrock", _CHAT),
    (r"(?P<base>/v2)/chat", "Cohere", _CHAT),
    (r"(?P<base>/v2)/embed", "Cohere", "embeddings"),
)
"""Paths that Merit calls vendors at."""
_NOT_SERVED: tuple[tuple[str, str], ...] = (
    (r".*/rerank", "ranking documents has no endpoint in OpenAI's protocol or Anthropic's"),
    (r"/model/[^/]+/invoke(-with-response-stream)?", "InvokeModel's body is each model's own: chats go to Converse"),
    (r".*/batches(/.*)?|.*:batchGenerateContent", "a batch"),
    (r".*/organization/usage/.*", "the vendor's own books"),
    (r".*:countTokens", "Merit estimates tokens for vendors but Anthropic"),
    (r".*/responses/input_tokens", "counts tokens of a Responses request"),
    (r".*/responses/.+", "the store of Responses"),
    (r"/api/(chat|generate|embeddings|embed)", "Ollama's own API: Merit calls the one that speaks OpenAI's"),
    (r"/v1/chat", "older than v2 (Cohere), or a protocol of its own (Writer)"),
    (r".*/models/.*/(predictions|versions).*", "Replicate's own API"),
    (r".*/models(/.*)?", "Merit lists the models of its routes by itself"),
    (r".*/files(/.*)?", "a file"),
    (r".*/(threads|assistants)(/.*)?", "the store of Assistants"),
    (r".*/cachedContents(/.*)?", "Gemini's own cache objects"),
)
_UNRECORDED = {
    "messages": "/v1/messages",
    "chat.completions": "/v1/chat/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "generateContent": "/v1beta/models/M:generateContent",
    "streamGenerateContent": "/v1beta/models/M:streamGenerateContent",
    "ollama.chat": "/api/chat",
}
"""Where only the body was recorded."""


def kind_of(method: str, path: str, body: bytes) -> tuple[Kind | None, str]:
    """Of an exchange; or why there is none."""
    if method == "POST":
        for pattern, protocol, operation in _SERVED:
            if (found := re.fullmatch(pattern, path)) is not None:
                streamed = bool(found.groupdict().get("streamed"))
                return Kind(protocol, operation, found["base"], streamed=streamed), ""
        if re.fullmatch(r"/model/[^/]+/invoke", path) and re.match(rb'\s*\{[^{]*"embeddings?"\s*:', body):
            return Kind("Bedrock", "embeddings", ""), ""
    why = next((why for pattern, why in _NOT_SERVED if re.fullmatch(pattern, path)), "no path that is known here")
    return None, why


def exchanges(folder: Path = ALL, *, extracts: bool = False) -> list[Exchange]:
    """All in a folder with an `index.csv`, or the repository's own where there is none; in a fixed order."""
    found = {path.name: path for path in sorted(EXTRACTS.glob("*/*.json"))}
    told: dict[str, dict[str, str]] = {}
    if not extracts and (folder / "index.csv").exists():
        with (folder / "index.csv").open(newline="") as index:
            rows = list(csv.DictReader(index))
        found = {row["file"]: folder / row["file"] for row in rows}
        told = {row["file"]: row for row in rows}
    return [_read(path, told.get(name, {})) for name, path in found.items()]


def _unrecorded(endpoint: str, body: bytes) -> str:
    """The path that such an answer comes from."""
    if endpoint == "generateContent" and re.match(rb'\s*\{\s*"name"\s*:\s*"cachedContents/', body):
        return "/v1beta/cachedContents"
    if endpoint == "embeddings" and b'"data"' not in body:
        return "/api/embed"
    return _UNRECORDED[endpoint]


def _read(path: Path, told: dict[str, str]) -> Exchange:
    recorded = json.loads(path.read_text(encoding="utf-8"))
    asked, packed = recorded.get("request_body"), recorded.get("response_body_b64")
    body = base64.b64decode(packed) if packed else (recorded["response_body"] or "").encode()
    url = re.sub(r"^<\w+>", "https://recorded.invalid", recorded["url"] or "")
    where = unquote(urlsplit(url).path) or _unrecorded(recorded["endpoint"], body)
    kind, why = kind_of(recorded["method"], where, body)
    if path.parent.name == "writer" and kind is not None:
        kind, why = None, "older than v2 (Cohere), or a protocol of its own (Writer)"
    try:
        request = json.loads(asked) if asked else None
    except ValueError:
        request = None
    return Exchange(
        name=f"{path.parent.name}/{path.stem}",
        vendor=path.parent.name,
        path=where,
        kind=kind,
        why=why,
        model=unquote(recorded["model"] or "") or "unnamed",
        status=recorded["status"],
        request=request if isinstance(request, dict) else None,
        headers={name.lower(): value for name, value in (recorded["response_headers"] or {}).items()},
        body=body,
        features=frozenset(name for name, value in told.items() if value == "1"),
    )
