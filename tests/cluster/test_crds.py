"""A real API server and the models are of one mind: about the CRDs, about what is refused and in which words, and about
what is accepted."""

import copy
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from merit_crds import API_VERSION
from merit_crds.compile import compile_resources
from merit_crds.definition import crd_documents
from merit_crds.generate import crds_yaml
from merit_crds.manifest import read
from merit_crds.resources import Resource, ResourceId, ResourceSet
from tests.cluster.lab.lab import Lab

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
INVALID = sorted((ROOT / "tests/golden/invalid").glob("*.yaml"))
GOLDEN = sorted((ROOT / "tests/golden/compile").glob("*/in.yaml"))
EXAMPLES = [
    path
    for pattern in ("examples/*/*.yaml", "examples/*/resources/*.yaml")
    for path in sorted(ROOT.glob(pattern))
    if path.parent.name != "gitops"  # Argo CD's and Flux's kinds: no cluster of ours knows them
]
BEYOND_A_SCHEMA = (
    "host of that vendor's",
    "with ambient must be one of",
    "RE2",
    "header occurs",
    "candidate occurs",
    "IPv6",
    "tier below",
    "IANA time zone",
    "its month",
    "spec.schedules",
    "validFrom",
    "[] for none",
    "capability Audio",
    "capability Batches",
    "tier that prices are of",
    "spec.models",
    "after starts",
    "at least 1m",
    "count neither",
    "is this route itself",
)
"""What only compile can know: words of its problems."""


GARBAGE: list[Any] = [None, 0, -1, 1.5, True, "", "ok\n", "*", "x", "1s", "ü" * 300, [], {}, [[]], {"x": 1}, ["a", "a"]]


class ControlPlane(Protocol):
    """What the tests need of a cluster."""

    def kubectl(self, *args: str, input: str | None = None) -> str: ...  # noqa: A002


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Lab]:
    lab = Lab()
    lab.start(full=False)
    yield lab
    lab.stop()


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """With the CRDs, and the namespaces that the golden cases name."""
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=crds_yaml())
    names = [f"crd/{document['metadata']['name']}" for document in crd_documents()]
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    namespaces = {r.id.namespace for path in GOLDEN for r in read(path.read_text(), source="").resources}
    made = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces]
    control_plane.kubectl("apply", "-f", "-", input="\n---\n".join(map(json.dumps, made)))
    return control_plane


def test_crds_are_what_the_api_server_makes_of_them(cluster: ControlPlane) -> None:
    """Else GitOps tools see a difference for ever. A schema that isn't structural, or too dear, would say so here."""
    for document in crd_documents():
        served = json.loads(cluster.kubectl("get", "crd", document["metadata"]["name"], "-o", "json"))
        assert served["spec"] == document["spec"]
        conditions = {c["type"]: c["status"] for c in served["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def refusal(cluster: ControlPlane, text: str) -> str:
    """Why the API server refuses it; empty when it doesn't."""
    try:
        cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=text)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.stem)
def test_refuses_in_these_words(cluster: ControlPlane, case: Path) -> None:
    text = case.read_text()
    heads = dict(line[2:].split(": ", 1) for line in text.splitlines() if line.startswith("# "))
    assert heads.get("api", heads["message"]) in refusal(cluster, text)


@pytest.mark.parametrize("case", [*GOLDEN, *EXAMPLES], ids=lambda case: str(case.relative_to(ROOT)))
def test_accepts_what_compile_accepts(cluster: ControlPlane, case: Path) -> None:
    manifest = read(case.read_text(), source=case.name)
    statuses = compile_resources(ResourceSet.of(manifest.resources)).statuses
    text = case.read_text().replace("namespace: merit-demo", "namespace: default")
    accepted = []
    for document in yaml.safe_load_all(text):
        kind, metadata = document["kind"], document["metadata"]
        status = statuses.get(ResourceId(kind, metadata.get("namespace", "default"), metadata["name"]))
        problems = [p.reason for p in status.problems] if status else []
        if not problems:
            accepted.append(json.dumps(document))
        elif not only_compile_knows(problems):
            assert refusal(cluster, json.dumps(document)) != ""
    if accepted:
        assert refusal(cluster, "\n---\n".join(accepted)) == ""


