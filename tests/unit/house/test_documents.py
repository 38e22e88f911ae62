"""What the documents say is so: links, commands, flags, metrics, headers, reasons, error codes, YAML."""

import argparse
import ast
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from merit_crds.compile import compile_resources
from merit_crds.conditions import ConditionType, Reason
from merit_crds.manifest import read
from merit_crds.push import Rejection
from merit_crds.resources import ResourceSet
from merit_crds.usage_line import UsageLine
from merit_dataplane.cli import _COMMANDS as COMMANDS

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
OPERATIONS = ROOT / "docs/operations.md"
ERRORS = ROOT / "docs/errors.md"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "crds/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))


# ---- reading Markdown


def section(document: Path, title: str) -> str:
    """The text under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", document.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"{document.name} has no section {title!r}"
    return found[1]


def table(text: str) -> Iterator[list[str]]:
    """Cells of each row of the first table, without its head."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for row in rows[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def coded(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_column(document: Path, title: str) -> list[str]:
    """Everything in backticks in the first column of a section's table."""
    return [word for row in table(section(document, title)) for word in coded(row[0])]


def blocks(document: Path, language: str) -> list[str]:
    """Fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)


def code(document: Path) -> str:
    """All that is code: fenced or in backticks."""
    text = document.read_text()
    fenced = re.findall(r"^```.*?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", text)])


def prose(document: Path) -> str:
    """All that is no code."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]+`", "", text)


def anchors(document: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# ---- links and commands


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@every_document
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|[\s&;])make ([a-z-]+)", code(document), re.MULTILINE)) <= targets


def test_readme_has_every_command() -> None:
    named = {word.split()[1] for word in first_column(README, "Without a cluster") if word.startswith("merit ")}
    assert named == set(COMMANDS)


@every_document
def test_commands_and_flags_exist(document: Path) -> None:
    for line in code(document).replace("\\\n", " ").splitlines():
        found = re.search(r"(?:^|[\s/])merit ([a-z][a-z-]*)( [^|&;#]*)?(?:$|[|&;#])", line)
        if found is None or line.lstrip().startswith("helm"):
            continue
        command, rest = found[1], found[2] or ""
        assert command in COMMANDS, line
        assert set(re.findall(r"(?:^|\s)(--[a-z-]+)", rest)) <= set(flags(command_parser(command))), line


# ---- flags


def command_parser(command: str) -> argparse.ArgumentParser:
    """The parser of one command of `merit`."""
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    return parser


def operator_parser() -> argparse.ArgumentParser:
    """The parser of `merit-operator run`, from its function alone: the module takes kopf and kubernetes along, 2 s."""
    tree = ast.parse((ROOT / "operator/merit_operator/cli.py").read_text())
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "_add_arguments"]
    scope: dict[str, Any] = {"argparse": argparse, "os": os, "Path": Path}
    exec(compile(tree, "cli.py", "exec"), scope)
    parser = argparse.ArgumentParser()
    scope["_add_arguments"](parser)
    return parser


