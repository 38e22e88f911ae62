"""The lines of a batch's file: each one checked as the request that it is, and written anew for a provider.

A line is `{"custom_id": …, "method": "POST", "url": "/v1/…", "body": {…}}`. All lines of a file ask for one model, at
one endpoint: that is OpenAI's rule, and what lets one provider serve all of them.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from merit_crds.pricing import BATCH
from merit_dataplane.batches.jsonl import lines_of
from merit_dataplane.dispatch.tiers import classify
from merit_dataplane.snapshots.tables import ConsumerPlan, Headers, RoutePlan, Target, TierPlan
from merit_dataplane.wire import errors
from merit_dataplane.wire.body import decoded
from merit_dataplane.wire.clients import CLIENTS, dialect_for
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_request import Call, Operation

OPERATIONS: Final = (Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS, Operation.EMBEDDINGS)
MOST_LINES: Final = 50_000
"""OpenAI's bound."""
_PREFIX = "/v1/"
_MOST_ID = 512
_BLOCK_BYTES = 256 * 1024
_STEP_BYTES = 64 * 1024
"""After so many bytes of lines others run."""
_BATCHES = int(Feature.BATCHES)
_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


_line = msgspec.json.Decoder(_Line)


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """What a line's price depends on."""

    input_tokens: int
    """Estimated."""
    output_limit: int
    choices: int


@dataclass(slots=True)
class Requests:
    """What was read of a file."""

    operation: Operation
    route: RoutePlan
    model: str
    """That was asked for."""
    lines: int = 0
    features: int = 0
    """Of all lines together."""
    tiers: dict[str, TierPlan] = field(default_factory=dict)
    """Into which lines fall, in their order."""
    shapes: Counter[Shape] = field(default_factory=Counter)
    """How many lines have which."""

    @property
    def tier(self) -> TierPlan:
        """Whose the file is in the accounts: that of its first line."""
        return next(iter(self.tiers.values()))


async def read_requests(pieces: Sequence[bytes], consumer: ConsumerPlan, headers: Headers) -> Requests:
    """Checks a file, line by line. Raises RequestError that names line, `custom_id` and field."""
    found: Requests | None = None
    ids: set[bytes] = set()
    since = 0
    for number, text in lines_of(pieces):
        if number > MOST_LINES:
            raise _bad(number, f"the file has more than {MOST_LINES} lines, the most of a batch")
        line = _read(number, text)
        digest = hashlib.blake2b(line.custom_id.encode(), digest_size=16).digest()
        if digest in ids:
            raise _bad(number, f"custom_id {line.custom_id[:64]!r} is there twice", param="custom_id")
        ids.add(digest)
        call = _call(number, line)
        if found is None:
            route = consumer.routes.get(call.model)
            if route is None:
                raise _of_line(number, line, errors.model_not_found(call.model))
            found = Requests(call.asked, route, call.model)
        elif call.asked is not found.operation:
            raise _bad(number, f"url is {line.url!r}, and {_PREFIX + found.operation!r} before; a file has one", "url")
        elif call.model != found.model:
            words = f"model is {call.model[:128]!r}, and {found.model[:128]!r} before; the lines of a file ask for one"
            raise RequestError(400, f"Line {number}: {words}.", code="mismatched_model", param="body.model")
        tier = classify(found.route, call, headers)
        found.tiers.setdefault(tier.name, tier)
        found.lines += 1
        found.features |= call.features | _BATCHES
        found.shapes[Shape(call.input_tokens, call.output_limit, call.choices)] += 1
        since += len(text)
        if since > _STEP_BYTES:
            since = 0
            await asyncio.sleep(0)
    if found is None:
        raise RequestError(
            400, "The file has no line: a batch has one request a line.", code="empty_file", param="file"
        )
    return found


async def written(pieces: Sequence[bytes], target: Target) -> list[bytes]:
    """The same lines as the provider of this candidate wants them. They have been checked."""
    shelf = target.provider.dialect.shelf
    if shelf is None:
        raise AssertionError("a provider without batches is never chosen")
    blocks: list[bytes] = []
    block = bytearray()
    since = 0
    for number, text in lines_of(pieces):
        line = _read(number, text)
        call = _call(number, line)
        dialect = dialect_for(target.provider.dialect, call, target.features)
        body = dialect.request(call, target.model_json, target.max_output_tokens)
        block += _encode(_Line(line.custom_id, "POST", shelf.prefix + call.asked, msgspec.Raw(body)))
        block += b"\n"
        if len(block) >= _BLOCK_BYTES:
            blocks.append(bytes(block))
            block.clear()
        since += len(text)
        if since > _STEP_BYTES:
            since = 0
            await asyncio.sleep(0)
    if block:
        blocks.append(bytes(block))
    return blocks


def operation_of(url: str) -> Operation | None:
    """Of a line's `url` or a batch's `endpoint`; None for what no batch calls."""
    path = url.removeprefix(_PREFIX) if url.startswith(_PREFIX) else ""
    return next((operation for operation in OPERATIONS if operation == path), None)


def urls() -> str:
    """What a batch may call, for people."""
    return ", ".join(_PREFIX + operation for operation in OPERATIONS)


def _read(number: int, text: bytes) -> _Line:
    try:
        line = decoded(_line, text)
    except RequestError as error:
        words = str(error).replace("The body", "it").rstrip(".")
        raise _bad(number, words, param=error.param) from None
    if not line.custom_id or len(line.custom_id) > _MOST_ID:
        raise _bad(number, f"custom_id must have 1 to {_MOST_ID} characters", param="custom_id")
    if line.method != "POST":
        raise _bad(number, f"method must be 'POST' (is {line.method[:32]!r})", param="method")
    return line


def _call(number: int, line: _Line) -> Call:
    operation = operation_of(line.url)
    if operation is None:
        raise _bad(number, f"url must be one of {urls()} (is {line.url[:64]!r})", param="url")
    try:
        call = CLIENTS[operation].parse(bytes(line.body), ())
    except RequestError as error:
        raise _of_line(number, line, error) from None
    if call.stream:
        raise _bad(number, "stream must be false: nobody listens to a batch", param="body.stream")
    if call.steering is not None:
        raise _bad(number, "steering (models, provider) is not for batches: leave it out", param="body.provider")
    features = call.features | (int(Feature.RESPONSES) if operation is Operation.RESPONSES else 0)
    return msgspec.structs.replace(call, service_tier=BATCH, features=features)


def _of_line(number: int, line: _Line, error: RequestError) -> RequestError:
    param = f"body.{error.param}" if error.param else "body"
    words = f"Line {number} (custom_id {line.custom_id[:64]!r}): {error}"
    return RequestError(error.status, words, kind=error.kind, code=error.code, param=param)


def _bad(number: int, why: str, param: str | None = None) -> RequestError:
    return RequestError(400, f"Line {number}: {why}.", code="invalid_line", param=param)
