"""All pods together: the script that decides for them, and how many they are.

A process tells absolute figures: what it has in flight, what it has reserved, what it has spent in each period. So a
report that is lost, late or doubled is put right by the next one; `seq` keeps an old one from undoing a newer. In Redis
there is one hash per consumer:

    p:PROCESS   what that process said last; forgotten after 90 s of silence, and its reservations with it
    i, r        requests in flight and money reserved, of all processes
    s:PERIOD    money spent in a period, of all processes, those that have ended too, without what came back
    w           requests and tokens of the last 60 seconds, by slots of 2
    n           when to look for silent processes next

Money is in nano-dollars there: Lua's numbers are exact up to 2^53, which is 9 million dollars.
"""

import secrets

from merit_dataplane.limits.account import Grant, Limit, Refusal, Spending, UsageAccount
from merit_dataplane.limits.accounts import period_of
from merit_dataplane.shared_state.script import Script

ADMIT = Script("""
local key, me = KEYS[1], 'p:' .. ARGV[1]
local seq, inflight, reserved = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local asks, tokens, cost = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local rpm, tpm, most = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local keep, budgets = tonumber(ARGV[11]), tonumber(ARGV[12])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local fields = {me, 'i', 'r', 'w', 'n'}
for b = 0, budgets - 1 do fields[#fields + 1] = 's:' .. ARGV[13 + 4 * b] end
local got = redis.call('HMGET', key, unpack(fields))
local mine = got[1] and cmsgpack.unpack(got[1]) or {0, 0, 0, 0, {}}
local all_inflight, all_reserved = tonumber(got[2] or 0), tonumber(got[3] or 0)

local newer = seq > mine[1]
if newer then
  all_inflight, all_reserved = all_inflight + inflight - mine[3], all_reserved + reserved - mine[4]
  mine[1], mine[3], mine[4] = seq, inflight, reserved
end
mine[2] = now

local told, spent, sets = {}, {}, {}
for b = 0, budgets - 1 do
  local id, own, back = ARGV[13 + 4 * b], tonumber(ARGV[14 + 4 * b]), tonumber(ARGV[16 + 4 * b])
  local before, back_before = mine[5][id] or 0, mine[5]['-' .. id] or 0
  if own < before then own = before end
  if back < back_before then back = back_before end
  told[id] = own
  if back > 0 then told['-' .. id] = back end
  spent[b] = tonumber(got[6 + b] or 0) + own - before - back + back_before
  sets[#sets + 1] = 's:' .. id
  sets[#sets + 1] = spent[b]
end
mine[5] = told

local slot = math.floor(now / 2000)
local w = got[4] and cmsgpack.unpack(got[4])
if not w then w = {slot, {}, {}}; for s = 1, 31 do w[2][s], w[3][s] = 0, 0 end end
for s = math.max(w[1] + 1, slot - 30), slot do w[2][s % 31 + 1], w[3][s % 31 + 1] = 0, 0 end
if slot < w[1] then slot = w[1] end
w[1] = slot
local requests, used = 0, 0
for s = 1, 31 do requests, used = requests + w[2][s], used + w[3][s] end

local function wait(counts, excess)
  for s = slot - 30, slot do
    excess = excess - counts[s % 31 + 1]
    if excess <= 0 then return math.max(0, (s + 31) * 2000 - now) end
  end
  return 62000
end

local verdict, pause = 0, 0
if asks == 1 then
  for b = 0, budgets - 1 do
    local amount = tonumber(ARGV[15 + 4 * b])
    if verdict == 0 and amount >= 0 and spent[b] + all_reserved > amount then verdict = 10 + b end
  end
  if verdict > 0 then -- a budget
  elseif rpm > 0 and requests + 1 > rpm then verdict, pause = 1, wait(w[2], requests + 1 - rpm)
  elseif tpm > 0 and used + tokens > tpm then verdict, pause = 2, wait(w[3], used + tokens - tpm)
  elseif most > 0 and all_inflight > most then verdict, pause = 3, 1000 end
end
if verdict == 0 then
  local s = slot % 31 + 1
  w[2][s], w[3][s] = w[2][s] + asks, w[3][s] + tokens
  requests, used = requests + asks, used + tokens
elseif newer then
  all_inflight, all_reserved = all_inflight - 1, all_reserved - cost
  mine[3], mine[4] = mine[3] - 1, mine[4] - cost
end

if now > tonumber(got[5] or 0) then
  sets[#sets + 1] = 'n'
  sets[#sets + 1] = now + 20000
  local all = redis.call('HGETALL', key)
  for f = 1, #all, 2 do
    local field, start = all[f], string.sub(all[f], 1, 2)
    if start == 'p:' and field ~= me then
      local other = cmsgpack.unpack(all[f + 1])
      if other[2] + 90000 < now then
        all_inflight, all_reserved = all_inflight - other[3], all_reserved - other[4]
        redis.call('HDEL', key, field)
      end
    elseif start == 's:' and tonumber(string.match(field, '%d+$')) * 1000 + 3600000 < now then
      redis.call('HDEL', key, field)
    end
  end
end
local packed, window = cmsgpack.pack(mine), cmsgpack.pack(w)
redis.call('HSET', key, me, packed, 'i', all_inflight, 'r', all_reserved, 'w', window, unpack(sets))
redis.call('PEXPIRE', key, keep)
local reply = {verdict, pause, requests, used, all_inflight, all_reserved}
for b = 0, budgets - 1 do reply[#reply + 1] = spent[b] end
return reply
""")
_NANO = 1000
"""Pico-dollars of a nano-dollar."""
_DAY_MS = 86_400_000
_VERDICTS = {1: Limit.REQUESTS, 2: Limit.TOKENS, 3: Limit.CONCURRENT}
_BUDGETS = 10
Asked = list[tuple[Spending, int, int, int]]


