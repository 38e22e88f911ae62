"""The provider's own answer beside its translation, where client and provider speak the same protocol but OpenAI's.

All stages read OpenAI's words; the client gets the passenger, untouched.
"""

PASSENGER = "merit_native"
"""The field that holds it."""
CLOSED = "merit_closed"
"""The field that says that nobody else can go on from it in words that its client understands."""
_SEAT = b',"%b":' % PASSENGER.encode()
_SHUT = b',"%b":true}' % CLOSED.encode()


def beside(made: bytes, own: bytes) -> bytes:
    """`made`, a JSON object of ours that is not empty, with `own` in it, the JSON of the provider's."""
    return made[:-1] + _SEAT + own + b"}"


def event_beside(made: bytes, own: bytes, *, closed: bool = False) -> bytes:
    """The same for events of a stream: the first of `made` takes it, or one that says nothing else."""
    own = own.replace(b"\n", b" ")  # of several lines of data: between JSON's tokens both are white space
    first, blank, rest = made.partition(b"\n\n")
    if not first.startswith(b"data: {"):
        return b"data: " + beside(b'{"choices":[]}', own) + b"\n\n" + made
    return beside(first[:-1] + _SHUT if closed else first, own) + blank + rest
