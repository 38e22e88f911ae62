"""What a batch that has ended has used, line by line: read from its output file, else from the batch itself."""

import asyncio
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from merit_crds.pricing import SpecialTokens, Usage
from merit_dataplane.batches.jsonl import Lines
from merit_dataplane.batches.shelf import Object, ProviderShelf
from merit_dataplane.upstream.attempt import MAX_ANSWER_BYTES
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Operation
from merit_dataplane.wire.openai_response import usage_of
from merit_dataplane.wire.responses_responses.answer import passed_answer

_STEP_BYTES = 64 * 1024


class Line(NamedTuple):
    """One line's answer."""

    status: int
    usage: Usage | None
    """None where nothing was used, or nothing is told."""


class Output(NamedTuple):
    """Of a batch."""

    lines: list[Line]
    whole: bool
    """Whether each line stands for a request; else one stands for all of them."""


class _Response(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Answer(msgspec.Struct):
    response: _Response | None = None


_answer = msgspec.json.Decoder(_Answer)


async def output_of(shelf: ProviderShelf, batch: Object, operation: str) -> Output:
    """Raises RequestError, UpstreamError or TimeoutError where it can't be read now."""
    file = batch.get("output_file_id")
    if isinstance(file, str) and file:
        try:
            return Output(await _lines(shelf, file, operation), whole=True)
        except RequestError as refusal:
            if refusal.status != 404:
                raise
    usage = _told(batch)
    return Output([Line(200, usage)] if usage is not None else [], whole=False)


async def _lines(shelf: ProviderShelf, file: str, operation: str) -> list[Line]:
    response = await shelf.open(shelf.file(file) + "/content")
    lines, found, since = Lines(), list[Line](), 0
    try:
        async with aclosing(shelf.chunks(response)) as pieces:
            async for piece in pieces:
                for _, text in lines.feed(piece):
                    found.append(line_of(text, operation))
                    since += len(text)
                    if since > _STEP_BYTES:
                        since = 0
                        await asyncio.sleep(0)
                if lines.held > MAX_ANSWER_BYTES:
                    raise RequestError(502, "A line of the output is longer than any answer.", kind="upstream_error")
        found += [line_of(text, operation) for _, text in lines.finish()]
    finally:
        response.close()
    return found


def line_of(text: bytes, operation: str) -> Line:
    """One line of an output file; one that can't be read has status 0."""
    try:
        response = _answer.decode(text).response
        if response is None:
            return Line(0, None)
        if not 200 <= response.status_code < 300:
            return Line(response.status_code, None)
        body = bytes(response.body)
        usage = passed_answer(body, 0)[1] if operation == Operation.RESPONSES else usage_of(body)
    except (ValueError, RecursionError):
        return Line(0, None)
    return Line(response.status_code, usage)


def _told(batch: Object) -> Usage | None:
    """The batch's own `usage`, of all its lines together."""
    given = batch.get("usage")
    if not isinstance(given, dict):
        return None
    read, wrote = _count(given, "input_tokens"), _count(given, "output_tokens")
    if not read and not wrote:
        return None
    cached = min(read, _count(given.get("input_tokens_details"), "cached_tokens"))
    reasoning = min(wrote, _count(given.get("output_tokens_details"), "reasoning_tokens"))
    special = SpecialTokens(reasoning=reasoning) if reasoning else None
    return Usage(read - cached, wrote - reasoning, cached_input=cached, special=special)


def _count(given: object, name: str) -> int:
    value = given.get(name) if isinstance(given, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
