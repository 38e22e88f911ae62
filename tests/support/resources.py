"""Resources as users write them, short enough for tests."""

from collections.abc import Mapping

from merit_crds.compile import Compiled, compile_resources
from merit_crds.manifest import read
from merit_crds.resources import ResourceSet

CONSUMER_KEY = "merit-test-consumer-key-0001"
PROVIDER_KEY = "sk-provider-canary-0123456789abcdef"

CONSUMER = f"""
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {{name: tests}}
spec: {{apiKeys: [{{name: consumer-keys, key: tests}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: consumer-keys}}
stringData: {{tests: {CONSUMER_KEY}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: provider-keys}}
stringData: {{key: {PROVIDER_KEY}}}
"""


def consumer(name: str, key: str, *, namespace: str = "default", routes: str = "", extra: str = "") -> str:
    """A Consumer with its key."""
    return f"""
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{apiKeys: [{{name: {name}-keys, key: key}}]{routes}{extra}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}-keys, namespace: {namespace}}}
stringData: {{key: {key}}}
"""


def provider(name: str, *urls: str, namespace: str = "default", extra: str = "", protocol: str = "OpenAI") -> str:
    """A Provider; `extra` are more fields of its spec, in YAML flow style."""
    endpoints = ", ".join(f'{{name: e{i}, url: "{url}"}}' for i, url in enumerate(urls))
    return f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  protocol: {protocol}
  endpoints: [{endpoints}]
  credentials: {{apiKey: {{name: provider-keys, key: key}}}}
  {extra}
"""


def prices(  # a price list has that many fields
    name: str,
    input_usd: str,
    output_usd: str,
    *,
    model: str = "",
    capabilities: str = "Streaming, Tools, ParallelTools, JsonObject, JsonSchema, Images, Audio, Logprobs, Embeddings",
    namespace: str = "default",
    more_prices: str = "",
    extra: str = "",
) -> str:
    """A ProviderPricing with one model, `<name>-model` unless named."""
    if "Audio" in capabilities and "audioInput" not in more_prices:
        more_prices += f', audioInput: "{input_usd}"'
    return f"""
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  providerRef: {{name: {name}}}
  models:
    - model: {model or f"{name}-model"}
      prices: {{input: "{input_usd}", output: "{output_usd}"{more_prices}}}
      capabilities: [{capabilities}]
      {extra}
"""


def candidate(name: str, *, model: str = "", accuracy: str = "") -> str:
    """A candidate, in YAML flow style."""
    stated = f', accuracy: "{accuracy}"' if accuracy else ""
    return f"{{provider: {{name: {name}}}, model: {model or f'{name}-model'}{stated}}}"


def route(*names: str, model: str = "chat", name: str = "chat", namespace: str = "default", extra: str = "") -> str:
    """A ModelRoute with one tier `all`."""
    return route_of(f"[{{name: all, candidates: [{', '.join(candidate(n) for n in names)}]}}]", model=model, name=name,
                    namespace=namespace, extra=extra)  # fmt: skip


def route_of(
    tiers: str, *, model: str = "chat", name: str = "chat", namespace: str = "default", extra: str = ""
) -> str:
    """A ModelRoute with the given tiers, in YAML flow style."""
    return f"""
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  models: [{model}]
  tiers: {tiers}
  {extra}
"""


def compiled(*documents: str, complete: bool = True) -> Compiled:
    """The documents compiled; all of them must be in order when `complete`."""
    manifest = read("\n---\n".join(documents), source="test.yaml")
    if manifest.faults:
        raise AssertionError([str(fault) for fault in manifest.faults])
    secrets: Mapping[tuple[str, str], Mapping[str, str]] = manifest.secrets
    result = compile_resources(ResourceSet.of(manifest.resources, secrets))
    if complete:
        for status in result.statuses.values():
            for condition in (status.accepted, status.resolved_refs):
                if condition.status != "True":
                    raise AssertionError(f"{status.id}: {condition.message} {status.problems}")
    return result
