"""Merit's main job in half a minute: real requests, a price change, a dead provider. No key, no cluster.

Runs `merit serve` on a copy of `resources/` with three simulated providers that answer with recorded answers, and calls
it with the official OpenAI SDK.
"""

import argparse
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
from openai import OpenAI
from openai.types import CompletionUsage

from merit_crds.compile import compile_resources
from merit_crds.pricing import Usage, price_details, usd
from merit_dataplane.snapshots.folder import load

HERE = Path(__file__).parent
BASE_URL, ADMIN_URL, KEY = "http://127.0.0.1:8080/v1", "http://127.0.0.1:8081", "merit-demo-key-0001"
PROVIDERS = {"northwind": (9101, 0.12), "contoso": (9102, 0.08), "fabrikam": (9103, 0.03)}
"""Name to port and time to first byte in seconds."""
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Demo:
    """The processes and what is shown of them."""

    def __init__(self, folder: Path, running: contextlib.ExitStack):
        self._folder, self._running = folder, running
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=30)

    def start(self) -> None:
        """Providers, then the gateway; returns when it is ready."""
        merit = str(Path(sys.executable).with_name("merit"))
        for name, (port, latency) in PROVIDERS.items():
            self._spawn(
                name,
                [merit, "fake-provider", "--name", name, "--listen", f"127.0.0.1:{port}", "--latency", str(latency)],
            )
        gateway = [
            merit,
            "serve",
            str(self._folder),
            "--usage-log=off",
            "--drain-seconds",
            "0",
            "--grace-seconds",
            "2",
        ]
        self._spawn("gateway", gateway)
        deadline = time.monotonic() + 30
        urls = [f"http://127.0.0.1:{port}/v1/models" for port, _ in PROVIDERS.values()] + [f"{ADMIN_URL}/readyz"]
        while not all(_answers(url) for url in urls):
            for name, process in self._processes.items():
                if process.poll() is not None:
                    sys.exit(f"{name} did not start; is one of the ports 8080, 8081, 9101-9103 in use?")
            if time.monotonic() > deadline:
                sys.exit("the gateway was not ready within 30 s")
            time.sleep(0.05)

    def _spawn(self, name: str, command: list[str]) -> None:
        log = self._running.enter_context((self._folder.parent / f"{name}.log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self._processes[name] = process
        self._running.callback(self.kill, name, signal.SIGTERM)

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends a process and waits for its end."""
        process = self._processes[name]
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def plain(self, question: str) -> str:
        """One request; the provider that answered."""
        raw = self._client.chat.completions.with_raw_response.create(
            model="support", messages=[{"role": "user", "content": question}]
        )
        answer = raw.parse()
        self._show(question, answer.choices[0].message.content or "", dict(raw.headers), answer.usage)
        return raw.headers["x-merit-provider"]

    def streamed(self, question: str) -> None:
        """One streamed request."""
        raw = self._client.chat.completions.with_raw_response.create(
            model="support",
            messages=[{"role": "user", "content": question}],
            stream=True,
            stream_options={"include_usage": True},
        )
        text, usage, pieces = "", None, 0
        for chunk in raw.parse():
            usage = chunk.usage or usage
            if chunk.choices and chunk.choices[0].delta.content:
                text += chunk.choices[0].delta.content
                pieces += 1
        self._show(f"{question} (streamed, {pieces} pieces)", text, dict(raw.headers), usage)

    def tool_call(self, question: str) -> None:
        """One request with a tool: only candidates that can call tools are admissible."""
        raw = self._client.chat.completions.with_raw_response.create(
            model="support",
            messages=[{"role": "user", "content": question}],
            tools=[TOOL],  # type: ignore[list-item] # a plain dict is what the SDK's users write
        )
        answer = raw.parse()
        calls = [
            f"{call.function.name}({call.function.arguments})"
            for call in answer.choices[0].message.tool_calls or []
            if call.type == "function"
        ]
        self._show(f"{question} (with a tool)", ", ".join(calls), dict(raw.headers), answer.usage)

    def who_answers(self) -> str:
        """The provider that serves a simple request now."""
        raw = self._client.chat.completions.with_raw_response.create(
            model="support", messages=[{"role": "user", "content": "Where is my parcel?"}]
        )
        return raw.headers["x-merit-provider"]

    def _show(self, question: str, text: str, headers: dict[str, str], usage: CompletionUsage | None) -> None:
        if usage is None:
            sys.exit("the answer has no usage")
        shown = " ".join(text.split())
        paid = getattr(usage, "cost", None)
        print(f"  {question}")
        print(f"    {shown[:88]}{'…' if len(shown) > 88 else ''}")
        print(
            f"    tier {headers['x-merit-tier']}, {usage.prompt_tokens} tokens in, {usage.completion_tokens} out, "
            f"answered by {headers['x-merit-provider']} ({headers['x-merit-model']}) for {paid:.8f} USD"
        )
        spent = Usage(uncached_input=usage.prompt_tokens, output=usage.completion_tokens)
        for provider, model, price in self._prices(headers["x-merit-tier"], spent):
            if provider != headers["x-merit-provider"]:
                print(f"      {provider} ({model}) would have cost {usd(price)} USD")
        print()

    def _prices(self, tier_name: str, spent: Usage) -> Iterator[tuple[str, str, int]]:
        """Every candidate of a tier with what these tokens cost there, from the price lists as they are now."""
        snapshot = compile_resources(load([self._folder]).resources).snapshot
        for tier in snapshot.routes["default/support"].tiers:
            for candidate in tier.candidates if tier.name == tier_name else ():
                for pricing in snapshot.pricings.values():
                    if pricing.provider == candidate.provider and candidate.model in pricing.models:
                        price = price_details(pricing.models[candidate.model], spent).total
                        yield candidate.provider.split("/")[1], candidate.model, price


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def _change_price(folder: Path) -> None:
    """Contoso cuts its prices to a third."""
    file = folder / "prices.yaml"
    text = file.read_text()
    changed = text.replace('{input: "0.10", output: "0.30"}', '{input: "0.03", output: "0.05"}')
    if changed == text:
        sys.exit("prices.yaml is not as the demo expects it")
    file.write_text(changed)


def _move(demo: Demo, folder: Path) -> None:
    before = demo.who_answers()
    _change_price(folder)
    started = time.monotonic()
    while (now := demo.who_answers()) == before:
        if time.monotonic() - started > 10:
            sys.exit("traffic did not move within 10 s")
    took = 1000 * (time.monotonic() - started)
    print(f"  {before} answered before, {now} does {took:.0f} ms after the file was saved\n")


def _kill(demo: Demo) -> None:
    victim, count = demo.who_answers(), 60
    answered: Counter[str] = Counter()
    for i in range(count):
        if i == count // 3:
            demo.kill(victim)
        answered[demo.who_answers()] += 1
    shares = ", ".join(f"{n} by {name}" for name, n in answered.most_common())
    print(f"  {victim} was killed after request {count // 3} of {count}: 0 failed, {shares}\n")


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the last step instead of staying up")
    once = parser.parse_args().once
    with contextlib.ExitStack() as running:
        scratch = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="merit-demo-")))
        folder = scratch / "resources"
        shutil.copytree(HERE / "resources", folder)
        demo = Demo(folder, running)
        demo.start()
        print(f"Merit serves {BASE_URL} from a copy of {HERE.name}/resources, with three simulated providers.\n")
        print("1. Requests go to the cheapest candidate that is good enough")
        demo.plain("Where is my parcel?")
        demo.streamed("How do I change my address?")
        demo.tool_call("What is the weather in Paris?")
        print("2. A provider cuts its price: the file is edited, nothing is restarted")
        _move(demo, folder)
        print("3. A provider dies: nobody notices")
        _kill(demo)
        if once:
            return
        print(f"The gateway stays up. Edit {folder}, watch {scratch}/gateway.log, or call it:")
        print(f'  OPENAI_BASE_URL={BASE_URL} OPENAI_API_KEY={KEY} python -c "from openai import OpenAI;', end=" ")
        print("print(OpenAI().chat.completions.create(model='support', messages=[{'role':'user','content':'Hi'}]))\"")
        print("Press Ctrl-C to end.")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
