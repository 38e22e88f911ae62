"""One operator process: assembles the parts, runs them, ends them in order."""

import asyncio
import contextlib
import logging
import os
import signal
import time

import kopf

from merit_operator import handlers, health
from merit_operator.client import KubeClient
from merit_operator.commitments import FleetVolumes
from merit_operator.controller import Controller
from merit_operator.discovery import Discovery
from merit_operator.last_good import LastGoodCopy
from merit_operator.leader import Elector
from merit_operator.push.session import PodClient
from merit_operator.reflector import Reflector
from merit_operator.settings import Settings
from merit_operator.store import Store

log = logging.getLogger("merit.run")
_STUCK_SECONDS = 30.0
_STOP_SECONDS = 5.0
_KOPF_STARTED_SECONDS = 1.0
"""By then kopf has put its signal handlers in place."""


async def run(settings: Settings) -> int:
    """Runs until a signal; the exit code."""
    stop = asyncio.Event()
    _handle_signals(stop)
    if settings.kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(settings.kubeconfig)  # kopf has no other way to be told
    client = await KubeClient.connect(settings.kubeconfig)
    pods = PodClient(port=settings.admin_port, token_file=settings.token_file, tls_ca=settings.tls_ca)
    store = Store()
    controller = Controller(
        client=client,
        store=store,
        reflector=Reflector(client, store, settings.namespaces),
        pods=pods,
        copy=LastGoodCopy(client, settings.pod_namespace, settings.last_good_prefix),
        volumes=FleetVolumes(client, settings.pod_namespace, settings.last_good_prefix),
    )
    controller.elector = Elector(
        client,
        namespace=settings.pod_namespace,
        name=settings.lease_name,
        identity=settings.identity,
        clock=time.monotonic,
        changed=controller.leadership_changed,
    )
    discovery = Discovery(
        client,
        settings.pod_namespace,
        settings.service,
        changed=controller.pods_changed,
        missed=controller.list_again,
    )
    server = await health.serve(
        settings.listen_host,
        settings.listen_port,
        alive=lambda: time.monotonic() - controller.turned_at < _STUCK_SECONDS,
        ready=lambda: controller.listed,
    )
    tasks = {
        asyncio.create_task(controller.run(), name="controller"),
        asyncio.create_task(discovery.run(), name="discovery"),
        asyncio.create_task(controller.elector.run(), name="leader"),
        asyncio.create_task(_kopf(settings, controller, stop), name="kopf"),
    }
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({*tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
    failed = [t for t in done if t is not waiting and not t.cancelled() and t.exception() is not None]
    for task in failed:
        log.error("%s ended", task.get_name(), exc_info=task.exception())
    stop.set()
    for task in tasks | {waiting}:
        task.cancel()
    _, late = await asyncio.wait({*tasks, waiting}, timeout=_STOP_SECONDS)
    for task in late:
        log.warning("%s did not end within %.0f s", task.get_name(), _STOP_SECONDS)
    await controller.publisher.close()
    await controller.secrets.close()
    await pods.close()
    await server.cleanup()
    await client.close()
    return 1 if failed else 0


def _handle_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _kopf(settings: Settings, controller: Controller, stop: asyncio.Event) -> None:
    """kopf's event handlers. When kopf itself gives up, lists still bring the truth every five minutes.

    kopf puts its own signal handlers in place of ours; they are taken back, so that the Lease is released at once.
    """
    while not stop.is_set():
        asyncio.get_running_loop().call_later(_KOPF_STARTED_SECONDS, _handle_signals, stop)
        try:
            await kopf.operator(
                registry=handlers.registry(controller),
                standalone=True,
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
                stop_flag=stop,
            )
            stop.set()  # a signal came before its handlers were taken back
        except Exception:
            log.exception("kopf ended, it is started again")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await stop.wait()
