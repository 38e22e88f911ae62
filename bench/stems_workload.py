"""A support desk for stems: what is asked, as people write it, and what is answered. Real text, put together by us.

Questions are those of `support_workload`. Greetings and thanks are put around so many of them, and such, as around the
first messages of tau-bench's airline conversations. Answers begin as GPT-4o's did there, and go on with a document of
tau2-bench's banking knowledge base: the one that shares the rarest words with the question's intent.

At temperature 0 GPT-4o gave nearly all, but not all, of those questions that were asked twice the same answer. So a
question is either one whose answers are all the same, or one whose answers begin differently each time.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.support_workload import Asked, own_wordings, wordings
from merit_dataplane.stems.critical import Critical, criticals
from merit_dataplane.stems.wording import canonical, words

SAME = frozenset({"Case", "WhiteSpace", "Punctuation", "Greetings"})
_UNGREETED = SAME - {"Greetings"}
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_MARKS = re.compile(r"[#*`|>_-]{1,}|\s+")
_WORD = re.compile(r"[a-z]{3,}")
_REFERENCE = re.compile(r"\d{6,}")
_MOST_CHARACTERS = 240
"""Of a document: about 60 tokens, FinSync's answers."""


class Recorded(NamedTuple):
    """What the first messages of tau-bench's recorded conversations show."""

    greetings: list[str]
    """What stands before the question, as often as it does."""
    thanks: list[str]
    openers: list[str]
    """First sentences of answers, as often as they were said."""
    messages: int
    greeted: int
    """Messages with a greeting or thanks."""
    pairs: int
    """Pairs of messages that are the same question."""
    same_pairs: int
    """Of these, those whose answers are the same, every character."""
    questions: int
    stable: int
    """Questions that were asked more than once, and those of them whose answers were all the same."""


def recorded(folder: Path) -> Recorded:
    """`folder`: that of data/faq."""
    found = []
    for one in json.loads((folder / "tau_bench/historical_trajectories/gpt-4o-airline.json").read_text()):
        said = one["traj"]
        place = next(i for i, message in enumerate(said) if message["role"] == "user")
        answer = said[place + 1].get("content") if place + 1 < len(said) else None
        if answer and said[place + 1]["role"] == "assistant":
            found.append((said[place]["content"], answer))
    answers: dict[str, list[str]] = defaultdict(list)
    greetings, thanks = [], []
    for question, answer in found:
        answers[canonical(question, SAME)].append(answer)
        lead, tail = _around(question)
        greetings.append(lead)
        thanks.append(tail)
    pairs = [pair for given in answers.values() for pair in combinations(given, 2)]
    again = [given for given in answers.values() if len(given) > 1]
    return Recorded(
        greetings,
        thanks,
        [_SENTENCE.split(answer)[0] for _, answer in found],
        len(found),
        sum(bool(lead or tail) for lead, tail in zip(greetings, thanks, strict=True)),
        len(pairs),
        sum(one == other for one, other in pairs),
        len(again),
        sum(len(set(given)) == 1 for given in again),
    )


def _around(question: str) -> tuple[str, str]:
    """Greeting and thanks, as they stand there."""
    said = [word.said for word in words(question, _UNGREETED)]
    kept = [word.said for word in words(question, SAME)]
    for place in range(len(said) - len(kept) + 1):
        if said[place : place + len(kept)] == kept:
            return " ".join(said[:place]), " ".join(said[place + len(kept) :])
    return "", ""


def as_written(asked: Iterable[Asked], shown: Recorded, seed: int = 3) -> list[Asked]:
    """With greetings and thanks. One that is sent again at once is sent as it was."""
    chance, made = Random(seed), []
    before: dict[str, Asked] = {}
    for one in asked:
        again = before.get(one.text)
        if again is None or one.at - again.at > 5.0:
            place = chance.randrange(shown.messages)
            again = one._replace(text=" ".join(filter(None, (shown.greetings[place], one.text, shown.thanks[place]))))
        before[one.text] = again = again._replace(at=one.at)
        made.append(again)
    return made


