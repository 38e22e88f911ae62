"""The same questions over HTTP: one pod of `merit serve`, the embedding model behind a route of it, an echoing vendor.

The vendor's answer is the question that it was asked, so that a client sees whose answer it got.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from bench.local_http import get
from bench.machine import cores
from bench.processes import Process, free_port
from bench.support_workload import Pair

KEY = "sk-bench-0123456789abcdef"
INPUT_TOKENS, OUTPUT_TOKENS = 300, 60
"""FinSync's."""
RESOURCES = """\
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: echo}}
spec: {{protocol: OpenAI, endpoints: [{{name: local, url: "http://127.0.0.1:{vendor}/v1"}}]}}
---
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: minilm}}
spec: {{protocol: OpenAI, endpoints: [{{name: local, url: "http://127.0.0.1:{embedder}/v1"}}]}}
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: echo}}
spec:
  providerRef: {{name: echo}}
  models: [{{model: m, prices: {{input: "0.15", output: "0.60"}}, capabilities: [Streaming]}}]
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: minilm}}
spec:
  providerRef: {{name: minilm}}
  models: [{{model: all-MiniLM-L6-v2, prices: {{input: "0.02", output: "0"}}, capabilities: [Embeddings]}}]
---
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: embeddings}}
spec:
  models: [embeddings]
  tiers: [{{name: all, candidates: [{{provider: {{name: minilm}}, model: all-MiniLM-L6-v2}}]}}]
---
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: support}}
spec:
  models: [support]
  cache: {{exact: {{ttl: 24h}}, semantic: {{embeddings: embeddings, similarity: "{threshold:.2f}", timeout: 10s}}}}
  tiers: [{{name: all, candidates: [{{provider: {{name: echo}}, model: m}}]}}]
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


class Told(NamedTuple):
    """What one request got."""

    how: str
    whose: str
    """The question that the answer was made for."""


@dataclass
class Seen:
    """Of all."""

    told: list[Told] = field(default_factory=list)
    pairs: list[bool] = field(default_factory=list)
    """Whether a pair's second question got the first one's answer."""
    embedded: list[float] = field(default_factory=list)
    """Seconds of each embedding."""
    spent: float = 0.0
    """USD of embeddings."""
    saved: float = 0.0
    """USD of answers that nobody made, by semantic hits."""

    @property
    def how(self) -> Counter[str]:
        return Counter(told.how for told in self.told)

    @property
    def median_seconds(self) -> float:
        return median(self.embedded)

    def later_than(self, seconds: float) -> float:
        """Share of the embeddings."""
        return sum(one > seconds for one in self.embedded) / len(self.embedded)


async def _chat(request: web.Request) -> web.Response:
    body: dict[str, Any] = await request.json()
    message = {"role": "assistant", "content": body["messages"][-1]["content"]}
    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    return web.json_response(head | {"choices": [choice], "usage": usage})


async def _ask(http: aiohttp.ClientSession, port: int, text: str, namespace: str) -> Told:
    messages = [{"role": "system", "content": "You help customers of a bank."}, {"role": "user", "content": text}]
    body: dict[str, Any] = {"model": "support", "messages": messages, "temperature": 0.2}
    if namespace:
        body["cache"] = {"namespace": namespace}
    url, headers = f"http://127.0.0.1:{port}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
    async with http.post(url, json=body, headers=headers) as answer:
        answer.raise_for_status()
        said = await answer.json()
    return Told(answer.headers["x-merit-cache"], said["choices"][0]["message"]["content"])


async def over_http(texts: Sequence[str], pairs: Sequence[Pair], threshold: float, embedder: int, folder: Path) -> Seen:
    """The texts one after the other, then each pair in a namespace of its own. `embedder`: its port."""
    seen, app = Seen(), web.Application()
    app.router.add_post("/v1/chat/completions", _chat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    vendor, port, admin = free_port(), free_port(), free_port()
    await web.TCPSite(runner, "127.0.0.1", vendor).start()
    (folder / "resources").mkdir()
    made = RESOURCES.format(vendor=vendor, embedder=embedder, threshold=threshold, key=KEY)
    (folder / "resources/all.yaml").write_text(made)
    command = [
        *(str(Path(sys.executable).with_name("merit")), "serve", str(folder / "resources"), "--no-watch"),
        *("--usage-log", str(folder / "log"), "--drain-seconds", "0"),
        *("--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin}"),
    ]
    with Process("merit", command, core=cores().gateway, cwd=folder) as merit:
        await asyncio.to_thread(merit.wait_until, lambda: get(admin, "/readyz")[0] == 200)
        async with aiohttp.ClientSession() as http:
            for text in texts:
                seen.told.append(await _ask(http, port, text, ""))
            for number, pair in enumerate(pairs):
                await _ask(http, port, pair.one, f"pair-{number}")
                told = await _ask(http, port, pair.other, f"pair-{number}")
                seen.pairs.append(told.whose != pair.other)
    await runner.cleanup()
    left = len(texts)
    for path in sorted((folder / "log").glob("*.jsonl")):
        for line in map(json.loads, path.read_text().splitlines()):
            if not left:  # pairs are no traffic
                break
            if line.get("operation") == "embeddings":
                seen.embedded.append(line["duration"])
                seen.spent += float(line.get("cost", "0"))
                continue
            left -= 1
            if line.get("cache") == "semantic":
                seen.saved += float(line["saved"])
    return seen
