"""One upstream call for all identical requests that are under way, streams included.

The call belongs to no client: it runs in a task of its own, and every client, the first too, is a follower. So a client
that goes away takes the answer from nobody; when the last one has gone, the call ends.
"""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from merit_dataplane.caching.entry import Entry
from merit_dataplane.exchange import Exchange

MOST_AHEAD = 8 << 20
"""Bytes by which the call may be ahead of its slowest follower: then it waits for that one."""
Message = MutableMapping[str, Any]


class Follower:
    """One client's place in an answer."""

    __slots__ = ("at", "reads", "taken")

    def __init__(self) -> None:
        self.at = self.taken = 0
        """Pieces that it has taken, and their bytes."""
        self.reads = True
        """Whether it takes them at all, or waits for the end."""


class Flight:
    """One call under way. Belongs to one event loop."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        """The call's own."""
        self.status = 0
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        """Those of the first client's answer; status 0: not yet known."""
        self.went = False
        """Whether somebody was asked: then the call's own exchange is an account."""
        self.ended = False
        self.entry: Entry | None = None
        """What was kept of it, once it has ended."""
        self.similarity = 0.0
        """Of the question that the entry is the answer to; 0: this one."""
        self._first = 0
        """Number of the first piece that is still held."""
        self._pieces: list[bytes] = []
        self._bytes = self._forgotten = 0
        """Of all pieces so far, and of those that are no longer held."""
        self._followers: set[Follower] = set()
        self._abandoned = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        """Followers, for the call to go on."""
        self._held_up: asyncio.Future[None] | None = None
        """The call, for its slowest follower: a piece that is taken wakes nobody else, or many followers would wake
        each other."""

    @property
    def abandoned(self) -> bool:
        """Whether every follower has gone."""
        return self._abandoned.is_set()

    # ---- the call's side

    async def receive(self) -> Message:
        """ASGI: returns when every follower has gone."""
        await self._abandoned.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI: what followers get. Waits while the slowest of them is far behind, unless it was the last piece."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], tuple(message["headers"])
        elif body := message.get("body", b""):
            self._pieces.append(body)
            self._bytes += len(body)
        self._wake()
        while message.get("more_body") and self._followers and self._ahead() > MOST_AHEAD:
            self._held_up = asyncio.get_running_loop().create_future()
            await self._held_up
            self._forget()

    def end(self, entry: Entry | None) -> None:
        """The call is over."""
        self.ended, self.entry = True, entry
        self._wake()

    def stay(self) -> None:
        """Goes on although nobody follows: what it brings is for those to come."""
        nobody = Follower()
        nobody.reads = False
        self._followers.add(nobody)

    # ---- the clients' side

    @property
    def joinable(self) -> bool:
        """Whether a new follower would still get all of it."""
        return not self._first and not self._abandoned.is_set()

    def join(self) -> Follower:
        """One more follows. It must `leave`."""
        follower = Follower()
        self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """It is done, or has gone away."""
        self._followers.discard(follower)
        if not self._followers and not self.ended:
            self._abandoned.set()
        self._let_go()

    async def begun(self) -> None:
        """Until the status is known, or the call has ended without one."""
        while not self.status and not self.ended:
            await self._change()

    async def over(self, follower: Follower) -> None:
        """Until the call has ended."""
        follower.reads = False
        self._let_go()
        while not self.ended:
            await self._change()
        follower.reads = True

    def whole(self) -> bytes | None:
        """The body; None when some of it is no longer held."""
        return None if self._first else b"".join(self._pieces)

    async def pieces(self, follower: Follower) -> AsyncIterator[bytes]:
        """The body, as it comes."""
        while True:
            while follower.at < self._first + len(self._pieces):
                piece = self._pieces[follower.at - self._first]
                follower.at += 1
                follower.taken += len(piece)
                yield piece
                self._let_go()
            if self.ended:
                return
            await self._change()

    # ----

    def _ahead(self) -> int:
        """Bytes that the slowest follower has not taken."""
        if self._bytes - self._forgotten <= MOST_AHEAD:
            return 0  # certainly no more than may be: spares a look at every follower
        return self._bytes - min((f.taken for f in self._followers if f.reads), default=self._bytes)

    def _forget(self) -> None:
        """What every follower has had: from now on nobody can join."""
        end = self._first + len(self._pieces)
        count = min((f.at for f in self._followers if f.reads), default=end) - self._first
        if count > 0:
            self._forgotten += sum(len(piece) for piece in self._pieces[:count])
            del self._pieces[:count]
            self._first += count

    async def _change(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _let_go(self) -> None:
        if self._held_up is not None and not self._held_up.done():
            self._held_up.set_result(None)
