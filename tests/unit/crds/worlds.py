"""Random sets of valid resources, which refer to each other across two namespaces."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from merit_crds.resources import Resource, ResourceId, ResourceSet

quick = settings(max_examples=60)
NAMESPACES = ("a", "b")
Specs = dict[ResourceId, Any]
SECRETS = {
    (namespace, "keys"): {f"k{i}": f"merit-test-{namespace}-{i:08d}" for i in range(4)} for namespace in NAMESPACES
}
amounts = st.integers(0, 9_999_999_999_999).map(lambda n: f"{n // 10**6}.{n % 10**6:06d}")
fractions = st.sampled_from(["0", "0.5", "0.9", "0.9999", "1"])
durations = st.sampled_from(["0s", "1ms", "500ms", "1m30s", "24h"])


def _some(draw: st.DrawFn, spec: dict[str, Any], **fields: st.SearchStrategy[Any]) -> dict[str, Any]:
    """The spec with some of the optional fields."""
    return spec | {name: draw(values) for name, values in fields.items() if draw(st.booleans())}


def _provider(draw: st.DrawFn, n: int) -> dict[str, Any]:
    endpoints = [{"name": f"e{i}", "url": f"https://p{n}-{i}.example.com/v1"} for i in range(draw(st.integers(1, 3)))]
    return _some(
        draw,
        {"protocol": "OpenAI", "endpoints": endpoints},
        credentials=st.just({"apiKey": {"name": "keys", "key": f"k{n}"}}),
        headers=st.just([{"name": "X-Team", "value": "a b"}]),
        timeouts=st.fixed_dictionaries({"connect": durations, "total": durations}),
        allowedNamespaces=st.sampled_from([["*"], list(NAMESPACES), ["c"]]),
    )


def _pricing(draw: st.DrawFn, n: int) -> dict[str, Any]:
    models = [_model(draw, i) for i in range(draw(st.integers(1, 3)))]
    schedules = [{"name": "night", "timeZone": "Europe/Berlin", "windows": [{"from": "22:00", "to": "06:00"}]}]
    return {"providerRef": {"name": f"p{n}"}, "schedules": schedules, "models": models}


def _model(draw: st.DrawFn, n: int) -> dict[str, Any]:
    prices = {"input": draw(amounts), "output": draw(amounts)}
    tiers = [
        {"above": above, "applies": draw(st.sampled_from(["Whole", "Excess"])), "prices": {"input": prices["input"]}}
        for above in sorted(draw(st.sets(st.integers(1, 10**6), max_size=3)))
    ]
    model = {"model": f"m{n}", "prices": _some(draw, prices, request=amounts), "contextTiers": tiers}
    return _some(
        draw,
        model,
        billedBy=st.sampled_from(["Start", "Completion"]),
        schedules=st.just([{"name": "night", "percentOff": "12.5"}]),
        periods=st.sampled_from([[], [{"validFrom": "2026-12-01T00:00:00Z", "prices": prices}]]),
    )


def _tier(draw: st.DrawFn, name: str) -> dict[str, Any]:
    picks = st.tuples(st.sampled_from(["", *NAMESPACES]), st.integers(0, 3), st.integers(0, 3))
    candidates = [
        {"provider": {"name": f"p{n}"} | ({"namespace": namespace} if namespace else {}), "model": f"m{m}"}
        | ({"accuracy": draw(fractions)} if draw(st.booleans()) else {})
        for namespace, n, m in draw(st.lists(picks, min_size=1, max_size=4, unique_by=lambda p: p[1:]))
    ]
    return _some(draw, {"name": name, "candidates": candidates}, objectives=st.just({"accuracy": "0.9"}))


def _route(draw: st.DrawFn, n: int) -> dict[str, Any]:
    whens: list[Any] = [{"inputTokens": {"atLeast": 9}}, {"uses": ["Tools"]}, {"lastMessage": "(?i)refund"}]
    tiers = [_tier(draw, "first") | {"when": [draw(st.sampled_from(whens))]}] if draw(st.booleans()) else []
    return _some(
        draw,
        {"models": [f"n{n}", f"alias-{n}"], "tiers": [*tiers, _tier(draw, "rest")]},
        allowedNamespaces=st.just(["*"]),
        retry=st.just({"attempts": 2}),
        cache=st.fixed_dictionaries({"exact": st.fixed_dictionaries({"ttl": durations})}),
    )


def _consumer(draw: st.DrawFn, n: int) -> dict[str, Any]:
    refs = [{"name": f"r{i}", "namespace": draw(st.sampled_from(NAMESPACES))} for i in range(draw(st.integers(0, 3)))]
    return {"apiKeys": [{"name": "keys", "key": f"k{n}"}], "routes": refs}


_MAKERS = {"Provider": _provider, "ProviderPricing": _pricing, "ModelRoute": _route, "Consumer": _consumer}
_LETTERS = {"Provider": "p", "ProviderPricing": "l", "ModelRoute": "r", "Consumer": "c"}


@st.composite
def worlds(draw: st.DrawFn) -> Specs:
    """Specs by id: nothing in them is invalid and nothing claims what another one has."""
    return {
        ResourceId(kind, namespace, f"{_LETTERS[kind]}{n}"): make(draw, n)
        for kind, make in _MAKERS.items()
        for namespace in NAMESPACES
        for n in range(draw(st.integers(0, 3)))
    }


def resources(specs: Specs, created: dict[ResourceId, str] | None = None) -> ResourceSet:
    """As a source would hand them over."""
    made = [Resource(i, spec, generation=3, created=(created or {}).get(i, "")) for i, spec in specs.items()]
    return ResourceSet.of(made, SECRETS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_GARBAGE: list[Any] = [None, 0, -1, 1.5, True, 10**30, "", "\n", "ok\n", "*", "ü" * 300, "\ud800"]
_GARBAGE += [[], {}, [[]], {"x": 1}, [None], ["a", "a"]]
garbage: st.SearchStrategy[Any] = st.sampled_from(_GARBAGE)
