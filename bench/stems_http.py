"""The same workload over HTTP: one pod of `merit serve`, in front of a vendor that goes on from beginnings.

Answers, streams and beginnings pass all of the gateway; what it decides is to come out as in `stems_replay.py`.
"""

import asyncio
import contextlib
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bench.cache_vendor import said_in
from bench.local_http import get
from bench.machine import cores
from bench.processes import Process, free_port
from bench.stems_workload import Desk
from bench.support_workload import Asked

KEY = "sk-bench-0123456789abcdef"
AT_ONCE = 4
CHARACTERS_PER_TOKEN = 4
RESOURCES = """\
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: desk}}
spec:
  protocol: OpenAI
  endpoints: [{{name: local, url: "http://127.0.0.1:{port}/v1"}}]
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: desk}}
spec:
  providerRef: {{name: desk}}
  models: [{{model: m, prices: {{input: "0.15", output: "0.60"}}, capabilities: [Streaming, AssistantPrefix]}}]
---
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: support}}
spec:
  models: [support]
  cache: {{stems: {{normalise: [Case, WhiteSpace, Punctuation, Greetings, Numbers]}}}}
  tiers: [{{name: all, candidates: [{{provider: {{name: desk}}, model: m}}]}}]
---
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {{name: bench}}
spec: {{apiKeys: [{{name: bench, key: key}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: bench}}
stringData: {{key: {key}}}
"""


@dataclass
class Seen:
    """What clients got, and what the vendor wrote."""

    how: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    failed: int = 0
    written: int = 0
    """Tokens."""
    delivered: int = 0


class Vendor:
    """Answers as its desk does; from a beginning on where it is given one."""

    def __init__(self, desk: Desk, seen: Seen):
        self._desk, self.seen = desk, seen

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """One answer."""
        body: dict[str, Any] = await request.json()
        last = body["messages"][-1]
        begun = last["content"] if last["role"] == "assistant" else ""
        question = body["messages"][-2 if begun else -1]["content"]
        said = self._desk.says(question)
        if begun:
            fitting = [answer for answer in self._desk.possible(question) if answer.startswith(begun)]
            said = fitting[0][len(begun) :] if fitting else f" But no: {said}"
        tokens = len(said) // CHARACTERS_PER_TOKEN
        self.seen.written += tokens
        sent = sum(len(message["content"]) for message in body["messages"]) // CHARACTERS_PER_TOKEN
        usage = {"prompt_tokens": sent, "completion_tokens": tokens, "total_tokens": sent + tokens}
        head = {"id": "x", "created": 1, "model": "m"}
        if not body.get("stream"):
            message = {"role": "assistant", "content": said}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response(head | {"object": "chat.completion", "choices": [choice], "usage": usage})
        words = said.split(" ")
        deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, {"content": words[0]}]
        deltas += [{"content": f" {word}"} for word in words[1:]]
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        chunks.append({"choices": [], "usage": usage})
        head |= {"object": "chat.completion.chunk"}
        text = "".join(f"data: {json.dumps(head | chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return web.Response(text=text, content_type="text/event-stream")


async def _ask(  # noqa: PLR0917 # one request
    http: aiohttp.ClientSession, port: int, system: str, asked: Asked, desk: Desk, seen: Seen
) -> None:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": asked.text}]
    body = {"model": "support", "messages": messages, "temperature": 0.2} | ({"stream": True} if asked.stream else {})
    url, headers = f"http://127.0.0.1:{port}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
    try:
        async with http.post(url, json=body, headers=headers) as answer:
            said, status = said_in(await answer.read()), answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, IndexError):
        said, status = "", 0
    if status != 200:
        seen.failed += 1
        return
    seen.how[answer.headers.get("x-merit-cache", "")] += 1
    seen.delivered += len(said) // CHARACTERS_PER_TOKEN
    seen.wrong += said not in desk.possible(asked.text)


async def _replayed(asked: list[Asked], passes: int, system: str, desk: Desk, folder: Path) -> Seen:
    """The last pass."""
    seen = Seen()
    vendor, app = Vendor(desk, seen), web.Application()
    app.router.add_post("/v1/chat/completions", vendor.chat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    vendor_port, port, admin_port = free_port(), free_port(), free_port()
    await web.TCPSite(runner, "127.0.0.1", vendor_port).start()
    (folder / "resources").mkdir()
    (folder / "resources/all.yaml").write_text(RESOURCES.format(port=vendor_port, key=KEY))
    command = [
        *(str(Path(sys.executable).with_name("merit")), "serve", str(folder / "resources"), "--no-watch"),
        *("--usage-log", "off", "--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin_port}"),
    ]
    with Process("merit", command, core=cores().gateway, cwd=folder) as merit:
        await asyncio.to_thread(merit.wait_until, lambda: get(admin_port, "/readyz")[0] == 200)
        async with aiohttp.ClientSession() as http:
            some = asyncio.Semaphore(AT_ONCE)

            async def one(request: Asked) -> None:
                async with some:
                    await _ask(http, port, system, request, desk, seen)

            for number in range(passes):
                if number == passes - 1:
                    seen = vendor.seen = Seen()
                await asyncio.gather(*(one(request) for request in asked))
    await runner.cleanup()
    return seen


def over_http(asked: list[Asked], passes: int, system: str, desk: Desk) -> Seen:
    """The workload so often, without an exact cache; what is counted is the last time."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="merit-stems-")))
        return asyncio.run(_replayed(asked, passes, system, desk, folder))
