"""Ids of files and batches: one consumer's alone, the same in every pod, and nobody else can make one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from merit_dataplane.batches.id_key import IdKey
from merit_dataplane.batches.ids import Ids, Kept, Kind
from merit_dataplane.batches.labels import (
    BatchLabel,
    FileLabel,
    labelled_metadata,
    labelled_name,
    read_metadata,
    read_name,
)
from merit_dataplane.wire.errors import RequestError

PROVIDERS = ("default/a", "default/b")
NAMES = st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1, max_size=60)
IDS = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-_", min_size=1, max_size=60)
KEPT = st.builds(Kept, st.sampled_from(PROVIDERS), NAMES, IDS, st.just("") | IDS)
KINDS = st.sampled_from(Kind)


def pod(*secrets: bytes, own: bytes = b"") -> Ids:
    keys = {name: tuple(IdKey(secret + name.encode()) for secret in secrets) for name in PROVIDERS}
    return Ids(keys, IdKey(own) if own else None)


ONE, OTHER = pod(b"secret"), pod(b"secret")


def refused(ids: Ids, kind: Kind, text: str, consumer: str) -> str:
    with pytest.raises(RequestError) as raised:
        ids.kept(kind, text, consumer, PROVIDERS)
    assert raised.value.status == 404
    return str(raised.value)


@given(kept=KEPT, kind=KINDS, consumer=NAMES)
def test_every_pod_makes_the_same_id_and_reads_it(kept: Kept, kind: Kind, consumer: str) -> None:
    text = ONE.text(kind, kept, consumer)
    assert text == OTHER.text(kind, kept, consumer)
    assert OTHER.kept(kind, text, consumer, PROVIDERS) == kept
    assert text.startswith(kind.value)
    assert text.removeprefix(kind).replace("-", "").replace("_", "").isalnum()


@given(kept=KEPT, kind=KINDS, consumer=NAMES, other=NAMES)
def test_another_consumers_id_is_none(kept: Kept, kind: Kind, consumer: str, other: str) -> None:
    text = ONE.text(kind, kept, consumer)
    if other != consumer:
        refused(ONE, kind, text, other)
    refused(ONE, Kind.FILE if kind is Kind.BATCH else Kind.BATCH, text, consumer)


@given(kept=KEPT, kind=KINDS, data=st.data())
def test_an_id_that_was_changed_is_none(kept: Kept, kind: Kind, data: st.DataObject) -> None:
    text = ONE.text(kind, kept, "default/me")
    at = data.draw(st.integers(len(kind), len(text) - 1))
    put = data.draw(st.sampled_from("ABab01-_"))
    changed = text[:at] + put + text[at + 1 :]
    if changed != text:
        refused(ONE, kind, changed, "default/me")


@given(text=st.text(max_size=80) | IDS.map(lambda text: Kind.FILE + text))
def test_any_text_is_refused_in_the_same_words(text: str) -> None:
    assert "No such File object" in refused(ONE, Kind.FILE, text, "default/me")


def test_an_id_outlives_a_change_of_the_providers_key() -> None:
    kept = Kept("default/a", "e0", "file-1")
    before = pod(b"old").text(Kind.FILE, kept, "me")
    assert pod(b"new", b"old").kept(Kind.FILE, before, "me", PROVIDERS) == kept
    refused(pod(b"new"), Kind.FILE, before, "me")
    assert pod(b"new", b"old", own=b"all pods").kept(Kind.FILE, before, "me", PROVIDERS) == kept
    lasting = pod(b"old", own=b"all pods").text(Kind.FILE, kept, "me")
    assert pod(b"new", own=b"all pods").kept(Kind.FILE, lasting, "me", PROVIDERS) == kept


def test_an_id_of_a_provider_that_is_gone_says_so() -> None:
    text = ONE.text(Kind.FILE, Kept("default/a", "e0", "file-1"), "me")
    with pytest.raises(RequestError, match="is not configured here, or not any more") as raised:
        ONE.kept(Kind.FILE, text, "me", ("default/b",))
    assert raised.value.status == 404


@example(name="x" * 400, lines=50_000, cost=10**15)
@given(name=NAMES | st.text(max_size=400), lines=st.integers(0, 50_000), cost=st.integers(0, 10**15))
def test_a_label_travels_in_a_name_that_every_disk_takes(name: str, lines: int, cost: int) -> None:
    label = FileLabel(b"12345678", 65535, "a1b2c3d4e5f6", "chat/completions", lines, 10**9, cost)
    told = labelled_name(ONE, "default/a", label, name)
    assert len(told.encode()) <= 255
    found = read_name(OTHER, "default/a", told)
    assert found is not None
    assert found[0] == label
    assert name.encode("utf-8", "replace").endswith(found[1].encode())
    assert read_name(OTHER, "default/b", told) is None
    assert read_name(OTHER, "default/a", name) is None


@given(
    given=st.dictionaries(st.text(max_size=20).filter(lambda key: not key.startswith("merit")), st.text(max_size=20),
                          max_size=10),
    route=st.text(min_size=1, max_size=300),
)  # fmt: skip
def test_a_label_travels_in_metadata_of_any_length(given: dict[str, str], route: str) -> None:
    label = BatchLabel("default/me", 1, (route, "t", "default/a", "m" * 250), "embeddings", 7, 10**12, "abc", b"123456")
    metadata = labelled_metadata(ONE, "default/a", label, given)
    assert all(len(value) <= 512 for value in metadata.values())
    assert read_metadata(OTHER, "default/a", metadata) == (label, given or None)
    assert read_metadata(OTHER, "default/b", metadata) is None
    assert read_metadata(OTHER, "default/a", given) is None


def test_metadata_of_ours_is_refused_and_too_much_of_it() -> None:
    label = BatchLabel("c", 1, ("r", "t", "p", "m"), "embeddings", 1, 1, "", b"1")
    for theirs in ({"merit": "x"}, {"merit-2": "x"}, {str(n): "x" for n in range(16)}):
        with pytest.raises(RequestError) as raised:
            labelled_metadata(ONE, "default/a", label, theirs)
        assert (raised.value.status, raised.value.param) == (400, "metadata")
