"""Everything that the benchmarks know about starting Merit. Change it here when its command line changes."""

import os
import sys
from pathlib import Path

from bench import resources
from bench.loadgen import Target
from bench.local_http import get, post
from bench.machine import Cores
from bench.places import CHAT, CHAT_STREAM
from bench.processes import BenchError, Process, free_port


class Gateway(Process):
    """`merit serve` on the gateway's core, in front of one mock. `program`, `code`: another version, its files."""

    def __init__(
        self, cores: Cores, folder: Path, upstream_port: int, program: Path | None = None, *, code: Path | None = None
    ) -> None:
        self.name = "merit" if program is None else "merit before"
        manifests = folder / self.name.replace("merit", "resources").replace(" ", "-")
        manifests.mkdir()
        resources.write(manifests, upstream_port)
        self.port, self.admin_port = free_port(), free_port()
        merit = program or Path(sys.executable).with_name("merit")
        command = [
            *((sys.executable, "-m", "merit_dataplane") if code else (str(merit),)),
            *("serve", str(manifests)),
            *("--listen", f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{self.admin_port}", "--no-watch"),
        ]
        packages = {"PYTHONPATH": os.pathsep.join(str(code / plane) for plane in ("crds", "dataplane"))} if code else {}
        super().__init__(self.name.replace(" ", "-"), command, core=cores.gateway, cwd=folder, env=packages)

    @property
    def target(self) -> Target:
        """The gateway, with the consumer's key."""
        headers = {"Authorization": f"Bearer {resources.CONSUMER_KEY}"}
        return Target(self.name, self.port, self.pid, headers)

    def wait_ready(self) -> None:
        """Returns when it is ready and does what is going to be measured."""
        self.wait_until(self._is_ready)
        check(self.target, self)
        stranger = {"Authorization": "Bearer sk-nobody-0123456789"}
        status, _ = post(self.port, self.target.path, stranger, CHAT.read_bytes())
        if status not in {401, 403}:
            raise BenchError(f"an unknown key got {status}: consumers are not authenticated, the figures would flatter")

    def _is_ready(self) -> bool:
        return get(self.admin_port, "/readyz")[0] == 200


def check(target: Target, process: Process) -> None:
    """One request of each kind, with an error that shows the answer: a load run could only count it."""
    for body, must_have in ((CHAT, b'"usage"'), (CHAT_STREAM, b"data: [DONE]")):
        status, answer = post(target.port, target.path, target.headers, body.read_bytes())
        if status != 200 or must_have not in answer:
            shown = answer[:1000].decode(errors="replace")
            raise BenchError(f"{target.name} answered {body.name} with {status}: {shown}\n{process.log()}")
