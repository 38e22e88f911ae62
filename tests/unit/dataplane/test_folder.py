"""The folder as a source: which files count, and what becomes of what can't be read."""

from pathlib import Path

import pytest

from merit_crds.compile import compile_resources
from merit_dataplane.live import Live
from merit_dataplane.snapshots.folder import FolderSource, Memory, complaints, load
from merit_dataplane.snapshots.holder import SnapshotHolder
from tests.support.resources import CONSUMER, prices, provider, route

URL = "http://127.0.0.1:9/v1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "resources"
    path.mkdir()
    (path / "a.yaml").write_text(provider("a", URL) + "---" + prices("a", "1", "1"))
    (path / "route.yaml").write_text(route("a"))
    (path / "consumer.yaml").write_text(CONSUMER)
    return path


def kinds(path: Path, memory: Memory | None = None) -> list[str]:
    return sorted(str(resource_id) for resource_id in load([path], None, memory).resources.resources)


ALL = ["Consumer default/tests", "ModelRoute default/chat", "Provider default/a", "ProviderPricing default/a"]


def test_yaml_files_of_all_subfolders_count_and_hidden_ones_do_not(folder: Path) -> None:
    deeper = folder / "team" / "deeper"
    deeper.mkdir(parents=True)
    (folder / "a.yaml").rename(deeper / "a.yml")
    hidden = folder / "..2026_11_25"  # as a ConfigMap is mounted
    hidden.mkdir()
    (hidden / "a.yaml").write_text(provider("a", URL))
    (folder / "notes.txt").write_text("no resource")
    assert kinds(folder) == ALL


def test_of_two_files_with_the_same_resource_the_first_counts_and_the_other_is_named(folder: Path) -> None:
    (folder / "b.yaml").write_text(provider("a", "http://127.0.0.1:8/v1"))
    loaded = load([folder])
    (fault,) = loaded.faults
    assert str(fault).startswith(f"{folder / 'b.yaml'}:")
    assert "Provider default/a is already in" in str(fault)


@pytest.mark.parametrize(
    "broken", [b"kind: [", b"\xff\xfe", b"kind: Provider\napiVersion: merit.dev/v9\nmetadata: {name: a}\n"]
)
def test_with_a_memory_what_can_not_be_read_stays_what_it_was(folder: Path, broken: bytes) -> None:
    memory: Memory = {}
    assert kinds(folder, memory) == ALL
    for name in ("a.yaml", "consumer.yaml"):
        (folder / name).write_bytes(broken)
    loaded = load([folder], None, memory)
    assert {fault.source.rsplit("/", 1)[1] for fault in loaded.faults} == {"a.yaml", "consumer.yaml"}
    assert sorted(map(str, loaded.resources.resources)) == ALL
    assert (
        compile_resources(loaded.resources).version == compile_resources(load([folder], None, memory).resources).version
    )
    (folder / "a.yaml").write_text(provider("other", URL))
    assert kinds(folder, memory) == ["Consumer default/tests", "ModelRoute default/chat", "Provider default/other"]


def test_without_a_memory_it_is_a_fault(folder: Path) -> None:
    (folder / "a.yaml").write_text("kind: [")
    loaded = load([folder])
    assert sorted(map(str, loaded.resources.resources)) == ["Consumer default/tests", "ModelRoute default/chat"]
    assert len(loaded.faults) == 1


def test_what_is_new_in_a_file_with_a_fault_counts(folder: Path) -> None:
    memory: Memory = {}
    load([folder], None, memory)
    (folder / "a.yaml").write_text(provider("a", URL) + "---\nkind: [\n---" + provider("new", URL))
    assert "Provider default/a" in kinds(folder, memory)
    assert "ProviderPricing default/a" in kinds(folder, memory)


def test_a_deleted_file_is_gone_even_with_a_memory(folder: Path) -> None:
    memory: Memory = {}
    load([folder], None, memory)
    (folder / "a.yaml").write_text("kind: [")
    load([folder], None, memory)
    (folder / "a.yaml").unlink()
    assert kinds(folder, memory) == ["Consumer default/tests", "ModelRoute default/chat"]
    assert set(memory) == {folder / "route.yaml", folder / "consumer.yaml"}


def test_secrets_as_files(folder: Path, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    for name in ("provider-keys/key", "other/provider-keys/key", "..data/provider-keys/key", "too/deep/for/us"):
        (secrets / name).parent.mkdir(parents=True)
        (secrets / name).write_text(f"{name}\n")
    (secrets / "binary").mkdir()
    (secrets / "binary" / "key").write_bytes(b"\xff")
    loaded = load([folder], secrets)
    assert loaded.resources.secrets["default", "provider-keys"] == {"key": "provider-keys/key"}
    assert loaded.resources.secrets["other", "provider-keys"] == {"key": "other/provider-keys/key"}
    assert [str(fault) for fault in loaded.faults if "binary/key:1: is no UTF-8 text" in str(fault)]


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        load([tmp_path / "none"])


def test_complaints_have_file_line_resource_and_fix(folder: Path) -> None:
    (folder / "a.yaml").write_text(prices("a", "1", "x"))
    loaded = load([folder])
    lines = complaints(loaded, compile_resources(loaded.resources))
    assert [
        line for line in lines if line.startswith(f"{folder / 'a.yaml'}:9: ProviderPricing default/a: spec.models[0]")
    ]
    assert [line for line in lines if line.startswith(f"{folder / 'route.yaml'}:2: ModelRoute default/chat: ")]


async def test_a_complaint_is_told_once_and_so_is_its_end(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "merit.folder")
    source = FolderSource(SnapshotHolder(Live()), folder, None)
    good = (folder / "a.yaml").read_text()
    (folder / "a.yaml").write_text("kind: [")
    for _ in range(3):
        await source.reload()
    assert len([r for r in caplog.records if r.levelname == "WARNING" and "a.yaml" in r.message]) == 1
    (folder / "a.yaml").write_text(good)
    await source.reload()
    assert len([r for r in caplog.records if r.message.startswith("resolved:") and "a.yaml" in r.message]) == 1
