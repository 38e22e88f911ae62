"""Calls under way that requests share: in this pod, and through Redis with the other pods."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from merit_dataplane.caching.claim import Found, new_claim
from merit_dataplane.caching.entry import Entry
from merit_dataplane.caching.exact import ExactStore
from merit_dataplane.caching.flight import Flight
from merit_dataplane.caching.wanted import Wanted
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.resilience.guard import Receive
from merit_dataplane.stages.responses import Send
from merit_dataplane.stages.semantic import Semantic
from merit_dataplane.wire.kept_answer import STREAMED, kept_whole
from merit_dataplane.wire.openai_request import Call

if TYPE_CHECKING:
    from merit_dataplane.caching.shared_level import SharedLevel

_JSON = b"application/json"
_LONGEST_WAIT_SECONDS = 300.0
_REFUSED = frozenset({"content_filter", "error"})
Go = Callable[[Exchange, Receive, Send], Awaitable[None]]
"""The rest of the path, from classification to the account."""
Serves = Callable[[Entry, Wanted], bool]


class Flights:
    """Of one process."""

    def __init__(
        self, store: ExactStore, ledger: Ledger, shared: "SharedLevel | None", serves: Serves, semantic: Semantic
    ):
        self._store, self._ledger, self._shared, self._serves = store, ledger, shared, serves
        self._semantic = semantic
        self._flights: dict[bytes, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, key: bytes) -> Flight | None:
        """The one that is under way for this request and all like it."""
        return self._flights.get(key)

    async def close(self) -> None:
        """Ends what is fetched for nobody in particular."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, wanted: Wanted, flown: Exchange, go: Go, how: str) -> Flight:
        """A call for this request and all like it, from now on. `how`: `miss` or `refresh`."""
        flown.cache = how
        flight = self._flights[wanted.key] = Flight(flown)
        task = asyncio.get_running_loop().create_task(self._flown(flight, wanted, go))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight

    async def _flown(self, flight: Flight, wanted: Wanted, go: Go) -> None:
        entry = None
        try:
            entry = await (
                self._called(flight, wanted, go) if self._shared is None else self._shared_call(flight, wanted, go)
            )
            if entry is not None and not flight.similarity:
                self._store.put(wanted.key, entry)
        finally:
            if self._flights.get(wanted.key) is flight:
                del self._flights[wanted.key]
            flight.end(entry)

    async def _called(self, flight: Flight, wanted: Wanted, go: Go) -> Entry | None:
        """Somebody is asked, unless a question in other words was answered. What is kept of the answer."""
        flown, route, known = flight.exchange, flight.exchange.route, None
        if wanted.plan.semantic is not None:
            known, found = await self._semantic.look(flown, wanted, wanted.plan.semantic)
            if found is not None:
                flight.similarity = found.similarity
                return found.entry
        flight.went = True
        if route is not None:
            self._ledger.cache[route.key, flown.cache] += 1
        await go(flown, flight.receive, flight.send)
        another = flown.route is not route  # another model's answer is not this one's
        entry = None if another or not wanted.controls.writes else _kept(flight, wanted, flown)
        if entry is not None and known is not None:
            self._semantic.learn(known, wanted, entry)
        return entry

    async def _shared_call(self, flight: Flight, wanted: Wanted, go: Go) -> Entry | None:
        """What another pod has kept, or is fetching; or a call of which the others hear that it is under way."""
        shared, key, claim, flown = self._shared, wanted.key, new_claim(), flight.exchange
        if shared is None:
            raise AssertionError("there is a second level")
        refreshes, reads = flown.cache == "refresh", wanted.controls.reads

        def serves(entry: Entry) -> bool:
            return reads and self._serves(entry, wanted) and (not refreshes or entry.fresh(time.time()))

        found = await shared.look(key, claim, flown.shared(shared.state), serves)
        if found is Found.TAKEN and reads:
            found = await self._waited(shared, flight, key, claim, serves)
        if isinstance(found, Entry):
            return found
        if flight.abandoned:
            entry = None
        elif found is Found.CLAIMED:
            async with shared.held(key, claim):
                entry = await self._called(flight, wanted, go)
        else:
            entry = await self._called(flight, wanted, go)
        if entry is not None and not flight.similarity:
            shared.keep(key, claim, entry)
        elif found is Found.CLAIMED:
            shared.release(key, claim)
        return entry

    async def _waited(  # of one call
        self, shared: "SharedLevel", flight: Flight, key: bytes, claim: bytes, serves: Callable[[Entry], bool]
    ) -> Entry | Found:
        """For another pod's call, as long as a client of ours does."""
        waiting = asyncio.ensure_future(shared.wait(key, claim, serves))
        gone = asyncio.ensure_future(flight.receive())
        try:
            await asyncio.wait((waiting, gone), timeout=_LONGEST_WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else Found.AWAY
        finally:
            for task in (waiting, gone):
                task.cancel()
            await asyncio.gather(waiting, gone, return_exceptions=True)


def _kept(flight: Flight, wanted: Wanted, flown: Exchange) -> Entry | None:
    """What is kept of an answer; None where it is none that could be served again."""
    call, usage, target = flown.call, flown.usage, flown.target
    whole = flight.whole()
    if (
        flight.status != 200
        or flown.error
        or flown.forced_tier
        or whole is None
        or usage is None
        or target is None
        or call is None
    ):
        return None
    if call.native is not None and flown.mid_stream:  # its protocol's own events are of the first part alone
        return None
    told = kept_whole(whole, call, usage, estimated=flown.estimated)
    if told is None or not _served_again(told, call):
        return None
    now = time.time()
    fresh = now + min(wanted.plan.seconds, wanted.controls.ttl)
    return Entry(
        body=told,
        headers=target.headers,
        content_type=_JSON,
        cost=flown.cost.total if flown.cost is not None else 0,
        input_tokens=usage.input,
        output_tokens=usage.all_output,
        created=now,
        fresh_until=fresh,
        stale_until=fresh + wanted.plan.stale_seconds,
        labels=target.labels,
        consumer=flown.consumer.key if flown.consumer is not None else "",
        tags=wanted.controls.tags,
    )


class _End(msgspec.Struct):
    finish_reason: str | None = None


class _Ends(msgspec.Struct):
    choices: list[_End]


_ends = msgspec.json.Decoder(_Ends)


def _served_again(body: bytes, call: Call) -> bool:
    """Whether every choice has ended well: an answer that a vendor's filter cut off is not to be repeated."""
    if call.operation not in STREAMED:
        return True
    try:
        choices = _ends.decode(body).choices
    except ValueError:
        return False
    return bool(choices) and all(choice.finish_reason and choice.finish_reason not in _REFUSED for choice in choices)
