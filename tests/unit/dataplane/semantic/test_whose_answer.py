"""Tries to get somebody else's answer with an embedder for which all questions are the same.

The vendor gives each call a number of its own. Whoever is told a number must be somebody who may share it, have said
the same of everything but the question, and in that the same numbers, names, dates, negations and currencies.
"""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support.embedder import direction, embedder
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, candidate, consumer, prices, provider, route, route_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEYS = {name: f"key-of-consumer-{name}-0123456789" for name in ("a", "ab", "b", "a-b")}
ROUTES = {"own": "", "owned": "", "shared": ", scope: Route"}
"""Model and cache of each route; in the last all consumers share."""
NAMES = sorted({*KEYS, *ROUTES, *(f"default/{name}" for name in KEYS), "0", "a\x00", "\x00a"})
PLAIN = ("how", "do", "i", "change", "the", "card", "of", "my", "account", "please", "app")
MATTERS = ("7", "8", "not", "never", "Bob", "London", "EUR", "$5", "Monday", "tomorrow")
"""Words that are critical in whatever place; the others never are."""
TIERS = (
    f"[{{name: best, when: [{{headers: [{{name: X-Plan, value: gold}}]}}, {{lastMessage: account}}], "
    f"candidates: [{candidate('v')}]}}, {{name: rest, candidates: [{candidate('v')}]}}]"
)


@dataclass(frozen=True)
class Asked:
    """One request."""

    consumer: str
    model: str
    words: tuple[str, ...]
    before: tuple[str, ...]
    more: tuple[tuple[str, Any], ...]
    headers: tuple[tuple[str, str], ...]
    namespace: str
    stream: bool

    @property
    def told_apart_by(self) -> str:
        """Equal only for requests that may get the same answer."""
        owner = "" if ROUTES[self.model] else self.consumer
        matters = [word for word in self.words if word in MATTERS]
        best = dict(self.headers).get("x-plan") == "gold" or "account" in self.words
        parts = [owner, self.model, matters, self.before, self.more, self.headers, best, self.namespace]
        return json.dumps(parts)

    async def of(self, merit: Running) -> httpx.Response:
        """The answer."""
        messages = [{"role": "system", "content": said} for said in self.before]
        messages.append({"role": "user", "content": "so " + " ".join(self.words)})
        body = {"model": self.model, "messages": messages, "stream": self.stream, **dict(self.more)}
        if self.namespace:
            body["cache"] = {"namespace": self.namespace}
        headers = {"authorization": f"Bearer {KEYS[self.consumer]}", **dict(self.headers)}
        return await merit.http.post(f"{merit.url}/v1/chat/completions", json=body, headers=headers)


WORDS = st.lists(st.sampled_from(PLAIN) | st.sampled_from(MATTERS), min_size=1, max_size=6).map(tuple)
ASKED = st.builds(
    Asked,
    consumer=st.sampled_from(sorted(KEYS)),
    model=st.sampled_from(sorted(ROUTES)),
    words=WORDS,
    before=st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
    more=st.fixed_dictionaries({}, optional={"temperature": st.sampled_from([0.5, 1.5]), "max_tokens": st.just(5)}).map(
        lambda made: tuple(sorted(made.items()))
    ),
    headers=st.sampled_from([(), (("x-plan", "gold"),), (("x-plan", "go"),)]),
    namespace=st.just("") | st.sampled_from(NAMES),
    stream=st.booleans(),
)


def batches() -> st.SearchStrategy[list[Asked]]:
    """Among them nearly the same request by others, on other routes, in other words."""

    def others(one: Asked) -> st.SearchStrategy[list[Asked]]:
        changed = st.builds(
            lambda who, model, words, space, stream: Asked(
                who, model, words, one.before, one.more, one.headers, space, stream
            ),
            st.sampled_from(sorted(KEYS)),
            st.just(one.model) | st.sampled_from(sorted(ROUTES)),
            st.permutations(one.words).map(tuple) | WORDS,
            st.just(one.namespace) | st.sampled_from(NAMES),
            st.booleans(),
        )
        return st.lists(changed, min_size=2, max_size=8).map(lambda made: [one, *made])

    return ASKED.flatmap(others)


@dataclass(repr=False)
class Place:
    """The gateway, and who was told which number, ever."""

    merit: Running
    whom: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    how: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def place() -> AsyncIterator[Place]:
    async with embedder() as at:
        at.embeds = lambda _: direction("whatever")
        documents = [provider("v", at.url), prices("v", "1", "1", capabilities="Streaming"), CONSUMER]
        documents += [provider("e", at.url), prices("e", "1", "0", capabilities="Embeddings")]
        documents += [consumer(name, key) for name, key in KEYS.items()]
        documents.append(route("e", model="embeds", name="embeddings"))
        semantic = 'semantic: {embeddings: embeddings, similarity: "0.5", timeout: 20s}'
        for model, more in ROUTES.items():
            cache = f"cache: {{exact: {{ttl: 1h{more}}}, {semantic}}}"
            documents.append(route_of(TIERS, model=model, name=model, extra=cache))
        async with gateway(*documents) as running:
            place = Place(running)
            yield place
            assert place.how["semantic"] > 15, "it did not try"
            assert place.how["hit"] > 30
            assert place.how["miss"] > 60


@settings(max_examples=60, phases=(Phase.explicit, Phase.reuse, Phase.generate), deadline=None)
@given(batch=batches())
async def test_nobody_is_told_anothers_answer(place: Place, batch: list[Asked]) -> None:
    for _ in range(2):  # at once, and again when all of it is kept
        answers = await asyncio.gather(*(asked.of(place.merit) for asked in batch))
        for asked, answer in zip(batch, answers, strict=True):
            assert answer.status_code == 200, answer.text
            place.how[answer.headers["x-merit-cache"]] += 1
            (number,) = set(re.findall(r"call-\d+", answer.text))
            place.whom[number].add(asked.told_apart_by)
    mixed = {call: sorted(whom) for call, whom in place.whom.items() if len(whom) > 1}
    assert not mixed
