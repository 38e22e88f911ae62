"""One attempt: one endpoint of one candidate, up to the first byte of an answer that can be relayed.

What comes back decides what happens next:

    2xx, readable                  the answer
    429                            the account cools down; the next candidate
    5xx, 408, time-out, lost,      counts against the endpoint's circuit; the next candidate
      malformed
    401, 403, 404, 407, 409        our credential or price list is at fault, not the client; the next candidate
    any other 4xx                  the client's own mistake: handed on as it is
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from merit_crds.pricing import Usage
from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.resilience.account import retry_after_seconds
from merit_dataplane.resilience.guard import Guard, Verdict
from merit_dataplane.snapshots.tables import EndpointPlan, ProviderPlan, Target
from merit_dataplane.upstream.client import Failure, UpstreamClient, UpstreamError, UpstreamResponse
from merit_dataplane.wire.clients import dialect_for
from merit_dataplane.wire.dialects import Dialect
from merit_dataplane.wire.openai_request import Call

MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 1024 * 1024
_OUR_FAULT = frozenset({401, 403, 404, 407, 409})
_KIND = re.compile(r"[\x20-\x7e]{1,200}")


@dataclass(slots=True)
class Whole:
    """A complete answer, or an error that is the client's own."""

    status: int
    content_type: bytes
    body: bytes
    usage: Usage | None


@dataclass(slots=True)
class Stream:
    """A stream whose first bytes have arrived."""

    response: UpstreamResponse
    first: bytes
    rest: AsyncIterator[bytes]


class AttemptFailedError(Exception):
    """The attempt gave nothing to relay. `outcome` is the metric's label."""

    def __init__(self, outcome: str, message: str, *, status: int = 0, retry_after: float | None = None, why: str = ""):
        super().__init__(message)
        self.outcome = outcome
        self.status = status
        """The provider's HTTP status; 0 where there was none."""
        self.retry_after = retry_after
        """Seconds."""
        self.why = why
        """The provider's words."""


async def attempt(  # noqa: PLR0917 # of the hot path: no keywords
    client: UpstreamClient,
    target: Target,
    endpoint: EndpointPlan,
    call: Call,
    guard: Guard,
    traced: Mapping[str, str] | None = None,
) -> Whole | Stream:
    """Sends the request. `traced`: headers that name the span of this attempt, where there is one.

    Raises AttemptFailedError; RequestError (400) for what the provider's protocol can't say; CancelledError when the
    client has gone.
    """
    provider = target.provider
    dialect = dialect_for(provider.dialect, call, target.features)
    body = dialect.request(call, target.model_json, target.max_output_tokens)
    url = (endpoint.stream_urls if call.stream else endpoint.urls)[dialect.asks or call.operation]
    if provider.names_model:
        url = url.replace("{model}", target.model_in_url)
    more, authentication = dialect.more_headers, provider.authentication
    headers, once = (provider.headers, False) if more is None and traced is None else _headers(provider, more, traced)
    loop = asyncio.get_running_loop()
    now = loop.time()
    endpoint.health.started(now)
    guard.limit(target.first_byte_seconds, Verdict.FIRST_BYTE)
    response = None
    try:
        if authentication is not None:
            headers = await authentication.headers(url, headers, body)
            once = once or not authentication.lasting
        response = await client.post(url, headers, body, provider.connect_seconds, once=once)
        answer = await _answer(response, target, dialect, call, guard)
    except asyncio.CancelledError:
        if response is not None:
            response.close()
        if guard.verdict in (None, Verdict.CLIENT_GONE):
            endpoint.health.abandoned()
            raise
        verdict = guard.forgive()
        endpoint.health.failed(loop.time())
        raise AttemptFailedError(verdict, f"{verdict.replace('_', ' ')} at {endpoint.name}") from None
    except AuthenticationError as error:
        endpoint.health.abandoned()
        raise AttemptFailedError(Failure.CREDENTIAL, str(error)) from None
    except UpstreamError as error:
        if response is not None:
            response.close()
        endpoint.health.failed(loop.time())
        raise AttemptFailedError(error.failure, str(error)) from error
    except AttemptFailedError as failed:
        if response is not None:
            response.close()
        _judge(failed, target, endpoint, loop.time())
        raise
    if isinstance(answer, Whole):  # of a stream only its end says whether the endpoint is well
        endpoint.health.succeeded()
    return answer


