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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.resilience.account import asked_to_wait
from merit_dataplane.resilience.circuit import Kind
from merit_dataplane.resilience.guard import Guard, Verdict
from merit_dataplane.snapshots.tables import EndpointPlan, ProviderPlan
from merit_dataplane.stems.stemming import Stem
from merit_dataplane.upstream import spent
from merit_dataplane.upstream.client import Failure, NotAskedError, UpstreamClient, UpstreamError, UpstreamResponse
from merit_dataplane.upstream.spent import Spent
from merit_dataplane.wire.body import unreadable
from merit_dataplane.wire.clients import dialect_for
from merit_dataplane.wire.dialects import Dialect
from merit_dataplane.wire.openai_errors import context_is_too_long, error_message, shaped, status_within
from merit_dataplane.wire.openai_passed.progress import Unread
from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.openai_reading import Reading
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.openai_stream import StreamTranslator
from merit_dataplane.wire.openai_whole import stream_of
from merit_dataplane.wire.rate_limits import told
from merit_dataplane.wire.server_sent_events import BOM, MalformedStreamError
from merit_dataplane.wire.streamed import StreamedAnswer

MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 1024 * 1024
_MAX_WORDS_BYTES, _WORDS_SECONDS = 64 * 1024, 0.25
_MASKED = re.compile(r"\S*\*\*\S*")
"""A key of which a vendor shows the ends."""
_OF_THE_CREDENTIAL = frozenset({401, 402, 407})
_OF_THE_MODEL = frozenset({403, 404, 409})
_OURS = _OF_THE_CREDENTIAL | _OF_THE_MODEL | {408, 429}
_FEW_TOKENS = 20
"""Added to the tokens of a whole answer before its time is shared among them: short ones take their time too."""
_KIND = re.compile(r"[\x20-\x7e]{1,200}")
_EVENTS = b"text/event-stream; charset=utf-8"
Price = Callable[[Usage], CostDetails]


@dataclass(slots=True)
class Attempt:
    """What is asked of whom."""

    bid: Bid
    endpoint: EndpointPlan
    call: Call
    price: Price
    """Of a stream's usage."""
    last: bool
    """Nobody is left to go on to, so a first token is waited for as long as there is time."""
    traced: Mapping[str, str] | None = None
    """Headers that name the span of this attempt, where there is one."""
    began: float = 0.0
    """`loop.time()`."""
    stem: Stem | None = None
    """The beginning of the answer that it is given."""
    limits: tuple[tuple[bytes, bytes], ...] = ()
    """What the provider's headers say of its rate limits."""
    answer: StreamedAnswer | None = None
    """What is read of a stream."""
    progress: Progress | None = None
    """What of it the client can have."""
    spent: Spent | None = None
    """Where it gave nothing to relay: what it costs all the same."""


@dataclass(slots=True)
class Whole:
    """A complete answer, or an error that is the client's own."""

    status: int
    content_type: bytes
    body: bytes
    usage: Usage | None
    estimate: Usage | None = None
    """Of an answer that is handed on as it is: what is booked where it tells no usage."""


@dataclass(slots=True)
class Stream:
    """A stream whose first token has arrived."""

    response: UpstreamResponse
    held: bytes
    """What the client has to get of it so far."""
    rest: AsyncIterator[bytes]
    reading: Reading
    translator: StreamedAnswer
    progress: Progress
    content_type: bytes = _EVENTS
    estimate: Usage | None = None
    """As above."""


class AttemptFailedError(Exception):
    """The attempt gave nothing to relay. `outcome` is the metric's label."""

    def __init__(
        self,
        outcome: str,
        message: str,
        *,
        status: int = 0,
        retry_after: float | None = None,
        why: str = "",
        said: str = "",
        whole: Whole | None = None,
    ):
        super().__init__(message)
        self.outcome = outcome
        self.status = status
        """The provider's HTTP status; 0 where there was none."""
        self.retry_after = retry_after
        """Seconds."""
        self.why = why
        """The provider's words."""
        self.said = said
        """The same, fit for the client."""
        self.whole = whole
        """The provider's answer, for the client where nobody else can serve it."""

    @property
    def given_up(self) -> bool:
        """Whether the provider was still at work."""
        return self.outcome.endswith("_timeout")


_Reads = Callable[[UpstreamResponse, Attempt, Dialect, Guard], Awaitable[Whole | Stream]]


