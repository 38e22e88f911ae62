"""The resources of a gateway in front of the replaying vendor: a Provider for each way in which vendors were asked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fidelity.exchanges import Exchange
from tests.support.resources import CONSUMER

_CAPABILITIES = (
    "Streaming, Tools, ParallelTools, JsonObject, JsonSchema, Images, Audio, Logprobs, Embeddings, Moderation"
)
_TIERS = '{name: priority, percentOff: "0"}, {name: flex, percentOff: "50"}'
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


@dataclass(frozen=True)
class Stock:
    """A model of an account that a request goes to."""

    exchange: Exchange
    alone: str = ""
    """Not empty: an account that nothing else is asked of, since it is left alone after an error."""

    @property
    def account(self) -> str:
        """The Provider's name: one for each way in which the vendor was asked."""
        kind = self.exchange.kind
        if kind is None:
            raise AssertionError("it is not served")
        base = "".join(letter if letter.isalnum() else "-" for letter in kind.base.lower()).strip("-")[:24].strip("-")
        what = "responses" if kind.operation == "responses" else "any"
        return "-".join(filter(None, (self.exchange.vendor, kind.protocol.lower(), what, base, self.alone)))

    @property
    def asked_as(self) -> str:
        """The model's name for clients."""
        return f"{self.account}/{self.exchange.model}"


def documents(stocked: list[Stock], url: str) -> list[str]:
    """The resources of all of them."""
    made = [CONSUMER]
    accounts: dict[str, dict[str, Stock]] = {}
    for stock in stocked:
        accounts.setdefault(stock.account, {})[stock.exchange.model] = stock
    for account, models in accounts.items():
        made += _account(account, next(iter(models.values())).exchange, list(models), url)
    return made


def _account(account: str, exchange: Exchange, models: list[str], url: str) -> Iterator[str]:
    kind = exchange.kind
    if kind is None:
        raise AssertionError("it is not served")
    vendor = f"vendor: {_VENDORS.get(exchange.vendor, 'None')}" if kind.protocol == "OpenAI" else ""
    base = kind.base.replace("<", "").replace(">", "")
    yield f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {account}}}
spec:
  protocol: {kind.protocol}
  endpoints: [{{name: main, url: "{url}{base}"}}]
  credentials: {{apiKey: {{name: provider-keys, key: key}}}}
  {vendor}
"""
    capabilities = _CAPABILITIES + (", Responses" if kind.operation == "responses" else "")
    priced = ",\n".join(
        f"    {{model: {json.dumps(model)}, capabilities: [{capabilities}], "
        f'prices: {{input: "1", output: "2", audioInput: "3"}}, serviceTiers: [{_TIERS}]}}'
        for model in models
    )
    yield f"""
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {account}}}
spec:
  providerRef: {{name: {account}}}
  models: [
{priced}
  ]
"""
    for number, model in enumerate(models):
        yield f"""
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {account}-{number}}}
spec:
  models: [{json.dumps(f"{account}/{model}")}]
  tiers: [{{name: all, candidates: [{{provider: {{name: {account}}}, model: {json.dumps(model)}}}]}}]
"""
