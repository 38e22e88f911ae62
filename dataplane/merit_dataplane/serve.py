"""One data-plane process: starts, serves, drains.

start    admin port, then the snapshot (folder; or last good copy while waiting for a push), then the data port
serve    until SIGTERM or SIGINT
drain    not ready -> answers carry `connection: close` -> refuse new connections -> open requests end -> exit 0
"""

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merit_dataplane.admin.api import create_admin
from merit_dataplane.app import create_app
from merit_dataplane.authentication.schemes import Authentications
from merit_dataplane.batches.booking import Booking
from merit_dataplane.batches.desk import Desk
from merit_dataplane.batches.id_key import IdKey
from merit_dataplane.batches.ids import Ids
from merit_dataplane.batches.labels import pod_of
from merit_dataplane.batches.marks import Marks
from merit_dataplane.batches.watch import Watch
from merit_dataplane.caching.exact import ExactStore
from merit_dataplane.caching.purger import Purger
from merit_dataplane.commitments.accounts import CommitmentAccounts
from merit_dataplane.commitments.disk import CommitmentDisk, hear_mounted
from merit_dataplane.feedback.book import Book, OwnBook
from merit_dataplane.feedback.disk import FeedbackDisk
from merit_dataplane.feedback.recorder import Recorder
from merit_dataplane.limits.decisions import Decisions
from merit_dataplane.limits.disk import BudgetDisk
from merit_dataplane.limits.fleet import Fleet
from merit_dataplane.live import Live
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.observability.log_files import FolderSink
from merit_dataplane.observability.metrics import registry
from merit_dataplane.observability.usage_log import Sink, StreamSink, UsageLog
from merit_dataplane.overload.bodies import Bodies
from merit_dataplane.overload.turns import Turns
from merit_dataplane.redis_settings import RedisSettings
from merit_dataplane.request_path import RequestPath
from merit_dataplane.servers import admin_server, bind, data_server, raise_descriptors, start
from merit_dataplane.settings import STDOUT, Settings
from merit_dataplane.snapshots.folder import FolderSource
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.last_good import LastGoodDisk, restore
from merit_dataplane.snapshots.receiver import Receiver
from merit_dataplane.stages.admission import Admission
from merit_dataplane.stages.places import Places
from merit_dataplane.stages.responses import Responses
from merit_dataplane.stems.library import Library
from merit_dataplane.upstream.http1_client import Http1Client

if TYPE_CHECKING:
    from merit_dataplane.caching.shared_level import SharedLevel
    from merit_dataplane.observability.tracing import Tracing
    from merit_dataplane.resilience.shared_health import SharedHealth
    from merit_dataplane.shared_state import SharedState
    from merit_dataplane.stems.shelf import Shelf
    from merit_dataplane.warmth.warm_feed import WarmFeed

log = logging.getLogger("merit.serve")
_RESTORE_EVERY_SECONDS = 2.0
_STEMS_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts of one process, wired."""

    holder: SnapshotHolder
    path: RequestPath
    client: Http1Client
    ledger: Ledger
    usage_log: UsageLog | None
    fleet: Fleet
    decisions: Decisions
    turns: Turns
    recorder: Recorder
    purger: Purger
    desk: Desk
    warm_feed: "WarmFeed | None" = None
    state: "SharedState | None" = None
    health: "SharedHealth | None" = None
    tracing: "Tracing | None" = None


def wire(settings: Settings, usage_log: UsageLog | None = None) -> Gateway:
    """Makes the parts, in a running loop. A usage log that is given takes the place of the settings' own."""
    ledger, client, secret = Ledger(), Http1Client(), _fleet_secret(settings) if settings.redis else None
    holder = SnapshotHolder(Live(Authentications(client, settings.ambient_namespaces), secret))
    usage_log = usage_log or _usage_log(settings)
    state = _shared_state(settings.redis) if settings.redis else None
    tracing = _tracing(settings.traces_url, settings.pod) if settings.traces_url else None
    fleet = Fleet()
    turns = Turns(ledger)
    decisions = Decisions(fleet, ledger, state)
    shared_cache = _shared_cache(settings, state, secret) if state is not None else None
    admission, bodies, responses = Admission(decisions, ledger), Bodies(settings.body_memory_bytes, ledger), Responses()
    library = Library(_STEMS_BYTES, _shelf(shared_cache) if shared_cache is not None else None)
    path = RequestPath(
        holder=holder,
        client=client,
        ledger=ledger,
        log=usage_log,
        cache=ExactStore(settings.cache_bytes),
        max_body_bytes=settings.max_body_bytes,
        admission=admission,
        responses=responses,
        places=Places(decisions),
        turns=turns,
        tracing=tracing,
        shared_cache=shared_cache,
        bodies=bodies,
        stems=library,
    )
    book = _shared_book(state, holder.live) if state is not None else OwnBook(holder.live.tallies)
    recorder = Recorder(holder, ledger, book, FeedbackDisk(settings.state_dir) if settings.state_dir else None)
    recorder.also = path.stems.score
    purger = _purger(path, state)
    own = IdKey(settings.cache_key_file.read_bytes().strip()) if settings.cache_key_file is not None else None
    ids, marks = Ids(holder.live.id_keys, own), Marks(state, settings.state_dir, pod_of(settings.pod))
    booking = Booking(holder, ledger, usage_log, marks)
    desk = Desk(
        holder=holder,
        client=client,
        ledger=ledger,
        admission=admission,
        bodies=bodies,
        turns=turns,
        responses=responses,
        ids=ids,
        watch=Watch(client=client, holder=holder, ledger=ledger, ids=ids, booking=booking, marks=marks),
        max_body_bytes=settings.max_body_bytes,
        pod=settings.pod,
    )
    health = _shared_health(state, holder, fleet, ledger) if state is not None else None
    warm_feed = _warm_feed(holder.live, state, secret) if state is not None and secret else None
    return Gateway(
        holder=holder,
        path=path,
        client=client,
        ledger=ledger,
        usage_log=usage_log,
        fleet=fleet,
        decisions=decisions,
        turns=turns,
        recorder=recorder,
        purger=purger,
        desk=desk,
        warm_feed=warm_feed,
        state=state,
        health=health,
        tracing=tracing,
    )


