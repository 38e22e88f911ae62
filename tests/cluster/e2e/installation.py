"""Merit installed with Helm on a real node, as a user would, and what the tests ask of it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[3]
RELEASE, SYSTEM = "merit", "merit-system"
IMAGE_DATAPLANE, IMAGE_OPERATOR = "merit/dataplane:dev", "merit/operator:dev"


class Cluster(Protocol):
    """What is needed of tests/cluster/lab/lab.py's Lab."""

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 # subprocess's own word
        """Runs kubectl, returns its output; raises with its error."""
        ...

    def helm(self, *args: str) -> str:
        """Runs helm."""
        ...

    def stop_apiserver(self) -> None:
        """Stops the API server."""
        ...

    def start_apiserver(self) -> None:
        """Starts it and waits until it answers."""
        ...

    def signal(self, pod_uid: str, number: int) -> None:
        """Sends a signal to the processes of a pod."""
        ...


@dataclass(frozen=True, slots=True)
class Installation:
    """A release of the chart."""

    cluster: Cluster

    def install(self, *extra: str) -> None:
        """helm install or upgrade; waits until every pod is ready."""
        self.cluster.helm(
            *("upgrade", "--install", RELEASE, str(ROOT / "helm/merit"), "--namespace", SYSTEM, "--create-namespace"),
            *("--set", "operator.image.repository=merit/operator", "--set", "operator.image.tag=dev"),
            *("--set", "dataplane.image.repository=merit/dataplane", "--set", "dataplane.image.tag=dev"),
            # the lab has two cores for everything
            *("--set", "dataplane.resources.requests.cpu=50m", "--set", "operator.resources.requests.cpu=20m"),
            *("--set", "dataplane.drainSeconds=5"),
            *extra,
            *("--wait", "--timeout", "120s"),
        )

    def get(self, *args: str) -> Any:
        """kubectl get -o json."""
        return json.loads(self.cluster.kubectl("get", *args, "-o", "json"))

    def apply(self, manifest: str) -> None:
        """kubectl apply."""
        self.cluster.kubectl("apply", "-f", "-", input=manifest)

    def url(self) -> str:
        """Base URL of the data plane's Service; cluster addresses are routed to this machine."""
        return f"http://{self.get('service', RELEASE, '-n', SYSTEM)['spec']['clusterIP']}/v1"

    def pods(self, component: str) -> list[Any]:
        """Pods of `operator` or `dataplane` that are not being deleted."""
        selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        found = self.get("pods", "-n", SYSTEM, "-l", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def processes(self, component: str) -> int:
        """Pods of a component, those included that are still ending."""
        selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
        return len(self.get("pods", "-n", SYSTEM, "-l", selector)["items"])

    def leader(self) -> str:
        """Name of the pod that holds the Lease."""
        (lease,) = self.get("leases.coordination.k8s.io", "-n", SYSTEM)["items"]
        return str(lease["spec"]["holderIdentity"])

    def signal(self, pod: str, number: int) -> None:
        """Sends a signal to the processes of a pod of ours."""
        self.cluster.signal(self.get("pod", pod, "-n", SYSTEM)["metadata"]["uid"], number)

    def operator_metrics(self, pod: str) -> str:
        """What an operator pod exposes to Prometheus."""
        code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8082/metrics').read().decode())"
        return self.cluster.kubectl("exec", "-n", SYSTEM, pod, "--", "python3", "-c", code)

    def events(self, namespace: str, name: str) -> list[Any]:
        """Kubernetes Events that tell of one object."""
        found = self.get("events", "-n", namespace, "--field-selector", f"involvedObject.name={name}")
        return list(found["items"])

    def condition(self, kind: str, name: str, namespace: str, condition: str) -> dict[str, Any]:
        """A condition of a resource; empty while there is none."""
        conditions = self.get(kind, name, "-n", namespace).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == condition), {})

    def is_programmed(self, kind: str, name: str, namespace: str) -> bool:
        """Programmed, at the newest generation."""
        generation = self.get(kind, name, "-n", namespace)["metadata"]["generation"]
        condition = self.condition(kind, name, namespace, "Programmed")
        return condition.get("status") == "True" and condition["observedGeneration"] == generation


def wait_until(what: str, true: Callable[[], object], *, seconds: float = 30.0, every: float = 0.1) -> float:
    """Waits until `true()` is; returns the seconds it took. Fails with the last value."""
    started, last = time.monotonic(), None
    while time.monotonic() - started < seconds:
        try:
            last = true()
        except Exception as error:  # shown when the time is over
            last = error
        if last and not isinstance(last, Exception):
            return time.monotonic() - started
        time.sleep(every)
    raise AssertionError(f"{what}: not within {seconds} s, last seen: {last!r}")
