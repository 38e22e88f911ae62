"""The one loop: what has changed -> compile everything -> publish -> say so in statuses. Level-triggered.

A burst of changes is one turn. A turn works on what is true now, never on what an event said.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from merit_crds.compile import Compiled, Force, Translations, compile_resources
from merit_crds.snapshot import Snapshot
from merit_operator import metrics
from merit_operator.client import KubeClient, KubeError
from merit_operator.commitments import FleetVolumes, has_commitments
from merit_operator.discovery import Pod
from merit_operator.last_good import LastGoodCopy
from merit_operator.leader import Elector
from merit_operator.push.parcel import pack
from merit_operator.push.publisher import Publisher
from merit_operator.push.session import Parcel, PodClient
from merit_operator.recovery import recovered
from merit_operator.references import named_secrets
from merit_operator.reflector import Reflector
from merit_operator.secrets import SecretReader
from merit_operator.status.document import Delivery, Generations
from merit_operator.status.events import EventPoster
from merit_operator.status.reporter import Reporter
from merit_operator.status.writer import StatusWriter
from merit_operator.store import Store, identify

log = logging.getLogger("merit.controller")
_QUIET_SECONDS = 0.05
_LONGEST_QUIET_SECONDS = 1.0
_GATHER_SECONDS = 0.1
"""Pods answer one by one: what they say makes one report."""
_LIST_SECONDS = 300.0
_LIST_AGAIN_SECONDS = 2.0
_LIST_TIMEOUT_SECONDS = 20.0
_GAP_SECONDS = 5.0
"""kopf's own first list comes about when ours does, and tells of no gap."""
_FIRST_SECRETS_SECONDS = 20.0
_SECRETS_SECONDS = 3.0
_PODS_SECONDS = 5.0
_KNOWN_VERSIONS = 16
_VOLUMES_SECONDS = 10.0


