"""What stems save at a support desk, and what they get wrong. Writes docs/stems-replay.md.

.venv/bin/python bench/stems_replay.py [--passes 5]

The decisions are Merit's own (the exact cache's key, `merit_dataplane.stems`), one request after the other, without
HTTP; what a gateway makes of them is tested in tests/unit/dataplane/stems. `stems_workload.py` says what is asked and
answered. Thresholds are compared on one draw of the workload and reported on another.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple, NoReturn

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench.machine import describe
from bench.places import CHAT, ROOT
from bench.stems_http import over_http as replayed_over_http
from bench.stems_page import Figures, Row, over_http, page
from bench.stems_workload import SAME, Desk, Recorded, as_written, recorded
from bench.support_workload import Asked, Pair, arrivals, pairs, requests
from merit_dataplane.stems.choosing import chosen, taught
from merit_dataplane.stems.learning import Terms, Told
from merit_dataplane.stems.library import Known, Library
from merit_dataplane.stems.opening import number_of, openings
from merit_dataplane.stems.wording import canonical

SYSTEM = msgspec.json.decode(CHAT.read_bytes())["messages"][0]["content"]
HELD_OUT, STEMS_TTL = 0.1, 604_800.0
CHARACTERS_PER_TOKEN, HTTP_PASSES = 4, 14
DEVELOPMENT, REPORTED = 11, 1
"""Seeds of the two draws."""
THRESHOLDS = (0.9, 0.95, 0.98)
STABLE = (0.5, 10 / 12, 1.0)
"""The middle one is what tau-bench's recordings show."""
OWNER = b"one consumer of it"[:16]


@dataclass(frozen=True)
class Setup:
    """Which caches are on."""

    name: str
    equal_under: frozenset[str] = frozenset()
    stems: bool = False
    threshold: float = 0.95
    normalise: frozenset[str] = SAME | {"Numbers"}
    ttl: float = 600.0
    """Seconds."""


@dataclass
class Counts:
    """Of the requests that are counted."""

    results: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    wrong: int = 0


class Replay:
    """One desk with its caches."""

    def __init__(self, setup: Setup, desk: Desk, seed: int = 5):
        self._setup, self._desk, self._chance = setup, desk, Random(seed)
        self._kept: dict[str, tuple[float, str]] = {}
        self._library = Library(64 << 20)
        self._made = ""
        """The last answer that was made without a stem."""
        self._terms = Terms(setup.threshold, STEMS_TTL)

    def ask(self, asked: Asked, counts: Counts) -> str:
        """The answer that a client gets, and what it took."""
        sent = (len(SYSTEM) + len(asked.text)) // CHARACTERS_PER_TOKEN
        answer, how, stem = self._answered(asked)
        written = len(answer) // CHARACTERS_PER_TOKEN
        counts.results[how] += 1
        counts.tokens["sent"] += sent
        counts.tokens["written"] += written
        if how == "hit":
            counts.tokens["not_sent"] += sent
            counts.tokens["not_written"] += written
        elif stem:
            counts.tokens["not_written"] += len(stem) // CHARACTERS_PER_TOKEN
            counts.tokens["stems"] += len(stem) // CHARACTERS_PER_TOKEN
        if answer is not self._made:
            counts.wrong += answer not in self._desk.possible(asked.text)
        return answer

    def _answered(self, asked: Asked) -> tuple[str, str, str]:
        """Answer, what the caches did, and the stem."""
        setup = self._setup
        key = canonical(asked.text, setup.equal_under) if setup.equal_under else asked.text
        at, kept = self._kept.get(key, (-setup.ttl, ""))
        if asked.at - at < setup.ttl:
            return kept, "hit", ""
        answer, how, stem = self._asked(asked) if setup.stems else (self._says(asked.text), "miss", "")
        self._kept[key] = (asked.at, answer)
        return answer, how, stem

    def _asked(self, asked: Asked) -> tuple[str, str, str]:
        library, found = self._library, openings(asked.text, OWNER, self._setup.normalise)
        keys = [opening.key for opening in found]
        known = _now(library, keys)
        stem, how = chosen(found, known, self._terms, asked.at), "miss"
        if stem is not None and self._chance.random() < HELD_OUT:
            stem, how = None, "held_out"
        if stem is not None:
            return self._gone_on(asked.text, stem.text), "stem", stem.text
        answer = self._says(asked.text)
        asked_again = library.asked_again(keys)
        again = [opening for opening in found if opening.key in asked_again]
        told = Told(answer, 1 / CHARACTERS_PER_TOKEN, number_of(found) if found else 0)

        def lesson(known: Known) -> Known:
            return taught(known, again, told, self._terms, asked.at)

        if again:
            library.change(OWNER, tuple(opening.key for opening in again), lesson, STEMS_TTL)
        return answer, how, ""

    def _says(self, question: str) -> str:
        self._made = self._desk.says(question)
        return self._made

    def _gone_on(self, question: str, stem: str) -> str:
        """What a model makes of a beginning: one of its answers where it is one's, else it contradicts itself."""
        for answer in self._desk.possible(question):
            if answer.startswith(stem):
                return answer
        return f"{stem} But no: {self._desk.says(question)}"


