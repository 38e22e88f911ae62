"""A bank's support desk: which question comes when, and which questions only look alike.

Questions are Banking77's and NLU++'s own wordings, arrivals those of Azure's conversation trace of 2023. Of questions
of a general kind the intent is drawn by Zipf's law, then one of its wordings by the same law, with an exponent from
the range that L. Breslau et al. (INFOCOM 1999) found for what people ask web caches for: 0.64 to 0.83. The others name
something of the customer's own, and never come again but when they are sent twice.
"""

import csv
import json
import random
import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

EXPONENT = 0.75
OWN_SHARE = 0.5
"""Of requests that name something of the customer's own: an assumption, no source."""
RETRY_SHARE, RETRY_SECONDS = 0.02, 5.0
"""Of requests that a client sends again at once, and within which time: an assumption, no source."""
STREAM_SHARE = 0.5
_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[a-z']+")
_NEGATIONS = (
    (" can ", " can't "), (" am ", " am not "), (" is ", " isn't "),
    (" was ", " wasn't "), (" did ", " didn't "), (" have ", " haven't "),
    (" do ", " don't "), (" will ", " won't "), (" should ", " shouldn't "), (" has ", " hasn't "),
)  # fmt: skip


class Asked(NamedTuple):
    """One request."""

    at: float
    """Seconds of the trace."""
    text: str
    stream: bool


class Pair(NamedTuple):
    """Two questions with different answers."""

    kind: str
    one: str
    other: str


def wordings(folder: Path) -> list[list[str]]:
    """Banking77's distinct wordings of each intent, the intent with most of them first. `folder`: that of data/faq."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for name in ("train", "test"):
        with (folder / f"banking77/banking_data/{name}.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                found[row["category"]][row["text"].strip()] = None
    return sorted((list(texts) for texts in found.values()), key=len, reverse=True)


def own_wordings(folder: Path) -> list[list[str]]:
    """NLU++'s of the banking domain, by their combination of intents."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for path in sorted((folder / "nlupp/nlupp/data/banking").glob("*.json")):
        for example in json.loads(path.read_text()):
            found["+".join(sorted(example.get("intents", ["none"])))][example["text"].strip()] = None
    return [list(texts) for texts in found.values()]


def arrivals(folder: Path, count: int) -> list[float]:
    """Seconds since the first, of the trace's first requests. `folder`: that of data/traces."""
    with (folder / "azure2023/data/AzureLLMInferenceTrace_conv.csv").open(newline="") as file:
        stamps = [row["TIMESTAMP"][:26] for _, row in zip(range(count), csv.DictReader(file), strict=False)]
    times = [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]
    return [at - times[0] for at in times]


def requests(
    folder: Path, times: list[float], *, exponent: float = EXPONENT, own_share: float = OWN_SHARE, seed: int = 1
) -> list[Asked]:
    """In the order of time. A retry is one of the requests, not one more. `folder`: that of data/faq."""
    intents, own = wordings(folder), [text for texts in own_wordings(folder) for text in texts]
    chance = random.Random(seed)
    of_intent = _zipf(len(intents), exponent)
    of_wording = {size: _zipf(size, exponent) for size in {len(texts) for texts in intents}}
    shuffled = [chance.sample(texts, len(texts)) for texts in intents]
    made: list[Asked] = []
    for at in times:
        recent = [asked for asked in made[-64:] if at - asked.at <= RETRY_SECONDS]
        if recent and chance.random() < RETRY_SHARE:
            again = chance.choice(recent)
            made.append(Asked(at, again.text, again.stream))
            continue
        if chance.random() < own_share:
            text = f"{chance.choice(own)} My reference is {chance.randrange(10**8):08}."
            made.append(Asked(at, text, chance.random() < STREAM_SHARE))
            continue
        texts = shuffled[bisect(of_intent, chance.random())]
        text = texts[bisect(of_wording[len(texts)], chance.random())]
        made.append(Asked(at, text, chance.random() < STREAM_SHARE))
    return made


def repeated(asked: Iterable[Asked], ttl: float) -> float:
    """Share of requests whose very words came before, no longer than `ttl` after an answer was fetched: the most that
    any exact cache can save."""
    fetched: dict[str, float] = {}
    total = again = 0
    for one in asked:
        total += 1
        if one.at - fetched.get(one.text, -ttl) < ttl:
            again += 1
        else:
            fetched[one.text] = one.at
    return again / total


def pairs(folder: Path, each: int = 200) -> list[Pair]:
    """At most `each` of a kind; labelled by the data sets' intents, or made by changing what matters."""
    intents = [*wordings(folder), *own_wordings(folder)]
    labelled = [(text, label) for label, texts in enumerate(intents) for text in texts]
    chance = random.Random(2)
    chance.shuffle(labelled)
    numbers = (Pair("another number", text, _other_number(text)) for text, _ in labelled if _NUMBER.search(text))
    negated = (Pair("negation", text, other) for text, _ in labelled if (other := _negated(text)) != text)
    kinds = (numbers, negated, _alike(labelled))
    return [pair for kind in kinds for pair, _ in zip(kind, range(each), strict=False)]


def _other_number(text: str) -> str:
    return _NUMBER.sub(lambda found: str(int(found.group()) + 1), text, count=1)


def _negated(text: str) -> str:
    lead, tail = next(((a, b) for a, b in _NEGATIONS if a in text), ("", ""))
    return text.replace(lead, tail, 1) if lead else text


def _alike(labelled: list[tuple[str, int]]) -> Iterator[Pair]:
    """Questions that share at least 70 % of their words and are of different intents."""
    words = [frozenset(_WORD.findall(text.lower())) for text, _ in labelled]
    holders: dict[str, list[int]] = defaultdict(list)
    for place, found in enumerate(words):
        for word in found:
            holders[word].append(place)
    for place, found in enumerate(words):
        if not found:
            continue
        rarest = sorted(found, key=lambda word: len(holders[word]))[:2]
        near = {other for word in rarest for other in holders[word] if other > place}
        for other in sorted(near):
            common = len(found & words[other]) / len(found | words[other])
            if common >= 0.7 and labelled[place][1] != labelled[other][1]:
                yield Pair("another intent", labelled[place][0], labelled[other][0])
                break


def _zipf(count: int, exponent: float) -> list[float]:
    """Cumulated shares of the ranks; the last is above 1, so that every draw finds one."""
    weights = list(accumulate(rank**-exponent for rank in range(1, count + 1)))
    return [weight / weights[-1] for weight in weights[:-1]] + [1.1]
