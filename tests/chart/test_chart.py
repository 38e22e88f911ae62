"""What the chart renders, by the real helm (tests/cluster/lab/build.sh makes it). No cluster is asked."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from merit_dataplane.cli import serve
from merit_operator import cli as operator_cli
from tests.cluster.lab.lab import CommandError, Lab

pytestmark = pytest.mark.cluster

HELM = Path(__file__).parents[2] / "helm"
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "namespaced": {"watch": {"namespaces": ["team-a", "team-b"]}},
    "redis": {
        "redis": {
            "url": "rediss+sentinel://a:26379,b:26379/mymaster",
            "existingSecret": "redis",
            "encryptCache": True,
            "tlsSecret": "redis-tls",
            "clientCertificate": True,
        }
    },
    "otlp": {"otlp": {"endpoint": "http://collector:4318", "sampleRatio": 0.1, "headersSecret": "otlp"}},
    "plain admin port": {"adminTLS": {"enabled": False}, "pushToken": {"existingSecret": "mine"}},
    "bare": {
        "crds": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
    },
    "everything": {
        "imagePullSecrets": [{"name": "registry"}],
        "adminTLS": {"existingSecret": "certificates"},
        "dataplane": {
            "autoscaling": {"enabled": True},
            "stateMedium": "Memory",
            "extraArgs": ["--usage-log=off"],
            "podAnnotations": {"a": "b"},
            "tolerations": [{"key": "llm", "operator": "Exists"}],
            "nodeSelector": {"pool": "llm"},
        },
        "networkPolicy": {"adminFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
    },
}
every_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())


def render(values: dict[str, Any], *options: str) -> list[Any]:
    # every top-level key by itself: values are JSON, and no file is needed
    given = [part for key, value in values.items() for part in ("--set-json", f"{key}={json.dumps(value)}")]
    monitoring = ("--api-versions", "monitoring.coreos.com/v1")
    out = Lab().helm("template", "merit", str(HELM / "merit"), "-n", "system", *monitoring, *given, *options)
    return [document for document in yaml.safe_load_all(out) if document]


def one(documents: list[Any], kind: str, name: str) -> Any:
    (found,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name]
    return found


def pod(documents: list[Any], component: str) -> Any:
    return one(documents, "Deployment", f"merit-{component}")["spec"]["template"]["spec"]


@pytest.mark.parametrize("chart", ["merit", "merit-crds"])
def test_lint(chart: str) -> None:
    assert "0 chart(s) failed" in Lab().helm("lint", "--strict", str(HELM / chart))


@every_values
def test_renders_unique_objects_in_a_namespace(values: dict[str, Any]) -> None:
    documents = render(values)
    identities = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents]
    assert len(identities) == len(set(identities))
    cluster_wide = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
    assert {d["kind"] for d in documents if "namespace" not in d["metadata"]} <= cluster_wide


@every_values
@pytest.mark.parametrize("component", ["operator", "dataplane"])
def test_pods_meet_the_restricted_standard(values: dict[str, Any], component: str) -> None:
    spec = pod(render(values), component)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    mounts, volumes = ({x["name"] for x in xs} for xs in (container["volumeMounts"], spec["volumes"]))
    assert mounts == volumes


@every_values
def test_arguments_are_those_of_the_programs(values: dict[str, Any]) -> None:
    documents = render(values)
    gateway, operator = argparse.ArgumentParser(), argparse.ArgumentParser()
    serve.add_arguments(gateway)
    operator_cli._add_arguments(operator)
    served = gateway.parse_args(pod(documents, "dataplane")["containers"][0]["args"][1:])
    pushing = operator.parse_args(pod(documents, "operator")["containers"][0]["args"][1:])
    assert served.from_operator
    tls = values.get("adminTLS", {}).get("enabled", True)
    assert (served.tls_cert is not None, pushing.tls_ca is not None) == (tls, tls)
    assert (served.redis_url is not None, served.redis_ca is not None) == ("redis" in values, "redis" in values)
    assert served.otlp_endpoint == values.get("otlp", {}).get("endpoint")
    assert served.admin_listen.port == pushing.admin_port
    # Kubernetes must not kill a pod whose streams may still end
    assert pod(documents, "dataplane")["terminationGracePeriodSeconds"] > served.drain_seconds + served.grace_seconds


@every_values
def test_operator_finds_pods_that_are_not_ready(values: dict[str, Any]) -> None:
    documents = render(values)
    service = one(documents, "Service", "merit-admin")["spec"]
    assert service["publishNotReadyAddresses"] is True
    assert f"--service={'merit-admin'}" in pod(documents, "operator")["containers"][0]["args"]
    labels = one(documents, "Deployment", "merit-dataplane")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    assert one(documents, "Service", "merit")["spec"]["selector"].items() <= labels.items()


@every_values
def test_data_plane_has_no_access_to_the_api(values: dict[str, Any]) -> None:
    spec = pod(render(values), "dataplane")
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    (last_good,) = [v["projected"]["sources"] for v in spec["volumes"] if v["name"] == "last-good"]
    assert all(next(iter(source.values()))["optional"] for source in last_good)


@every_values
def test_operator_may_not_list_secrets(values: dict[str, Any]) -> None:
    rules = [(d, r) for d in render(values) if d["kind"] in {"Role", "ClusterRole"} for r in d["rules"]]
    for document, rule in rules:
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
        if "secrets" in rule["resources"]:
            assert set(rule["verbs"]) <= {"get", "watch"} or document["metadata"]["namespace"] == "system"
            assert "list" not in rule["verbs"]


def test_namespaces_instead_of_the_cluster() -> None:
    documents = render(VALUES["namespaced"])
    assert not [d for d in documents if d["kind"].startswith("Cluster")]
    roles = {d["metadata"]["namespace"] for d in documents if d["kind"] == "Role"}
    assert roles == {"system", "team-a", "team-b"}
    args = pod(documents, "operator")["containers"][0]["args"]
    assert {"--namespace=team-a", "--namespace=team-b"} <= set(args)
    assert "--all-namespaces" not in args


def test_crds_outlive_the_release_and_can_be_left_out() -> None:
    documents = render({})
    crds = [d for d in documents if d["kind"] == "CustomResourceDefinition"]
    assert len(crds) == 4
    assert all(d["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for d in crds)
    assert not [d for d in render(VALUES["bare"]) if d["kind"] == "CustomResourceDefinition"]


def test_own_secrets_are_not_made() -> None:
    made = {d["metadata"]["name"] for d in render({}) if d["kind"] == "Secret"}
    assert made == {"merit-push-token", "merit-admin-tls"}
    mine = {"pushToken": {"existingSecret": "mine"}, "adminTLS": {"existingSecret": "certificates"}}
    assert not [d for d in render(mine) if d["kind"] == "Secret"]


def test_admin_port_is_for_the_operator_and_who_is_named() -> None:
    policy = one(render(VALUES["everything"]), "NetworkPolicy", "merit-dataplane")["spec"]
    data, admin = policy["ingress"]
    assert data == {"ports": [{"port": "http"}]}
    assert admin["ports"] == [{"port": "admin"}]
    assert [next(iter(peer)) for peer in admin["from"]] == ["podSelector", "namespaceSelector"]


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 3},
        {"dataplane": {"replica": 3}},
        {"dataplane": {"stateMedium": "Disk"}},
        {"operator": {"image": {"name": "x"}}},
        {"watch": {"namespaces": "team-a"}},
    ],
)
def test_unknown_or_wrong_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match="values don't meet the specifications"):
        render(values)
