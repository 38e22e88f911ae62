"""Tries to get a beginning that is wrong: other numbers, names, dates, negations, currencies, and other consumers'.

A library is taught questions with one answer, so that its gate is open, and is then asked others.
"""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from merit_dataplane.stems.critical import criticals
from merit_dataplane.stems.learning import Terms, Told, fits, heard
from merit_dataplane.stems.opening import Opening, number_of, openings
from merit_dataplane.stems.record import Pool, Record, Tally
from merit_dataplane.stems.wording import words

ALL = frozenset({"Case", "WhiteSpace", "Punctuation", "Greetings"})
FREE = ALL | {"Numbers", "Names"}
TERMS = Terms(threshold=0.5, ttl=1e9)
ANSWER = "To do that, open the app and choose what you want. Then follow what it says."
PLAIN = st.sampled_from(
    [
        "how",
        "do",
        "i",
        "can",
        "you",
        "the",
        "my",
        "a",
        "card",
        "account",
        "app",
        "pin",
        "transfer",
        "payment",
        "please",
        "help",
        "with",
        "change",
        "block",
        "find",
        "of",
        "in",
        "it",
        "is",
        "where",
        "what",
        "why",
        "open",
        "see",
        "top",
        "up",
        "use",
        "get",
    ]  # shorter so
)
CRITICAL = st.one_of(
    st.integers(0, 10**6).map(str),
    st.integers(1, 999).map(lambda n: f"${n}"),
    st.integers(1, 999).map(lambda n: f"{n}€"),
    st.decimals(0, 1000, places=2).map(str),
    st.dates().map(str),
    st.sampled_from(["not", "don't", "no", "never", "without", "isn’t", "cannot", "nicht", "jamais", "nunca"]),  # noqa: RUF001
    st.sampled_from(["Monday", "tomorrow", "march", "2026", "last", "week", "gestern", "demain"]),
    st.sampled_from(["dollars", "EUR", "pounds", "£", "yen", "bitcoin"]),
    st.sampled_from(["Bob", "London", "McDonald", "ATM", "a@b.example", "iPhone", "Zürich"]),
    st.sampled_from(["two", "hundred", "half", "first", "zwölf", "trente", "½", "٣"]),
)  # fmt: skip
CONTEXTS = st.sampled_from([b"one consumer", b"another consumer"])
SENTENCES = st.lists(PLAIN, min_size=1, max_size=14)


class Taught:
    """What is known, by opening."""

    def __init__(self) -> None:
        self.records: dict[bytes, Record] = {}
        self.pool = Pool(Tally(500.0, 0.0), Tally(500.0, 0.0))
        self.learned_from: dict[bytes, list[tuple[bytes, list[str]]]] = {}

    def hear(self, context: bytes, said: list[str], answer: str, times: int, normalise: frozenset[str]) -> None:
        """An answer comes so many times."""
        text = " ".join(said)
        for _ in range(times):
            found = openings(text, context, normalise)
            for opening in found:
                told = Told(answer, 0.25, number_of(found))
                record = self.records.get(opening.key)
                self.records[opening.key], self.pool = heard(record, self.pool, opening, told, TERMS, 1.0)
                self.learned_from.setdefault(opening.key, []).append((context, said))

    def stem(self, context: bytes, text: str, normalise: frozenset[str]) -> tuple[Opening, Record] | None:
        """What the stage would use."""
        for opening in openings(text, context, normalise):
            record = self.records.get(opening.key)
            if record is not None and record.open and fits(record, opening):
                return opening, record
        return None


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(CONTEXTS, SENTENCES), min_size=1, max_size=6),
    CONTEXTS,
    SENTENCES,
    CRITICAL,
    st.integers(0, 14),
)
def test_what_matters_has_to_be_in_the_common_part(
    lessons: list[tuple[bytes, list[str]]], context: bytes, asked: list[str], critical: str, place: int
) -> None:
    taught = Taught()
    for of, said in lessons:
        taught.hear(of, said, ANSWER, 14, ALL)
    said = [*asked[:place], critical, *asked[place:]]
    assume(any(criticals(words(" ".join(said), ALL))))
    found = taught.stem(context, " ".join(said), ALL)
    assert found is None  # no lesson had it


@settings(max_examples=100, deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=5), SENTENCES, CRITICAL, CRITICAL, st.integers(0, 8))
def test_another_one_is_another_question(
    lessons: list[list[str]], asked: list[str], one: str, other: str, place: int
) -> None:
    assume(one.casefold().strip(".") != other.casefold().strip("."))
    taught = Taught()
    for said in [*lessons, asked]:
        taught.hear(b"", [*said[:place], one, *said[place:]], ANSWER, 14, ALL)
    text = " ".join([*asked[:place], other, *asked[place:]])
    found = taught.stem(b"", text, ALL)
    if found is not None:  # then what matters was in no question that it was learned from, nor is it in this one's rest
        kinds = criticals(words(text, ALL))
        assert not any(kinds) or [w.same for w in words(text, ALL)] == [
            w.same for w in words(" ".join([*asked[:place], one, *asked[place:]]), ALL)
        ]


@settings(max_examples=100, deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=5), SENTENCES)
def test_no_stem_comes_from_another_consumer(lessons: list[list[str]], asked: list[str]) -> None:
    taught = Taught()
    for said in [*lessons, asked]:
        taught.hear(b"one consumer", said, ANSWER, 14, FREE)
    assert taught.stem(b"another consumer", " ".join(asked), FREE) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=6, unique_by=tuple), SENTENCES)
def test_every_word_of_the_question_was_in_one_of_whose_answer_began_so(
    lessons: list[list[str]], asked: list[str]
) -> None:
    taught = Taught()
    for said in lessons:
        taught.hear(b"", said, ANSWER, 14, ALL)
    found = taught.stem(b"", " ".join(asked), ALL)
    if found is not None:
        known = {word for _, said in taught.learned_from[found[0].key] for word in said}
        assert set(asked) <= known
