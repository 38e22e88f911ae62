"""An answer as the behaviour wants it sent: well, or cut, hanging, malformed."""

import asyncio

from merit_dataplane.fake_provider.answers import Answer
from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.connection import Connection

JSON = (b"content-type", b"application/json")
_CUT_JSON = b'{"id": "chatcmpl-1", "choices": ['


async def forever() -> None:
    """Hangs until it is cancelled."""
    await asyncio.get_running_loop().create_future()


async def send_instead(fault: str, connection: Connection) -> bool:
    """The faults before a head, or with another body. False: the fault is none of these, nothing was sent."""
    if fault == "hang":
        await forever()
    elif fault in ("reset", "lost_answer"):
        await connection.reset()
    elif fault == "malformed":
        await connection.whole(200, [JSON], _CUT_JSON)
    else:
        return False
    return True


async def send_whole(found: Answer, fault: str, connection: Connection) -> bool:
    """An answer that is no stream. True when it was sent completely."""
    if fault == "half_body":
        await _send_half(found, found.body, connection)
        return False
    await connection.whole(200, found.headers, found.body)
    return True


async def send_stream(found: Answer, fault: str, behaviour: Behaviour, connection: Connection) -> bool:
    """A stream, event by event. True when it was sent completely."""
    if fault == "half_body":
        await _send_half(found, b"".join(found.events), connection)
        return False
    await connection.head(200, found.headers)
    if behaviour.first_token:
        await asyncio.sleep(behaviour.first_token)
    last = len(found.events) - 1
    fault_at = min(behaviour.chunk, last) if fault.endswith("_at_chunk") else None
    for index, event in enumerate(found.events):
        if index == fault_at and not await _go_on(fault, connection):
            return False
        if index == last:
            await connection.end(event)
            return True
        await connection.write(event)
        if behaviour.chunk_interval:
            await asyncio.sleep(behaviour.chunk_interval)
    return True


async def _go_on(fault: str, connection: Connection) -> bool:
    """The fault in mid-stream. False when the stream is over."""
    if fault == "malformed_at_chunk":
        await connection.write(b"data: " + _CUT_JSON + b"\n\n")
        return True
    if fault == "hang_at_chunk":
        await forever()
    elif fault == "reset_at_chunk":
        await connection.reset()
    else:
        await connection.end()
    return False


async def _send_half(found: Answer, body: bytes, connection: Connection) -> None:
    await connection.head(200, [*found.headers, (b"content-length", b"%d" % len(body))])
    await connection.write(body[: len(body) // 2])
    await connection.cut()
