"""One attempt: one endpoint of one candidate, up to a whole answer or the first token of a stream.

What comes back decides what happens next (`stages.itinerary`):

    2xx, readable                  the answer
    429                            the account cools down
    5xx, 408, time-out, lost,      counts against the circuit of the model at this endpoint
      malformed, an error event
    401, 402, 407                  our credential is at fault: the account is left alone for a while
    403, 404, 409                  our price list is wrong about the model: so is the model here
    400, the context is too long   a candidate with a larger window may have room
    any other 4xx                  the client's own mistake: handed on as it is
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.resilience.account import retry_after_seconds
from merit_dataplane.resilience.circuit import Kind
from merit_dataplane.resilience.guard import Guard, Verdict
from merit_dataplane.snapshots.tables import EndpointPlan, Target
from merit_dataplane.upstream.client import Failure, UpstreamClient, UpstreamError, UpstreamResponse
from merit_dataplane.wire.dialects import StreamedAnswer
from merit_dataplane.wire.openai_errors import context_is_too_long
from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.server_sent_events import MalformedStreamError

MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 1024 * 1024
_OF_THE_CREDENTIAL = frozenset({401, 402, 407})
_OF_THE_MODEL = frozenset({403, 404, 409})
_FEW_TOKENS = 20
"""Added to the tokens of a whole answer before its time is shared among them: short ones take their time too."""
_KIND = re.compile(r"[\x20-\x7e]{1,200}")
Price = Callable[[Usage], CostDetails]


@dataclass(slots=True)
class Attempt:
    """What is asked of whom."""

    bid: Bid
    endpoint: EndpointPlan
    call: Call
    price: Price
    """Of a stream's usage."""
    progress: Progress
    last: bool
    """Nobody is left to go on to, so a first token is waited for as long as there is time."""
    began: float = 0.0
    """`loop.time()`."""


@dataclass(slots=True)
class Whole:
    """A complete answer, or an error that is the client's own."""

    status: int
    content_type: bytes
    body: bytes
    usage: Usage | None


@dataclass(slots=True)
class Stream:
    """A stream whose first token has arrived."""

    response: UpstreamResponse
    held: bytes
    """What the client has to get of it so far."""
    rest: AsyncIterator[bytes]
    translator: StreamedAnswer
    progress: Progress


class AttemptFailedError(Exception):
    """The attempt gave nothing to relay. `outcome` is the metric's label."""

    def __init__(
        self,
        outcome: str,
        message: str,
        *,
        status: int = 0,
        retry_after: float | None = None,
        whole: Whole | None = None,
        seen: StreamedAnswer | None = None,
    ):
        super().__init__(message)
        self.outcome = outcome
        self.status = status
        """The provider's HTTP status; 0 where there was none."""
        self.retry_after = retry_after
        """Seconds."""
        self.whole = whole
        """The provider's words, for the client where nobody else can serve it."""
        self.seen = seen
        """What had come of a stream."""

    @property
    def given_up(self) -> bool:
        """Whether the provider was still at work: it may charge for that."""
        return self.outcome.endswith("_timeout")


async def attempt(client: UpstreamClient, made: Attempt, guard: Guard) -> Whole | Stream:
    """Sends the request.

    Raises AttemptFailedError; RequestError (400) for what the provider's protocol can't say; CancelledError when the
    client has gone.
    """
    bid, endpoint, call = made.bid, made.endpoint, made.call
    target = bid.target
    body = target.provider.dialect.request(call, target.model_json, target.max_output_tokens)
    loop = asyncio.get_running_loop()
    began = made.began = loop.time()
    circuit = endpoint.circuit
    circuit.started(began)
    guard.limit(_until_head(made), Verdict.FIRST_BYTE)
    response = None
    try:
        response = await client.post(
            endpoint.urls[call.operation],
            target.provider.headers,
            body,
            target.provider.connect_seconds,
        )
        if response.status == 200 and call.stream:
            return await _open_stream(response, made, guard)
        answer = await _whole(response, target, guard)
    except asyncio.CancelledError:
        if response is not None:
            response.close()
        if guard.verdict in (None, Verdict.CLIENT_GONE):
            circuit.abandoned()
            raise
        verdict = guard.forgive()
        if verdict is Verdict.TOTAL and guard.remaining() <= 0:
            circuit.abandoned()  # the request's time was up, whoever used it
        else:
            circuit.failed(loop.time())
        raise AttemptFailedError(verdict, f"{verdict.replace('_', ' ')} at {endpoint.name}") from None
    except UpstreamError as error:
        if response is not None:
            response.close()
        _broken(error.failure, endpoint, loop.time())
        raise AttemptFailedError(error.failure, str(error)) from error
    except AttemptFailedError as failed:
        if response is not None:
            response.close()
        _judge(failed, target, endpoint, loop.time(), began)
        raise
    now = loop.time()
    if answer.usage is not None:
        tokens = answer.usage.all_output + _FEW_TOKENS
        circuit.answers(now, began, Kind.EACH_ONE, (now - began) / tokens)
    circuit.succeeded(now, began)
    return answer


