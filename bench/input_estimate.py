"""How far the estimate of the input is off, on recorded requests whose vendors reported their tokens.

.venv/bin/python bench/input_estimate.py [--cassettes ../shared/data/cassettes]

Chat completions without images and sounds, in the order of their files. Each is estimated before its report is learned
from, per vendor and model: no number is scored that was learned from itself. What it can't show: most recordings are
short tests, tens of tokens long, where the vendor's template is much of the count.
"""

import argparse
import json
import statistics
import sys
import timeit
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from merit_dataplane.metering.input_count import ExpectedInput, TierInput
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import MEDIA
from merit_dataplane.wire.openai_request import Operation, parse
from merit_dataplane.wire.openai_response import usage_of


def main() -> int:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cassettes", type=Path, default=Path(__file__).parents[2] / "shared/data/cassettes")
    folder = parser.parse_args().cassettes
    tier = TierInput()
    models: dict[tuple[str, str], ExpectedInput] = {}
    errors: dict[str, list[tuple[int, int, int]]] = {}
    for file in sorted(folder.glob("*/*/*.json")):
        cassette = json.loads(file.read_text())
        found = _tokens(cassette)
        if found is None:
            continue
        estimated, reported = found
        count = models.setdefault((cassette["provider"], cassette["model"]), ExpectedInput(tier))
        errors.setdefault(cassette["provider"], []).append((estimated, count.tokens(estimated), reported))
        count.observe(estimated, reported)
    print(f"{'vendor':12} {'requests':>8} {'tokens':>7} {'bytes/4':>9} {'learned':>9}   median error of a request")
    for vendor, rows in sorted(errors.items()):
        _show(vendor, rows)
    _show("all", [row for rows in errors.values() for row in rows])
    long = [row for rows in errors.values() for row in rows if row[2] >= 200]
    _show("200 or more", long)
    took = min(timeit.repeat(lambda: count.tokens(300), number=200_000, repeat=5)) / 200_000
    print(f"{took * 1e6:.2f} us for a candidate's count (least of 5)")
    return 0


def _tokens(cassette: dict[str, Any]) -> tuple[int, int] | None:
    """Estimated and reported input tokens of a complete chat completion; None for all else."""
    if cassette["endpoint"] != "chat.completions" or cassette["status"] != 200:
        return None
    try:
        call = parse(Operation.CHAT, cassette["request_body"].encode())
        usage = usage_of(_answer(cassette["response_body"]))
    except (RequestError, ValueError, AttributeError):
        return None
    if usage is None or not usage.input or call.features & MEDIA:
        return None
    return call.input_tokens, usage.input


def _answer(body: str) -> bytes:
    """The answer, of a stream its last event with a usage."""
    if not body.startswith("data:"):
        return body.encode()
    events = [line[5:].strip() for line in body.splitlines() if line.startswith("data:") and '"usage":{' in line]
    return events[-1].encode() if events else b"{}"


def _show(vendor: str, rows: list[tuple[int, int, int]]) -> None:
    if rows:
        plain = statistics.median(abs(e - r) / r for e, _, r in rows)
        learned = statistics.median(abs(x - r) / r for _, x, r in rows)
        tokens = statistics.median(r for *_, r in rows)
        print(f"{vendor:12} {len(rows):8} {tokens:7.0f} {plain:9.1%} {learned:9.1%}")


if __name__ == "__main__":
    sys.exit(main())
