"""A cluster with Merit in it, simulated vendors, and a route over them: everything programmed."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.e2e import manifests
from tests.cluster.e2e.installation import IMAGE_DATAPLANE, Installation, wait_until
from tests.cluster.e2e.manifests import MODEL, NAMESPACE
from tests.cluster.lab.lab import Lab


@contextmanager
def shop(*values: str) -> Iterator[Installation]:
    """Brings it up, and down at its end. `values` are further arguments of helm."""
    lab = Lab()
    lab.start(full=True)
    try:
        lab.build_and_load_images()
        merit = Installation(lab)
        merit.install(*values)
        merit.apply(manifests.everything(IMAGE_DATAPLANE))
        for name in manifests.PROVIDERS:
            lab.kubectl("rollout", "status", f"deployment/{name}", "-n", NAMESPACE, "--timeout=120s")
        wait_until("programmed", lambda: merit.is_programmed("modelroute", MODEL, NAMESPACE), seconds=60)
        yield merit
    finally:
        lab.stop()
