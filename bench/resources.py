"""What the gateway serves in the benchmarks: three priced candidates, two routes, one of them cached, one consumer.

Beside them a third route, to three candidates of a vendor that speaks Anthropic's protocol.
"""

from pathlib import Path

CONSUMER_KEY = "sk-bench-0123456789abcdef"
MODEL = "support-chat"
CLAUDE = "support-claude"
"""Served by who speaks Anthropic's protocol."""

# Input, output and cached input in USD per million tokens. Different enough that the merit order has something to sort.
_PRICES = {
    "alpha": ("gpt-4o-mini", "0.15", "0.60", "0.075"),
    "beta": ("gpt-4.1-nano", "0.10", "0.40", "0.025"),
    "gamma": ("mistral-small", "0.20", "0.50", "0.10"),
}

_PROVIDER = """\
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {name}, namespace: default}}
spec:
  protocol: {protocol}
  endpoints: [{{name: local, url: "{url}"}}]
  credentials: {{apiKey: {{name: {name}-key, key: apiKey}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}-key, namespace: default}}
stringData: {{apiKey: sk-{name}-000000000000}}
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {name}, namespace: default}}
spec:
  providerRef: {{name: {name}}}
  models:
    - model: {model}
      prices: {{input: "{input}", output: "{output}", cachedInput: "{cached_input}"}}
      contextWindow: 128000
      maxOutputTokens: 16384
      capabilities: [Streaming, Tools, JsonSchema]
"""

_ROUTE = """\
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}, namespace: default}}
spec:
  models: [{model}]{cache}
  tiers:
    - name: default
      candidates:
{candidates}
"""

_CONSUMER = """\
apiVersion: v1
kind: Secret
metadata: {{name: bench-key, namespace: default}}
stringData: {{apiKey: {key}}}
---
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {{name: bench, namespace: default}}
spec:
  apiKeys: [{{name: bench-key, key: apiKey}}]
"""


def write(folder: Path, upstream_port: int) -> None:
    """Writes one file per provider, one for the route, one for the consumer."""
    url = f"http://127.0.0.1:{upstream_port}/v1"
    listed, of_claude = _candidates(folder, url, "OpenAI"), _candidates(folder, url, "Anthropic")
    claude = _ROUTE.format(name="support-claude", model=CLAUDE, cache="", candidates=of_claude)
    (folder / "route-claude.yaml").write_text(claude)
    (folder / "route.yaml").write_text(_ROUTE.format(name="support", model=MODEL, cache="", candidates=listed))
    cache = "\n  cache: {exact: {ttl: 1h}}"
    cached = _ROUTE.format(name="support-cached", model=f"{MODEL}-cached", cache=cache, candidates=listed)
    (folder / "route-cached.yaml").write_text(cached)
    (folder / "consumer.yaml").write_text(_CONSUMER.format(key=CONSUMER_KEY))


def _candidates(folder: Path, url: str, protocol: str) -> str:
    candidates = []
    for name, (model, price_in, price_out, cached) in _PRICES.items():
        called = name if protocol == "OpenAI" else f"{name}-{protocol.lower()}"
        text = _PROVIDER.format(
            name=called,
            protocol=protocol,
            url=url,
            model=model,
            input=price_in,
            output=price_out,
            cached_input=cached,
        )
        (folder / f"provider-{called}.yaml").write_text(text)
        candidates.append(f"        - {{provider: {{name: {called}}}, model: {model}}}")
    return "\n".join(candidates)
