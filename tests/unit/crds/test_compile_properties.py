"""What holds for every set of resources: order and memory change nothing, and a broken resource takes none with it."""

import copy
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from merit_crds.compile import Compiled, Force, Translations, compile_resources
from merit_crds.credentials import mismatches
from merit_crds.resources import KINDS, Resource, ResourceId, ResourceSet
from merit_crds.snapshot import InvalidSnapshotError, decode, encode, version_of
from tests.unit.crds.worlds import SECRETS, Specs, garbage, json_values, quick, resources, worlds

pytestmark = pytest.mark.slow


@quick
@given(worlds(), st.randoms(use_true_random=False))
def test_order_of_input_changes_nothing(specs: Specs, random: Any) -> None:
    created = {i: random.choice(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]) for i in specs}
    shuffled = list(specs.items())
    random.shuffle(shuffled)

    one, other = compile_resources(resources(specs, created)), compile_resources(resources(dict(shuffled), created))

    assert one.body == other.body
    assert one.statuses == other.statuses
    assert one.credentials == other.credentials


@quick
@given(worlds())
def test_round_trip_is_byte_identical(specs: Specs) -> None:
    compiled = compile_resources(resources(specs))

    again = decode(compiled.body)

    assert again == compiled.snapshot
    assert encode(again) == compiled.body
    assert version_of(compiled.body) == compiled.version
    assert mismatches(again, compiled.credentials) == []


@quick
@given(worlds(), st.data())
def test_memory_changes_nothing(specs: Specs, data: st.DataObject) -> None:
    """A series of edits, compiled with what is remembered and without, last good forms included."""
    memory, kept, previous = Translations(), {i: Resource(i, s) for i, s in specs.items()}, None
    for generation in range(4):
        for resource_id in data.draw(st.lists(st.sampled_from(sorted(specs)), max_size=2) if specs else st.just([])):
            if data.draw(st.booleans()):
                spec = mutated(data, specs[resource_id])[1]
                kept[resource_id] = Resource(resource_id, spec, generation=generation)
            else:
                kept.pop(resource_id, None)
        now = ResourceSet.of(kept.values(), SECRETS)

        remembered, fresh = compile_resources(now, previous, memory), compile_resources(now, previous)

        assert remembered.body == fresh.body
        assert remembered.statuses == fresh.statuses
        previous = remembered.snapshot


def mutated(data: st.DataObject, spec: Any) -> tuple[str, Any]:
    """The spec with a random field of it, at any depth, replaced or removed; and the name of its topmost field."""
    made = parent = copy.deepcopy(spec)
    path: list[Any] = []
    while True:
        steps = sorted(parent) if isinstance(parent, dict) else list(range(len(parent)))
        path.append(data.draw(st.sampled_from(steps)))
        child = parent[path[-1]]
        if not isinstance(child, dict | list) or not child or data.draw(st.booleans()):
            break
        parent = child
    if data.draw(st.booleans()):
        parent[path[-1]] = data.draw(garbage)
    else:
        del parent[path[-1]]
    return str(path[0]), made


def entries(compiled: Compiled) -> dict[ResourceId, Any]:
    snapshot = compiled.snapshot
    tables: list[Any] = [snapshot.providers, snapshot.pricings, snapshot.routes, snapshot.consumers]
    return {
        ResourceId(kind, *key.split("/")): entry
        for kind, table in zip(KINDS, tables, strict=True)
        for key, entry in table.items()
    }


def dependents(broken: ResourceId, specs: Specs) -> set[ResourceId]:
    """What names it, or names what names it."""
    found = {broken}
    while True:
        more = {i for i, spec in specs.items() if i not in found and any(_names(i, spec, f) for f in found)}
        if not more:
            return found - {broken}
        found |= more


def _names(owner: ResourceId, spec: Any, target: ResourceId) -> bool:
    refs: list[Any] = []
    if owner.kind == "ProviderPricing" and target.kind == "Provider":
        refs = [spec["providerRef"]]
    if owner.kind == "ModelRoute" and target.kind == "Provider":
        refs = [c["provider"] for tier in spec["tiers"] for c in tier["candidates"]]
    if owner.kind == "ModelRoute" and target.kind == "ProviderPricing":  # a list prices the Provider that it names
        refs = [c["provider"] for tier in spec["tiers"] for c in tier["candidates"]]
        target = ResourceId("Provider", target.namespace, target.name.replace("l", "p"))
    if owner.kind == "Consumer" and target.kind == "ModelRoute":
        refs = spec["routes"]
    return any((r.get("namespace", owner.namespace), r["name"]) == (target.namespace, target.name) for r in refs)


@quick
@given(worlds(), st.data())
def test_a_broken_resource_takes_none_with_it(specs: Specs, data: st.DataObject) -> None:
    assume(specs)
    whole = compile_resources(resources(specs))
    broken = data.draw(st.sampled_from(sorted(specs)))
    field, spec = mutated(data, specs[broken])
    now = resources(specs | {broken: spec})

    without, with_last_good = compile_resources(now), compile_resources(now, whole.snapshot)

    untouched = specs.keys() - dependents(broken, specs) - {broken}
    for compiled in (without, with_last_good):
        for resource_id in untouched:
            assert entries(compiled).get(resource_id) == entries(whole).get(resource_id)
            assert compiled.statuses[resource_id] == whole.statuses[resource_id]
    refused = without.statuses[broken].accepted.status == "False"
    if refused and field != "allowedNamespaces":  # a grant counts as it is written now
        assert with_last_good.body == whole.body
        assert with_last_good.credentials == whole.credentials


@settings(quick, max_examples=150)
@given(st.sampled_from(KINDS), json_values)
def test_random_specs_never_raise(kind: str, spec: Any) -> None:
    resource_id = ResourceId(kind, "a", "x")

    compiled = compile_resources(ResourceSet.of([Resource(resource_id, spec)]))

    status = compiled.statuses[resource_id]
    assert status.force is Force.NONE
    assert status.problems
    for problem in status.problems:
        assert str(problem).startswith("spec")


def test_deep_nesting_is_a_problem_not_a_crash() -> None:
    spec: Any = {}
    for _ in range(5000):
        spec = {"tiers": [spec]}
    resource_id = ResourceId("ModelRoute", "a", "x")

    compiled = compile_resources(ResourceSet.of([Resource(resource_id, spec)]))

    assert [str(p) for p in compiled.statuses[resource_id].problems] == ["spec: is nested too deep"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"format": 2}', "format: is 2, this program knows 1"),
        (b'{"format": 1, "cheapest": {}}', "unknown field `cheapest`"),
        (b'{"format": 1, "routes": []}', "Expected `object`, got `array` - at `$.routes`"),
        (b"\xff", "malformed"),
    ],
)
def test_what_is_no_snapshot(body: bytes, words: str) -> None:
    with pytest.raises(InvalidSnapshotError, match=re.escape(words)):
        decode(body)
