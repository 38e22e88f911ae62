"""One request through a gateway, and what its caller saw."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_LONGEST_SECONDS = 120.0


@dataclass(slots=True)
class Observed:
    """Times are seconds since the request."""

    seconds: float = 0.0
    status: int = 0
    text: str = ""
    finished: bool = False
    """It said why it ended."""
    done: bool = False
    """A stream ended with [DONE]."""
    usage: bool = False
    error: str = ""
    """Of an error answer or event."""
    broken: str = ""
    """How the connection failed."""
    garbage: bool = False
    """Something that is no JSON."""
    says_model: str = ""
    primary_at: list[float] = field(default_factory=list)
    fallback_asked: int = 0


async def ask(  # noqa: PLR0917 # where, as whom, what, and whom to watch
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: dict[str, Any], primary: str, model: str
) -> Observed:
    """Sends a request, watches meanwhile how often the primary is asked for `model`."""
    seen, started = Observed(), time.monotonic()
    watch = asyncio.create_task(_watch(session, primary, model, seen, started))
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            async with session.post(url, headers=headers, json=body) as answer:
                seen.status = answer.status
                seen.says_model = answer.headers.get("x-merit-model", "")
                if "text/event-stream" in answer.headers.get("content-type", ""):
                    await _stream(answer, seen)
                else:
                    _whole(await answer.read(), seen)
    except TimeoutError:
        seen.broken = f"no end within {_LONGEST_SECONDS:.0f} s"
    except (aiohttp.ClientError, OSError) as error:
        seen.broken = type(error).__name__
    finally:
        seen.seconds = time.monotonic() - started
        await asyncio.sleep(0.1)
        watch.cancel()
    return seen


async def _watch(session: aiohttp.ClientSession, primary: str, model: str, seen: Observed, started: float) -> None:
    while True:
        async with session.get(f"{primary}/_fake/stats") as answer:
            count = (await answer.json()).get("by_model", {}).get(model, 0)
        while len(seen.primary_at) < count:
            seen.primary_at.append(time.monotonic() - started)
        await asyncio.sleep(0.04)


async def _stream(answer: aiohttp.ClientResponse, seen: Observed) -> None:
    pending = b""
    async for piece in answer.content.iter_any():
        pending += piece
        *events, pending = pending.replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"data:"):
                    _event(line[5:].strip(), seen)
    if pending.strip():
        seen.garbage = True


def _event(data: bytes, seen: Observed) -> None:
    if data == b"[DONE]":
        seen.done = True
        return
    try:
        event = json.loads(data)
    except ValueError:
        seen.garbage = True
        return
    if event.get("error"):
        seen.error = json.dumps(event["error"])
        return
    seen.usage = seen.usage or bool(event.get("usage"))
    if not seen.says_model or "merit" in event:
        seen.says_model = event.get("model") or seen.says_model
    for choice in event.get("choices") or ():
        seen.text += (choice.get("delta") or {}).get("content") or ""
        seen.finished = seen.finished or bool(choice.get("finish_reason"))


def _whole(data: bytes, seen: Observed) -> None:
    try:
        body = json.loads(data)
    except ValueError:
        seen.garbage = True
        seen.error = data[:200].decode(errors="replace") if seen.status >= 400 else ""
        return
    if seen.status >= 400 or "choices" not in body:
        seen.error = json.dumps(body)
        return
    seen.says_model = seen.says_model or body.get("model", "")
    seen.usage = bool(body.get("usage"))
    for choice in body["choices"]:
        seen.text += choice["message"].get("content") or ""
        seen.finished = seen.finished or bool(choice.get("finish_reason"))