def _tracing(endpoint: str, pod: str) -> "Tracing":
    from merit_dataplane.observability.tracing import Tracing  # noqa: PLC0415 # an extra that few pods need

    return Tracing(endpoint, pod=pod)


def _shared_state(settings: RedisSettings) -> "SharedState":
    from merit_dataplane.shared_state import SharedState  # noqa: PLC0415 # its client is 20 MB that few pods need

    return SharedState(settings)


def _fleet_secret(settings: Settings) -> bytes | None:
    """What all pods share: a key of its own, else what else they have in common and nobody else knows.

    Raises OSError when the key's file can't be read.
    """
    file = settings.cache_key_file or settings.token_file
    return (file.read_bytes().strip() or None) if file is not None else None


def _shared_cache(settings: Settings, state: "SharedState", secret: bytes | None) -> "SharedLevel | None":
    from merit_dataplane.caching.sealing import Seal  # noqa: PLC0415 # as above
    from merit_dataplane.caching.shared_level import SharedLevel  # noqa: PLC0415

    if secret is None:
        log.warning("answers are kept in this pod alone: without --cache-key-file nobody could trust those in Redis")
        return None
    return SharedLevel(state, Seal(secret, encrypts=settings.cache_key_file is not None))


def _warm_feed(live: Live, state: "SharedState", secret: bytes) -> "WarmFeed":
    from merit_dataplane.warmth.warm_feed import WarmFeed  # noqa: PLC0415 # as above

    return WarmFeed(live.prefixes, state, secret)


def _shelf(shared: "SharedLevel") -> "Shelf":
    from merit_dataplane.stems.shelf import Shelf  # noqa: PLC0415 # as above

    return Shelf(shared.state, shared.seal)


def _purger(path: RequestPath, state: "SharedState | None") -> Purger:
    if state is None:
        return Purger(path.purges, None)
    from merit_dataplane.caching.purge_feed import PurgeFeed  # noqa: PLC0415 # as above

    return Purger(path.purges, PurgeFeed(path.purges, state))


def _shared_book(state: "SharedState", live: Live) -> Book:
    from merit_dataplane.feedback.shared_book import SharedBook  # noqa: PLC0415 # as above

    return SharedBook(state, live.tallies, live.marks)


def _shared_health(state: "SharedState", holder: SnapshotHolder, fleet: Fleet, ledger: Ledger) -> "SharedHealth":
    from merit_dataplane.resilience.shared_health import SharedHealth  # noqa: PLC0415 # as above

    made = SharedHealth(state, holder.live, fleet, ledger.health)
    holder.watchers.append(made.renew)
    return made


async def _by_redis(state: "SharedState", accounts: CommitmentAccounts) -> None:
    from merit_dataplane.commitments.by_redis import CommitmentsByRedis  # noqa: PLC0415 # as above

    await CommitmentsByRedis(state, accounts).follow()


def _usage_log(settings: Settings) -> UsageLog | None:
    if settings.usage_log is None:
        return None
    sink: Sink = StreamSink(sys.stdout.buffer)
    if settings.usage_log != STDOUT:
        sink = FolderSink(
            settings.usage_log,
            pod=settings.pod,
            file_bytes=settings.usage_log_file_bytes,
            file_seconds=settings.usage_log_file_seconds,
            keep_bytes=settings.usage_log_keep_bytes,
        )
    return UsageLog(sink)