async def attempt(client: UpstreamClient, made: Attempt, guard: Guard) -> Whole | Stream:
    """Sends the request.

    Raises AttemptFailedError; RequestError (400) for what the provider's protocol can't say; CancelledError when the
    client has gone.
    """
    target = made.bid.target
    provider, circuit = target.provider, made.endpoint.circuit
    dialect = provider.dialect
    if made.call.native is not None:
        dialect = dialect_for(dialect, made.call, target.features)
    try:
        body = dialect.request(made.call, target.model_json, target.max_output_tokens)
    except (ValueError, RecursionError) as error:
        raise unreadable(error) from None
    more, authentication = dialect.more_headers, provider.authentication
    traced = made.traced
    headers = provider.stream_headers if made.call.stream else provider.headers
    once = more is not None or traced is not None
    headers = _headers(headers, more, traced) if once else headers
    url = _url(made, dialect)
    loop = asyncio.get_running_loop()
    made.began = loop.time()
    circuit.started(made.began)
    made.answer = made.progress = made.spent = None
    guard.until(made.began + _until_head(made), Verdict.FIRST_BYTE)
    response, asking = None, False
    try:
        if authentication is not None:
            headers = await authentication.headers(url, headers, body)
            once = once or not authentication.lasting
        asking = True
        response = await client.post(url, headers, body, provider.connect_seconds, once=once)
        if provider.account.heard(response.headers, loop.time(), time.time()):
            made.limits = told(response.headers)
        reads = _reader(response, made, dialect)
        answer = await reads(response, made, dialect, guard)
    except BaseException as error:
        if response is not None:
            response.close()
        made.spent = _spent(made, response, error, asking=asking)
        if isinstance(error, asyncio.CancelledError):
            raise _cut_off(made, guard, loop.time()) from None
        if isinstance(error, AuthenticationError):
            circuit.abandoned()
            raise AttemptFailedError(Failure.CREDENTIAL, str(error)) from None
        if isinstance(error, UpstreamError):
            _broken(error.failure, made.endpoint, loop.time())
            raise AttemptFailedError(error.failure, str(error)) from error
        if isinstance(error, AttemptFailedError):
            _judge(error, made, loop.time())
        raise
    if isinstance(answer, Whole):
        _answered(answer, made, loop.time())
    return answer


def _spent(made: Attempt, response: UpstreamResponse | None, error: BaseException, *, asking: bool) -> Spent | None:
    if made.answer is not None and made.progress is not None:
        return spent.on_stream(made.bid, made.answer, made.progress)
    if response is not None:
        written = not made.call.stream and made.call.operation is not Operation.EMBEDDINGS
        return spent.on_head(made.bid, response, written=written)
    given_up = asking and isinstance(error, asyncio.CancelledError) and not isinstance(error, NotAskedError)
    return spent.on_nothing(made.bid) if given_up else None


def _url(made: Attempt, dialect: Dialect) -> str:
    endpoint, call, target = made.endpoint, made.call, made.bid.target
    url = (endpoint.stream_urls if call.stream else endpoint.urls)[dialect.asks or call.operation]
    return url.replace("{model}", target.model_in_url) if target.provider.names_model else url


def _cut_off(made: Attempt, guard: Guard, now: float) -> AttemptFailedError:
    """A limit of time has passed. Raises CancelledError when it was something else: the client has gone."""
    circuit = made.endpoint.circuit
    if guard.verdict in (None, Verdict.CLIENT_GONE):
        circuit.abandoned()
        raise asyncio.CancelledError
    verdict = guard.forgive()
    if verdict is Verdict.OUTPACED or (verdict is Verdict.TOTAL and guard.remaining() <= 0):
        circuit.abandoned()  # the request's time was up, whoever used it; or nothing is wrong at all
    else:
        circuit.failed(now)
    return AttemptFailedError(verdict, f"{verdict.replace('_', ' ')} at {made.endpoint.name}")


def _answered(answer: Whole, made: Attempt, now: float) -> None:
    circuit = made.endpoint.circuit
    if answer.usage is not None:
        seconds = (now - made.began) / (answer.usage.all_output + _FEW_TOKENS)
        circuit.answers(now, made.began, Kind.EACH_ONE, seconds)
    circuit.succeeded(now, made.began)


def _until_head(made: Attempt) -> float:
    """Seconds in which an answer has to begin."""
    target, circuit = made.bid.target, made.endpoint.circuit
    seconds = target.first_byte_seconds
    if made.call.stream and not made.last:
        seconds = min(seconds, target.first_token_wait)
    if circuit.open_until:
        seconds = circuit.patience(seconds)
    return seconds if made.call.stream else seconds + made.bid.output * target.per_token_seconds


