"""An attempt that is given the beginning of its answer, and what becomes of it where that is refused."""

import asyncio

from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.snapshots.tables import Target
from merit_dataplane.stems.stemming import Stem
from merit_dataplane.upstream.attempt import Attempt, Stream, Whole
from merit_dataplane.upstream.spent import on_read
from merit_dataplane.wire.openai_prefix import with_prefix
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_stem import whole_with

_REFUSED_SECONDS = 600.0
"""For so long a model is not given another one: a price list may be wrong about it."""


def begun_for(exchange: Exchange, bid: Bid, call: Call) -> tuple[Stem | None, Call]:
    """The request that goes on from the stem, where it can be said."""
    stemming = exchange.stemming
    if stemming is None or stemming.stem is None or stemming.refused:
        return None, call
    begun = with_prefix(call, stemming.stem.text, stemming.stem.tokens, bid.target.provider.assistant_prefix)
    return (None, call) if begun is None else (stemming.stem, begun)


def begins_with(exchange: Exchange, made: Attempt, answer: Whole | Stream) -> bool:
    """Whether the model went on from the stem. A whole answer gets its beginning here."""
    stemming, stem = exchange.stemming, made.stem
    if stemming is None or stem is None:
        raise AssertionError("nobody is given a stem who has no part in them")
    if isinstance(answer, Whole):
        joined = whole_with(answer.body, stem.text, stem.tokens) if answer.status < 300 else None
        if joined is None:
            return False
        answer.body = joined.body
        said(exchange, made, repeats=joined.repeats)
    stemming.used, exchange.cache = True, "stem"
    exchange.id = exchange.id[: -len(stem.tag)] + stem.tag  # a score says which stem it was
    return True


def said(exchange: Exchange, made: Attempt, *, repeats: bool) -> None:
    """Whether the answer says its beginning once more. One whose beginning is a field may do so without writing it."""
    target = made.bid.target
    if repeats and exchange.stemming is not None and target.provider.assistant_prefix != "PrefixField":
        exchange.stemming.repeats = True
        _leave_alone(target)


def without_stem(exchange: Exchange, made: Attempt, call: Call, answer: Whole | Stream, ledger: Ledger) -> None:
    """The same model is asked again, for all of the answer."""
    bid, stemming = made.bid, exchange.stemming
    if isinstance(answer, Whole) and answer.status < 300:
        exchange.lose(bid, made.endpoint, "stem_unusable", on_read(bid, answer.usage, answer.estimate))
    if stemming is not None:
        stemming.refused = True
    _leave_alone(bid.target)
    exchange.failures.append(f"{bid.target.labels[2]}/{made.endpoint.name}: stem_refused")
    exchange.attempts += 1
    ledger.attempt(bid.target.labels[2], made.endpoint.name, bid.target.model, "stem_refused")
    made.bid = bid._replace(input=bid.input - bid.stem, output=bid.output + bid.stem, stem=0)
    made.call, made.stem = call, None


def _leave_alone(target: Target) -> None:
    target.learned.refuses_stems_until = asyncio.get_running_loop().time() + _REFUSED_SECONDS
