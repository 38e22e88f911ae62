"""What answers make of an opening: collected, on trial, open, closed."""

from msgspec.structs import replace

from merit_dataplane.stems.gate import is_open, share, worst
from merit_dataplane.stems.learning import Learned, Terms, Told, begins, fits, heard, scored
from merit_dataplane.stems.opening import Opening, openings
from merit_dataplane.stems.record import Pool, Record, Tally

ALL = frozenset({"Case", "WhiteSpace", "Punctuation", "Greetings"})
TERMS = Terms(threshold=0.9, ttl=1000.0)
SURE = Pool(Tally(200.0, 0.0), Tally(200.0, 0.0))
ANSWER = "To change your PIN, open the app and choose Cards. Then tap the card."


def whole(text: str = "how do i change my pin", normalise: frozenset[str] = ALL) -> Opening:
    return openings(text, b"", normalise)[0]


def first_words(text: str) -> Opening:
    return openings(text, b"", ALL)[-1]


def told(text: str, question: int = 1) -> Told:
    return Told(text, tokens=0.25, question=question)


def after(
    *answers: str, record: Record | None = None, pool: Pool = SURE, opening: Opening | None = None, now: float = 0.0
) -> Learned:
    learned = Learned(record or Record(created=now, touched=now), pool)
    for answer in answers:
        learned = heard(learned.record, learned.pool, opening or whole(), told(answer), TERMS, now)
    return learned


def test_three_answers_that_begin_alike_make_a_stem_and_two_more_open_it() -> None:
    record = after(ANSWER, ANSWER + " Bye.", ANSWER).record
    assert record.beginning == ANSWER.rsplit(" ", 1)[0]
    assert not record.open
    assert not after(ANSWER, record=record).record.open
    opened = after(ANSWER, ANSWER, record=record).record
    assert opened.open
    assert 12 < opened.stem_tokens < 20


def test_what_is_known_of_no_stem_opens_none() -> None:
    learned = after(*[ANSWER] * 8, pool=Pool())
    assert learned.record.agreed == 5
    assert not learned.record.open
    assert learned.pool.whole.agreed == 3  # the first two said only that it might be one
    assert after(*[ANSWER] * 8).record.open
    assert after(*[ANSWER] * 40, pool=Pool()).record.open


def test_answers_that_begin_otherwise_make_none_and_the_next_one_needs_more() -> None:
    record = after("I am sorry to hear that.", "Sure, here is how.", ANSWER).record
    assert (record.beginning, record.failures) == ("", 1)
    assert after(ANSWER, ANSWER, ANSWER, record=record).record.beginning == ""
    assert after(*[ANSWER] * 6, record=record).record.beginning
    for _ in range(8):
        record = after(*[f"Answer {i} is all of it." for i in range(50)], record=record).record
    assert record.failures == 4
    assert after(*[ANSWER] * 100, record=record).record.beginning == ""  # left alone


def test_on_trial_a_stem_becomes_as_short_as_answers_agree() -> None:
    record = after(ANSWER, ANSWER, ANSWER).record
    other = "To change your PIN, open the website instead."
    record = after(other, record=record).record
    assert record.beginning == "To change your PIN, open the"
    assert not record.open
    assert after(ANSWER, other, ANSWER, record=record).record.open


def test_an_open_stem_closes_when_answers_change_and_is_learned_anew() -> None:
    learned = after(*[ANSWER] * 60)
    assert learned.record.open
    seen = 0
    for _ in range(12):
        if not learned.record.beginning:
            break
        learned = after("We have changed all that: call us.", record=learned.record, pool=learned.pool)
        seen += 1
    assert (learned.record.beginning, learned.record.failures) == ("", 1)
    assert learned.pool.whole.differed == seen
    assert worst(learned.pool) < worst(SURE)


def test_hysteresis() -> None:
    record = Record(created=0, touched=0, beginning="x" * 20, agreed=9.0, differed=1.0)
    at = share(record, SURE)
    assert not is_open(record, SURE, at)
    assert is_open(replace(record, open=True), SURE, at)
    assert not is_open(replace(record, open=True), SURE, at + 0.001)


