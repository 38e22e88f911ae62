"""What an attempt that gave no whole answer is charged for, as far as that can be known.

its usage has come                    that, to the token
a part of it has come                 what it says of the prompt; of the answer, the pieces that have come
a stream, without a word of usage     what was expected of the prompt, and the pieces that have come
a 200 that can't be read              what was expected, of the prompt and of the answer
given up before its head              what was expected of the prompt: the provider was at work
refused, lost before its head, a page nothing
"""

from typing import TYPE_CHECKING, NamedTuple

from merit_crds.pricing import Usage
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.upstream.client import UpstreamResponse
from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.streamed import StreamedAnswer

if TYPE_CHECKING:
    from merit_dataplane.upstream.attempt import Stream

_PAGE = "text/html"
"""Of a proxy or a login in between: no model has written it."""


class Spent(NamedTuple):
    """What is booked."""

    usage: Usage
    estimated: bool
    """Whether it isn't the provider's own count."""


def on_stream(bid: Bid, answer: StreamedAnswer, progress: Progress) -> Spent:
    """Of a stream that broke off, or ended without its usage."""
    if answer.usage is not None:
        return Spent(answer.usage, estimated=False)
    told = answer.told
    if told is None:
        return Spent(Usage(bid.input, progress.pieces), estimated=True)
    missing = max(0, progress.pieces - told.all_output)
    return Spent(told._replace(output=told.output + missing), estimated=True)


def on_relayed(bid: Bid, stream: "Stream") -> Spent:
    """The same, where the stream may be one that is handed on as it is."""
    if stream.estimate is not None and stream.translator.usage is None:
        return Spent(stream.estimate, estimated=True)
    return on_stream(bid, stream.translator, stream.progress)


def on_read(bid: Bid, usage: Usage | None, estimate: Usage | None) -> Spent:
    """Of a whole answer, by what it says of itself."""
    return Spent(usage or estimate or Usage(bid.input, bid.output), estimated=usage is None)


def on_head(bid: Bid, response: UpstreamResponse, *, written: bool) -> Spent | None:
    """Of an answer whose head has come, and of which nothing could be read. `written`: all of it was, by then."""
    if not 200 <= response.status < 300 or (response.header("content-type") or "").startswith(_PAGE):
        return None
    return Spent(Usage(bid.input, bid.output if written else 0), estimated=True)


def on_nothing(bid: Bid) -> Spent:
    """Of an attempt that was given up before anything came."""
    return Spent(Usage(bid.input, 0), estimated=True)