class Desk:
    """What is answered. `stable`: share of questions whose answers are all the same."""

    def __init__(self, folder: Path, shown: Recorded, *, stable: float, seed: int = 4):
        self._openers, self._stable, self._chance = shown.openers, stable, Random(seed)
        self._documents, self._intent, self._best = _knowledge(folder)

    def says(self, question: str) -> str:
        """One of its possible answers."""
        first, *others = self.possible(question)
        return first if not others else self._chance.choice(others)

    @cache  # noqa: B019 # as below
    def possible(self, question: str) -> list[str]:
        """All of them; one for a question that has only one."""
        rest = self._rest(canonical(question, SAME))
        plain = _REFERENCE.sub("#", canonical(question, SAME))
        first = self._openers[_hash("opener", plain) % len(self._openers)]
        if _hash("stable", plain) % 10_000 < self._stable * 10_000:
            return [f"{first} {rest}"]
        return [f"{first} {rest}", *(f"{opener} {rest}" for opener in self._openers)]

    @cache  # noqa: B019 # lives as long as its desk does
    def _rest(self, question: str) -> str:
        """The document, by intent and by all that matters in the question; then the customer's reference."""
        references = _REFERENCE.findall(question)
        plain = re.sub(r" my reference is \d+$", "", question)
        found = words(plain, frozenset({"Case", "WhiteSpace"}))
        kinds = criticals(found)
        matters = [
            word.same
            for word, kind in zip(found, kinds, strict=True)
            if kind & (Critical.NUMBER | Critical.NEGATION | Critical.CURRENCY | Critical.DATE)
        ]
        intent = self._intent.get(plain)
        document = self._best[intent] if intent is not None else _hash("other", plain) % len(self._documents)
        if matters:
            document = (document + 1 + _hash("matters", " ".join(matters)) % (len(self._documents) - 1)) % len(
                self._documents
            )
        noted = f" We have noted your reference {references[-1]}." if references else ""
        return self._documents[document] + noted


@cache
def _knowledge(folder: Path) -> tuple[list[str], dict[str, int], list[int]]:
    """Documents, the intent of each question, and the document of each intent."""
    documents, intents = _documents(folder), [*wordings(folder), *own_wordings(folder)]
    of_question = {canonical(text, SAME): number for number, texts in enumerate(intents) for text in texts}
    return documents, of_question, _best(intents, documents)


def _documents(folder: Path) -> list[str]:
    """Their first words, without marks; not what is for staff alone."""
    found: dict[str, None] = {}
    for path in sorted(folder.glob("tau2_banking/data/tau2/domains/banking_knowledge/documents/*.json")):
        document = json.loads(path.read_text())
        if "(Internal)" in document["title"]:
            continue
        text = " ".join(_MARKS.sub(" ", document["content"]).split())[:_MOST_CHARACTERS]
        found[text.rsplit(" ", 1)[0]] = None
    return list(found)


def _best(intents: list[list[str]], documents: list[str]) -> list[int]:
    """Of each intent the document that shares the rarest words with it."""
    bags = [frozenset(_WORD.findall(text.lower())) for text in documents]
    spread = Counter(word for bag in bags for word in bag)
    weight = {word: math.log(len(bags) / count) for word, count in spread.items()}
    found = []
    for texts in intents:
        said = Counter(word for text in texts for word in _WORD.findall(text.lower()) if word in weight)
        scores = [sum(said[word] * weight[word] for word in bag) / math.sqrt(1 + len(bag)) for bag in bags]
        found.append(scores.index(max(scores)))
    return found


def _hash(kind: str, text: str) -> int:
    return int.from_bytes(blake2b(f"{kind}\0{text}".encode(), digest_size=8).digest())
