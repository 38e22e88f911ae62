"""Circuits and cool-downs of all pods, through Redis. No request ever waits for it: pods write when something changes,
and read once a second what has.

    merit:health:{all}:ID         hash, of a circuit: `o:PROCESS` -> `KIND:UNTIL`, `c` -> when it closed, `p` -> prober
                                  of an account: `u` -> `KIND:UNTIL`
    merit:health-changes:{all}    sorted set: ID -> when it changed

Times there are Redis' own clock, in milliseconds. ID is a hash: nobody reads a name or a URL in it. All keys are in one
slot and expire. What a pod makes of the reports: `reports`.

**Probes**: while Redis answers, a circuit that is half open is probed by one pod at a time, one that has requests for
it; its success is told to all, its failure too. While it doesn't, each pod probes by itself.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from merit_dataplane.live import Live
from merit_dataplane.resilience.account import RATE_LIMITED, AccountLimits
from merit_dataplane.resilience.circuit import Circuit, Evidence
from merit_dataplane.resilience.reports import LONGEST_MS, Kind, Word, judged, paused
from merit_dataplane.shared_state import Budget, Script, SharedState, SharedStateUnavailableError

log = logging.getLogger("merit.health")
_EVERY_SECONDS = 1.0
_FIRST_SECONDS = 0.1
"""Until the first look: a pod that begins is to know at once."""
_SECONDS = 0.25
"""One look may wait so long: nobody waits for it."""
_KEPT_MS = 2 * LONGEST_MS
_OVERLAP_MS = 2_000
_LEASE_MS = 3_000
_LED_SECONDS = 3.0
"""As long as the last look is no older, probes need leave."""
_WANTED_SECONDS = 2.0
_AT_ONCE = 100
_MOST_CHANGES = 2_000
_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
_CHANGED = f"""
redis.call('PEXPIRE', KEYS[1], {_KEPT_MS})
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - {_KEPT_MS})
redis.call('PEXPIRE', KEYS[2], {_KEPT_MS})
return 1
"""
_REPORT = Script(
    _NOW
    + """
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'o:' and (tonumber(string.match(all[i + 1], '%d+$')) or 0) < now then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
redis.call('HDEL', KEYS[1], 'c', 'p')
redis.call('HSET', KEYS[1], 'o:' .. ARGV[2], ARGV[3] .. ':' .. string.format('%.0f', now + ARGV[4]))
"""
    + _CHANGED
)
_CLOSED = Script(
    _NOW
    + """
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'c', string.format('%.0f', now))
"""
    + _CHANGED
)
_PAUSED = Script(
    _NOW
    + """
local before = tonumber(string.match(redis.call('HGET', KEYS[1], 'u') or '', '%d+$')) or 0
if before >= now + ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'u', ARGV[2] .. ':' .. string.format('%.0f', now + ARGV[3]))
"""
    + _CHANGED
)
_PROBE = Script(
    _NOW
    + f"""
local holder = redis.call('HGET', KEYS[1], 'p') or ''
local until_ms = tonumber(string.match(holder, '%d+$')) or 0
if until_ms > now and string.match(holder, '^(.*):%d+$') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'p', ARGV[1] .. ':' .. string.format('%.0f', now + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], {_KEPT_MS})
return 1
"""
)
_CHANGES = Script(
    _NOW
    + f"""
local reply = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', ARGV[1], 'LIMIT', 0, {_MOST_CHANGES})
table.insert(reply, 1, string.format('%.0f', now))
return reply
""",
    writes=False,
)
_READ = Script(
    _NOW
    + """
