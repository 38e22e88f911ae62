"""A control plane with real operators and real data-plane pods as processes of this machine: no node is needed.

Pods listen on addresses of their own, put on the loopback device for the tests' time: an EndpointSlice may not name
127.0.0.0/8. That takes root, as the tests on a node do.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from merit_crds.definition import crd_documents
from merit_crds.generate import crds_yaml
from merit_crds.push import VERSION_PATH, Ack
from tests.cluster.lab.lab import CACHE, Lab

SYSTEM = "merit-system"
SERVICE = "merit-dataplane-admin"
TOKEN = "push-token-of-the-cluster-tests"
ADMIN_PORT = 18081
_BIN = Path(sys.executable).parent


class OperatorLab(Lab):
    """A control plane of its own beside the one that other tests hold for their whole session."""

    @property
    def kubeconfig(self) -> Path:
        """The cluster's kubeconfig."""
        return CACHE / "operator" / "kubeconfig" if self._own else super().kubeconfig

    def _lock(self) -> None:
        os.environ["MERIT_LAB_STATE"] = str(CACHE / "operator")
        CACHE.mkdir(parents=True, exist_ok=True)
        self._held = (CACHE / "operator.lock").open("w")  # another lock, too: theirs is held by this very process
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def stop(self) -> None:
        """Takes it down."""
        super().stop()
        os.environ.pop("MERIT_LAB_STATE", None)


def until(what: str, true: Callable[[], object], *, seconds: float = 20.0, every: float = 0.02) -> float:
    """Waits until `true()` is; the seconds it took. What it raises counts as not yet."""
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


def _spawn(log: Path, command: list[str | Path], **environment: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | environment)


@dataclass
class DataPlanePod:
    """`merit serve --from-operator` at an address of its own."""

    address: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """Name of the pod in the EndpointSlice."""
        return f"dataplane-{self.address.rsplit('.', 1)[1]}"

    def start(self) -> None:
        """A new container: nothing of the one before is left."""
        self.process = _spawn(
            self.folder / f"{self.name}.log",
            [
                *(_BIN / "merit", "serve", "--from-operator", "--token-file", self.folder / "token"),
                *("--listen", f"{self.address}:18080", "--admin-listen", f"{self.address}:{ADMIN_PORT}"),
                *("--drain-seconds", "0"),
            ],
        )
        until(f"{self.name} listens", lambda: self.ack() is not None)

    def stop(self) -> None:
        """As a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ack(self) -> Ack:
        """What it serves."""
        request = urllib.request.Request(
            f"http://{self.address}:{ADMIN_PORT}{VERSION_PATH}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=2) as response:
            return msgspec.json.decode(response.read(), type=Ack)


@dataclass
class OperatorProcess:
    """`merit-operator run`."""

    name: str
    folder: Path
    kubeconfig: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """All that it has said."""
        return (self.folder / f"{self.name}.log").read_text()

    def start(self) -> None:
        """Starts it; returns when it is ready."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = _spawn(
            self.folder / f"{self.name}.log",
            [
                *(_BIN / "merit-operator", "run", "--all-namespaces", "--pod-namespace", SYSTEM, "--service", SERVICE),
                *("--admin-port", str(ADMIN_PORT), "--token-file", self.folder / "token"),
                *("--listen", f"127.0.0.1:{self.port}", "--kubeconfig", self.kubeconfig, "--log-level", "debug"),
            ],
            POD_NAME=self.name,
        )
        until(f"{self.name} is ready", lambda: self.get("/readyz") == "ok\n")

    def get(self, path: str) -> str:
        """What its health port answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as response:
            return str(response.read().decode())

    def metric(self, line: str) -> float:
        """A metric's value; 0 where it is not there yet."""
        values = [v for v in self.get("/metrics").splitlines() if v.startswith(f"{line} ")]
        return float(values[0].split()[-1]) if values else 0.0

    def send(self, number: int) -> None:
        """Sends a signal to this process."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Ends it; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        return self.process.wait(20)


@dataclass
class Control:
    """The cluster and all that runs against it."""

    cluster: Lab
    folder: Path
    pods: list[DataPlanePod]
    operators: dict[str, OperatorProcess] = field(default_factory=dict)

    def apply(self, *documents: str) -> None:
        """kubectl apply."""
        self.cluster.kubectl("apply", "-f", "-", input="\n---\n".join(documents))

    def get(self, *args: str) -> Any:
        """kubectl get -o json."""
        return json.loads(self.cluster.kubectl("get", *args, "-o", "json", "--show-managed-fields"))

    def condition(self, kind: str, name: str, condition: str) -> dict[str, Any]:
        """A condition of a resource, if it is about its newest generation; else empty."""
        resource = self.get(kind, name)
        conditions = resource.get("status", {}).get("conditions", [])
        found = next((c for c in conditions if c["type"] == condition), {"observedGeneration": -1})
        return found if found["observedGeneration"] == resource["metadata"]["generation"] else {}

    def is_programmed(self, kind: str, name: str) -> bool:
        """Whether every pod serves its newest generation."""
        return bool(self.condition(kind, name, "Programmed").get("status") == "True")

    def versions(self) -> set[str]:
        """What the pods serve."""
        return {pod.ack().version for pod in self.pods}

    def lease(self) -> tuple[str, int]:
        """Who leads, and the term."""
        try:
            spec = self.get("lease", "merit-operator", "-n", SYSTEM)["spec"]
        except AssertionError:
            return "", 0
        return spec.get("holderIdentity", ""), spec.get("leaseTransitions", 0)

    def leader(self) -> OperatorProcess:
        """The operator that leads."""
        return self.operators[self.lease()[0]]

    def operator(self, name: str) -> OperatorProcess:
        """Starts an operator."""
        made = self.operators[name] = OperatorProcess(name, self.folder, self.cluster.kubeconfig)
        made.start()
        return made

    def endpoints(self) -> None:
        """The EndpointSlice that a controller would keep: every pod, none of them ready."""
        ends = [
            {"addresses": [p.address], "conditions": {"ready": False}, "targetRef": {"kind": "Pod", "name": p.name}}
            for p in self.pods
        ]
        self.apply(json.dumps({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": ends,
            "metadata": {"name": SERVICE, "namespace": SYSTEM, "labels": {"kubernetes.io/service-name": SERVICE}},
            "ports": [{"name": "admin", "port": ADMIN_PORT}],
        }))  # fmt: skip


@contextlib.contextmanager
def addresses(count: int) -> Iterator[list[str]]:
    """Addresses that only this machine reaches. Needs root."""
    made = [f"10.111.1.{i + 1}" for i in range(count)]
    for address in made:
        subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
    try:
        yield made
    finally:
        for address in made:
            subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=False)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A control plane with the CRDs, three pods without a snapshot, and no operator yet."""
    lab, folder = OperatorLab(), tmp_path_factory.mktemp("control")
    (folder / "token").write_text(TOKEN)
    with contextlib.ExitStack() as stack:
        stack.callback(lab.stop)
        lab.start(full=False)
        pods = [DataPlanePod(address, folder) for address in stack.enter_context(addresses(3))]
        made = Control(lab, folder, pods)
        lab.kubectl("apply", "--server-side", "-f", "-", input=crds_yaml())
        names = [f"crd/{document['metadata']['name']}" for document in crd_documents()]
        lab.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
        lab.kubectl("create", "namespace", SYSTEM)
        for pod in pods:
            stack.callback(pod.stop)
            pod.start()
        made.endpoints()
        stack.callback(lambda: [operator.end() for operator in made.operators.values()])
        yield made
