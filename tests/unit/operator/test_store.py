"""What counts as a change, and that a list is the truth."""

from typing import Any

from merit_crds.resources import ResourceId
from merit_operator.references import named_secrets
from merit_operator.store import Store


def obj(name: str, *, version: int, generation: int = 1, spec: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "ns",
            "name": name,
            "resourceVersion": str(version),
            "generation": generation,
            **metadata,
        },
        "spec": spec or {"x": 1},
        "status": {"programmed": "1/1"},
    }


def test_a_list_prunes_what_a_watch_has_missed() -> None:
    store = Store()
    store.replace("Provider", [obj("a", version=1), obj("b", version=2)], "2")
    assert store.replace("Provider", [obj("a", version=1)], "3")
    assert [str(i) for i in store.resource_set({}).resources] == ["Provider ns/a"]


def test_a_list_does_not_prune_what_came_while_it_was_read() -> None:
    store = Store()
    store.put("Provider", obj("new", version=8))
    assert not store.replace("Provider", [], "7")
    assert len(store.resource_set({}).resources) == 1


def test_a_list_of_one_kind_touches_no_other() -> None:
    store = Store()
    store.put("Provider", obj("a", version=1))
    store.replace("Consumer", [], "2")
    assert len(store.resource_set({}).resources) == 1


def test_a_status_or_annotation_is_no_change() -> None:
    store = Store()
    assert store.put("Provider", obj("a", version=1))
    before = store.resource_set({}).resources[ResourceId("Provider", "ns", "a")]
    assert not store.put("Provider", obj("a", version=2, annotations={"x": "y"}))
    assert store.resource_set({}).resources[ResourceId("Provider", "ns", "a")] is before


def test_an_older_event_changes_nothing() -> None:
    store = Store()
    store.put("Provider", obj("a", version=5, generation=2, spec={"x": 2}))
    assert not store.put("Provider", obj("a", version=4, generation=1))
    assert not store.remove("Provider", obj("a", version=3))


def test_the_change_is_dated_by_the_newest_write_that_was_no_status() -> None:
    store = Store()
    fields = [
        {"manager": "kubectl", "time": "2026-11-24T03:00:00Z"},
        {"manager": "merit-operator", "subresource": "status", "time": "2026-11-24T04:00:00Z"},
    ]
    store.put("Provider", obj("a", version=1, creationTimestamp="2026-11-24T02:00:00Z", managedFields=fields))
    assert store.seen(ResourceId("Provider", "ns", "a")).changed == "2026-11-24T03:00:00Z"


def test_an_object_that_was_deleted_and_made_again_is_another_one() -> None:
    store = Store()
    store.put("Provider", obj("a", version=1, uid="one"))
    assert store.replace("Provider", [obj("a", version=9, uid="two", creationTimestamp="2026-11-24T03:00:00Z")], "9")
    (resource,) = store.resource_set({}).resources.values()
    assert resource.created == "2026-11-24T03:00:00Z", "its seniority is the new one's"


def test_only_named_secrets_are_read_and_garbage_names_none() -> None:
    store = Store()
    store.put("Provider", obj("a", version=1, spec={"credentials": {"apiKey": {"name": "one", "key": "k"}}}))
    store.put("Consumer", obj("b", version=1, spec={"apiKeys": [{"name": "two", "key": "k"}, 7, {"name": 3}]}))
    store.put("Provider", obj("c", version=1, spec={"credentials": "nonsense"}))
    store.put("ModelRoute", obj("d", version=1, spec={"credentials": {"apiKey": {"name": "no", "key": "k"}}}))
    assert named_secrets(store.resource_set({}), None) == {("ns", "one"), ("ns", "two")}
