"""The examples compile without a word of complaint."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from merit_crds.compile import Compiled, Force, compile_resources
from merit_crds.manifest import read
from merit_crds.resources import Resource, ResourceId, ResourceSet

EXAMPLES = Path(__file__).parents[3] / "examples"


def compiled(folder: Path) -> Compiled:
    resources: list[Resource] = []
    secrets: dict[tuple[str, str], Mapping[str, str]] = {}
    for file in sorted(folder.glob("*.yaml")):
        manifest = read(file.read_text(), source=file.name)
        assert not manifest.faults
        resources += manifest.resources
        secrets.update(manifest.secrets)
    return compile_resources(ResourceSet.of(resources, secrets))


@pytest.mark.parametrize("folder", ["cluster", "google", "quickstart/resources", "vendors"])
def test_no_problems(folder: str) -> None:
    result = compiled(EXAMPLES / folder)
    assert {status.id.kind for status in result.statuses.values()} == {
        "Provider",
        "ProviderPricing",
        "ModelRoute",
        "Consumer",
    }
    for status in result.statuses.values():
        assert (status.accepted.message, status.resolved_refs.message) == ("", "")
        assert status.force is Force.CURRENT


def test_cheapest_of_the_cluster_example() -> None:
    order = compiled(EXAMPLES / "cluster").statuses[ResourceId("ModelRoute", "merit-demo", "support")].merit_order
    cheapest = {ranked.tier: ranked.model for ranked in reversed(order)}
    assert cheapest == {"complex": "deepseek-v4-pro", "simple": "llama-3.1-8b-instant"}
