"""What becomes of a stream that breaks off: who may go on, and how. Pure; `stream_relay` asks.

nothing of the answer has gone out     any candidate begins anew
text                                   a candidate that takes an assistant prefix goes on after it; where the
                                       route allows it, another one begins anew and what the client has is left out
a tool call, sound, several choices    nobody: half a call is worse than none
"""

from dataclasses import dataclass

from msgspec.structs import replace

from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.snapshots.tables import RoutePlan, Target
from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_prefix import takes_prefix, with_prefix
from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_splice import Splice, identity_of
from merit_dataplane.wire.plain import plain

_PREFIX = int(Feature.ASSISTANT_PREFIX)


@dataclass(slots=True)
class Sent:
    """What the client has, over all attempts."""

    first: bytes
    """Its first events."""
    text: str = ""
    tokens: int = 0
    """About; of all attempts."""
    closed: bool = False
    """Nobody can go on from it."""

    def add(self, progress: Progress, text: str, tokens: int) -> None:
        """An attempt broke off; `text` is all that has gone out, over all attempts."""
        self.text, self.tokens = text, self.tokens + tokens
        self.closed = self.closed or progress.calls or progress.fixed


class Continuation:
    """Of one break. `adapt` is what failover asks of each candidate in turn."""

    def __init__(self, route: RoutePlan, call: Call, sent: Sent, *, anew: bool):
        self._call, self._sent = call, sent
        self._anew = anew
        self.name = "restart" if anew else "prefix"
        self.possible = (
            route.mid_stream != "Fail" and not sent.closed and (anew or (bool(sent.text) and takes_prefix(call)))
        )

    def adapt(self, bid: Bid) -> Call | None:
        """The request of a candidate that may go on; None for others."""
        target = bid.target
        call = _in_openais_words(self._call, target)
        if self._anew:
            return call
        if not target.features & _PREFIX:
            return None
        return with_prefix(call, self._sent.text, self._sent.tokens, target.provider.assistant_prefix)

    def splice(self, bid: Bid) -> Splice:
        """The seam."""
        sent, target = self._sent, bid.target
        trims = target.provider.dialect.trims_prefix
        return Splice(
            sent.text,
            identity_of(sent.first),
            {"mid_stream": self.name, "provider": target.name[0], "model": target.model},
            anew=self._anew,
            echoes=target.provider.assistant_prefix == "PrefixField",
            trimmed=sent.text[len(sent.text.rstrip()) :] if trims else "",
        )


def _in_openais_words(call: Call, target: Target) -> Call:
    """Never the client's own bytes: its stream goes on in the words in which it began."""
    if call.native is None:
        return call
    only = target.provider.dialect.knows_only_openais
    return replace(plain(call, target.model_json) if only else call, native=None)


def ways_on(route: RoutePlan, call: Call, sent: Sent) -> list[Continuation]:
    """In the order in which they are tried."""
    ways = [Continuation(route, call, sent, anew=False)]
    if route.mid_stream == "Restart" or not sent.text:
        ways.append(Continuation(route, call, sent, anew=True))
    return [way for way in ways if way.possible]
