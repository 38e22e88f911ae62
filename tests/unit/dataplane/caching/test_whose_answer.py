"""Tries to get somebody else's answer: consumers, routes, bodies and headers as hostile as hypothesis can make them.

The vendor gives each call a number of its own. Whoever is told a number must have asked the same question as everybody
else who is told it, and be somebody who may share it.
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

from tests.support.gateway import Running, gateway, says, streams
from tests.support.resources import CONSUMER, candidate, consumer, prices, provider, route_of
from tests.support.scripted_vendor import vendor

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEYS = {name: f"key-of-consumer-{name}-0123456789" for name in ("a", "ab", "b", "a-b")}
ROUTES = {"own": "", "owned": "", "shared": ", scope: Route", "share": ", scope: Route"}
"""Model and cache of each route; in the last two all consumers share."""
NAMES = sorted(
    {*KEYS, *ROUTES, *(f"default/{name}" for name in KEYS), "", "0", "a\x00", "\x00a", "x-areaa", "x-plangold"}
)
WORDS = st.sampled_from(NAMES)
PLANS = ("", "gold", "goldgold", "x-plan", "go", "ld")
TIERS = (
    f"[{{name: best, when: [{{headers: [{{name: X-Plan, value: gold}}, {{name: X-Area, value: a}}]}}], "
    f"candidates: [{candidate('v')}]}}, {{name: rest, candidates: [{candidate('v')}]}}]"
)


@dataclass(frozen=True)
class Asked:
    """One request."""

    consumer: str
    model: str
    path: str
    question: dict[str, Any]
    """What can change the answer."""
    aside: dict[str, Any]
    """What can't."""
    headers: dict[str, str]
    namespace: str
    stream: bool

    @property
    def told_apart_by(self) -> str:
        """Equal only for requests that may get the same answer."""
        owner = "" if ROUTES[self.model] else self.consumer
        chosen = [self.headers.get(name, "") for name in ("x-plan", "x-area")]
        parts = [owner, self.model, self.path, self.question, chosen, self.namespace]
        return json.dumps(parts, sort_keys=True)

    async def of(self, merit: Running) -> httpx.Response:
        """The answer."""
        body = {"model": self.model, **self.question, **self.aside}
        if self.namespace:
            body["cache"] = {"namespace": self.namespace}
        if self.stream:
            body["stream"] = True
        return await merit.http.post(
            merit.url + self.path, json=body, headers={"authorization": f"Bearer {KEYS[self.consumer]}", **self.headers}
        )


def questions() -> st.SearchStrategy[dict[str, Any]]:
    contents = WORDS | st.lists(WORDS.map(lambda word: {"type": "text", "text": word}), min_size=1, max_size=2)
    messages = st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": contents}),
        min_size=1,
        max_size=2,
    )
    return st.fixed_dictionaries(
        {"messages": messages},
        optional={
            "seed": st.sampled_from([0, 1, -1, 10]),
            "temperature": st.sampled_from([0.5, 1.5]),
            "stop": WORDS | st.lists(WORDS, max_size=2),
            "x_consumer": WORDS,
        },
    )


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "x-plan": st.sampled_from(PLANS),
        "x-area": st.sampled_from(["", "a", "golda"]),
        "x-consumer": WORDS.filter(str.isprintable),
        "x-api-key": st.sampled_from(sorted(KEYS.values())),
        "x-merit-consumer": st.sampled_from(sorted(KEYS)),
    },
)
ASIDE = st.fixed_dictionaries({}, optional={"user": WORDS, "metadata": st.dictionaries(WORDS, WORDS, max_size=1)})


def asked(path: str, question: st.SearchStrategy[dict[str, Any]], aside: Any) -> st.SearchStrategy[Asked]:
    return st.builds(
        Asked,
        consumer=st.sampled_from(sorted(KEYS)),
        model=st.sampled_from(sorted(ROUTES)),
        path=st.just(path),
        question=question,
        aside=aside,
        headers=HEADERS,
        namespace=st.just("") | WORDS,
        stream=st.booleans(),
    )