async def _answer(
    response: UpstreamResponse, target: Target, dialect: Dialect, call: Call, guard: Guard
) -> Whole | Stream:
    status = response.status
    if status == 200 and call.stream:
        return await _open_stream(response, target, guard)
    guard.limit(target.provider.total_seconds, Verdict.TOTAL)
    if 200 <= status < 300:
        body = await response.read(MAX_ANSWER_BYTES)
        try:
            body, usage = dialect.answer(body, call, target.model, int(time.time()))
        except ValueError:
            raise AttemptFailedError(Failure.MALFORMED, "the answer is none of its protocol's") from None
        if usage is None and dialect.told_usage is not None:
            body, usage = dialect.told_usage(body, response.header)
        return Whole(status, b"application/json", body, usage)
    retry_after, why = retry_after_seconds(response.header("retry-after"), time.time()), ""
    if _clients_mistake(status) or dialect.reads_refusals:
        body = _without_secrets(await response.read(_MAX_ERROR_BYTES), target.provider)
        status, body, asked, why = dialect.error(status, body, response.header)
        if _clients_mistake(status):
            kind = response.header("content-type") or ""
            return Whole(status, kind.encode() if _KIND.fullmatch(kind) else b"application/json", body, None)
        retry_after = asked if retry_after is None else retry_after
    raise AttemptFailedError(
        f"status_{status}", f"the provider answered {status}", status=status, retry_after=retry_after, why=why
    )


def _clients_mistake(status: int) -> bool:
    return 400 <= status < 500 and status not in _OUR_FAULT and status not in (408, 429)


async def _open_stream(response: UpstreamResponse, target: Target, guard: Guard) -> Stream:
    kind = response.header("content-type")
    if kind and not kind.startswith(target.provider.dialect.stream_type):
        raise AttemptFailedError(Failure.MALFORMED, "asked for a stream, got another kind of answer")
    rest = response.chunks()
    guard.limit(target.first_byte_seconds, Verdict.FIRST_BYTE)
    async for first in rest:
        return Stream(response, first, rest)
    raise AttemptFailedError(Failure.RESET, "the stream ended before its first byte")


def _judge(failed: AttemptFailedError, target: Target, endpoint: EndpointPlan, now: float) -> None:
    """What a failure says of the endpoint and the account."""
    if failed.status == 429:
        target.provider.account.rate_limited(now, failed.retry_after)
        endpoint.health.succeeded()
    elif failed.status in _OUR_FAULT:
        endpoint.health.succeeded()
        if failed.status == 401 and target.provider.authentication is not None:
            target.provider.authentication.refused(failed.why)
    else:
        endpoint.health.failed(now)


def _headers(
    provider: ProviderPlan, more: Mapping[str, str] | None, traced: Mapping[str, str] | None
) -> tuple[Mapping[str, str], bool]:
    """The provider's and this request's own, and that these are for this request alone."""
    headers = provider.headers if more is None else with_more(provider.headers, more)
    return (headers if traced is None else {**headers, **traced}), True


def with_more(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """The provider's headers and those of this request; where both name betas, all of them."""
    made = dict(headers)
    names = {name.lower(): name for name in headers}
    for name, value in more.items():
        own = made.pop(names[name]) if name in names else ""
        made[name] = f"{own},{value}" if own and name == "anthropic-beta" else value
    return made


def _without_secrets(body: bytes, provider: ProviderPlan) -> bytes:
    """Some vendors repeat the key that they were sent in what they answer."""
    secrets = provider.secrets
    if provider.authentication is not None:
        secrets += provider.authentication.secrets()
    for secret in secrets:
        body = body.replace(secret, b"***")
    return body