def test_words_after_the_opening_are_only_those_with_which_answers_agreed() -> None:
    record, pool = None, SURE
    asked = ["how do i cancel my card", "how do i cancel my card please", "how do i cancel my card in the app"]
    answer = "To cancel your card, open the app and choose Cards."
    for number, text in enumerate(asked):
        record, pool = heard(record, pool, first_words(text), told(answer, number), TERMS, 0)
    assert record is not None
    assert record.beginning
    assert not fits(record, first_words("how do i cancel a card"))
    assert fits(record, first_words("how do i cancel my card in app please"))
    payment = first_words("how do i cancel my card payment")
    assert not fits(record, payment)
    before = record
    record, pool = heard(record, pool, payment, told("A payment by card can't be cancelled.", 9), TERMS, 0)
    assert (record.agreed, record.differed, pool) == (before.agreed, before.differed, SURE)  # it was never to be used
    record, pool = heard(record, pool, payment, told(answer, 9), TERMS, 0)
    assert not fits(record, payment)  # a word that was wrong once stays out
    loan = first_words("how do i cancel my card kindly")
    record, pool = heard(record, pool, loan, told(answer, 10), TERMS, 0)
    assert fits(record, loan)


def test_one_question_alone_makes_no_stem_for_others() -> None:
    record, pool = None, SURE
    opening = first_words("how do i cancel my card please")
    for _ in range(20):
        record, pool = heard(record, pool, opening, told(ANSWER, 1), TERMS, 0)
    assert record is not None
    assert not record.beginning


def test_numbers_that_do_not_matter_have_to_have_been_different_ones() -> None:
    free = ALL | {"Numbers"}
    answer = "Your order is on its way, you can follow it in the app."
    same = [whole(f"where is order {100_000 + n}", free) for n in (1, 1, 1, 1, 1)]
    record, pool = None, SURE
    for opening in same:
        record, pool = heard(record, pool, opening, told(answer), TERMS, 0)
    assert record is not None
    assert record.beginning
    assert not fits(record, whole("where is order 100002", free))
    for n in (2, 3):
        record, pool = heard(record, pool, whole(f"where is order {100_000 + n}", free), told(answer), TERMS, 0)
    assert fits(record, whole("where is order 100004", free))


def test_low_scores_close_it() -> None:
    record = after(*[ANSWER] * 10).record
    assert record.open
    assert scored(record, 1.0, 0.9, 1.0).open
    once = scored(record, 0.0, 0.9, 1.0)
    assert once.open
    again = scored(once, 0.0, 0.9, 1.0)
    assert (again.open, again.beginning, again.failures) == (False, "", 1)
    usual = record  # a model whose answers are bad half of the time is not made worse by it
    for score in (0.0, 1.0) * 20:
        usual = scored(usual, score, 0.5, 1.0)
    assert usual.open


def test_what_nobody_confirms_is_forgotten() -> None:
    record = after(*[ANSWER] * 10).record
    assert heard(record, SURE, whole(), told(ANSWER), TERMS, 1001.0).record.beginning == ""


def test_a_beginning_is_of_whole_words() -> None:
    assert begins("To activate it", "To activate")
    assert not begins("To activated it", "To activate")
    record = after(
        "To activate your card, tap it.", "To activate your cards, tap them.", "To activate your card."
    ).record
    assert record.beginning == "To activate your"


def test_records_are_bounded() -> None:
    record, pool = None, SURE
    for n in range(400):
        opening = first_words(
            f"how do i change it {' '.join(f'w{chr(97 + n % 26)}{chr(97 + i % 26)}x{n // 26}z' for i in range(20))}"
        )
        record, pool = heard(record, pool, opening, told(ANSWER + "x" * 5000, n), TERMS, 0)
    assert record is not None
    assert record.size < 24_000


def test_of_two_numbers_each_has_to_have_been_different_ones() -> None:
    free = ALL | {"Numbers"}
    answer = "Your order is on its way, you can follow it in the app."

    def asked(order: int, reference: int) -> Opening:
        return whole(f"where is order {100_000 + order} of account {700_000 + reference}", free)

    record, pool = None, SURE
    for n in range(9):  # whose order it is changes, which order it is does not
        record, pool = heard(record, pool, asked(1, n), told(answer), TERMS, 0)
    assert record is not None
    assert record.open
    assert fits(record, asked(1, 50))
    assert not fits(record, asked(2, 50))


def test_many_answers_begin_with_the_same_few_words() -> None:
    """Whatever is known of whole questions, a polite beginning that some share is no stem of their opening."""
    sure_of_wholes = Pool(Tally(500.0, 0.0), Tally())
    record, pool = None, sure_of_wholes
    for n, end in enumerate(("my card", "my account", "my payment", "a card", "a payment") * 3):
        text = f"how do i open {end}"
        record, pool = heard(
            record, pool, first_words(text), told(f"I can help you with that. See {end}.", n), TERMS, 0
        )
    assert record is not None
    assert record.beginning.startswith("I can help you with that.")
    assert record.agreed > 2
    assert not record.open
    assert pool.whole == sure_of_wholes.whole
