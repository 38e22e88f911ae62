"""What a semantic layer saves at a support desk, and what it gets wrong. Writes docs/semantic-replay.md.

.venv/bin/python bench/semantic_replay.py [--requests 800]

The embeddings are all-MiniLM-L6-v2's (`minilm.py`), a real model. `semantic_law.py` says what is decided and when that
is wrong; a part of it is done over HTTP as well, and has to come out the same. The threshold is chosen on one half of
the wordings and reported on the other.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench.machine import describe
from bench.places import BENCH, ROOT
from bench.processes import Process, accepts, free_port
from bench.semantic_environment import python
from bench.semantic_http import over_http
from bench.semantic_law import Questions, half_of, is_own, paired, replayed
from bench.semantic_page import KINDS, Choice, Compared, Line, page
from bench.support_workload import Asked, Pair, arrivals, pairs, requests

TTL_SECONDS = 3600.0
"""The whole trace."""
TRIED = tuple(place / 100 for place in range(80, 100))
TARGETS = (0.05, 0.02)
"""Most of the semantic hits that may be wrong, at the upper end of the interval."""
SHOWN = (0.80, 0.85, 0.88, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
CHOSEN, REPORTED = 0, 1
"""Halves."""
_AT_ONCE = 128


def embedded(port: int, texts: Sequence[str]) -> Any:
    """A row for each text."""
    made = []
    for at in range(0, len(texts), _AT_ONCE):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        asked = json.dumps({"model": "m", "input": list(texts[at : at + _AT_ONCE])})
        connection.request("POST", "/v1/embeddings", asked, {"content-type": "application/json"})
        made += [row["embedding"] for row in json.loads(connection.getresponse().read())["data"]]
        connection.close()
        if at % (16 * _AT_ONCE) == 0:
            print(f"{at:,} of {len(texts):,} texts embedded", flush=True)
    return np.array(made, dtype=np.float32)


def line(threshold: float, asked: Sequence[Asked], found: Sequence[Pair], questions: Questions, *, guard: bool) -> Line:
    """All that is shown of one threshold."""
    of_kind = [
        paired([(pair.one, pair.other) for pair in found if pair.kind == kind], questions, threshold, guard=guard)
        for kind in KINDS
    ]
    everything, _ = replayed(asked, questions, threshold, TTL_SECONDS, guard=guard)
    general, _ = replayed(general_of(asked), questions, threshold, TTL_SECONDS, guard=guard)
    return Line(threshold, guard, everything, general, of_kind)


def general_of(asked: Sequence[Asked]) -> list[Asked]:
    """Without those that name something of the customer's own."""
    return [one for one in asked if not is_own(one.text)]


def choices(asked: Sequence[Asked], questions: Questions) -> list[Choice]:
    """The lowest threshold that keeps each target on this half, by the upper end of its interval."""
    tried = {threshold: replayed(asked, questions, threshold, TTL_SECONDS, guard=True)[0] for threshold in TRIED}
    made = []
    for target in TARGETS:
        fits = [threshold for threshold, share in tried.items() if share.interval[1] <= target]
        made.append(Choice(target, min(fits, default=0.0), tried[min(fits)] if fits else None))
    return made


def compared(  # noqa: PLR0917 # one run
    asked: Sequence[Asked], found: Sequence[Pair], questions: Questions, threshold: float, embedder: int, count: int
) -> Compared:
    """Some of it over HTTP, decision by decision."""
    some = asked[:count]
    _, decided = replayed(some, questions, threshold, TTL_SECONDS * 24, guard=True)
    with tempfile.TemporaryDirectory(prefix="merit-semantic-") as folder:
        texts = [one.text for one in some]
        seen = asyncio.run(over_http(texts, found, threshold, embedder, Path(folder)))
    wrong = sum(
        questions.label[questions.number[told.whose]] != questions.label[questions.number[one.text]]
        for told, one in zip(seen.told, some, strict=True)
    )
    taken = [paired([(pair.one, pair.other)], questions, threshold, guard=True).taken == 1 for pair in found]
    return Compared(
        threshold=threshold,
        requests=len(some),
        how=seen.how,
        wrong=int(wrong),
        differing=sum(told.how != one for told, one in zip(seen.told, decided, strict=True)),
        pairs=len(found),
        pairs_taken=sum(seen.pairs),
        pairs_differing=sum(one != other for one, other in zip(seen.pairs, taken, strict=True)),
        embeddings=len(seen.embedded),
        median_seconds=seen.median_seconds,
        late=seen.later_than(0.2),
        spent=seen.spent,
        saved=seen.saved,
    )


def main() -> None:
    """Measures, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="where faq and traces are")
    parser.add_argument("--requests", type=int, default=800, help="over HTTP")
    parser.add_argument("--pairs", type=int, default=400, help="of each kind")
    parser.add_argument("--vectors", type=Path, help="keeps the embeddings there, to be used again")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/semantic-replay.md")
    options = parser.parse_args()
    machine, started = describe(), time.monotonic()
    asked = requests(options.data / "faq", arrivals(options.data / "traces", sys.maxsize))
    # one text has two labels: equal questions are the exact cache's
    found = [pair for pair in pairs(options.data / "faq", options.pairs) if pair.one != pair.other]
    texts = sorted({one.text for one in asked} | {text for pair in found for text in (pair.one, pair.other)})
    with contextlib.ExitStack() as stack:
        folder, port = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minilm-"))), free_port()
        command = [str(python()), str(BENCH / "minilm.py"), "--port", str(port)]
        model = stack.enter_context(Process("minilm", command, core=None, cwd=folder))
        model.wait_until(lambda: accepts(port))
        if options.vectors is not None and options.vectors.exists():
            vectors = np.load(options.vectors)
            if len(vectors) != len(texts):
                raise SystemExit(f"{options.vectors} is of other texts")
        else:
            vectors = embedded(port, texts)
            if options.vectors is not None:
                np.save(options.vectors, vectors)
        questions = Questions(options.data / "faq", texts, vectors)
        halves = [[one for one in asked if half_of(one.text) == half] for half in (CHOSEN, REPORTED)]
        made = choices(halves[CHOSEN], questions)
        reported = halves[REPORTED]
        theirs = [pair for pair in found if half_of(pair.one) == REPORTED]
        shown = sorted({*SHOWN, *(choice.threshold for choice in made if choice.threshold)})
        lines = [line(one, reported, theirs, questions, guard=guard) for guard in (True, False) for one in shown]
        threshold = next((choice.threshold for choice in made if choice.threshold), 0.95)
        http_run = compared(general_of(reported), theirs, questions, threshold, port, options.requests)
    options.output.write_text(
        page(lines, made, http_run, machine, tried=len(TRIED), asked=len(halves[CHOSEN]), texts=len(texts))
    )
    print(f"wrote {options.output} in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
