"""What may go wrong at a vendor, and when. Each fault at each moment is a row of the matrix."""

from dataclasses import dataclass
from enum import StrEnum


class Moment(StrEnum):
    """When a fault strikes."""

    NEVER = "never"
    CONNECT = "before the connection"
    HEAD = "before the head"
    BODY = "after the head"
    TOKEN = "before the first token"  # of an answer
    TEXT = "in mid-text"
    CALL = "in a tool call"
    STOP = "after the last token"
    USAGE = "before the usage"
    END = "before the end mark"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `name` is its place in the table of outcomes."""

    name: str
    words: str
    moments: tuple[Moment, ...]
    streams: bool = True
    wholes: bool = True
    times: int = -1
    """How many requests of a cell it strikes; -1: all of them."""
    waits: bool = False
    """It takes one of Merit's limits of time to end it."""


_AT_ANY = (Moment.TOKEN, Moment.TEXT, Moment.CALL, Moment.STOP, Moment.USAGE, Moment.END)
_HEAD, _BODY = (Moment.HEAD,), (Moment.BODY,)
_BOTH = (Moment.HEAD, Moment.BODY)

NONE = Fault("none", "nothing goes wrong", (Moment.NEVER,))
STATUSES: dict[str, tuple[int, str, str]] = {
    "400": (400, "", ""),
    "400 context": (400, "context_length_exceeded", ""),
    "400 policy": (400, "content_policy_violation", ""),
    "401": (401, "", ""),
    "402": (402, "", ""),
    "403": (403, "", ""),
    "404": (404, "", ""),
    "408": (408, "", ""),
    "409": (409, "", ""),
    "413": (413, "", ""),
    "422": (422, "", ""),
    "429": (429, "", ""),
    "429 once, Retry-After 1": (429, "", "1"),
    "429, Retry-After 30": (429, "", "30"),
    "500": (500, "", ""),
    "500 once": (500, "", ""),
    "502": (502, "", ""),
    "503": (503, "", ""),
    "504": (504, "", ""),
    "529": (529, "", ""),
}
"""Status, the error's code, and Retry-After."""

FAULTS: tuple[Fault, ...] = (
    NONE,
    Fault("refused", "nobody listens", (Moment.CONNECT,)),
    Fault("dns", "the name does not resolve", (Moment.CONNECT,)),
    Fault("tls", "speaks no TLS where TLS is asked for", (Moment.CONNECT,), waits=True),
    Fault("certificate", "shows a certificate of its own making", (Moment.CONNECT,)),
    *(
        Fault(name, f"answers {name}", _HEAD, times=1 if "once" in name else -1)
        for name in STATUSES
    ),
    Fault("reset once", "resets the connection, once", _HEAD, times=1),
    Fault("reset", "resets the connection", (*_BOTH, *_AT_ANY)),
    Fault("eof", "closes without a byte", _HEAD),
    Fault("hang", "falls silent", (*_BOTH, *_AT_ANY), waits=True),
    Fault("slow", "is ten times as slow as it may be", _HEAD, waits=True),
    Fault("garbage", "sends bytes that are no HTTP", _HEAD),
    Fault("big head", "sends a header of 80 KiB", _HEAD),
    Fault("ends", "ends the body properly", (Moment.BODY, *_AT_ANY), wholes=False),
    Fault("cut", "closes the connection inside the body", (Moment.BODY, *_AT_ANY)),
    Fault("broken chunk", "sends a chunk whose size is no number", (Moment.BODY, Moment.TEXT, Moment.CALL)),
    Fault("long length", "announces more bytes than it sends, and closes", _BODY, streams=False),
    Fault("short length", "announces fewer bytes than it sends", _BODY, streams=False),
    Fault("truncated", "sends half of the JSON, well framed", _BODY, streams=False),
    Fault("no JSON", "sends well framed bytes that are no JSON", _BODY, streams=False),
    Fault("empty", "sends 200 without a body", _BODY, streams=False),
    Fault("page", "sends 200 and a page of HTML", _BODY),
    Fault("wrong type", "sends its answer with the type text/plain", _BODY),
    Fault("gzip", "damages what it has compressed", (Moment.BODY, Moment.TEXT)),
    Fault("client leaves", "falls silent, and the client leaves", (*_BOTH, Moment.TEXT, Moment.CALL)),
    Fault("malformed", "sends an event that can't be read", (*_AT_ANY,), wholes=False),
    Fault("error", "sends an event that says it failed, and ends", (*_AT_ANY,), wholes=False),
)  # fmt: skip