def flags(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Each flag, and its default as the documents write it."""
    made: dict[str, str] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                made |= flags(inner)
            continue
        shown = f"`{action.default}`"
        if action.required:
            shown = "required"
        elif action.default in (None, [], argparse.SUPPRESS):
            shown = "none"
        elif isinstance(action.default, bool):
            shown = "on" if action.default else "off"
        made |= {flag: shown for flag in action.option_strings if flag not in ("-h", "--help")}
    return made


def documented_flags(title: str) -> dict[str, str]:
    """Each flag of a table in operations.md, and its default."""
    return {word.split()[0]: row[1] for row in table(section(OPERATIONS, title)) for word in coded(row[0])}


def test_flags_of_serve_are_documented() -> None:
    assert documented_flags("merit serve") == flags(command_parser("serve"))


def test_flags_of_the_operator_are_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAMESPACE", "$POD_NAMESPACE")
    assert documented_flags("merit-operator run") == flags(operator_parser())


# ---- what is seen of it


def metrics(module: Path) -> set[str]:
    """Names of the metrics that a module makes, as Prometheus shows them."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        first = node.args[0]
        if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            continue
        if node.func.id in ("Counter", "CounterMetricFamily"):
            found.add(first.value.removesuffix("_total") + "_total")
        elif node.func.id in ("Gauge", "GaugeMetricFamily", "Histogram", "HistogramMetricFamily", "_histogram"):
            found.add(first.value)
    return found


@pytest.mark.parametrize(
    ("title", "module"),
    [
        ("Metrics of a pod", "dataplane/merit_dataplane/observability/metrics.py"),
        ("Metrics of caches", "dataplane/merit_dataplane/observability/cache_metrics.py"),
        ("Metrics of commitments", "dataplane/merit_dataplane/observability/commitment_metrics.py"),
        ("Metrics of the operator", "operator/merit_operator/metrics.py"),
    ],
)
def test_metrics_are_documented(title: str, module: str) -> None:
    assert set(first_column(OPERATIONS, title)) == metrics(ROOT / module)


def test_steps_of_errors_are_documented() -> None:
    source = "".join(f.read_text() for f in (ROOT / "operator/merit_operator").rglob("*.py"))
    (row,) = [r for r in table(section(OPERATIONS, "Metrics of the operator")) if "merit_operator_errors_total" in r[0]]
    assert set(coded(row[3])) == set(re.findall(r'ERRORS\.labels\("(\w+)"\)', source))


def test_alerts_use_metrics_that_exist_and_are_documented() -> None:
    chart = (ROOT / "helm/merit/templates/monitoring.yaml").read_text()
    known = metrics(ROOT / "dataplane/merit_dataplane/observability/metrics.py")
    known |= metrics(ROOT / "operator/merit_operator/metrics.py")
    used = {
        name for expression in re.findall(r"expr: (.+)", chart) for name in re.findall(r"merit_[a-z_]+", expression)
    }
    assert used <= known
    assert set(first_column(OPERATIONS, "Alerts")) == set(re.findall(r"alert: (\w+)", chart))


def test_usage_log_is_documented() -> None:
    assert sorted(first_column(ROOT / "docs/usage-log.md", "Fields")) == sorted(UsageLine.__struct_fields__)


def test_conditions_and_reasons_are_documented() -> None:
    assert first_column(OPERATIONS, "Statuses") == [kind.value for kind in ConditionType]
    assert sorted(first_column(OPERATIONS, "Reasons")) == sorted({reason.value for reason in Reason})


def test_rejections_of_a_push_are_documented() -> None:
    assert {coded(row[1])[0] for row in table(section(ERRORS, "The push"))} == {r.value for r in Rejection}


def test_response_headers_are_documented() -> None:
    source = "".join(f.read_text() for f in (ROOT / "dataplane/merit_dataplane").rglob("*.py"))
    assert set(first_column(README, "What a client sees")) == set(re.findall(r'b"(x-merit-[a-z-]+)"', source))


def test_error_codes_are_documented() -> None:
    codes = set()
    for file in (ROOT / "dataplane/merit_dataplane").rglob("*.py"):
        if "fake_provider" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                codes.add(node.value.value)
    documented = {word for row in table(section(ERRORS, "Answers of Merit")) for word in coded(row[1])}
    streamed = set(re.findall(r'"code":"(\w+)"', section(ERRORS, "In a stream")))
    assert documented | streamed == codes - {None}


# ---- YAML


@every_document
def test_yaml_is_valid(document: Path) -> None:
    for block in blocks(document, "yaml"):
        assert list(yaml.safe_load_all(block))
        manifest = read(block, source=document.name)
        assert not manifest.faults
        for resource_id, status in compile_resources(ResourceSet.of(manifest.resources)).statuses.items():
            assert status.accepted.status == "True", f"{resource_id}: {status.accepted.message}"


def test_decisions_are_numbered_without_gaps_and_have_their_parts() -> None:
    files = sorted((ROOT / "docs/adr").glob("*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for file in files:
        text = file.read_text()
        assert text.startswith(f"# {file.name[:4]}. ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
