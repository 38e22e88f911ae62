"""The store of one pod: its bounds, and who stays."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.caching.entry import Entry
from merit_dataplane.caching.exact import ExactStore
from merit_dataplane.caching.frequency import Frequency


def name(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def entry(size: int, *, fresh: float = 100.0, stale: float = 0.0, created: float = 0.0) -> Entry:
    return Entry(
        b"x" * size,
        (),
        b"application/json",
        1,
        1,
        1,
        created,
        fresh,
        max(fresh, stale),
        ("ns/r", "t", "ns/p", "m"),
        "ns/c",
    )


def test_an_answer_expires() -> None:
    store = ExactStore(100_000)
    store.put(name(1), entry(10, fresh=5))
    assert store.get(name(1), 4.9) == entry(10, fresh=5)
    assert store.get(name(1), 5) is None
    assert store.size == 0


def test_a_stale_answer_is_found_as_long_as_it_may_be_served() -> None:
    store = ExactStore(100_000)
    store.put(name(1), entry(10, fresh=5, stale=9))
    found = store.get(name(1), 8)
    assert found is not None
    assert not found.fresh(8)
    assert store.get(name(1), 9) is None


def test_an_answer_from_the_future_is_none() -> None:
    assert not entry(1, created=50.0).usable(10.0)
    assert entry(1, created=12.0).usable(10.0), "clocks differ a little"


def test_one_answer_never_fills_the_whole_cache() -> None:
    store = ExactStore(20_000)
    store.put(name(1), entry(2000))
    assert store.get(name(1), 0) is None


def test_what_is_asked_for_often_outlives_a_burst_of_what_is_asked_for_once() -> None:
    store = ExactStore(100 * 1600)
    popular = [name(number) for number in range(20)]
    for _ in range(3):
        for key in popular:
            if store.get(key, 0) is None:
                store.put(key, entry(1000))
    for number in range(1000, 6000):
        if store.get(name(number), 0) is None:
            store.put(name(number), entry(1000))
    assert sum(store.get(key, 0) is not None for key in popular) >= 18


def test_old_fame_fades() -> None:
    asked = Frequency(width=64)
    for _ in range(15):
        asked.add(name(0))
    before = asked.of(name(0))
    for number in range(1, 700):
        asked.add(name(number))
    assert asked.of(name(0)) <= before // 2 + 10  # halved; what shares its counters adds a little
    fresh = Frequency(width=1 << 12)
    fresh.add(name(1))
    assert (fresh.of(name(1)), fresh.of(name(2))) == (1, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000), st.floats(0, 20), st.booleans()), max_size=80))
def test_the_bound_holds_and_the_count_is_right(operations: list[tuple[int, int, float, bool]]) -> None:
    store, now, sizes = ExactStore(30_000), 0.0, {}
    for number, size, seconds, put in operations:
        now += seconds / 4
        if put:
            made = entry(size, fresh=now + seconds, created=now)
            sizes[name(number)] = made.size
            store.put(name(number), made)
        elif (found := store.get(name(number), now)) is not None:
            assert found.usable(now)
        held = [*store._window.values(), *store._main.values()]
        assert store.size == sum(kept.size for kept in held) <= 30_000
        assert len(store) == len(held)
