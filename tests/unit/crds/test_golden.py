"""The specification of compile: each folder of tests/golden/compile is one case.

`in.yaml` (and `previous.yaml`, the resources of the compile before) go in, `snapshot.json` and `status.yaml` come out.
`make golden` rewrites what comes out; read the diff.
"""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from merit_crds.compile import Compiled, ResourceStatus, compile_resources
from merit_crds.conditions import Condition
from merit_crds.manifest import read
from merit_crds.pricing import usd
from merit_crds.resources import ResourceSet
from merit_crds.snapshot import Snapshot, decode

CASES = sorted((Path(__file__).parents[2] / "golden/compile").iterdir())
UPDATE = "MERIT_UPDATE_GOLDEN" in os.environ


def compiled(path: Path, previous: Snapshot | None = None) -> Compiled:
    manifest = read(path.read_text(), source=path.name)
    assert not manifest.faults
    return compile_resources(ResourceSet.of(manifest.resources, manifest.secrets), previous)


def shown_condition(condition: Condition) -> Any:
    if condition.status == "True":
        assert not condition.message
        return True
    return {condition.reason.value: condition.message.split("; ")}


def shown_status(status: ResourceStatus) -> dict[str, Any]:
    made = {
        "resource": str(status.id),
        "generation": status.generation,
        "force": status.force.value,
        "accepted": shown_condition(status.accepted),
        "resolvedRefs": shown_condition(status.resolved_refs),
    }
    if status.merit_order:
        made["meritOrder"] = [f"{r.tier}: {r.provider} {r.model} {usd(r.cost)}" for r in status.merit_order]
    return made


def terse(entry: Any, written: Any) -> Any:
    """What was written of an entry, but for defaults: a new field changes only the cases that are about it."""
    if isinstance(entry, msgspec.Struct):
        defaults = {f.name: f.default for f in msgspec.structs.fields(entry) if f.default is not msgspec.NODEFAULT}
        values = {name: getattr(entry, name, None) for name in written}
        return {
            name: terse(values[name], shown)
            for name, shown in written.items()
            if name not in defaults or values[name] != defaults[name]
        }
    if isinstance(entry, dict):
        return {name: terse(entry[name], shown) for name, shown in written.items()}
    if isinstance(entry, tuple):
        return [terse(one, shown) for one, shown in zip(entry, written, strict=True)]
    return written


def matches(path: Path, text: str) -> None:
    if UPDATE:
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: if that is meant, `make golden`"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    source = case / "in.yaml"
    assert source.read_text().startswith("# reason: "), "a case says why it is there"
    before = case / "previous.yaml"
    result = compiled(source, compiled(before).snapshot if before.exists() else None)

    shown = json.loads(result.body)
    if case.name != "minimal":  # this one shows the defaults
        shown = terse(result.snapshot, shown)
    matches(case / "snapshot.json", json.dumps(shown, indent=2) + "\n")
    statuses = [shown_status(status) for status in result.statuses.values()]
    matches(case / "status.yaml", yaml.safe_dump(statuses, sort_keys=False, width=2000, allow_unicode=True))
    assert decode(result.body) == result.snapshot


def test_no_secret_in_what_comes_out() -> None:
    for case in CASES:
        text = (case / "snapshot.json").read_text() + (case / "status.yaml").read_text()
        for word in ("sk-golden", "merit-golden", "merit-key", "sk-a-real", "pasted", "another-key"):
            assert word not in text, case.name