def only_compile_knows(problems: list[str]) -> bool:
    return bool(problems) and all(any(word in reason for word in BEYOND_A_SCHEMA) for reason in problems)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield (*path, step)
        yield from paths(child, (*path, step))


def mutant(chance: random.Random, spec: Any) -> Any:
    """The spec with one field replaced, removed, doubled, or joined by an unknown one."""
    made = parent = copy.deepcopy(spec)
    path = chance.choice(list(paths(made)))
    for step in path[:-1]:
        parent = parent[step]
    match chance.choice(["replace", "replace", "remove", "add"]):
        case "replace":
            parent[path[-1]] = chance.choice(GARBAGE)
        case "remove":
            del parent[path[-1]]
        case _ if isinstance(parent, list):
            parent.append(copy.deepcopy(parent[path[-1]]))
        case _:
            parent["extra"] = 1
    return made


def test_mutants_are_judged_alike(cluster: ControlPlane) -> None:
    """150 resources with one thing changed at random: both refuse or both accept."""
    chance = random.Random(20260801)
    source = ROOT / "tests/golden/compile/every-field/in.yaml"
    valid = read(source.read_text(), source="").resources
    mutants = []
    for n in range(150):
        resource = chance.choice(valid)
        made = Resource(ResourceId(resource.id.kind, "default", f"mutant-{n}"), mutant(chance, resource.spec))
        mutants.append(made)

    def judged(made: Resource) -> str:
        metadata = {"name": made.id.name}
        document = {"apiVersion": API_VERSION, "kind": made.id.kind, "metadata": metadata, "spec": made.spec}
        return refusal(cluster, json.dumps(document))

    with ThreadPoolExecutor(4) as pool:
        refusals = list(pool.map(judged, mutants))

    accepted = 0
    for made, words in zip(mutants, refusals, strict=True):
        problems = [p.reason for p in compile_resources(ResourceSet.of([made])).statuses[made.id].problems]
        assert bool(words) == bool(problems) or only_compile_knows(problems), (made.spec, words, problems)
        accepted += not words
    assert 10 < accepted < 140


def test_columns(cluster: ControlPlane) -> None:
    for file in ("providers", "prices", "route", "consumer"):
        text = (ROOT / f"examples/cluster/{file}.yaml").read_text().replace("merit-demo", "default")
        cluster.kubectl("apply", "-f", "-", input=text)
    condition = {"type": "Ready", "status": "True", "reason": "Ready", "message": ""}
    condition["lastTransitionTime"] = "2026-08-02T00:00:00Z"
    status = {"conditions": [condition], "programmed": "3/3", "snapshot": "0123456789ab", "propagationSeconds": "0.4"}
    status["cheapest"] = "groq/llama-3.1-8b-instant"
    patch = json.dumps({"status": status})
    cluster.kubectl("patch", "mroute", "support", "--subresource=status", "--type=merge", "-p", patch)

    rows = {
        kind: [line.split() for line in cluster.kubectl("get", kind, *wide).splitlines()]
        for kind, wide in (("mroute", ["-o", "wide"]), ("mprov", []), ("mprice", []), ("mcons", []))
    }

    assert rows["mroute"][0] == ["NAME", "READY", "PROGRAMMED", "CHEAPEST", "AGE", "REASON", "SNAPSHOT", "SECONDS"]
    assert rows["mroute"][1][:4] == ["support", "True", "3/3", "groq/llama-3.1-8b-instant"]
    assert rows["mroute"][1][5:] == ["Ready", "0123456789ab", "0.4"]
    assert rows["mprov"][0] == ["NAME", "PROTOCOL", "READY", "PROGRAMMED", "AGE"]
    assert rows["mprice"][0] == ["NAME", "PROVIDER", "READY", "PROGRAMMED", "AGE"]
    assert rows["mcons"][0] == ["NAME", "READY", "PROGRAMMED", "AGE"]
    assert "modelroute.merit.dev/support" in cluster.kubectl("get", "merit", "-o", "name")
