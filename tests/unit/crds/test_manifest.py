"""YAML in, resources, Secrets and faults out: with the line of each, and never an exception."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.compile import compile_resources
from merit_crds.manifest import Manifest, read
from merit_crds.problems import line_of
from merit_crds.resources import ResourceId, ResourceSet
from tests.unit.crds.worlds import quick

GOLDEN = Path(__file__).parents[2] / "golden/compile"
ROUTE = """\
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata:
  name: support
spec:
  models: [support]
  tiers:
    - name: all
      candidates:
        - provider: {name: openai}
          model: m
          acuracy: "0.9"
        - {provider: {name: openai},
           model: "a b"}
"""


def faults(text: str) -> list[str]:
    return [str(fault) for fault in read(text, source="f.yaml").faults]


def secret(data: str, **values: str) -> Manifest:
    text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\n{data}"
    return read(text, source="f.yaml", substitute=lambda t: values[t[2:-1]] if t.startswith("${") else t)


def test_each_problem_has_the_line_of_its_field() -> None:
    manifest = read(f"# a comment\n---\n{ROUTE}", source="f.yaml")
    (resource,) = manifest.resources
    assert resource.source == "f.yaml:3"

    status = compile_resources(ResourceSet.of(manifest.resources)).statuses[resource.id]

    assert [(p.field, line_of(resource, p)) for p in status.problems] == [
        ("spec.tiers[0].candidates[0].acuracy", 14),
        ("spec.tiers[0].candidates[1].model", 16),
    ]


def test_a_missing_field_has_the_line_of_what_lacks_it() -> None:
    (resource,) = read(ROUTE.replace("  models: [support]\n", ""), source="f.yaml").resources
    (problem, *_) = compile_resources(ResourceSet.of([resource])).statuses[resource.id].problems
    assert str(problem) == "spec.models: is required: add it"
    assert line_of(resource, problem) == 5


def test_what_kubectl_reads_is_what_is_read() -> None:
    text = ROUTE.replace("[support]", "[12:30, 2026-01-01, 1_000, 0x10, 1.5, 1e3, ~, on]")
    (resource,) = read(text, source="f.yaml").resources
    assert resource.spec["models"] == ["12:30", "2026-01-01", "1_000", 16, 1.5, "1e3", None, True]


def test_other_documents_are_passed_over() -> None:
    text = f"kind: Deployment\napiVersion: apps/v1\nmetadata: {{name: x}}\n---\n# nothing\n---\n{ROUTE}---\n"
    manifest = read(text, source="f.yaml")
    assert [r.id for r in manifest.resources] == [ResourceId("ModelRoute", "default", "support")]
    assert not manifest.faults


def test_metadata() -> None:
    metadata = '{name: a.b-1, namespace: team-a, generation: 4, creationTimestamp: "2026-01-01T00:00:00Z"}'
    (one,) = read(
        f"apiVersion: merit.dev/v1alpha1\nkind: Consumer\nmetadata: {metadata}\nspec: {{}}\nstatus: {{x: 1}}\n",
        source="f",
    ).resources
    assert (one.id, one.generation) == (ResourceId("Consumer", "team-a", "a.b-1"), 4)
    assert one.created == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\n", "f.yaml:2: is no YAML: did not find expected ',' or ']'"),
        ("a: 1\n\tb: 2\n", "f.yaml:2: is no YAML"),
        ("- 1\n", "f.yaml:1: is no resource: a document must be a mapping"),
        ("just words\n", "f.yaml:1: is no resource"),
        (ROUTE.replace("v1alpha1", "v1"), "f.yaml:1: apiVersion: must be merit.dev/v1alpha1 (is 'merit.dev/v1')"),
        (ROUTE.replace("merit.dev/", ""), "f.yaml:1: apiVersion: must be merit.dev/v1alpha1 (is 'v1alpha1')"),
        (ROUTE.replace("ModelRoute", "Route"), "f.yaml:2: kind: must be one of Provider, ProviderPricing, ModelRoute"),
        (ROUTE.replace("  name: support\n", "  labels: {}\n"), "f.yaml:3: metadata.name: is required: add it"),
        (ROUTE.replace("name: support", "name: ns/support"), "f.yaml:4: metadata.name: must be lower-case"),
        (ROUTE.replace("name: support", "name: 7"), "f.yaml:4: metadata.name: must be lower-case"),
        (
            ROUTE.replace("  name: support\n", "  name: support\n  namespace: a/b\n"),
            "f.yaml:5: metadata.namespace: must",
        ),
        (f"{ROUTE}tiers: []\n", "f.yaml:15: tiers: is not a field of a ModelRoute: remove it or move it under spec"),
        (f"{ROUTE}  models: [again]\n", "f.yaml:15: key 'models' occurs twice in one mapping: remove one"),
        (ROUTE.replace("[support]", "!!python/name:os.system"), "f.yaml:6: is no plain YAML"),
        (ROUTE.replace("[support]", "!!int seven"), "f.yaml:1: is no plain YAML"),
        (ROUTE.replace("[support]", "!!int"), "f.yaml:1: is no plain YAML"),
        (ROUTE.replace("[support]", "!!bool maybe"), "f.yaml:1: is no plain YAML"),
        (ROUTE.replace("[support]", "!!timestamp never"), "f.yaml:1: is no plain YAML"),
        ("apiVersion: v1\nkind: List\nitems: []\n", "f.yaml:2: kind List is not read from files"),
        ("[" * 100_000, "f.yaml:1: is nested deeper than 64 levels"),
        ("a: &a {b: *a}\n", "f.yaml:1: is nested deeper than 64 levels"),
    ],
)
def test_faults(text: str, words: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(words)


def test_a_bomb_of_aliases_is_a_fault() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    (fault,) = faults("\n".join(lines))
    assert "has more than 200000 values" in fault


def test_a_fault_hides_no_other_document() -> None:
    manifest = read(f"{ROUTE}  models: [again]\n---\n{ROUTE}", source="f.yaml")
    assert len(manifest.faults) == len(manifest.resources) == 1


def test_secrets() -> None:
    manifest = secret("data: {a: c2stYQ==}\nstringData: {b: sk-b, c: '${KEY}', a: sk-newer}\n", KEY="sk-c")
    assert manifest.secrets == {("default", "keys"): {"a": "sk-newer", "b": "sk-b", "c": "sk-c"}}
    assert not manifest.faults
    assert "sk-" not in repr(manifest)


def test_base64_in_lines() -> None:
    manifest = secret("data:\n  a: |\n    c2st\n    YQ==\n")
    assert manifest.secrets["default", "keys"] == {"a": "sk-a"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("data: {a: sk-plain}\n", "f.yaml:4: data.a: is no base64 of UTF-8 text: use stringData for plain text"),
        ("data: {a: /w==}\n", "f.yaml:4: data.a: is no base64 of UTF-8 text"),
        ("stringData:\n  a: 12345\n", "f.yaml:5: stringData.a: must be a string: put it in quotes"),
        ("stringData:\n  a: ${NO}\n", "f.yaml:5: stringData.a: environment variable 'NO' is not set: set it"),
        ("stringData: [a]\n", "f.yaml:4: stringData: must be a mapping of keys to values"),
    ],
)
def test_faults_of_secrets(data: str, words: str) -> None:
    manifest = secret(data)
    (fault,) = manifest.faults
    assert str(fault).startswith(words)
    assert manifest.secrets == {("default", "keys"): {}}


@quick
@given(st.data())
def test_damaged_text_never_raises(data: st.DataObject) -> None:
    text = (data.draw(st.sampled_from(sorted(GOLDEN.iterdir()))) / "in.yaml").read_text()
    start = data.draw(st.integers(0, len(text)))
    end = min(len(text), start + data.draw(st.integers(0, 12)))
    junk = data.draw(st.text(max_size=3) | st.sampled_from(["&a", "*a", "!!int ", "? ", "- ", "{", "]", "\t", "\x00"]))

    manifest = read(text[:start] + junk + text[end:], source="f.yaml")

    compile_resources(ResourceSet.of(manifest.resources, manifest.secrets))
