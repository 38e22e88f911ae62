"""What of a question does not matter, and what always does."""

import pytest

from merit_dataplane.stems.critical import Critical, criticals
from merit_dataplane.stems.opening import openings
from merit_dataplane.stems.wording import canonical, words

ALL = frozenset({"Case", "WhiteSpace", "Punctuation", "Greetings"})
NONE: frozenset[str] = frozenset()
N, P, D, G, C = Critical.NUMBER, Critical.NAME, Critical.DATE, Critical.NEGATION, Critical.CURRENCY


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I change my PIN?", "how do i change my pin"),
        ("  How do I\n change my PIN ? ", "How do I change my PIN?"),
        ("Hi, how do I change my PIN?", "How do I change my PIN? Thanks!"),
        ("Good morning! I can’t pay", "i can't pay"),  # noqa: RUF001
        ("Guten Tag, wo ist meine Karte?", "Wo ist meine Karte? Vielen Dank"),
        ("It costs 5.", "it costs 5"),
        ("Cafe\u0301 receipts", "Café receipts"),
    ],
)
def test_these_are_the_same_question(one: str, other: str) -> None:
    assert canonical(one, ALL) == canonical(other, ALL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I can pay", "I can't pay"),
        ("It costs 5", "It costs -5"),
        ("It costs 5", "It costs .5"),
        ("It costs 1.5", "It costs 15"),
        ("It costs 5", "It costs $5"),
        ("It costs 5", "It costs (5)"),
        ("It costs 5", "It costs 5%"),
        ("5 - 3", "5 3"),
        ("You charged me", "Charged me you"),
        ("No thanks", "No"),
        ("No thanks", "Thanks"),
        ("Hi", "Thanks"),
        ("a b", "ab"),
        ("user_name", "username"),
    ],
)
def test_these_are_not(one: str, other: str) -> None:
    assert canonical(one, ALL) != canonical(other, ALL)


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ("How", "how", "Case"),
        ("a b", "a  b", "WhiteSpace"),
        ("a b", "a b\n", "WhiteSpace"),
        ("a b", " a b", "WhiteSpace"),
        ("a\nb", "a b", "WhiteSpace"),
        ("why?", "why", "Punctuation"),
        ("hi, why", "why", "Greetings"),
    ],
)
def test_only_what_the_route_says_does_not_matter(one: str, other: str, what: str) -> None:
    assert canonical(one, ALL) == canonical(other, ALL)
    assert canonical(one, ALL - {what}) != canonical(other, ALL - {what})
    assert canonical(one, NONE) != canonical(other, NONE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("how do i change my pin", 0),
        ("Please help me with my card", 0),
        ("I've lost it and I need help", 0),
        ("pay 100 please", N),
        ("pay a hundred", N),
        ("zahle zweihundertfünfzig", N),
        ("die Hälfte".lower(), N),
        ("twice", N),
        ("it is ½ done", N),
        ("the ٣ cards", N),
        ("my second card", N | D),
        ("pay in Euro", C | P),
        ("is it in dollars", C),
        ("it says £", C),
        ("at 5%", N | C),
        ("en pesos", C),
        ("since monday", D),
        ("was heute kam", D),
        ("il y a une semaine", D),
        ("on 2026-01-02", N),
        ("the day before yesterday", D),
        ("it has not arrived", G),
        ("it hasn't arrived", G),
        ("it hasn’t arrived", G),  # noqa: RUF001
        ("it hasnt arrived", G),
        ("without a card", G),
        ("unblock it", G),
        ("everything except this", G),
        ("es geht nicht", G),
        ("ça ne marche pas", G),
        ("no funciona", G),
        ("non funziona", G),
        ("não funciona", G),
        ("het werkt niet", G),
        ("det fungerar inte", G),
        ("не работает", G),
        ("我没有收到卡", G),
        ("カードが届かない", G),
        ("카드가 안 왔어요", G),
        ("لم تصل البطاقة", G),
        ("the one from Berlin", N | P),
        ("i am called McDonald", P),
        ("my iPhone app", P),
        ("at the ATM", P),
        ("mr smith", P),
        ("write to a@example.com", P),
        ("see example.com", P),
        ("Alice asked", P),
        ("it broke. Bob saw it", P),
    ],
)
def test_what_is_critical(text: str, expected: int) -> None:
    found = Critical(0)
    for kind in criticals(words(text, ALL)):
        found |= kind
    assert found == expected, [(w.said, k) for w, k in zip(words(text, ALL), criticals(words(text, ALL)), strict=True)]


def keys(text: str, normalise: frozenset[str] = ALL) -> list[bytes]:
    return [opening.key for opening in openings(text, b"context", normalise)]


def test_openings_are_the_first_words_the_longest_first() -> None:
    long = openings("how do i change the pin of my card for the app", b"context", ALL)
    assert [(o.whole, len(o.rest)) for o in long] == [(True, 0), (False, 4), (False, 6), (False, 7)]
    assert keys("how do i change the pin of my")[-1] == keys("how do i change the pin of my card for the app")[-1]
    assert keys("how do i change the pin of my")[0] not in keys("how do i change the pin of my card for the app")


@pytest.mark.parametrize("extra", ["5", "five", "Bob", "tomorrow", "not", "dollars", "$"])
def test_an_opening_has_nothing_critical_behind_it(extra: str) -> None:
    assert len(openings("how do i change the pin of my card", b"context", ALL)) == 4
    assert [o.whole for o in openings(f"how do i change the pin of my card {extra}", b"context", ALL)] == [True]
    assert keys(f"how do i {extra} change it now") != keys("how do i change it now")


def test_another_context_has_other_openings() -> None:
    one, other = (openings("how do i change my pin", context, ALL) for context in (b"one", b"other"))
    assert not {o.key for o in one} & {o.key for o in other}


def test_numbers_and_names_that_do_not_matter_are_told_apart_by_their_values() -> None:
    free = ALL | {"Numbers", "Names"}
    one, other = openings("where is order 123456 then", b"", free), openings("where is order 456789 then", b"", free)
    assert [o.key for o in one] == [o.key for o in other]
    assert one[0].values != other[0].values
    assert openings("where is order 123456 then", b"", free) == one
    assert keys("where is order 123456 then") != keys("where is order 456789 then")
    assert keys("ask Bob about it", free) == keys("ask Alice about it", free)
    assert keys("i paid $5 for it", free) != keys("i paid $6 for it", free)
    assert keys("i paid 5.50 for it", free) != keys("i paid 6.50 for it", free)
    assert keys("i paid 123456 dollars", free) != keys("i paid 123457 dollars", free)
    assert keys("i paid 500 for it", free) != keys("i paid 501 for it", free)
    assert keys("it is order #500", free) == keys("it is order #501", free)
    assert keys("i came in May again", free) != keys("i came in June again", free)
    assert openings("where is order \0number then", b"", free) == ()


def test_what_is_too_long_has_none() -> None:
    assert openings("word " * 201, b"", ALL) == ()
    assert openings("", b"", ALL) == ()
    assert openings("\ud800 is half a letter", b"", ALL)
