"""What a client is told whose consumer has reached a limit: OpenAI's words, headers and types."""

import math
from datetime import UTC, datetime

from merit_crds.pricing import usd
from merit_dataplane.limits.account import Grant, Limit, Refusal
from merit_dataplane.wire.errors import RequestError

_PER_MINUTE = {Limit.REQUESTS: "requests", Limit.TOKENS: "tokens"}


def limited(refusal: Refusal, grant: Grant, wall: float) -> RequestError:
    """429. `wall` is seconds since 1970."""
    limits = grant.account.limits
    if refusal.limit is Limit.BUDGET:
        terms = grant.account.budgets[refusal.budget].terms
        at = datetime.fromtimestamp(wall + refusal.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        message = (
            f"The budget of {usd(terms.amount)} USD a {'month' if terms.months else 'day'} is spent, or too little is "
            f"left of it for this request. It begins anew at {at}."
        )
        headers = (_after(refusal.seconds), (b"x-should-retry", b"false"), *rate_headers(grant))
        return RequestError(429, message, kind="insufficient_quota", code="insufficient_quota", headers=headers)
    if refusal.limit is Limit.CONCURRENT:
        message = f"{limits.concurrent} requests of this consumer are being served, which is its limit."
        kind = "requests"
    else:
        kind = _PER_MINUTE[refusal.limit]
        most = limits.requests if refusal.limit is Limit.REQUESTS else limits.tokens
        message = f"The limit of {most} {kind} per minute is reached. Try again in {refusal.seconds:.1f} s."
        if kind == "tokens" and grant.tokens > most:
            message = (
                f"This request takes about {grant.tokens} tokens, more than the {most} per minute of its consumer."
            )
            never = (b"x-should-retry", b"false")
            return RequestError(
                429, message, kind=kind, code="rate_limit_exceeded", headers=(never, *rate_headers(grant))
            )
    milliseconds = str(max(1, math.ceil(refusal.seconds * 1000))).encode()
    headers = (_after(refusal.seconds), (b"retry-after-ms", milliseconds), *rate_headers(grant))
    return RequestError(429, message, kind=kind, code="rate_limit_exceeded", headers=headers)


def rate_headers(grant: Grant) -> tuple[tuple[bytes, bytes], ...]:
    """`x-ratelimit-…` as OpenAI names them, of the limits per minute that there are."""
    account = grant.account
    limits, (requests, tokens) = account.limits, grant.remaining
    made: tuple[tuple[bytes, bytes], ...] = ()
    if limits.requests:
        made = _rate(b"requests", limits.requests, requests)
    if limits.tokens:
        made = (*made, *_rate(b"tokens", limits.tokens, tokens))
    return made


def _rate(what: bytes, limit: int, remaining: int) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-ratelimit-limit-" + what, str(limit).encode()),
        (b"x-ratelimit-remaining-" + what, str(remaining).encode()),
        (b"x-ratelimit-reset-" + what, b"60s" if remaining < limit else b"0s"),
    )


def _after(seconds: float) -> tuple[bytes, bytes]:
    return b"retry-after", str(max(1, math.ceil(seconds))).encode()
