"""The semantic stage: an answer that is kept for a question in other words.

alike      such an answer is served
none       nothing that was answered is as alike as the route says, or its answer is no longer kept
late       the embedding did not come in time, or was none
resting    embeddings failed several times in a row: for some seconds nobody asks for one

Whatever becomes of it, the request goes on as if there were no such stage.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from merit_dataplane.caching.entry import Entry
from merit_dataplane.caching.exact import ExactStore
from merit_dataplane.caching.wanted import Wanted
from merit_dataplane.dispatch.tiers import classify
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.resilience.guard import Receive
from merit_dataplane.semantic.index import Alike, Index
from merit_dataplane.semantic.question import question
from merit_dataplane.semantic.vector import Vector, vector_in
from merit_dataplane.snapshots.cache_plan import SemanticPlan
from merit_dataplane.snapshots.tables import RoutePlan
from merit_dataplane.stages.responses import Send
from merit_dataplane.stems.eligible import digest
from merit_dataplane.wire.openai_request import Call, Operation, parse

if TYPE_CHECKING:
    from merit_dataplane.caching.shared_level import SharedLevel
    from merit_dataplane.semantic.feed import Feed

_MOST_TRIED = 4
"""Questions that are alike, and whose answers may be gone."""
_FAILURES, _REST_SECONDS = 3, 5.0
_encode = msgspec.json.Encoder().encode
Aside = Callable[[Exchange, RoutePlan, Call, Receive, Send], Awaitable[None]]
"""A call of Merit's own, to its account."""
Serves = Callable[[Entry, Wanted], bool]


class Known(NamedTuple):
    """A question's place among others."""

    group: bytes
    vector: Vector


class Found(NamedTuple):
    """An answer to a question in other words."""

    entry: Entry
    similarity: float


class Looked(NamedTuple):
    """What came of it."""

    known: Known | None = None
    found: Found | None = None


NOTHING = Looked()


class Semantic:
    """Of one process. `aside` asks a route for an embedding."""

    def __init__(  # noqa: PLR0917 # what it works with
        self,
        store: ExactStore,
        ledger: Ledger,
        shared: "SharedLevel | None",
        serves: Serves,
        aside: Aside,
        capacity: int,
    ):
        self._store, self._ledger, self._shared, self._serves, self._aside = store, ledger, shared, serves, aside
        self.index = Index(capacity)
        self._feed: Feed | None = None
        self._failed: dict[str, tuple[int, float]] = {}
        """By embeddings route: failures in a row, and until when it rests."""

    async def look(self, flown: Exchange, wanted: Wanted, plan: SemanticPlan) -> Looked:
        """The question's place, and an answer if there is one. For an answer that is fetched anew only the place."""
        call, route, consumer, controls = flown.call, flown.route, flown.consumer, wanted.controls
        if call is None or route is None or consumer is None or not controls.reads or controls.ttl < inf:
            return NOTHING
        tier = classify(route, call, wanted.headers).name
        asked = question(call, scope=wanted.scope, tier=tier, shared=wanted.plan.shared)
        if asked is None:
            return NOTHING
        if flown.loop.time() < self._failed.get(plan.embeddings, (0, 0.0))[1]:
            self._ledger.semantic[route.key, "resting"] += 1
            return NOTHING
        embedded = await self._embedded(flown, plan, asked.text)
        if embedded is None:
            self._ledger.semantic[route.key, "late"] += 1
            return NOTHING
        model, vector = embedded
        known = Known(digest((asked.group, model, len(vector.packed).to_bytes(4))), vector)
        if flown.cache == "refresh":
            return Looked(known)
        found = await self._found(flown, wanted, plan, known)
        self._ledger.semantic[route.key, "none" if found is None else "alike"] += 1
        return Looked(known, found)

    def learn(self, known: Known, wanted: Wanted, entry: Entry) -> None:
        """The question was answered, and the answer is kept."""
        self.index.add(known.group, wanted.key, known.vector, entry.stale_until)
        if (feed := self._told()) is not None:
            seconds = wanted.plan.seconds + wanted.plan.stale_seconds
            feed.tell(known.group, wanted.key, known.vector, entry.stale_until, seconds)

    async def _found(self, flown: Exchange, wanted: Wanted, plan: SemanticPlan, known: Known) -> Found | None:
        if (feed := self._told()) is not None:
            await feed.hear(self.index, known.group, flown.shared(feed.state))
        near = self.index.nearest(known.group, known.vector, plan.similarity, time.time())
        for alike in near[:_MOST_TRIED]:
            entry = await self._answer(alike, flown, wanted)
            if entry is not None:
                return Found(entry, alike.similarity)
        return None

    async def _answer(self, alike: Alike, flown: Exchange, wanted: Wanted) -> Entry | None:
        now = time.time()
        entry = self._store.get(alike.key, now)
        if entry is None and self._shared is not None:
            entry = await self._shared.peek(alike.key, flown.shared(self._shared.state))
            if entry is not None:
                self._store.put(alike.key, entry)
        if entry is None or not entry.fresh(now) or not self._serves(entry, wanted):
            return None
        own = flown.consumer is not None and entry.consumer == flown.consumer.key
        return entry if own or wanted.plan.shared else None  # groups see to that; if ever they don't, this does

    async def _embedded(self, flown: Exchange, plan: SemanticPlan, text: str) -> tuple[bytes, Vector] | None:
        """The vendor's name of the model, and what it made of the text."""
        route = flown.tables.routes.get(plan.embeddings) if flown.tables is not None else None
        if route is None or flown.consumer is None:
            return None
        account, loop = flown.consumer.account, flown.loop
        if account is not None and account.surely_refuses(loop.time(), time.time(), -1):
            return None
        until, heard = loop.time() + plan.seconds, _Heard()

        async def receive() -> MutableMapping[str, Any]:
            """A client that hangs up when its time is over: that is nobody's failure."""
            await asyncio.sleep(max(0.0, until - loop.time()))
            return {"type": "http.disconnect"}

        asking = Exchange(flown.tables)
        asking.consumer = flown.consumer
        body = _encode({"model": route.models[0], "input": text})
        await self._aside(asking, route, parse(Operation.EMBEDDINGS, body), receive, heard)
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError  # that call's account has been told that the pod ends, and the task goes on
        vector = vector_in(heard.body) if heard.status == 200 else None
        self._count(plan.embeddings, failed=vector is None, now=loop.time())
        return None if vector is None else (heard.model, vector)

    def _count(self, route: str, *, failed: bool, now: float) -> None:
        if not failed:
            self._failed.pop(route, None)
            return
        failures = self._failed.get(route, (0, 0.0))[0] + 1
        self._failed[route] = failures, now + _REST_SECONDS if failures >= _FAILURES else 0.0

    def _told(self) -> "Feed | None":
        if self._feed is None and self._shared is not None:
            from merit_dataplane.semantic.feed import Feed  # noqa: PLC0415 # Redis is there where this is

            self._feed = Feed(self._shared.state, self._shared.seal)
        return self._feed


class _Heard:
    """An answer that goes to no client."""

    def __init__(self) -> None:
        self.status, self.model, self._pieces = 0, b"", [b""]

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.model = next((value for name, value in message["headers"] if name == b"x-merit-model"), b"")
        else:
            self._pieces.append(message.get("body", b""))