def _now(library: Library, keys: list[bytes]) -> Known:
    """A library without a shelf waits for nobody."""
    looking = library.look(OWNER, keys, _never)
    try:
        looking.send(None)
    except StopIteration as found:
        known: Known = found.value
        return known
    raise AssertionError("it waits")


def _never() -> NoReturn:
    raise AssertionError("there is no Redis")


class Run(NamedTuple):
    """One row to be made."""

    setup: Setup
    seed: int
    stable: float
    data: Path
    requests: int
    passes: int
    pairs: int


def replayed(run: Run) -> Row:
    """The trace so often; the last time counts. Then the pairs, each question twice as often as a gate needs."""
    faq, began = run.data / "faq", time.monotonic()
    shown, times = recorded(faq), arrivals(run.data / "traces", run.requests)
    replay = Replay(run.setup, Desk(faq, shown, stable=run.stable))
    counts, wrong, first, at = Counts(), 0, Counts(), 0.0
    asked = workload(faq, shown, times, run.passes, run.seed)
    for number in range(run.passes):
        counts = Counts()
        for one in asked[number * len(times) : (number + 1) * len(times)]:
            replay.ask(one, counts)
            at = one.at
        wrong += counts.wrong
        first = first if number else counts
    of_pairs = Counts()
    for pair in told_apart(faq, run.pairs):
        for text in (*[pair.one] * 14, pair.other):
            at += run.setup.ttl + 1  # every time a model is asked
            replay.ask(Asked(at, text, stream=False), of_pairs)
    row = Row(
        name=run.setup.name,
        first=Figures.of(first.results, first.tokens),
        last=Figures.of(counts.results, counts.tokens),
        wrong=wrong,
        pairs_wrong=of_pairs.wrong,
        pairs_by_stem=of_pairs.results["stem"],
    )
    print(f"{time.monotonic() - began:.0f} s, seed {run.seed}, stable {run.stable:.2f}:", row, flush=True)
    return row


def workload(faq: Path, shown: Recorded, times: list[float], passes: int, seed: int) -> list[Asked]:
    """One draw of questions for the trace's arrivals, again and again."""
    longer = [at + number * (times[-1] + 1) for number in range(passes) for at in times]
    return as_written(requests(faq, longer, seed=seed), shown)


def told_apart(faq: Path, each: int) -> list[Pair]:
    """But for a wording that the data set has under two intents."""
    return [pair for pair in pairs(faq, each) if canonical(pair.one, SAME) != canonical(pair.other, SAME)]


LAYERS = (
    Setup("exact"),
    Setup("exact, `equalUnder`", SAME),
    Setup("exact, `equalUnder`, stems", SAME, stems=True),
    Setup("the same, every number matters", SAME, stems=True, normalise=SAME),
    Setup("exact, `ttl: 24h`", ttl=86_400.0),
    Setup("exact, `ttl: 24h`, `equalUnder`, stems", SAME, stems=True, ttl=86_400.0),
)


def main() -> None:
    """Replays, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="where faq and traces are")
    parser.add_argument("--requests", type=int, default=6000, help="of the trace's first")
    parser.add_argument("--passes", type=int, default=5, help="how often the trace is replayed; the last one counts")
    parser.add_argument("--pairs", type=int, default=150, help="of each kind")
    parser.add_argument("--http", type=int, default=400, help="requests over HTTP, each 14 times")
    parser.add_argument("--processes", type=int, default=2, help="rows at once")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/stems-replay.md")
    options = parser.parse_args()
    asked = (options.data, options.requests, options.passes, options.pairs)
    runs = [Run(setup, REPORTED, STABLE[1], *asked) for setup in LAYERS]
    runs += [
        Run(Setup(f"{threshold:g}", SAME, stems=True, threshold=threshold), DEVELOPMENT, STABLE[1], *asked)
        for threshold in THRESHOLDS
    ]
    runs += [Run(LAYERS[2], REPORTED, stable, *asked) for stable in STABLE if stable != STABLE[1]]
    with ProcessPoolExecutor(options.processes) as pool:
        rows = list(pool.map(replayed, runs))
    layers, development, others = rows[: len(LAYERS)], rows[len(LAYERS) : -2], rows[-2:]
    answers = {STABLE[0]: others[0], STABLE[1]: layers[2], STABLE[2]: others[1]}
    shown, times = recorded(options.data / "faq"), arrivals(options.data / "traces", options.requests)
    found = told_apart(options.data / "faq", options.pairs)
    some = workload(options.data / "faq", shown, times, 1, REPORTED)[: options.http]
    seen = replayed_over_http(some, HTTP_PASSES, SYSTEM, Desk(options.data / "faq", shown, stable=STABLE[1]))
    http = over_http(len(some), HTTP_PASSES, seen)
    text = page(
        layers, development, answers, shown, len(times), times[-1], options.passes, len(found), describe(), http
    )
    options.output.write_text(text)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