ASKED = st.one_of(
    asked("/v1/chat/completions", questions(), ASIDE),
    asked(
        "/v1/messages",
        st.fixed_dictionaries(
            {"messages": WORDS.map(lambda word: [{"role": "user", "content": f"{word}?"}])},
            optional={"temperature": st.sampled_from([0.5, 1.0]), "stop_sequences": st.lists(WORDS, max_size=1)},
        ).map(lambda made: {**made, "max_tokens": 9}),
        st.just({}),
    ),
    asked(
        "/v1/responses",
        st.fixed_dictionaries(
            {"input": WORDS.map(lambda word: f"{word}?")}, optional={"temperature": st.sampled_from([0.5, 1.5])}
        ),
        st.just({}),
    ),
)


def batches() -> st.SearchStrategy[list[Asked]]:
    """At once: among them the same question by others, on other routes, in other namespaces."""

    def others(one: Asked) -> st.SearchStrategy[list[Asked]]:
        changed = st.builds(
            lambda who, model, headers, space, stream: Asked(
                who, model, one.path, one.question, one.aside, headers, space, stream
            ),
            st.sampled_from(sorted(KEYS)),
            st.sampled_from(sorted(ROUTES)),
            st.just(one.headers) | HEADERS,
            st.just(one.namespace) | WORDS,
            st.booleans(),
        )
        return st.lists(changed, min_size=2, max_size=8).map(lambda made: [one, *made])

    return ASKED.flatmap(others)


class Numbering:
    """A vendor whose answers are the numbers of its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, raw: bytes, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        said = f"call-{self.calls}"
        await asyncio.sleep(0.03)  # long enough for others to ask the same
        message, usage = {"role": "assistant", "content": said}, {"prompt_tokens": 1, "completion_tokens": 1}
        if json.loads(raw).get("stream"):
            chunk = {"id": said, "object": "chat.completion.chunk", "created": 1, "model": "v-model"}
            choices = [{"index": 0, "delta": message, "finish_reason": "stop"}]
            events = [{**chunk, "choices": choices}, {**chunk, "choices": [], "usage": usage}]
            body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
            await streams(body)(asyncio.StreamReader(), writer)
        else:
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            told = {"id": said, "object": "chat.completion", "created": 1, "model": "v-model", "choices": choices}
            await says(json.dumps({**told, "usage": usage}).encode())(asyncio.StreamReader(), writer)


@dataclass(repr=False)
class Place:
    """The gateway, and who was told which number, ever."""

    merit: Running
    whom: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    how: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def place() -> AsyncIterator[Place]:
    numbering = Numbering()

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await numbering(seller.asked.pop().raw, writer)

    async with vendor(script) as seller:
        documents = [provider("v", seller.url), prices("v", "1", "1"), CONSUMER]
        documents += [consumer(name, key) for name, key in KEYS.items()]
        for model, more in ROUTES.items():
            documents.append(route_of(TIERS, model=model, name=model, extra=f"cache: {{exact: {{ttl: 1h{more}}}}}"))
        async with gateway(*documents) as running:
            yield Place(running)


@settings(max_examples=60, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(batch=batches())
async def test_nobody_is_told_anothers_answer(place: Place, batch: list[Asked]) -> None:
    for _ in range(2):  # at once, and again when all of it is kept
        answers = await asyncio.gather(*(asked.of(place.merit) for asked in batch))
        for asked, answer in zip(batch, answers, strict=True):
            assert answer.status_code == 200, answer.text
            place.how[answer.headers["x-merit-cache"]] += 1
            place.whom[number(answer)].add(asked.told_apart_by)
    mixed = {call: sorted(whom) for call, whom in place.whom.items() if len(whom) > 1}
    assert not mixed


async def test_it_did_try(place: Place) -> None:
    assert place.how["hit"] > 100
    assert place.how["coalesced"] > 1  # how many meet is chance
    assert place.how["miss"] > 100


def number(answer: httpx.Response) -> str:
    """Of the call that this answer is of."""
    found: set[str] = set(re.findall(r"call-\d+", answer.text))  # however it is told
    assert len(found) == 1, answer.text
    return found.pop()
