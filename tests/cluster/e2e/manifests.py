"""The resources of the end-to-end tests: simulated vendors in the cluster, prices, a route, a consumer."""

from collections.abc import Mapping

NAMESPACE = "shop"
MODEL = "support"
CONSUMER_KEY = "sk-shop-0123456789abcdef"
PROVIDERS = {"alpha": "alpha-large", "beta": "beta-large", "gamma": "gamma-large"}
PRICES: dict[str, tuple[str, str]] = {"alpha": ("0.10", "0.40"), "beta": ("0.15", "0.60"), "gamma": ("0.30", "1.20")}
"""Input and output, USD per million tokens: alpha is the cheapest, beta after a cut of 40 %."""
KEYS = {name: f"sk-{name}-key-1" for name in PROVIDERS}


def vendor(name: str, image: str, keys: list[str], chunk_interval: float = 0.02) -> str:
    """A simulated vendor as Deployment and Service; it accepts these API keys."""
    arguments = ["fake-provider", "--name", name, "--listen", "0.0.0.0:9000", "--chunk-interval", str(chunk_interval)]
    for key in keys:
        arguments += ["--api-key", key]
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {NAMESPACE}, labels: {{app: {name}}}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: vendor
          image: {image}
          command: [merit]
          args: {arguments!r}
          readinessProbe: {{tcpSocket: {{port: 9000}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80, targetPort: 9000}}]
---
"""


def secret(name: str, key: str) -> str:
    """The Secret with a provider's key."""
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: {name}-key, namespace: {NAMESPACE}}}
stringData: {{apiKey: {key}}}
---
"""


def provider(name: str) -> str:
    """A Provider."""
    return f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  protocol: OpenAI
  endpoints: [{{name: main, url: "http://{name}.{NAMESPACE}.svc.cluster.local/v1"}}]
  credentials: {{apiKey: {{name: {name}-key, key: apiKey}}}}
---
"""


def pricing(name: str, prices: tuple[str, str], *, metadata: str = "", more: str = "") -> str:
    """A ProviderPricing; `metadata` and `more` are further fields of its metadata and of its model, in flow style."""
    return f"""
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {name}, namespace: {NAMESPACE}{metadata}}}
spec:
  providerRef: {{name: {name}}}
  models:
    - model: {PROVIDERS[name]}
      prices: {{input: "{prices[0]}", output: "{prices[1]}"}}
      capabilities: [Streaming, Tools]
      contextWindow: 128000
      {more}
---
"""


def route(name: str = MODEL, models: tuple[str, ...] = (MODEL,), providers: Mapping[str, str] = PROVIDERS) -> str:
    """A ModelRoute over all providers."""
    candidates = "\n".join(
        f"        - {{provider: {{name: {p}}}, model: {model}, accuracy: '0.95'}}" for p, model in providers.items()
    )
    return f"""
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  models: [{", ".join(models)}]
  tiers:
    - name: all
      expectedOutputTokens: 60
      candidates:
{candidates}
---
"""


def consumer() -> str:
    """A Consumer and its key."""
    return f"""
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {{name: web, namespace: {NAMESPACE}}}
spec: {{apiKeys: [{{name: web-key, key: apiKey}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: web-key, namespace: {NAMESPACE}}}
stringData: {{apiKey: {CONSUMER_KEY}}}
---
"""


def everything(image: str) -> str:
    """All of it, with the opening prices. Vendors accept the key after the next rotation too."""
    parts = [f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n---\n"]
    for name in PROVIDERS:
        parts += [
            vendor(name, image, [KEYS[name]]),
            secret(name, KEYS[name]),
            provider(name),
            pricing(name, PRICES[name]),
        ]
    return "".join([*parts, route(), consumer()])