local reply = {string.format('%.0f', now)}
for _, key in ipairs(KEYS) do
  reply[#reply + 1] = redis.call('TYPE', key).ok == 'hash' and redis.call('HGETALL', key) or {}
end
return reply
""",
    writes=False,
)


class Pods(Protocol):
    """Of how many processes this is one, and its name among them."""

    process: str
    pods: int


class SharedHealth:
    """Of one process. It has to be made before the first snapshot."""

    def __init__(self, state: SharedState, live: Live, fleet: Pods, events: Counter[str]):
        self._state, self._live, self._fleet = state, live, fleet
        self._loop = asyncio.get_running_loop()
        self._changes = state.key("health-changes", "all")
        self._looked = 0
        """Redis' clock at the last look, in milliseconds."""
        self._circuits: dict[str, Circuit] = {}
        self._accounts: dict[str, AccountLimits] = {}
        self._stale = True
        """There is another snapshot since the names were made."""
        self._open: dict[str, Circuit] = {}
        self._recoveries: dict[str, int] = {}
        self._hears: dict[str, tuple[float, bool]] = {}
        self._events = events
        """For metrics."""
        live.circuit_news, live.account_news = self._circuit_changed, self._account_changed

    # ---- what this pod tells

    def _circuit_changed(self, circuit: Circuit) -> None:
        if circuit.place is None:
            return
        name = circuit_id(circuit)
        keys, now = [self._key(name), self._changes], self._loop.time()
        if not circuit.open_until:
            self._open.pop(name, None)
            self._events["recovery_told"] += 1
            self._state.later(_CLOSED, keys, [name])
            return
        self._open[name] = circuit
        kind = Kind.TOLD
        if circuit.evidence is Evidence.SILENCE:
            kind = Kind.SILENT if self._hears_others(circuit, now) else Kind.DEAF
        milliseconds = min(LONGEST_MS, max(1, int((circuit.open_until - now) * 1000)))
        self._events[f"opened_{kind}"] += 1
        self._state.later(_REPORT, keys, [name, self._fleet.process, kind, milliseconds])

    def _account_changed(self, account: AccountLimits) -> None:
        name = account_id(account)
        seconds = account.cooling_until - self._loop.time()
        if seconds <= 0:
            return
        kind = "limited" if account.why == RATE_LIMITED else "refused"
        self._events["pause_told"] += 1
        milliseconds = min(LONGEST_MS, max(1, int(seconds * 1000)))
        self._state.later(_PAUSED, [self._key(name), self._changes], [name, kind, milliseconds])

    def _hears_others(self, circuit: Circuit, now: float) -> bool:
        """Whether somebody at another host has answered this pod a moment ago."""
        host = urlsplit(circuit.place[0][2]).netloc if circuit.place is not None else ""
        known = self._hears.get(host)
        if known is None or now - known[0] > _EVERY_SECONDS:
            others = (
                other.fresh(now)
                for place, circuits in self._live.all_circuits()
                if urlsplit(place[2]).netloc != host
                for other in circuits.values()
            )
            if len(self._hears) > _AT_ONCE:
                self._hears.clear()
            known = self._hears[host] = (now, any(others))
        return known[1]

    # ---- what it hears

    def renew(self, _: object = None) -> None:
        """There is a new snapshot: of its circuits and accounts all is heard anew."""
        self._stale, self._looked = True, 0

    async def follow(self) -> None:
        """Hears of the other pods, without end."""
        while True:
            try:
                await self.look()
            except SharedStateUnavailableError as error:
                log.debug("circuits of other pods are not read: %s", error.reason)
            await asyncio.sleep(_EVERY_SECONDS if self._looked else _FIRST_SECONDS)

    async def look(self) -> None:
        """Once. Raises SharedStateUnavailableError."""
        reply = await self._run(_CHANGES, [self._changes], [max(0, self._looked - _OVERLAP_MS)])
        now, names = _instant(reply[:1]), [n.decode("ascii", "replace") for n in reply[1:] if isinstance(n, bytes)]
        if names and self._stale:
            await self._name_all()
        known = [name for name in names if name in self._circuits or name in self._accounts]
        for at in range(0, len(known), _AT_ONCE):
            await self._read(known[at : at + _AT_ONCE])
        self._looked = now
        await self._lead()

    async def _read(self, names: Sequence[str]) -> None:
        reply = await self._run(_READ, [self._key(name) for name in names], [])
        at = _instant(reply[:1])
        for name, flat in zip(names, reply[1:], strict=False):
            fields = _fields(flat)
            if name in self._circuits:
                self._heard(name, self._circuits[name], fields, at)
            elif (pause := paused(fields, at)) is not None and account_id(account := self._accounts[name]) == name:
                longer = account.heard_elsewhere(self._loop.time(), pause.seconds, refused=pause.refused)
                self._events["pause_heard"] += longer

    def _heard(self, name: str, circuit: Circuit, fields: Mapping[bytes, bytes], at: int) -> None:
        found, now = judged(fields, self._fleet.process.encode(), self._fleet.pods, at), self._loop.time()
        if found.word is Word.RECOVERED:
            if self._recoveries.get(name) != found.at:
                if len(self._recoveries) > _MOST_CHANGES:
                    self._recoveries.clear()
                self._recoveries[name] = found.at
                self._events["recovery_heard"] += bool(circuit.open_until)
                circuit.recovered(now)
        elif found.word is Word.SUSPECT:
            if not circuit.open_until:
                circuit.suspect(now, found.seconds)
                self._events["suspected"] += 1
        elif found.word is Word.OPEN:
            reason = "errors" if found.told else "no answers"
            if circuit.heard(now, found.seconds, reason):
                self._events["believed"] += 1
            if circuit.open_until:
                self._open[name] = circuit

    async def _lead(self) -> None:
        """Of circuits that may be probed: asks for leave where requests want them."""
        asked = 0
        for name, circuit in list(self._open.items()):
            now = self._loop.time()
            if not circuit.open_until:
                del self._open[name]
                continue
            circuit.led_until = now + _LED_SECONDS
            wanted = now - circuit.wanted_at < _WANTED_SECONDS or now < circuit.probe_until
            if now + _EVERY_SECONDS < circuit.open_until or not wanted or asked >= _AT_ONCE:
                continue
            asked += 1
            granted = await self._state.run(
                _PROBE, [self._key(name)], [self._fleet.process, _LEASE_MS], budget=Budget(_SECONDS)
            )
            if granted == 1:
                circuit.leave_until = self._loop.time() + _LEASE_MS / 1000
                self._events["probe"] += 1

    # ---- names

    async def _name_all(self) -> None:
        """Those of the snapshot in force; others are none of ours."""
        self._stale = False
        circuits: dict[str, Circuit] = {}
        for _, by_model in self._live.all_circuits():
            for circuit in list(by_model.values()):
                if circuit.place is not None:
                    circuits[circuit_id(circuit)] = circuit
            await asyncio.sleep(0)  # 40,000 take a while
        self._circuits = circuits
        self._accounts = {account_id(account): account for account in self._live.all_accounts()}

    def _key(self, name: str) -> bytes:
        return self._state.key("health", "all", name)

    async def _run(self, script: Script, keys: Sequence[bytes], args: Sequence[str | int]) -> list[object]:
        reply = await self._state.run(script, keys, args, budget=Budget(_SECONDS))
        if not isinstance(reply, list):
            raise SharedStateUnavailableError("wrong_type")
        return reply


def circuit_id(circuit: Circuit) -> str:
    """The same in all pods with the same resources."""
    if circuit.place is None:
        raise AssertionError("only circuits that have a place are shared")
    at, model = circuit.place
    return _hashed("circuit", *at, model)


def account_id(account: AccountLimits) -> str:
    """The same in all pods with the same key: what was said of another one says nothing."""
    return _hashed("account", account.key, account.credential)


def _hashed(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _instant(reply: Sequence[object]) -> int:
    if not reply or not isinstance(reply[0], bytes) or not reply[0].isdigit():
        raise SharedStateUnavailableError("wrong_type")
    return int(reply[0])


def _fields(flat: object) -> dict[bytes, bytes]:
    if not isinstance(flat, list):
        return {}
    pairs = zip(flat[::2], flat[1::2], strict=False)
    return {name: value for name, value in pairs if isinstance(name, bytes) and isinstance(value, bytes)}
