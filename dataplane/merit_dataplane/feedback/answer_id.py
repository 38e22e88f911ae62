"""The id of an answer: `req_`, when, a random number, which candidate, and a seal over all of it.

    req_ 6925f1c0 0123456789abcdef a1b2c3d4e5f6 0011223344556677
         |        |                |            `- seal: keyed BLAKE2b over the rest, the candidate and the consumer
         |        |                `- mark: hash of route, tier, provider and model
         |        `- random
         `- epoch second at which the request began

The seal's key is made of the provider's API key, which every pod with this snapshot has and no consumer knows: nobody
can make ids up, and nobody can score another consumer's answers. Errors have the first two parts alone.
"""

import hashlib
import hmac
import re
from typing import NamedTuple

_ID = re.compile(r"req_([0-9a-f]{8})([0-9a-f]{16})([0-9a-f]{12})([0-9a-f]{16})")
_PERSON = b"merit answer id"
_ROUNDS = 1000
"""An id must be no quick way to try guesses of a short API key."""
Labels = tuple[str, str, str, str]
"""route, tier, provider, model."""


class AnswerId(NamedTuple):
    """What an id says, unchecked."""

    text: str
    answered_at: int
    """Epoch seconds."""
    number: str
    """Names the answer, without its candidate."""
    mark: str
    seal: str


def parse(text: str) -> AnswerId | None:
    """None for what is no id of an answer."""
    found = _ID.fullmatch(text)
    if found is None:
        return None
    when, number, mark, seal = found.groups()
    return AnswerId(text, int(when, 16), when + number, mark, seal)


def mark_of(labels: Labels) -> str:
    """The same in every pod."""
    return hashlib.blake2b("\0".join(labels).encode(), digest_size=6).hexdigest()


class Seal:
    """Of one provider's API key, or of what takes its place."""

    __slots__ = ("_keyed", "of")

    def __init__(self, secret: bytes):
        self.of = fingerprint(secret)
        """Tells secrets apart; says nothing of them."""
        key = hashlib.pbkdf2_hmac("sha256", secret, _PERSON, _ROUNDS)
        self._keyed = hashlib.blake2b(key=key, digest_size=8)

    def over(self, text: bytes) -> str:
        """The seal."""
        keyed = self._keyed.copy()
        keyed.update(text)
        return keyed.hexdigest()


def fingerprint(secret: bytes) -> bytes:
    """For comparisons in memory."""
    return hashlib.blake2b(secret, digest_size=16, person=_PERSON).digest()


class Byline:
    """Makes ids of one candidate's answers."""

    __slots__ = ("_candidate", "_mark", "seal")

    def __init__(self, labels: Labels, mark: str, seal: Seal):
        self._mark, self.seal, self._candidate = mark, seal, _candidate(labels)

    def signed(self, request_id: str, consumer: str) -> str:
        """The id of an answer to this consumer, from that of its request."""
        marked = request_id + self._mark
        return marked + self.seal.over(f"{marked}\0{consumer}{self._candidate}".encode())


def genuine(answer: AnswerId, labels: Labels, consumer: str, seal: Seal) -> bool:
    """Whether this candidate gave that answer to that consumer."""
    expected = seal.over(f"{answer.text[:-16]}\0{consumer}{_candidate(labels)}".encode())
    return hmac.compare_digest(expected, answer.seal)


def _candidate(labels: Labels) -> str:
    return "\0" + "\0".join(labels)
