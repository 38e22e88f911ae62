"""The one loop: what has changed -> compile everything -> publish -> say so in statuses. Level-triggered.

A burst of changes is one turn. A turn works on what is true now, never on what an event said.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from merit_crds.compile import Compiled, Force, Translations, compile_resources
from merit_crds.resources import ResourceId
from merit_crds.snapshot import InvalidSnapshotError, Snapshot, decode
from merit_operator import metrics
from merit_operator.client import KubeClient, KubeError
from merit_operator.discovery import Pod
from merit_operator.last_good import LastGoodCopy
from merit_operator.leader import Elector
from merit_operator.push.parcel import pack
from merit_operator.push.publisher import Publisher
from merit_operator.push.session import PodClient, UnreachableError
from merit_operator.references import named_secrets
from merit_operator.reflector import Reflector
from merit_operator.secrets import SecretReader
from merit_operator.status.document import Delivery, Generations, serving_pods, status_document
from merit_operator.status.events import flips, post
from merit_operator.status.writer import StatusWriter
from merit_operator.store import Store

log = logging.getLogger("merit.controller")
_QUIET_SECONDS = 0.05
_LONGEST_QUIET_SECONDS = 1.0
_RESYNC_SECONDS = 300.0
_KNOWN_VERSIONS = 16


class Controller:
    """Owns what is compiled and what was said of it. `parts` are set by `run.assemble`."""

    def __init__(
        self,
        *,
        client: KubeClient,
        store: Store,
        reflector: Reflector,
        pods: PodClient,
        copy: LastGoodCopy,
    ):
        self._client, self._store, self._reflector, self._pods, self._copy = client, store, reflector, pods, copy
        self.secrets = SecretReader(client, self.notify)
        self.publisher = Publisher(pods, changed=self.look, outdone=self._outdone)
        self.writer = StatusWriter(client, lambda: self.elector.leads)
        self.elector: Elector
        """Set by whoever assembles the parts: elector and controller know each other."""
        self.listed = False
        """The first list is done: this process is ready."""
        self.turned_at = time.monotonic()
        self._translations = Translations()
        self._previous: Snapshot | None = None
        self._compiled: Compiled | None = None
        self._contents: OrderedDict[str, Generations] = OrderedDict()
        self._documents: dict[ResourceId, dict[str, Any]] = {}
        self._propagation: dict[tuple[ResourceId, int], str] = {}
        self._heard: dict[ResourceId, float] = {}
        self._wanted, self._look_again = asyncio.Event(), asyncio.Event()
        self._relist = True
        self._resynced_at = time.monotonic()

    # ---- what may happen

    def hint(self, kind: str, event: str | None, body: dict[str, Any]) -> None:
        """kopf saw an object."""
        changed = self._store.remove(kind, body) if event == "DELETED" else self._store.put(kind, body)
        if changed:
            metadata = body.get("metadata", {})
            resource_id = ResourceId(kind, metadata.get("namespace", ""), metadata.get("name", ""))
            self._heard.setdefault(resource_id, time.monotonic())
            self.notify()

    def notify(self) -> None:
        """Something that matters has changed."""
        self._wanted.set()

    def look(self) -> None:
        """A pod's state has changed: statuses may have to."""
        self._look_again.set()

    def leadership_changed(self) -> None:
        """Won: list again, push, write. Lost: stop both."""
        metrics.LEADER.set(self.elector.leads)
        metrics.TERM.set(self.elector.term)
        self.writer.forget()
        if self.elector.leads:
            self._relist = True
            self.notify()
        else:
            self.publisher.publish(None)

    def pods_changed(self, pods: set[Pod]) -> None:
        """The data plane has other pods now."""
        self.publisher.set_pods(pods)
        self.look()

    def _outdone(self, term: int) -> None:
        self.elector.outdo(term)

    # ---- the loops

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._turns())
            tasks.create_task(self._looks())
            tasks.create_task(self.writer.run())

    async def _turns(self) -> None:
        while True:
            self._wanted.clear()
            try:
                if self._relist:
                    await self._reflector.relist()
                    self._relist, self.listed, self._resynced_at = False, True, time.monotonic()
                await self._turn()
            except KubeError as error:
                self.turned_at = time.monotonic()  # the loop turns: nobody's absence may end this process
                metrics.ERRORS.labels("list").inc()
                log.warning("the API server was not read: %s", error)
                await asyncio.sleep(1.0)
                continue
            except Exception:
                metrics.ERRORS.labels("turn").inc()
                log.exception("a turn failed, what is in force stays in force")
                await asyncio.sleep(1.0)
            await self._quiet()

    async def _quiet(self) -> None:
        """Waits for a change or for the time to list again, then until changes have ceased for a moment."""
        while not self._wanted.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10.0):
                    await self._wanted.wait()
            self.turned_at = time.monotonic()
            if time.monotonic() - self._resynced_at > _RESYNC_SECONDS:
                self._relist = True
                return
        until = time.monotonic() + _LONGEST_QUIET_SECONDS
        while self._wanted.is_set() and time.monotonic() < until:
            self._wanted.clear()
            await asyncio.sleep(_QUIET_SECONDS)

    async def _turn(self) -> None:
        self.turned_at = time.monotonic()
        if self._compiled is None and self._previous is None:
            self._previous = await self._recovered()
        resources = self._store.resource_set(self.secrets.values)
        await self.secrets.follow(named_secrets(resources, self._previous))
        resources = self._store.resource_set(dict(self.secrets.values))
        started = time.perf_counter()
        compiled = await asyncio.to_thread(compile_resources, resources, self._previous, self._translations)
        metrics.COMPILE_SECONDS.observe(time.perf_counter() - started)
        if self._compiled is None or compiled.version != self._compiled.version:
            log.info("snapshot %s compiled from %d resources", compiled.version[:12], len(compiled.statuses))
        self._compiled, self._previous = compiled, compiled.snapshot
        self._contents[compiled.version] = {
            i: s.generation for i, s in compiled.statuses.items() if s.force is Force.CURRENT
        }
        self._contents.move_to_end(compiled.version)
        while len(self._contents) > _KNOWN_VERSIONS:
            self._contents.popitem(last=False)
        _count(compiled)
        if self.elector.leads:
            parcel = await asyncio.to_thread(pack, compiled, self.elector.term)
            self.publisher.publish(parcel)
        self.look()

    async def _recovered(self) -> Snapshot | None:
        """What was in force before this process: from the copy in the cluster, else from a pod."""
        with contextlib.suppress(KubeError):
            snapshot = await self._copy.load()
            if snapshot is not None:
                return snapshot
        for pod in list(self.publisher.states):
            with contextlib.suppress(UnreachableError, InvalidSnapshotError):
                body = await self._pods.snapshot(pod)
                if body:
                    return decode(body)
        return None

    # ---- statuses

    async def _looks(self) -> None:
        while True:
            await self._look_again.wait()
            self._look_again.clear()
            try:
                await self._tell()
            except KubeError as error:
                metrics.ERRORS.labels("last_good").inc()
                log.warning("the last good copy was not stored: %s", error)
                await asyncio.sleep(1.0)
                self.look()
            except Exception:
                metrics.ERRORS.labels("status").inc()
                log.exception("statuses were not made")
                await asyncio.sleep(1.0)

    async def _tell(self) -> None:
        compiled = self._compiled
        if compiled is None:
            return
        versions = [state.version for state in self.publisher.states.values()]
        delivery = Delivery(compiled.version, versions, self._contents, self.publisher.refusal)
        newest = sum(v == compiled.version for v in versions)
        metrics.PODS.labels("current").set(newest)
        metrics.PODS.labels("behind").set(len(versions) - newest)
        if not self.elector.leads:
            return
        documents = self._make(compiled, delivery)
        for resource_id, document in documents.items():
            before = self._documents.get(resource_id, self._store.statuses.get(resource_id, {}))
            for kind, reason, message in flips(before, document):
                await post(self._client, resource_id, kind, reason, message)
        self._documents = documents
        self.writer.want(documents, self._store.statuses)
        if newest and self.publisher.confirmed:
            await self._copy.store(compiled, self.elector.term)

    def _make(self, compiled: Compiled, delivery: Delivery) -> dict[ResourceId, dict[str, Any]]:
        now = datetime.now(UTC)
        documents = {}
        for resource_id, status in compiled.statuses.items():
            old = self._documents.get(resource_id) or self._store.statuses.get(resource_id, {})
            complete = bool(delivery.pods) and serving_pods(status, delivery) == len(delivery.pods)
            key = (resource_id, status.generation)
            if complete and key not in self._propagation:
                self._propagation[key] = self._propagated(resource_id, status.generation, old, now)
            documents[resource_id] = status_document(
                status,
                delivery,
                old=old,
                propagation=self._propagation.get(key, ""),
                now=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            )
        self._propagation = {k: v for k, v in self._propagation.items() if k[0] in compiled.statuses}
        return documents

    def _propagated(self, resource_id: ResourceId, generation: int, old: Mapping[str, Any], now: datetime) -> str:
        """Seconds that a change took to the last pod; the known figure where it was complete before this process."""
        heard = self._heard.pop(resource_id, None)
        if heard is not None:
            metrics.PROPAGATION_SECONDS.observe(time.monotonic() - heard)
        if old.get("observedGeneration") == generation and old.get("propagationSeconds"):
            return str(old["propagationSeconds"])
        with contextlib.suppress(ValueError):
            changed = datetime.fromisoformat(self._store.changed_at(resource_id))
            return f"{max(0.0, (now - changed).total_seconds()):.3f}"
        return ""


def _count(compiled: Compiled) -> None:
    counts: dict[tuple[str, str], int] = {}
    for status in compiled.statuses.values():
        key = (status.id.kind, status.force.value)
        counts[key] = counts.get(key, 0) + 1
    metrics.RESOURCES.clear()
    for (kind, force), number in counts.items():
        metrics.RESOURCES.labels(kind, force).set(number)
    metrics.SNAPSHOT.clear()
    metrics.SNAPSHOT.labels(compiled.version[:12]).set(1)