async def _whole(response: UpstreamResponse, made: Attempt, dialect: Dialect, guard: Guard) -> Whole:
    status, target = response.status, made.bid.target
    guard.limit(target.provider.total_seconds, Verdict.TOTAL)
    if 200 <= status < 300:
        given = (await response.read(MAX_ANSWER_BYTES)).removeprefix(BOM)
        try:
            body, usage = dialect.answer(given, made.call, target.model, int(time.time()))
        except ValueError:
            raise AttemptFailedError(Failure.MALFORMED, "the answer is none of its protocol's") from None
        if usage is None and dialect.told_usage is not None:
            body, usage = dialect.told_usage(body, response.header)
        if dialect.estimate is not None:
            return Whole(status, _kind(response), body, usage, dialect.estimate(made.call, body))
        refused = status_within(given) if usage is None else None
        if refused is None:
            return Whole(status, b"application/json", body, usage)
        return await _refused(response, refused, dialect, target.provider, given)
    return await _refused(response, status, dialect, target.provider)


async def _refused(
    response: UpstreamResponse, status: int, dialect: Dialect, provider: ProviderPlan, given: bytes | None = None
) -> Whole:
    """An error that is the client's own. Raises AttemptFailedError for others. `given`: the body where it is read."""
    retry_after, why, said = asked_to_wait(response.header, time.time()), "", ""
    if given is not None or _clients_mistake(status) or dialect.reads_refusals:
        body = await response.read(_MAX_ERROR_BYTES) if given is None else given
        body = without_secrets(body, provider)
        status, body, asked, why = dialect.error(status, body, response.header)
        if _clients_mistake(status):
            shape = shaped(status, body)
            whole = Whole(status, _kind(response) if shape is body else b"application/json", shape, None)
            if context_is_too_long(status, body):
                raise AttemptFailedError("context_too_long", "the context is too long", status=status, whole=whole)
            return whole
        retry_after, said = asked if retry_after is None else retry_after, error_message(body)
    else:
        said = await _words(response, dialect, provider)
    said, message = _MASKED.sub("***", said), f"the provider answered {status}"
    raise AttemptFailedError(f"status_{status}", message, status=status, retry_after=retry_after, why=why, said=said)


async def _words(response: UpstreamResponse, dialect: Dialect, provider: ProviderPlan) -> str:
    """What the provider says of its error, where that comes at once: the next candidate doesn't wait for it."""
    try:
        async with asyncio.timeout(_WORDS_SECONDS):
            body = await response.read(_MAX_WORDS_BYTES)
    except (TimeoutError, UpstreamError):
        return ""
    return error_message(dialect.error(response.status, without_secrets(body, provider), response.header).body)


def _clients_mistake(status: int) -> bool:
    return 400 <= status < 500 and status not in _OURS


def _kind(response: UpstreamResponse) -> bytes:
    kind = response.header("content-type") or ""
    return kind.encode() if _KIND.fullmatch(kind) else b"application/json"


def _reader(response: UpstreamResponse, made: Attempt, dialect: Dialect) -> _Reads:
    if not made.call.stream or response.status != 200:
        return _whole
    return _open_stream if _is_stream(response, dialect) else _streamed


def _is_stream(response: UpstreamResponse, dialect: Dialect) -> bool:
    kind = response.header("content-type")
    return not kind or kind.startswith(dialect.stream_type)


async def _open_stream(response: UpstreamResponse, made: Attempt, dialect: Dialect, guard: Guard) -> Stream:
    """Holds back what comes before the first token: who fails until then was never heard of."""
    target, circuit = made.bid.target, made.endpoint.circuit
    loop = asyncio.get_running_loop()
    translator = made.answer = dialect.stream(made.call, target.model, made.price, int(time.time()))
    if made.last:
        guard.limit(guard.remaining(), Verdict.TOTAL)
    else:
        wait = circuit.patience(target.first_token_wait) - (loop.time() - made.began)
        guard.limit(max(0.0, wait), Verdict.FIRST_TOKEN)
    as_is: tuple[bytes, Usage | None] = (_EVENTS, None)
    if dialect.estimate is not None:
        as_is = _kind(response), dialect.estimate(made.call, b"")
    progress = made.progress = Progress() if dialect.estimate is None else Unread()
    rest, reading = response.chunks(), Reading(translator, progress)
    held = b""
    try:
        async for piece in rest:
            held += reading.feed(piece)
            if progress.broken:
                break
            if progress.started or translator.complete:
                now = loop.time()
                circuit.answers(now, made.began, Kind.FIRST_ONE, now - made.began)
                return Stream(response, held, rest, reading, translator, progress, *as_is)
        else:
            held += reading.finish()
            if progress.started or translator.complete:
                return Stream(response, held, rest, reading, translator, progress, *as_is)
    except MalformedStreamError:
        raise AttemptFailedError(Failure.MALFORMED, "an event is none of its protocol's") from None
    if progress.error:
        said = error_message(without_secrets(progress.error, target.provider))
        raise AttemptFailedError("error_event", "the provider sent an error event", said=said)
    if progress.malformed:
        raise AttemptFailedError(Failure.MALFORMED, "an event is no JSON")
    raise AttemptFailedError(Failure.RESET, "the stream ended before its first token")


