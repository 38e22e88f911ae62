"""What is refused, and in which words. tests/cluster/test_crds.py shows that an API server refuses the same."""

from pathlib import Path

import pytest

from merit_crds.compile import compile_resources
from merit_crds.manifest import read
from merit_crds.resources import ResourceSet

CASES = sorted((Path(__file__).parents[2] / "golden/invalid").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_is_refused_in_these_words(case: Path) -> None:
    text = case.read_text()
    head = text.splitlines()[0]
    assert head.startswith("# message: ")
    (resource,) = read(text, source=case.name).resources

    status = compile_resources(ResourceSet.of([resource])).statuses[resource.id]

    assert status.accepted.reason == "Invalid"
    assert head.removeprefix("# message: ") in status.accepted.message
