"""The lab as tests use it: a real one-node Kubernetes brought up here, or the cluster of $KUBECONFIG."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("MERIT_CLUSTER_CACHE") or Path.home() / ".cache/merit-cluster")


class CommandError(AssertionError):
    """A command failed; the message has what it printed."""


class Lab:
    """One cluster. `start` brings it up unless $KUBECONFIG names one and $MERIT_LAB isn't set."""

    def __init__(self) -> None:
        self._own = "KUBECONFIG" not in os.environ or "MERIT_LAB" in os.environ
        self._full = True
        self._held: IO[str] | None = None

    @property
    def kubeconfig(self) -> Path:
        """The cluster's kubeconfig."""
        if not self._own:
            return Path(os.environ["KUBECONFIG"])
        return CACHE / ("node" if self._full else "control-plane") / "kubeconfig"

    def start(self, *, full: bool) -> None:
        """Everything, or the control plane alone. What an earlier run left behind is taken down first."""
        self._full = full
        if self._own:
            self._lock()
            self._script("build.sh", *self._scope())
            self._script("down.sh", "--wipe", *self._scope())
            self._script("up.sh", *self._scope())

    def stop(self) -> None:
        """Takes down what `start` brought up."""
        if self._own:
            self._script("down.sh", "--wipe", *self._scope())
            if self._held is not None:
                self._held.close()
                self._held = None

    def stop_apiserver(self) -> None:
        """Kills the API server. Only the lab's own: nobody's cluster is to be broken."""
        if not self._own:
            raise CommandError("the API server of $KUBECONFIG is not the lab's to stop; set MERIT_LAB=1")
        self._script("apiserver.sh", "stop", *self._scope())

    def start_apiserver(self) -> None:
        """Starts it; returns when it answers."""
        self._script("apiserver.sh", "start", *self._scope())

    def signal(self, pod_uid: str, number: int) -> None:
        """Sends a signal to every process of a pod but its sandbox's. Only on the lab's own node."""
        if not self._own:
            raise CommandError("the processes of $KUBECONFIG's nodes are not the lab's; set MERIT_LAB=1")
        names = (pod_uid, pod_uid.replace("-", "_"))
        found = [
            int(group.parent.name)
            for group in Path("/proc").glob("[0-9]*/cgroup")
            if any(name in _read(group) for name in names) and _read(group.with_name("comm")).strip() != "pause"
        ]
        if not found:
            raise CommandError(f"no process of pod {pod_uid} runs here")
        for pid in found:
            os.kill(pid, number)

    def build_and_load_images(self) -> None:
        """Merit's images, built from this checkout, in the node's containerd."""
        if self._own:
            self._run([sys.executable, str(HERE / "images.py"), "--load"])

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 # subprocess's own word
        """kubectl's output. Raises CommandError."""
        return self._run([self._program("kubectl"), *args], input=input)

    def helm(self, *args: str) -> str:
        """helm's output. Raises CommandError."""
        return self._run([self._program("helm"), *args])

    def _lock(self) -> None:
        """Waits for another test run on this machine: `start` would take its cluster down. Ends with the process."""
        CACHE.mkdir(parents=True, exist_ok=True)
        self._held = (CACHE / f"{'node' if self._full else 'control-plane'}.lock").open("w")
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def _program(self, name: str) -> str:
        cached = CACHE / "bin" / name
        return str(cached) if cached.exists() else name

    def _scope(self) -> list[str]:
        return [] if self._full else ["--control-plane-only"]

    def _script(self, name: str, *args: str) -> None:
        self._run([str(HERE / name), *args])

    def _run(self, command: list[str], *, input: str | None = None) -> str:  # noqa: A002
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(command, input=input, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise CommandError(
                f"{' '.join(command)[:300]}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
            )
        return done.stdout


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""