class Fleet:
    """What one process says and knows of all."""

    def __init__(self) -> None:
        self.process = secrets.token_hex(8)
        """By which the others' figures are told from ours."""
        self.pods = 1
        """Data-plane pods, as the operator says."""
        self._seq = 0

    def arguments(self, account: UsageAccount, grant: Grant | None, checked: int) -> list[str | int]:
        """What the script is given for a request, or with None for a report. `checked`: bits of budgets that refuse."""
        self._seq += 1
        limits = account.limits
        tokens = account.settled_tokens
        if grant is None:
            account.settled_tokens = 0
        asks, expected, cost = (0, tokens, 0) if grant is None else (1, grant.tokens, grant.cost // _NANO)
        keep = _DAY_MS * (33 if any(b.terms.months for b in account.budgets) else 2)
        made: list[str | int] = [
            self.process, self._seq, account.in_flight, account.reserved // _NANO, asks, expected, cost,
            limits.requests, limits.tokens, limits.concurrent, keep, len(account.budgets),
        ]  # fmt: skip
        for place, budget in enumerate(account.budgets):
            amount = budget.terms.amount // _NANO if checked >> place & 1 else -1
            own = (budget.spent - budget.inherited) // _NANO
            made += [period_of(budget), own, amount, budget.refunded // _NANO]
        return made

    def asked(self, account: UsageAccount) -> Asked:
        """What this pod has spent at the moment of asking, for `understood`."""
        return [(budget, budget.span.end, budget.own, self._seq) for budget in account.budgets]

    @staticmethod
    def understood(reply: object, grant: Grant, asked: Asked, wall: float) -> Refusal | None:
        """What the script said of a request. Raises ValueError for what it never says."""
        if not isinstance(reply, list) or len(reply) != 6 + len(asked) or not all(isinstance(x, int) for x in reply):
            raise ValueError("the script's reply has another form")
        verdict, pause, requests, tokens = reply[:4]
        for (budget, end, own, at), total in zip(asked, reply[6:], strict=True):
            if budget.span.end == end:  # no midnight has passed meanwhile
                budget.know(total * _NANO, own, at)
        limits = grant.account.limits
        grant.remaining = (max(0, limits.requests - requests), max(0, limits.tokens - tokens))
        if not verdict:
            return None
        if verdict >= _BUDGETS:
            place = verdict - _BUDGETS
            return Refusal(Limit.BUDGET, asked[place][1] - wall, place)
        return Refusal(_VERDICTS[verdict], pause / 1000)
