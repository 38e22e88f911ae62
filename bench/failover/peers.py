"""The gateways side by side: each with simulated vendors of its own, configured as its documentation advises."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import free_port

_HERE = Path(__file__).parent
_BIN = Path(sys.executable).parent
_READY_SECONDS = 180.0
_KEY = "sk-bench-failover-0123456789"


@dataclass(frozen=True)
class Peer:
    """One gateway that runs, and how it is asked."""

    name: str
    version: str
    url: str
    primary: str
    fallback: str

    def headers(self, model: str) -> dict[str, str]:
        """Of a request."""
        if self.name != "Portkey":
            return {"authorization": f"Bearer {_KEY}"}
        target = {"provider": "openai", "api_key": "x", "retry": {"attempts": 2, "use_retry_after_header": True}}
        targets = [
            {**target, "custom_host": f"{self.primary}/v1", "request_timeout": 10_000},
            {**target, "custom_host": f"{self.fallback}/v1", "override_params": {"model": f"{model}-fallback"}},
        ]
        return {"x-portkey-config": json.dumps({"strategy": {"mode": "fallback"}, "targets": targets})}


@contextlib.contextmanager
def running(name: str, folder: Path, models: tuple[str, ...], peers: Path | None) -> Iterator[Peer | None]:
    """The gateway and its two vendors; None where it isn't installed."""
    with contextlib.ExitStack() as stack:
        vendors = [free_port(), free_port()]
        for port in vendors:
            command = [str(_BIN / "merit"), "fake-provider", "--listen", f"127.0.0.1:{port}"]
            stack.enter_context(
                _process([*command, "--recordings", str(_HERE / "recordings")], folder / f"v{port}.log")
            )
        primary, fallback = (f"http://127.0.0.1:{port}" for port in vendors)
        for url in (primary, fallback):
            _wait(f"{url}/_fake/stats")
        made = _START[name](folder, models, primary, fallback, peers)
        if made is None:
            yield None
            return
        command, env, url, ready, version = made
        stack.enter_context(_process(command, folder / f"{name}.log", env))
        _wait(ready)
        yield Peer(name, version, url, primary, fallback)


_Started = tuple[list[str], dict[str, str], str, str, str]


def _merit(folder: Path, models: tuple[str, ...], primary: str, fallback: str, _: Path | None) -> _Started:
    port, admin = free_port(), free_port()
    resources = folder / "resources"
    resources.mkdir()
    (resources / "all.yaml").write_text("\n---\n".join(_resources(models, primary, fallback)))
    command = [str(_BIN / "merit"), "serve", str(resources), "--no-watch", "--listen", f"127.0.0.1:{port}"]
    command += ["--admin-listen", f"127.0.0.1:{admin}", "--usage-log", "-"]
    version = subprocess.run([str(_BIN / "merit"), "--version"], capture_output=True, text=True, check=True).stdout
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return command, {}, url, f"http://127.0.0.1:{admin}/readyz", version.split()[-1]


def _resources(models: tuple[str, ...], primary: str, fallback: str) -> Iterator[str]:
    yield f"""apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData: {{consumer: {_KEY}, provider: sk-vendor}}
---
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {{name: bench}}
spec: {{apiKeys: [{{name: keys, key: consumer}}]}}"""
    for model in models:  # a fault must not be the next one's: each has its own account, as with the others
        mid_stream = "Restart" if model.endswith("-restart") else "Continue"
        for role, url, price, window in (("primary", primary, "1", 8192), ("fallback", fallback, "2", 128_000)):
            yield f"""apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {model}-{role}}}
spec:
  protocol: OpenAI
  endpoints: [{{name: local, url: "{url}/v1"}}]
  credentials: {{apiKey: {{name: keys, key: provider}}}}
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {model}-{role}}}
spec:
  providerRef: {{name: {model}-{role}}}
  models:
    - model: {model if role == "primary" else f"{model}-fallback"}
      prices: {{input: "{price}", output: "{price}"}}
      contextWindow: {window}
      capabilities: [{"Streaming" if role == "primary" else "Streaming, AssistantPrefix"}]"""
        yield f"""apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {model}}}
spec:
  models: [{model}]
  retry: {{midStream: {mid_stream}}}
  tiers:
    - name: all
      candidates:
        - {{provider: {{name: {model}-primary}}, model: {model}}}
        - {{provider: {{name: {model}-fallback}}, model: {model}-fallback}}"""


def _litellm(folder: Path, models: tuple[str, ...], primary: str, fallback: str, peers: Path | None) -> _Started | None:
    command = peers / "litellm" / "bin" / "litellm" if peers else None
    if command is None or not command.exists():
        return None
    names = [(model, primary) for model in models] + [(f"{model}-fallback", fallback) for model in models]
    deployments = [
        {"model_name": m, "litellm_params": {"model": f"openai/{m}", "api_base": f"{url}/v1", "api_key": "x"}}
        for m, url in names
    ]
    fallbacks = [{model: [f"{model}-fallback"]} for model in models]
    router = {"num_retries": 2, "timeout": 30, "stream_timeout": 10, "fallbacks": fallbacks}
    config = {
        "model_list": deployments,
        "router_settings": {**router, "context_window_fallbacks": fallbacks},
        "litellm_settings": {"telemetry": False},
        "general_settings": {"master_key": _KEY},
    }
    (folder / "litellm.json").write_text(json.dumps(config))
    port = free_port()
    python = command.with_name("python")
    version = subprocess.run(
        [str(python), "-c", "import importlib.metadata as m; print(m.version('litellm'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    arguments = ["--config", str(folder / "litellm.json"), "--host", "127.0.0.1", "--port", str(port)]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "NO_DOCS": "True"}
    base = f"http://127.0.0.1:{port}"
    return [str(command), *arguments], env, f"{base}/v1/chat/completions", f"{base}/health/liveliness", version


def _portkey(_: Path, __: tuple[str, ...], ___: str, ____: str, peers: Path | None) -> _Started | None:
    package = peers / "portkey" / "node_modules" / "@portkey-ai" / "gateway" if peers else None
    if package is None or not (package / "build" / "start-server.js").exists():
        return None
    port = free_port()
    version = json.loads((package / "package.json").read_text())["version"]
    command = ["node", str(package / "build" / "start-server.js"), f"--port={port}", "--headless"]
    base = f"http://127.0.0.1:{port}"
    return command, {}, f"{base}/v1/chat/completions", base, version


_START = {"Merit": _merit, "LiteLLM": _litellm, "Portkey": _portkey}


@contextlib.contextmanager
def _process(command: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator[None]:
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=os.environ | (env or {})
        )
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait(url: str) -> None:
    until = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError as error:
            if time.monotonic() > until:
                raise TimeoutError(f"{url} does not answer: {error}") from None
            time.sleep(0.2)
