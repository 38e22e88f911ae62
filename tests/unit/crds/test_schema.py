"""The CRDs: structural, bounded, small, current, and of one mind with the models."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from merit_crds.conditions import ConditionType, Reason
from merit_crds.definition import crd_documents
from merit_crds.generate import crds_yaml, main, outputs
from merit_crds.schema import structural, unbounded
from merit_crds.v1alpha1 import SPECS
from merit_crds.v1alpha1.fields import Part

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
CRDS = {document["spec"]["names"]["kind"]: document for document in crd_documents()}
_ALLOWED = {
    "type",
    "format",
    "description",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "required",
    "properties",
    "items",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
}


def schema_of(kind: str) -> dict[str, Any]:
    (version,) = CRDS[kind]["spec"]["versions"]
    root: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return root


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


@pytest.mark.parametrize("kind", SPECS)
class TestEachCrd:
    def test_is_structural(self, kind: str) -> None:
        for path, node in nodes(schema_of(kind), kind):
            assert set(node) <= _ALLOWED, path
            assert node["type"] in {"object", "array", "string", "integer", "boolean"}, path
            assert set(node.get("required", [])) <= set(node.get("properties", {})), path
            if node["type"] == "array":
                keys = node.get("x-kubernetes-list-map-keys", [])
                assert set(keys) <= set(node["items"].get("required", [])), f"{path}: a key without default is required"
                assert bool(keys) == (node["x-kubernetes-list-type"] == "map"), path

    def test_is_bounded(self, kind: str) -> None:
        root = schema_of(kind)["properties"]
        assert unbounded(root["spec"]) == []
        assert unbounded(root["status"], "status") == []

    def test_is_documented(self, kind: str) -> None:
        for path, node in nodes(schema_of(kind)["properties"]["spec"], "spec"):
            assert path.endswith("[]") or node.get("description"), path
            assert all(rule["message"] for rule in node.get("x-kubernetes-validations", [])), path

    def test_is_small(self, kind: str) -> None:
        assert len(json.dumps(CRDS[kind])) < 128 * 1024
        assert len(outputs()[f"crds/generated/{CRDS[kind]['metadata']['name']}.yaml"]) < 128 * 1024

    def test_names_and_columns(self, kind: str) -> None:
        names = CRDS[kind]["spec"]["names"]
        assert names["categories"] == ["merit"]
        assert all(short.startswith("m") for short in names["shortNames"])
        (version,) = CRDS[kind]["spec"]["versions"]
        assert version["subresources"] == {"status": {}}
        columns = [column["name"] for column in version["additionalPrinterColumns"] if "priority" not in column]
        assert columns[-1] == "Age"
        assert {"Ready", "Programmed"} <= set(columns)

    def test_patterns_mean_the_same_in_go(self, kind: str) -> None:
        """RE2 and Python read them alike: no look-around, no \\d, anchored at both ends."""
        for path, node in nodes(schema_of(kind)["properties"]["spec"], "spec"):
            if pattern := node.get("pattern"):
                assert pattern.startswith("^"), path
                assert pattern.endswith("$"), path
                assert not re.search(r"\(\?|\\[dDwWsSbBAZ]", pattern), path

    def test_short_lists_of_models_and_fields_agree(self, kind: str) -> None:
        assert schema_of(kind)["properties"]["spec"] == structural(SPECS[kind])


def test_unbounded_is_found() -> None:
    class Inner(Part):
        words: tuple[str, ...] = ()

    class Outer(Part):
        inner: tuple[Inner, ...] = ()
        number: int = 0

    assert sorted(unbounded(structural(Outer))) == [
        "spec.inner",
        "spec.inner[].words",
        "spec.inner[].words[]",
        "spec.number",
    ]


def test_generated_files_are_current() -> None:
    stale = [path for path, text in outputs().items() if (ROOT / path).read_text() != text]
    assert not stale, "run `make generate`"
    for folder in ("crds/generated", "helm/merit/files/crds"):
        known = {path for path in outputs() if path.startswith(folder)}
        assert {str(p.relative_to(ROOT)) for p in (ROOT / folder).iterdir()} == known, "a file of no kind"


def test_check_names_stale_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["generate"])
    assert main(tmp_path) == 0
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    assert main(tmp_path) == 0
    (tmp_path / "crds/generated/providers.merit.dev.yaml").write_text("kind: Else\n")
    (tmp_path / "docs/reference/resources.md").unlink()
    capsys.readouterr()

    assert main(tmp_path) == 1

    told = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in told] == [
        "docs/reference/resources.md",
        "crds/generated/providers.merit.dev.yaml",
    ]


def test_charts_keep_the_crds() -> None:
    for path, text in outputs().items():
        if path.startswith("helm/"):
            assert yaml.safe_load(text)["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
            assert "{{" not in text, "Helm would take it for a template"


def test_crds_yaml_holds_all() -> None:
    documents = list(yaml.safe_load_all(crds_yaml()))
    assert documents == crd_documents()


def test_reference_names_everything() -> None:
    page = outputs()["docs/reference/resources.md"]
    for kind in SPECS:
        for path, node in nodes(schema_of(kind)["properties"]["spec"], "spec"):
            assert f"`{path}`" in page or path == "spec" or path.endswith("[]"), path
            assert all(rule["message"] in page for rule in node.get("x-kubernetes-validations", []))
    for word in [*ConditionType, *Reason]:
        assert re.search(rf"\| `{word.value}` \| \S", page), f"{word} has no meaning"
