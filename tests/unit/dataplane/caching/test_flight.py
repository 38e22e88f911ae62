"""One call for many: each follower gets all of it, at its own pace, and none of them costs the others anything."""

import asyncio

import pytest

from merit_dataplane.caching import flight as module
from merit_dataplane.caching.flight import Flight, Follower
from merit_dataplane.exchange import Exchange

START = {"type": "http.response.start", "status": 200, "headers": []}


async def fly(flight: Flight, *pieces: bytes) -> None:
    await flight.send(START)
    for number, piece in enumerate(pieces, 1):
        await flight.send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})
        await asyncio.sleep(0)
    flight.end(None)


async def read(flight: Flight, follower: Follower, every: int = 0) -> bytes:
    """All of it, with a pause after so many pieces."""
    taken = []
    async for piece in flight.pieces(follower):
        taken.append(piece)
        if every and not len(taken) % every:
            await asyncio.sleep(0.001)
    flight.leave(follower)
    return b"".join(taken)


async def test_followers_of_any_pace_get_all_of_it_and_the_call_waits_for_the_slowest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_AHEAD", 50)
    flight = Flight(Exchange(None))
    pieces = [b"%04d" % number for number in range(300)]
    readers = [asyncio.create_task(read(flight, flight.join(), every)) for every in (0, 1, 7)]
    await asyncio.wait_for(fly(flight, *pieces), 60)
    assert await asyncio.wait_for(asyncio.gather(*readers), 60) == [b"".join(pieces)] * 3
    assert not flight.joinable, "what all have had is not held"


async def test_a_call_that_was_held_up_goes_on_when_the_slow_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_AHEAD", 10)
    flight = Flight(Exchange(None))
    slow, quick = flight.join(), flight.join()
    call = asyncio.create_task(fly(flight, *[b"x" * 6] * 20))
    reader = asyncio.create_task(read(flight, quick))
    await asyncio.sleep(0.01)
    assert not call.done()
    flight.leave(slow)
    await asyncio.wait_for(call, 60)
    assert await asyncio.wait_for(reader, 60) == b"x" * 120


async def test_one_that_waits_for_the_end_gets_a_large_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_AHEAD", 10)
    flight = Flight(Exchange(None))
    first, second = flight.join(), flight.join()

    async def patient() -> bytes:
        await flight.over(second)
        return await read(flight, second)

    readers = [asyncio.create_task(read(flight, first)), asyncio.create_task(patient())]
    await asyncio.wait_for(fly(flight, b"y" * 1000), 60)
    assert await asyncio.wait_for(asyncio.gather(*readers), 60) == [b"y" * 1000] * 2
    assert flight.whole() == b"y" * 1000
