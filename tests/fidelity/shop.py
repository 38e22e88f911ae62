"""The resources of a gateway in front of the replaying vendor: a Provider for each way in which vendors were asked."""

import json

from tests.fidelity.exchanges import Exchange
from tests.support.resources import CONSUMER

_CAPABILITIES = (
    "Streaming, Tools, ParallelTools, JsonObject, JsonSchema, Images, Audio, Logprobs, Embeddings, Moderation"
)
_VENDORS = {
    "mistral": "Mistral",
    "deepseek": "DeepSeek",
    "groq": "Groq",
    "together": "Together",
    "ollama": "Ollama",
    "perplexity": "Perplexity",
    "zai": "ZAI",
    "gpustack": "GPUStack",
}


def client_model(exchange: Exchange) -> str:
    """The name under which a client asks for it."""
    return f"{_account(exchange)}/{exchange.model}"


def _account(exchange: Exchange) -> str:
    if exchange.kind is None:
        raise AssertionError("it is not served")
    base = "".join(letter if letter.isalnum() else "-" for letter in exchange.kind.base.lower())
    kind = exchange.kind.operation if exchange.kind.operation == "responses" else "any"
    return f"{exchange.vendor}-{exchange.kind.protocol.lower()}-{kind}-{base.strip('-')}".strip("-")[:60]


def documents(exchanges: list[Exchange], url: str) -> list[str]:
    """All of them."""
    made, seen = [CONSUMER], set[str]()
    models: dict[str, dict[str, None]] = {}
    for exchange in exchanges:
        models.setdefault(_account(exchange), {})[exchange.model] = None
    for exchange in exchanges:
        account, kind = _account(exchange), exchange.kind
        if account in seen or kind is None:
            continue
        seen.add(account)
        vendor = f"vendor: {_VENDORS.get(exchange.vendor, 'None')}" if kind.protocol == "OpenAI" else ""
        made.append(f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {account}}}
spec:
  protocol: {kind.protocol}
  endpoints: [{{name: main, url: "{url}{_percent(kind.base)}"}}]
  credentials: {{apiKey: {{name: provider-keys, key: key}}}}
  {vendor}
""")
        capabilities = _CAPABILITIES + (", Responses" if kind.operation == "responses" else "")
        priced = ",\n".join(
            f"    {{model: {json.dumps(model)}, capabilities: [{capabilities}], "
            f'prices: {{input: "1", output: "2", audioInput: "3"}}}}'
            for model in models[account]
        )
        made.append(f"""
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {account}}}
spec:
  providerRef: {{name: {account}}}
  models: [
{priced}
  ]
""")
        for number, model in enumerate(models[account]):
            made.append(f"""
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {account}-{number}}}
spec:
  models: [{json.dumps(f"{account}/{model}")}]
  tiers: [{{name: all, candidates: [{{provider: {{name: {account}}}, model: {json.dumps(model)}}}]}}]
""")
    return made


def _percent(base: str) -> str:
    return base.replace("<", "").replace(">", "")