async def _streamed(response: UpstreamResponse, made: Attempt, dialect: Dialect, guard: Guard) -> Stream | Whole:
    """The stream of a whole answer: some vendors, and models that don't stream, give one whatever was asked for.

    An error instead, if it is the client's own.
    """
    translator, progress = StreamTranslator(wants_usage=made.call.wants_usage, price=made.price), Progress()
    guard.limit(made.bid.target.provider.total_seconds, Verdict.TOTAL)
    kind = response.header("content-type") or ""
    given = await response.read(MAX_ANSWER_BYTES) if kind.startswith("application/json") else b""
    try:
        body, usage = dialect.answer(given, made.call, made.bid.target.model, int(time.time()))
        events = stream_of(body, wants_usage=usage is not None)
        held = progress.feed(translator.feed(events))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        held = b""
    if not translator.complete or not progress.finished:
        if (refused := status_within(given)) is not None:
            return await _refused(response, refused, dialect, made.bid.target.provider, given)
        raise AttemptFailedError(Failure.MALFORMED, "asked for a stream, got another kind of answer")
    now = asyncio.get_running_loop().time()
    made.endpoint.circuit.answers(now, made.began, Kind.FIRST_ONE, now - made.began)
    return Stream(response, held, _nothing(), Reading(translator, progress), translator, progress)


async def _nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece


def _broken(failure: Failure, endpoint: EndpointPlan, now: float) -> None:
    """Who can't be connected to can't be by any model's requests."""
    if failure is Failure.CONNECT:
        for circuit in list(endpoint.circuits.values()):
            circuit.failed(now)
    else:
        endpoint.circuit.failed(now)


def _judge(failed: AttemptFailedError, made: Attempt, now: float) -> None:
    """What a failure says of the account, the model and the endpoint."""
    target, endpoint, began = made.bid.target, made.endpoint, made.began
    if failed.status == 429:
        target.provider.account.rate_limited(now, failed.retry_after)
        endpoint.circuit.succeeded(now, began)
    elif failed.status in _OF_THE_CREDENTIAL:
        endpoint.circuit.abandoned()
        authentication = target.provider.authentication
        if authentication is not None and failed.status == 401:
            authentication.refused(failed.why)  # it gets another token
        else:
            target.provider.account.refused(now, f"it answered {failed.status}")
    elif failed.status in _OF_THE_MODEL:
        endpoint.circuit.shut(now, f"it answered {failed.status} for this model")
    elif failed.whole is not None:
        endpoint.circuit.succeeded(now, began)
    else:
        endpoint.circuit.failed(now, told=bool(failed.status) or failed.outcome == "error_event")


def _headers(
    headers: Mapping[str, str], more: Mapping[str, str] | None, traced: Mapping[str, str] | None
) -> Mapping[str, str]:
    """The provider's and this request's own."""
    headers = headers if more is None else with_more(headers, more)
    return headers if traced is None else {**headers, **traced}


def with_more(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """The provider's headers and those of this request; where both name betas, all of them."""
    made = dict(headers)
    names = {name.lower(): name for name in headers}
    for name, value in more.items():
        own = made.pop(names[name]) if name in names else ""
        made[name] = f"{own},{value}" if own and name == "anthropic-beta" else value
    return made


def without_secrets(body: bytes, provider: ProviderPlan) -> bytes:
    """Some vendors repeat the key that they were sent in what they answer."""
    secrets = provider.secrets
    if provider.authentication is not None:
        secrets += provider.authentication.secrets()
    for secret in secrets:
        body = body.replace(secret, b"***")
    return body