def _until_head(made: Attempt) -> float:
    """Seconds in which an answer has to begin."""
    target, circuit = made.bid.target, made.endpoint.circuit
    seconds = target.first_byte_seconds
    if not made.call.stream:
        return circuit.patience(seconds) + made.bid.output * target.per_token_seconds
    return circuit.patience(seconds if made.last else min(seconds, target.first_token_wait))


async def _whole(response: UpstreamResponse, target: Target, guard: Guard) -> Whole:
    status = response.status
    guard.limit(target.provider.total_seconds, Verdict.TOTAL)
    if 200 <= status < 300:
        body = await response.read(MAX_ANSWER_BYTES)
        try:
            body, usage = target.provider.dialect.answer(body, int(time.time()))
        except ValueError:
            raise AttemptFailedError(Failure.MALFORMED, "the answer is none of its protocol's") from None
        return Whole(status, b"application/json", body, usage)
    if 400 <= status < 500 and status not in _OF_THE_CREDENTIAL | _OF_THE_MODEL | {408, 429}:
        body = _without_credential(await response.read(_MAX_ERROR_BYTES), target)
        body = target.provider.dialect.error(body)
        kind = response.header("content-type") or ""
        whole = Whole(status, kind.encode() if _KIND.fullmatch(kind) else b"application/json", body, None)
        if context_is_too_long(status, body):
            raise AttemptFailedError("context_too_long", "the context is too long", status=status, whole=whole)
        return whole
    retry_after = retry_after_seconds(response.header("retry-after"), time.time())
    raise AttemptFailedError(
        f"status_{status}", f"the provider answered {status}", status=status, retry_after=retry_after
    )


async def _open_stream(response: UpstreamResponse, made: Attempt, guard: Guard) -> Stream:
    """Holds back what comes before the first token: who fails until then was never heard of."""
    target, progress, circuit = made.bid.target, made.progress, made.endpoint.circuit
    kind = response.header("content-type") or "text/event-stream"
    if not kind.startswith("text/event-stream"):
        raise AttemptFailedError(Failure.MALFORMED, "asked for a stream, got another kind of answer")
    loop = asyncio.get_running_loop()
    translator = target.provider.dialect.stream(made.call.wants_usage, made.price, int(time.time()))
    if made.last:
        guard.limit(guard.remaining(), Verdict.TOTAL)
    else:
        wait = circuit.patience(target.first_token_wait) - (loop.time() - made.began)
        guard.limit(max(0.0, wait), Verdict.FIRST_TOKEN)
    rest = response.chunks()
    held = b""
    try:
        async for piece in rest:
            held += progress.feed(translator.feed(piece))
            if progress.broken:
                break
            if progress.started or translator.complete:
                now = loop.time()
                circuit.answers(now, made.began, Kind.FIRST_ONE, now - made.began)
                return Stream(response, held, rest, translator, progress)
        else:
            held += progress.feed(translator.finish())
            if progress.started or translator.complete:
                return Stream(response, held, rest, translator, progress)
    except MalformedStreamError:
        raise AttemptFailedError(Failure.MALFORMED, "an event is none of its protocol's", seen=translator) from None
    if progress.error:
        raise AttemptFailedError("error_event", "the provider sent an error event", seen=translator)
    if progress.malformed:
        raise AttemptFailedError(Failure.MALFORMED, "an event is no JSON", seen=translator)
    raise AttemptFailedError(Failure.RESET, "the stream ended before its first token", seen=translator)


def _broken(failure: Failure, endpoint: EndpointPlan, now: float) -> None:
    """Who can't be connected to can't be by any model's requests."""
    if failure is Failure.CONNECT:
        for circuit in list(endpoint.circuits.values()):
            circuit.failed(now)
    else:
        endpoint.circuit.failed(now)


def _judge(failed: AttemptFailedError, target: Target, endpoint: EndpointPlan, now: float, began: float) -> None:
    """What a failure says of the account, the model and the endpoint."""
    if failed.status == 429:
        target.provider.account.rate_limited(now, failed.retry_after)
        endpoint.circuit.succeeded(now, began)
    elif failed.status in _OF_THE_CREDENTIAL:
        target.provider.account.refused(now, f"it answered {failed.status}")
        endpoint.circuit.abandoned()
    elif failed.status in _OF_THE_MODEL:
        endpoint.circuit.shut(now, f"it answered {failed.status} for this model")
    elif failed.whole is not None:
        endpoint.circuit.succeeded(now, began)
    else:
        endpoint.circuit.failed(now)


def _without_credential(body: bytes, target: Target) -> bytes:
    """Some vendors repeat the key that they were sent in what they answer."""
    credential = target.provider.credential
    return body.replace(credential, b"***") if credential else body