class Controller:
    """Owns what is compiled, and hands it on. `clock` is what prices go by: seconds since the epoch."""

    def __init__(
        self,
        *,
        client: KubeClient,
        store: Store,
        reflector: Reflector,
        pods: PodClient,
        copy: LastGoodCopy,
        volumes: FleetVolumes,
        clock: Callable[[], float] = time.time,
    ):
        self._store, self._reflector, self._pods, self._copy = store, reflector, pods, copy
        self._clock = clock
        self.volumes = volumes
        self.secrets = SecretReader(client, self.notify)
        self.publisher = Publisher(pods, changed=self.look, outdone=self._outdone, volumes=volumes)
        self.writer = StatusWriter(client, leads=lambda: self.elector.leads, seen=store.seen, again=self.look)
        self.elector: Elector
        """Set by whoever assembles the parts: elector and controller know each other."""
        self.listed = False
        """The first list is done: this process is ready."""
        self.turned_at = time.monotonic()
        self._events, self._reporter = EventPoster(client), Reporter(store.seen)
        self._translations = Translations()
        self._previous: Snapshot | None = None
        self._compiled: Compiled | None = None
        self._parcel: Parcel | None = None
        self._contents: OrderedDict[str, Generations] = OrderedDict()
        self._wanted, self._look_again, self._pods_known = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._list_at = self._listed_at = 0.0

    # ---- what may happen

    def hint(self, kind: str, event: str | None, body: dict[str, Any]) -> None:
        """kopf saw an object."""
        resource_id = identify(kind, body)
        changed = self._store.remove(kind, body) if event == "DELETED" else self._store.put(kind, body)
        if changed:
            self._reporter.heard(resource_id)
            self.notify()
        elif self.writer.undone(resource_id):
            self.look()
        if event is None and time.monotonic() - self._listed_at > _GAP_SECONDS:
            self.list_again()  # kopf has listed: its watch had a gap, in which deletions went unheard

    def notify(self) -> None:
        """Something that matters has changed."""
        self._wanted.set()

    def list_again(self) -> None:
        """Something may have been missed."""
        self._list_at = 0.0
        self.notify()

    def look(self) -> None:
        """A pod's state has changed: statuses may have to."""
        self._look_again.set()

    def leadership_changed(self) -> None:
        """Won: list again, push, write. Lost: stop all three."""
        metrics.LEADER.set(self.elector.leads)
        metrics.TERM.set(self.elector.term)
        self.writer.forget()
        self._reporter.forget()
        self.volumes.forget()
        if self.elector.leads:
            self.list_again()
        else:
            self.publisher.publish(None)

    def pods_changed(self, pods: set[Pod]) -> None:
        """The data plane has these pods now."""
        self.publisher.set_pods(pods)
        self._pods_known.set()
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
            tasks.create_task(self._events.run())
            tasks.create_task(self._keep_volumes())

    async def _turns(self) -> None:
        while True:
            self.turned_at = time.monotonic()
            self._wanted.clear()
            if time.monotonic() >= self._list_at:
                await self._list()
            try:
                if self.listed:
                    await self._turn()
            except Exception as error:
                metrics.ERRORS.labels("turn").inc()
                log.warning("a turn failed, what is in force stays in force: %s", error, exc_info=_unexpected(error))
                self._wanted.set()
                await asyncio.sleep(1.0)
            await self._quiet()

    async def _list(self) -> None:
        """Brings the truth; while it can't be had, what is known stays, and is worked with."""
        self._list_at = time.monotonic() + _LIST_SECONDS
        try:
            async with asyncio.timeout(_LIST_TIMEOUT_SECONDS):
                await self._reflector.relist()
        except (KubeError, TimeoutError) as error:
            metrics.ERRORS.labels("list").inc()
            log.warning("the resources could not be listed: %s", error or "no answer in time")
            self._list_at = min(self._list_at, time.monotonic() + _LIST_AGAIN_SECONDS)
        else:
            self.listed, self._listed_at = True, time.monotonic()

    async def _quiet(self) -> None:
        """Waits for a change or for the time to list again, then until changes have ceased for a moment."""
        while not self._wanted.is_set() and (rest := self._rest()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(rest, 10.0)):
                    await self._wanted.wait()
            self.turned_at = time.monotonic()
        until = time.monotonic() + _LONGEST_QUIET_SECONDS
        while self._wanted.is_set() and time.monotonic() < until:
            self._wanted.clear()
            await asyncio.sleep(_QUIET_SECONDS)

    def _rest(self) -> float:
        """Seconds until something is due: a list, or a status after a price has changed by the clock."""
        current_until = self._compiled.current_until if self._compiled else math.inf
        return min(self._list_at - time.monotonic(), current_until - self._clock())

    async def _turn(self) -> None:
        self.turned_at, first = time.monotonic(), self._compiled is None
        if first and self._previous is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PODS_SECONDS):
                    await self._pods_known.wait()
            async with asyncio.timeout(_LIST_TIMEOUT_SECONDS):
                self._previous = await recovered(self._copy, self._pods, list(self.publisher.states))
            self.turned_at = time.monotonic()
        named = named_secrets(self._store.resource_set(self.secrets.values), self._previous)
        await self.secrets.follow(named, wait_seconds=_FIRST_SECRETS_SECONDS if first else _SECRETS_SECONDS)
        self.turned_at = time.monotonic()
        resources = self._store.resource_set(dict(self.secrets.values))
        started = time.perf_counter()
        compiled = await asyncio.to_thread(
            compile_resources, resources, self._previous, self._translations, at=self._clock()
        )
        metrics.COMPILE_SECONDS.observe(time.perf_counter() - started)
        if self._compiled is None or compiled.version != self._compiled.version:
            log.info("snapshot %s compiled from %d resources", compiled.version[:12], len(compiled.statuses))
        self._compiled, self._previous = compiled, compiled.snapshot
        self.volumes.wanted = has_commitments(compiled.snapshot)
        self._remember(compiled)
        _count(compiled)
        if self.elector.leads:
            await self._publish(compiled, self.elector.term)
        self.look()

    async def _publish(self, compiled: Compiled, term: int) -> None:
        if self._parcel is None or (self._parcel.version, self._parcel.term) != (compiled.version, term):
            self._parcel = await asyncio.to_thread(pack, compiled, term)
        if self.elector.term == term:
            self.publisher.publish(self._parcel)

    def _remember(self, compiled: Compiled) -> None:
        """What this version contains. Of those before, the newest and all that a pod serves are kept."""
        self._contents[compiled.version] = {
            i: s.generation for i, s in compiled.statuses.items() if s.force is Force.CURRENT
        }
        self._contents.move_to_end(compiled.version)
        served = {compiled.version} | {state.version for state in self.publisher.states.values()}
        for version in list(self._contents)[:-_KNOWN_VERSIONS]:
            if version not in served:
                del self._contents[version]

    async def _keep_volumes(self) -> None:
        """What pods have drawn of commitments: read when we lead, then kept while it changes."""
        shown: object = None
        while True:
            await asyncio.sleep(_VOLUMES_SECONDS if self.volumes.known else _QUIET_SECONDS)
            if not self.elector.leads or not self.volumes.wanted or self._compiled is None:
                continue
            try:
                if not self.volumes.known:
                    await self.volumes.load()
                await self.volumes.store(lambda: self.elector.leads)
            except KubeError as error:
                metrics.ERRORS.labels("commitments").inc()
                log.warning("what was drawn of commitments was not kept: %s", error)
                await asyncio.sleep(_LIST_AGAIN_SECONDS)
            now = self.volumes.shown(self._compiled.snapshot, self._clock())
            if now != shown:
                shown = now
                self.look()

    # ---- what is said of it

    async def _looks(self) -> None:
        while True:
            await self._look_again.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._look_again.clear()
            try:
                await self._tell()
            except KubeError as error:
                metrics.ERRORS.labels("last_good").inc()
                log.warning("the last good copy was not stored: %s", error)
            except Exception:
                metrics.ERRORS.labels("status").inc()
                log.exception("statuses were not made")
            else:
                continue
            await asyncio.sleep(1.0)
            self.look()

    async def _tell(self) -> None:
        compiled = self._compiled
        if compiled is None:
            return
        pods = Counter(state.version for state in self.publisher.states.values())
        newest = pods[compiled.version]
        metrics.PODS.labels("current").set(newest)
        metrics.PODS.labels("behind").set(pods.total() - newest)
        if not self.elector.leads:
            return
        push = self.publisher
        volumes = self.volumes.shown(compiled.snapshot, self._clock()) if self.volumes.known else {}
        delivery = Delivery(compiled.version, pods, self._contents, push.refusal, push.trouble, volumes)
        report = self._reporter.report(compiled.statuses, delivery, acknowledged=push.acknowledged_at)
        self.writer.want(report.documents)
        self._events.tell(report.happenings)
        if newest:
            term = self.elector.term
            await self._copy.store(compiled, term, leads=lambda: self.elector.leads and self.elector.term == term)


def _unexpected(error: Exception) -> bool:
    """Whether an error is one of our own, which a traceback helps to find."""
    return not isinstance(error, KubeError | TimeoutError)


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
