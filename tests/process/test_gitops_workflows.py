"""The workflows of examples/gitops, run as a runner would: their own commands in a repository of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from merit_dataplane.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples/gitops"
WORKFLOWS = sorted((EXAMPLES / "github").glob("*.yaml"))
PRICES = """apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {name: openai}
spec:
  providerRef: {name: openai}
  models: [{model: gpt-4o, prices: {input: "2.5", output: "%s"}}]
"""
REST = """apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {name: openai}
spec: {protocol: OpenAI, endpoints: [{name: main, url: "https://api.openai.com/v1"}]}
---
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  models: [chat]
  tiers: [{name: all, candidates: [{provider: {name: openai}, model: gpt-4o, accuracy: "0.9"}]}]
---
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {name: web}
spec: {apiKeys: [{name: keys, key: web}]}
"""
LINE = {
    "format": 1, "time": 1790000000.0, "request": "r", "status": 200, "duration": 1.0, "operation": "chat/completions",
    "route": "default/chat", "tier": "all", "consumer": "default/web", "provider": "default/openai", "model": "gpt-4o",
    "attempts": 1, "input_tokens": 300, "output_tokens": 60, "expected_input_tokens": 300, "cost": "0.00135",
}  # fmt: skip
LISTED = {"gpt-4o": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06,
                     "output_cost_per_token": 8e-06}}  # fmt: skip


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "merit/prices").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "tests")
    git(folder, "config", "user.email", "tests@example.com")
    (folder / "merit/prices/openai.yaml").write_text(PRICES % "10")
    (folder / "merit/rest.yaml").write_text(REST)
    (folder / "traces").mkdir()
    (folder / "traces/usage.jsonl").write_text(json.dumps(LINE) + "\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "before")
    return folder


def run(workflow: str, repository: Path, **environment: str) -> dict[str, Any]:
    """Every `run` step but the installation, with a `gh` that writes down what it was asked; what that was."""
    document = yaml.safe_load((EXAMPLES / "github" / workflow).read_text())
    (job,) = document["jobs"].values()
    bin_folder = repository.parent / "bin"
    bin_folder.mkdir()
    asked = repository.parent / "asked.json"
    (bin_folder / "gh").write_text(
        f"#!{sys.executable}\nimport json, pathlib, sys\n"
        f"body = pathlib.Path(sys.argv[sys.argv.index('--body-file') + 1]).read_text()\n"
        f"pathlib.Path({str(asked)!r}).write_text(json.dumps({{'words': sys.argv[1:], 'body': body}}))\n"
    )
    (bin_folder / "gh").chmod(0o755)
    path = f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    for step in job["steps"]:
        if "run" in step and step["name"] != "Install":
            subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
                cwd=repository,
                check=True,
                env={**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(repository.parent / "summary")}
                | environment,
            )
    found: dict[str, Any] = json.loads(asked.read_text()) if asked.exists() else {}
    return found


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_what_github_wants(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text())
    assert {"name", "permissions", "jobs"} <= document.keys()
    assert True in document or "on" in document  # YAML 1.1 reads `on` as a truth
    for job in document["jobs"].values():
        assert all("uses" in step or "run" in step for step in job["steps"])


def test_a_pull_request_is_told_what_its_prices_do(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    (repository / "merit/prices/openai.yaml").write_text(PRICES % "6")
    git(repository, "commit", "-q", "-a", "-m", "after")
    asked = run("prices-review.yaml", repository, BASE=base, NUMBER="7")
    assert asked["words"][:3] == ["pr", "comment", "7"]
    assert "output 10 → 6 USD per million tokens (-40 %)" in asked["body"]
    assert "default/openai" in asked["body"].split("A typical request", 1)[1]  # the plan follows
    assert (repository.parent / "summary").read_text() == asked["body"]


def test_a_broken_list_fails_the_pull_request(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    (repository / "merit/prices/openai.yaml").write_text(PRICES % "a lot")
    with pytest.raises(subprocess.CalledProcessError):
        run("prices-review.yaml", repository, BASE=base, NUMBER="7")


def test_a_list_that_changed_becomes_a_pull_request(repository: Path) -> None:
    git(repository, "init", "-q", "--bare", str(repository.parent / "origin"))
    git(repository, "remote", "add", "origin", str(repository.parent / "origin"))
    (repository.parent / "list.json").write_text(json.dumps(LISTED))
    asked = run("prices-import.yaml", repository, LIST=(repository.parent / "list.json").as_uri())
    assert asked["words"][:2] == ["pr", "create"]
    assert "output 10 → 8 USD per million tokens (-20 %)" in asked["body"]
    pushed = git(repository, "ls-remote", "origin")
    assert "refs/heads/prices-" in pushed
    assert git(repository, "diff", "--name-only", "main", "HEAD") == "merit/prices/openai.yaml"


def test_a_list_that_did_not_change_becomes_none(repository: Path) -> None:
    listed = repository.parent / "list.json"
    listed.write_text(json.dumps(LISTED))
    ours = str(repository / "merit/prices/openai.yaml")
    assert main(["prices", "import", "--from", "litellm", "--provider", "openai", "--output", ours, str(listed)]) == 0
    git(repository, "commit", "-q", "-a", "-m", "as listed")
    assert run("prices-import.yaml", repository, LIST=listed.as_uri()) == {}
    assert git(repository, "status", "--porcelain", "--", "merit") == ""


@pytest.mark.parametrize("name", ["argocd.yaml", "flux.yaml"])
def test_resources_are_yaml_with_a_kind(name: str) -> None:
    for document in yaml.safe_load_all((EXAMPLES / name).read_text()):
        assert {"apiVersion", "kind", "metadata", "spec"} <= document.keys()