async def run(settings: Settings) -> None:
    """Serves until a signal. Raises OSError when a port can't be had or the folder can't be read."""
    raise_descriptors()
    gateway = wire(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        _begin(gateway, stack)
        listener, admin_listener = bind(settings.listen), bind(settings.admin_listen)
        disk = LastGoodDisk(settings.state_dir) if settings.state_dir else None
        budgets = BudgetDisk(settings.state_dir, gateway.holder.live.consumers) if settings.state_dir else None
        if budgets is not None:
            budgets.load()
        admin = admin_server(_admin_app(settings, gateway, disk), settings)
        admin_task = await start(admin, admin_listener)
        await gateway.recorder.load()
        followers = [*await _follow(settings, gateway, disk), asyncio.create_task(gateway.recorder.keep())]
        parts = (gateway.purger, gateway.desk.watch, gateway.health, gateway.warm_feed, budgets)
        followers += [asyncio.create_task(part.follow()) for part in parts if part is not None]
        followers += _keep_commitments(settings, gateway, stack)
        data = data_server(_app(gateway), settings)
        data_task = await start(data, listener)
        host, port = listener.getsockname()[:2]
        log.info("serving on http://%s:%s/v1, admin on %s", host, port, admin_listener.getsockname()[1])

        await stop.wait()
        log.info(
            "draining for %.1f s, then at most %.0f s for open requests", settings.drain_seconds, settings.grace_seconds
        )
        gateway.path.drain()
        await asyncio.sleep(settings.drain_seconds)
        data.should_exit = True
        await data_task
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        admin.should_exit = True
        await admin_task
        await gateway.path.close()
        await gateway.desk.watch.close()
        await gateway.recorder.save()
        if disk is not None:
            await disk.flush()
        if budgets is not None:
            await budgets.flush()
        if gateway.usage_log is not None:
            await asyncio.to_thread(gateway.usage_log.close)
        if gateway.tracing is not None:
            await asyncio.to_thread(gateway.tracing.close)
    log.info("stopped")


def _begin(gateway: Gateway, stack: AsyncExitStack) -> None:
    """Starts what works in the background, and leaves to the stack how it ends."""
    stack.push_async_callback(gateway.client.close)
    stack.callback(gateway.holder.live.authentications.close)
    if gateway.state is not None:
        gateway.state.start()
        stack.push_async_callback(gateway.state.close)
    stack.callback(gateway.decisions.close)
    gateway.turns.start()
    stack.callback(gateway.turns.close)


def _keep_commitments(settings: Settings, gateway: Gateway, stack: AsyncExitStack) -> list[asyncio.Task[None]]:
    """What was drawn before this process began, and what it and the others draw: on disk, through Redis."""
    accounts, tasks = gateway.holder.live.commitments, []
    if settings.last_good_dir is not None:
        hear_mounted(settings.last_good_dir, accounts)
    if settings.state_dir is not None:
        disk = CommitmentDisk(settings.state_dir, accounts)
        disk.load()
        stack.push_async_callback(disk.flush)
        tasks.append(asyncio.create_task(disk.follow()))
    if gateway.state is not None:
        tasks.append(asyncio.create_task(_by_redis(gateway.state, accounts)))
    return tasks


def _app(gateway: Gateway) -> object:
    return create_app(gateway.path, gateway.holder, gateway.recorder, gateway.client, gateway.desk)


def _admin_app(settings: Settings, gateway: Gateway, disk: LastGoodDisk | None) -> object:
    receiver = None if settings.folder else Receiver(gateway.holder, pod=settings.pod, disk=disk)

    def token() -> str:
        if settings.token_file is None:
            return ""
        try:
            return settings.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            log.warning("the push token can't be read: %s", error.strerror)
            return ""

    return create_admin(
        holder=gateway.holder,
        receiver=receiver,
        token=token,
        registry=registry(
            gateway.ledger, gateway.holder, gateway.usage_log, gateway.state, gateway.turns, gateway.path.stems
        ),
        draining=lambda: gateway.path.draining,
        state=gateway.state,
        fleet=gateway.fleet,
        purge=gateway.purger.purge,
    )


async def _follow(settings: Settings, gateway: Gateway, disk: LastGoodDisk | None) -> list[asyncio.Task[None]]:
    if settings.folder is None:
        return [asyncio.create_task(_restore(settings, gateway.holder, disk))]
    source = FolderSource(gateway.holder, settings.folder, settings.secrets_folder)
    await source.reload()
    return [asyncio.create_task(source.follow())] if settings.watch else []


async def _restore(settings: Settings, holder: SnapshotHolder, disk: LastGoodDisk | None) -> None:
    """Until there is a snapshot from anywhere, looks whether a last good one has come within reach."""
    while not holder.version:
        if await restore(holder, disk=disk, mounted=settings.last_good_dir):
            return
        await asyncio.sleep(_RESTORE_EVERY_SECONDS)
