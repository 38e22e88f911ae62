"""The stems stage: the beginning that a request's answer is given, and what an answer teaches.

used         a model wrote the rest
held_out     a stem would have been used: the answer is made without it, and held against it
refused      a model would not go on from it, and was asked for all of the answer
repeated     a model wrote the beginning once more: nothing was saved
unused       nobody in the merit order took it, or who did failed
none         no stem is open for the question: its answer may teach one
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING

from merit_crds.pricing import price_details
from merit_dataplane.caching.controls import controls
from merit_dataplane.caching.purges import Purges
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.snapshots.stems_plan import StemsPlan
from merit_dataplane.snapshots.tables import Headers, RoutePlan
from merit_dataplane.stems.choosing import chosen, taught
from merit_dataplane.stems.eligible import digest, question_of
from merit_dataplane.stems.gate import worst
from merit_dataplane.stems.learning import Terms, Told, scored
from merit_dataplane.stems.library import TAG_BYTES, Known, Library
from merit_dataplane.stems.opening import openings
from merit_dataplane.stems.record import Pool, Record
from merit_dataplane.stems.stemming import Stem, Stemming
from merit_dataplane.wire.openai_request import Call

if TYPE_CHECKING:
    from merit_dataplane.shared_state import Budget, SharedState

_TOKENS_PER_CHARACTER = 0.25
"""Where nobody has counted."""
_MOST_OWNERS = 10_000
_LEAST_ACCURACY = 0.5
"""Of a model of which nothing is stated or known."""


class Stems:
    """Of one process."""

    def __init__(self, library: Library, ledger: Ledger, purges: Purges, state: "SharedState | None" = None):
        self.library, self._ledger, self._purges, self._state = library, ledger, purges, state
        self._routes: dict[bytes, str] = {}
        """By owner."""
        self.chance: Callable[[], float] = random.Random().random  # noqa: S311 # whom to hold out, not a secret

    async def look(  # what a request is looked at by
        self, exchange: Exchange, plan: StemsPlan, route: RoutePlan, call: Call, headers: Headers
    ) -> Stemming | None:
        """The request's part. None: it has none. Raises RequestError (400) for controls that make no sense."""
        consumer, asked = exchange.consumer, controls(headers, call.given.get("cache"))
        if not asked.writes or asked.ttl < inf or exchange.forced_tier or call.steering is not None or consumer is None:
            return None
        said = question_of(call)
        if said is None:
            return None
        whose = (b"all",) if plan.shared else (b"own", *consumer.cache_scope)
        named = sorted(header for header in headers if header[0] in plan.headers) if plan.headers else ()
        given = (part for header in named for part in header)
        owner = digest((*plan.scope, *whose, asked.namespace.encode("utf-8", "surrogatepass"), *given))[:16]
        found = openings(said.text, owner + said.context, plan.normalise)
        if not found:
            return None
        self._routes[owner] = route.key
        if len(self._routes) > _MOST_OWNERS:
            self._routes.pop(next(iter(self._routes)))
        known = await self.library.look(owner, [opening.key for opening in found], lambda: self._budget(exchange))
        stemming = Stemming(owner, found)
        if not asked.reads or asked.max_age < inf:
            return stemming
        left = self._unpurged(known, plan, route, consumer.key)
        stem = chosen(stemming.openings, left, _terms(plan), time.time())
        if stem is None or 0 < call.output_limit <= stem.tokens:
            self._ledger.stems[route.key, "none"] += 1
        elif self.chance() < plan.held_out:
            self._ledger.stems[route.key, "held_out"] += 1
        else:
            stemming.stem = stem
        return stemming

    def answered(self, exchange: Exchange, plan: StemsPlan, route: RoutePlan, text: str) -> None:
        """The answer has gone out; `text` is empty where it says nothing of beginnings."""
        stemming, usage = exchange.stemming, exchange.usage
        if stemming is None:
            return
        if stemming.stem is not None:
            self._ledger.stems[route.key, stemming.result] += 1
            if stemming.used:
                self._account(exchange, stemming, stemming.stem, route)
                self.library.announce(stemming.owner, stemming.stem.key, plan.seconds)
                return
        well = exchange.status == 200 and not exchange.error and not exchange.lost
        if text and usage is not None and well:
            counted = bool(usage.output) and not exchange.estimated
            tokens = min(1.0, usage.output / len(text)) if counted else _TOKENS_PER_CHARACTER
            consumer = exchange.consumer.key if exchange.consumer is not None else ""
            self._learn(stemming, Told(text, tokens, stemming.question), plan, route, consumer)

    async def score(self, route: RoutePlan, number: str, score: float, accuracy: float) -> None:
        """An answer was scored; if it was by stem, that says something of its stem. `number`: of its id."""
        plan = route.stems
        place = await self.library.named(bytes.fromhex(number[-2 * TAG_BYTES :])) if plan is not None else None
        if place is None or plan is None:
            return
        owner, key = place

        def how(known: Known) -> Known:
            record = known.records.get(key)
            if record is None or not record.beginning:
                return known
            return _with(known, {key: scored(record, score, accuracy or _LEAST_ACCURACY, time.time())})

        self.library.change(owner, (key,), how, plan.seconds)

    def _learn(self, stemming: Stemming, told: Told, plan: StemsPlan, route: RoutePlan, consumer: str) -> None:
        keys = tuple(self.library.asked_again([opening.key for opening in stemming.openings]))
        again = [opening for opening in stemming.openings if opening.key in keys]

        def how(known: Known) -> Known:
            return taught(self._unpurged(known, plan, route, consumer), again, told, _terms(plan), time.time())

        if keys:
            self.library.change(stemming.owner, keys, how, plan.seconds)

    def _unpurged(self, known: Known, plan: StemsPlan, route: RoutePlan, consumer: str) -> Known:
        """Without what was ended; of stems that all consumers share, only their route's purge ends some."""
        whose = "" if plan.shared else consumer
        left = {
            key: record
            for key, record in known.records.items()
            if not self._purges.ended(record.created, route.key, whose)
        }
        return known if len(left) == len(known.records) else known._replace(records=left)

    def _account(self, exchange: Exchange, stemming: Stemming, stem: Stem, route: RoutePlan) -> None:
        usage, charge = exchange.usage, exchange.charge
        if not stemming.saves or usage is None or charge is None:
            return
        self._ledger.saved_tokens[route.key, "stems", "not_generated"] += stem.tokens
        self._ledger.stem_tokens_sent[route.key] += stem.tokens
        sent = min(stem.tokens, usage.uncached_input)
        without = usage._replace(output=usage.output + stem.tokens, uncached_input=usage.uncached_input - sent)
        exchange.saved = max(0, price_details(charge, without).total - price_details(charge, usage).total)
        self._ledger.saved[route.key] += exchange.saved

    def _budget(self, exchange: Exchange) -> "Budget":
        if self._state is None:
            raise AssertionError("only what pods share is waited for")
        return exchange.shared(self._state)

    def census(self) -> tuple[Counter[tuple[str, str]], dict[str, float]]:
        """Openings by route and state, and by route the worst agreement of its owners' held-out answers."""
        states: Counter[tuple[str, str]] = Counter()
        agreement: dict[str, float] = {}
        for owner, value in self.library.everything():
            route = self._routes.get(owner)
            if route is None:
                continue
            if isinstance(value, Pool):
                agreement[route] = min(worst(value), agreement.get(route, 1.0))
            else:
                states[route, "open" if value.open else "trial" if value.beginning else "learning"] += 1
        return states, agreement

    async def close(self) -> None:
        """Ends what no request waits for."""
        await self.library.close()


def _terms(plan: StemsPlan) -> Terms:
    return Terms(plan.threshold, plan.seconds)


def _with(known: Known, records: Mapping[bytes, Record]) -> Known:
    return known._replace(records={**known.records, **records})
