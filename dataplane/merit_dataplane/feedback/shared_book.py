"""Scores in Redis, for all pods: sums and last scores of a candidate are changed by one script, and pods follow.

    merit:accuracy:{candidate}           hash: `SPAN:n` answers, `SPAN:s` their scores in millionths
    merit:scores:{candidate}:SPAN        hash: an answer's number -> its last score
    merit:accuracy-changes:{all}         sorted set: a candidate's mark -> when its sums changed, Redis' clock

Redis holds the truth; this pod's tallies are its copy. While Redis is away a score counts here at once, and is booked
there when it is back: twice does no harm.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from merit_dataplane.feedback.answer_id import Labels, mark_of
from merit_dataplane.feedback.book import Kept, Pending, Tallies, spans_of, take_up
from merit_dataplane.feedback.resolve import LONGEST_SECONDS, Answer
from merit_dataplane.feedback.tally import HALF_LIVES, LONGEST_HALF_LIFE_SECONDS, SPAN_SECONDS, Tally, span_of
from merit_dataplane.shared_state import Budget, Script, SharedState, SharedStateUnavailableError
from merit_dataplane.wire.errors import RequestError

log = logging.getLogger("merit.feedback")
_SECONDS = 1.0
"""A score may wait so long: nobody's answer does."""
_MOST_PENDING = 10_000
_OVERLAP_MS = 15_000
"""Notes of changes are written after the change, by a queue: a look goes back so far."""
_SUMS_MS = HALF_LIVES * LONGEST_HALF_LIFE_SECONDS * 1000
_SCORES_MS = (LONGEST_SECONDS + SPAN_SECONDS) * 1000
_RECORD = Script("""
local before = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
local answers = redis.call('HINCRBY', KEYS[1], ARGV[3] .. ':n', before and 0 or 1)
redis.call('HINCRBY', KEYS[1], ARGV[3] .. ':s', ARGV[2] - (before or 0))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if answers == 1 then
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if tonumber(string.match(name, '^%d+')) < tonumber(ARGV[4]) then redis.call('HDEL', KEYS[1], name) end
  end
end
local reply = redis.call('HGETALL', KEYS[1])
table.insert(reply, 1, before or '')
return reply
""")
_SUMS = Script("return redis.call('HGETALL', KEYS[1])", writes=False)
_CHANGED = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
""")
_CHANGES = Script(
    """
local time = redis.call('TIME')
local reply = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf')
table.insert(reply, 1, tostring(time[1] * 1000 + math.floor(time[2] / 1000)))
return reply
""",
    writes=False,
)


class SharedBook:
    """Of one pod. Its tallies are replaced by Redis' own as they change there."""

    def __init__(self, state: SharedState, tallies: Tallies, marks: Mapping[str, Labels]):
        self._state, self._tallies, self._marks = state, tallies, marks
        self._pending: dict[str, Pending] = {}
        self._looked = 0
        """Redis' clock at the last look for changes, in milliseconds."""

    @property
    def pending(self) -> int:
        """As Book's."""
        return len(self._pending)

    async def put(self, answer: Answer, score: int) -> int | None:
        """As Book's."""
        given = Pending(answer.labels, answer.id.answered_at, answer.id.number, score)
        try:
            return await self._book(given)
        except SharedStateUnavailableError as error:
            waiting = self._pending.get(given.number)
            if waiting is None and len(self._pending) >= _MOST_PENDING:
                raise RequestError(
                    503,
                    f"{_MOST_PENDING} scores wait for Redis, which is away. Send this one again later.",
                    kind="server_error",
                    code="feedback_full",
                    headers=((b"retry-after", b"30"),),
                ) from error
            before = waiting.score if waiting is not None else None
            self._tallies.setdefault(given.labels, Tally()).score(given.answered_at, score, before)
            self._pending[given.number] = given
            return before

    async def follow(self) -> Iterable[Labels]:
        """As Book's. First of all what waits is booked."""
        changed: dict[Labels, None] = {}
        try:
            for given in list(self._pending.values()):
                await self._book(given)
                changed[given.labels] = None
                if self._pending.get(given.number) == given:
                    del self._pending[given.number]
            since = max(0, self._looked - _OVERLAP_MS)
            now, *marks = await self._run(_CHANGES, [self._changes()], [since])
            for labels in [self._marks[m.decode()] for m in marks if m.decode() in self._marks]:
                sums = await self._run(_SUMS, [self._sums(labels)], [])
                if sums and self._replace(labels, sums):
                    changed[labels] = None
            self._looked = int(now)
        except SharedStateUnavailableError as error:
            log.debug("scores of other pods are not read: %s", error.reason)
        return changed

    def everything(self) -> None:
        """As Book's."""
        self._looked = 0

    def kept(self) -> Kept:
        """As Book's."""
        return Kept(tallies=spans_of(self._tallies), pending=list(self._pending.values()))

    def load(self, kept: Kept) -> None:
        """As Book's. What is kept counts until Redis says better."""
        take_up(self._tallies, kept)
        self._pending.update((given.number, given) for given in kept.pending)

    async def _book(self, given: Pending) -> int | None:
        span = span_of(given.answered_at)
        oldest = span - _SUMS_MS // 1000 // SPAN_SECONDS
        keys = [self._sums(given.labels), self._state.key("scores", "\0".join(given.labels), str(span))]
        reply = await self._run(_RECORD, keys, [given.number, given.score, span, oldest, _SUMS_MS, _SCORES_MS])
        before, *sums = reply
        self._replace(given.labels, sums)
        self._state.later(_CHANGED, [self._changes()], [mark_of(given.labels), _SUMS_MS])
        return int(before) if before else None

    async def _run(self, script: Script, keys: Sequence[bytes], args: Sequence[str | int]) -> list[bytes]:
        reply = await self._state.run(script, keys, args, budget=Budget(_SECONDS))
        if not isinstance(reply, list):
            raise SharedStateUnavailableError("wrong_type")
        return reply

    def _replace(self, labels: Labels, sums: Sequence[bytes]) -> bool:
        """Whether that is anything new."""
        spans: dict[int, list[int]] = {}
        for name, value in zip(sums[::2], sums[1::2], strict=True):
            span, _, what = name.decode().partition(":")
            spans.setdefault(int(span), [0, 0])["ns".index(what)] = int(value)
        tally = Tally.of({span: (answers, score) for span, (answers, score) in spans.items()})
        known = self._tallies.get(labels)
        self._tallies[labels] = tally
        return known is None or known.spans != tally.spans

    def _sums(self, labels: Labels) -> bytes:
        return self._state.key("accuracy", "\0".join(labels))

    def _changes(self) -> bytes:
        return self._state.key("accuracy-changes", "all")
