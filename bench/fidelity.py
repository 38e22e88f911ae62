"""What recorded exchanges of real vendors are after Merit: read by the official SDKs. Writes docs/fidelity.md.

.venv/bin/python bench/fidelity.py [--no-node] [--output docs/fidelity.md]
    [--cassettes DIR] [--chunkings random,whole]

Reads ../shared/data/cassettes, or the extracts in tests/cassettes. Others in the same form, an `index.csv` beside them,
are read with `--cassettes`; no page is written of those unless `--output` says where. Exits with 1 when a client heard
something else than the vendor said.
"""

import argparse
import asyncio
import shutil
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # modules are bench.something

from tests.fidelity.compare import said_by  # noqa: E402
from tests.fidelity.exchanges import ALL, Exchange, exchanges  # noqa: E402
from tests.fidelity.features import FEATURES, KEPT, LEFT_OUT, MAPPED, WRONG, judged  # noqa: E402
from tests.fidelity.matrix import Outcome, cases, outcomes  # noqa: E402
from tests.fidelity.node_clients import node_process  # noqa: E402
from tests.sdk.environments import node_with  # noqa: E402

_SIGNS = {KEPT: "●", MAPPED: "◐", LEFT_OUT: "○", WRONG: "✗"}
_CLIENTS = {
    "chat": "Chat Completions (`openai`)",
    "messages": "Messages (`anthropic`)",
    "responses": "Responses (`openai`)",
}
_SAME = {"chat": ("OpenAI", "AzureOpenAI"), "messages": ("Anthropic",)}
_COLUMNS = [name for name in FEATURES if name != "vectors"]
_REQUESTS = {"req_tools": "tools", "image_in": "pictures or files", "json_schema": "a JSON schema"}


_HEAD = """# Fidelity

{recorded} recorded exchanges of real vendors, each replayed byte for byte as the upstream of a gateway: at once, event
by event, byte by byte at both ends, in random pieces, compressed. OpenAI's and Anthropic's own SDKs ask for it, and
what they give to their program is compared with what an independent reader finds in the vendor's bytes. The recordings
are those of the tests of ruby_llm, OpenLLMetry, Prism, ellmer and others (MIT, Apache-2.0). `make fidelity` wrote this.

Requests: {asked}. Clients that heard something else than the vendor said: **{wrong}**.
"""
_EXCHANGES = """
## Exchanges

A stream is asked for as a stream, and an error raises the SDK's own exception with the vendor's words. Its status is
the client's where the fault is (400, 413, 422, 429); it is 502 with `x-should-retry: false` where the Provider's key or
model is at fault ([errors](errors.md)).

| vendor | recorded | go through | streams | errors | rate-limit headers | request sent as recorded | with |
| --- | --- | --- | --- | --- | --- | --- | --- |"""
_CLIENT_TABLES = """
A vendor's rate-limit headers are not the client's: the account that they are about is shared. They are read to leave it
alone in time, and clients get those of their own [limits](limits.md).

## What clients get

`●` the vendor's own bytes, `◐` mapped, `○` left out: the client's protocol has no place for it. With the number of
recorded answers that showed it; nothing where none did.
"""
_REST = """
What is left out, and why: Anthropic's protocol has no field for log-probabilities, pictures and further choices;
Cohere's citations and those of Gemini's recitations name documents in a way that neither Anthropic's citations nor
OpenAI's annotations know; Perplexity's pages have no place in the text; what a vendor's servers did means nothing at
another vendor. Usage classes are disjoint: where a vendor reports more cached tokens than the prompt had (Grok on
Azure, Mistral), all of the prompt counts as cached.

## What was not asked

{unserved} exchanges are of endpoints that Merit never calls. By path:
"""


def page(served: Sequence[Exchange], unserved: Sequence[Exchange], found: dict[str, list[Outcome]]) -> str:
    """docs/fidelity.md."""
    wrong = [one for outcomes_ in found.values() for one in outcomes_ if one.differences]
    asked = ", ".join(f"{len(outcomes_):,} by {name}" for name, outcomes_ in found.items())
    lines = [_HEAD.format(recorded=len(served) + len(unserved), asked=asked, wrong=len(wrong))]
    lines += [
        f"- {one.case.exchange.name}, {one.case.endpoint}, {one.case.chunking}: {'; '.join(one.differences)}"
        for one in wrong
    ]
    lines += [_EXCHANGES, *_vendors(served, unserved, found["Python"]), _CLIENT_TABLES]
    for endpoint, name in _CLIENTS.items():
        lines += [f"### {name}", "", *_matrix(endpoint, found["Python"]), ""]
    lines += ["### Others", "", "| endpoint | exchanges |", "| --- | --- |", *_others(found["Python"])]
    lines += [_REST.format(unserved=len(unserved)), *_unserved(unserved)]
    return "\n".join(lines) + "\n"


def _vendors(served: Sequence[Exchange], unserved: Sequence[Exchange], found: Sequence[Outcome]) -> Iterator[str]:
    failed = {one.case.exchange.name for one in found if one.differences}
    own = {one.case.exchange.name for one in found if one.own_request}
    for vendor in sorted({exchange.vendor for exchange in (*served, *unserved)}):
        mine = [exchange for exchange in served if exchange.vendor == vendor]
        rest = sum(1 for exchange in unserved if exchange.vendor == vendor)
        sent = [exchange for exchange in mine if exchange.name in own]
        features = Counter(_REQUESTS[f] for exchange in sent for f in exchange.features if f in _REQUESTS)
        shown = ", ".join(f"{name} {count}" for name, count in sorted(features.items()))
        numbers = (
            len(mine) + rest,
            sum(1 for exchange in mine if exchange.name not in failed),
            sum(1 for exchange in mine if exchange.streamed),
            sum(1 for exchange in mine if exchange.fails),
            sum(1 for exchange in mine if "ratelimit_headers" in exchange.features),
            len(sent),
        )
        yield f"| {vendor} | {' | '.join(str(number or '') for number in numbers)} | {shown} |"


def _matrix(endpoint: str, found: Sequence[Outcome]) -> Iterator[str]:
    counted: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for one in found:
        exchange, kind = one.case.exchange, one.case.exchange.kind
        if one.case.endpoint != endpoint or one.case.chunking != "whole" or kind is None:
            continue
        same = kind.operation == "responses" or kind.protocol in _SAME.get(endpoint, ())
        for feature, verdict in judged(one, said_by(exchange), same=same).items():
            counted[exchange.vendor][feature][verdict] += 1
    names = [name for name in (*_COLUMNS, "error") if any(name in of_vendor for of_vendor in counted.values())]
    yield f"| vendor | {' | '.join(names)} |"
    yield "| --- |" + " --- |" * len(names)
    for vendor, features in sorted(counted.items()):
        cells = [" ".join(f"{_SIGNS[v]} {n}" for v, n in sorted(features[name].items())) for name in names]
        yield f"| {vendor} | {' | '.join(cells)} |"


def _others(found: Sequence[Outcome]) -> Iterator[str]:
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for one in found:
        if one.case.endpoint not in _CLIENTS and one.case.chunking == "whole":
            counted[one.case.endpoint][one.case.exchange.vendor] += 1
    for endpoint, vendors in sorted(counted.items()):
        yield f"| {endpoint} | {', '.join(f'{vendor} {count}' for vendor, count in sorted(vendors.items()))} |"


def _unserved(unserved: Sequence[Exchange]) -> Iterator[str]:
    by_reason: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in unserved:
        by_reason[exchange.why].append(exchange)
    for why, mine in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        names = ", ".join(f"`{exchange.name.rpartition('_')[2]}`" for exchange in mine)
        vendors = ", ".join(f"{name} {count}" for name, count in sorted(Counter(e.vendor for e in mine).items()))
        paths = ", ".join(sorted({f"`{_shape(exchange.path)}`" for exchange in mine}))
        yield f"- **{len(mine)}** ({vendors}): {why}. {paths}: {names}"


def _shape(path: str) -> str:
    """Without ids."""
    parts = path.split("/")
    return "/".join("…" if len(part) > 30 or part.startswith("<") else part for part in parts)


async def run(
    folder: Path, *, node: bool, chunkings: Sequence[str] = ()
) -> tuple[list[Exchange], list[Exchange], dict[str, list[Outcome]]]:
    """All exchanges, and what came of them by language."""
    every = exchanges(folder)
    served = [exchange for exchange in every if exchange.kind is not None]
    found = {"Python": await outcomes(served, cases(served, chunkings=chunkings))}
    if node:
        folder = await asyncio.to_thread(node_with, "clients-node", ROOT / "tests/sdk/clients/node")
        wanted = [case for case in cases(served) if case.chunking == ("random" if case.exchange.streamed else "whole")]
        async with node_process(folder) as process:
            found["Node.js"] = await outcomes(served, wanted, process.clients)
    return served, [exchange for exchange in every if exchange.kind is None], found


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--no-node", action="store_true", help="only Python's SDKs")
    parser.add_argument("--output", type=Path, help="default: docs/fidelity.md, none with --cassettes")
    parser.add_argument("--cassettes", type=Path, help="another folder of recorded exchanges")
    parser.add_argument("--chunkings", default="", help="only these, by comma: whole, events, random, bytes, gzip")
    options = parser.parse_args()
    if options.cassettes is not None and not (options.cassettes / "index.csv").exists():
        parser.error(f"{options.cassettes}: no index.csv")
    output = options.output or (None if options.cassettes or options.chunkings else ROOT / "docs/fidelity.md")
    warnings.simplefilter("ignore", UserWarning)  # pydantic's, of blocks that an SDK doesn't know
    began = time.monotonic()
    node = not options.no_node and shutil.which("npm") is not None
    chunkings = tuple(filter(None, options.chunkings.split(",")))
    served, unserved, found = asyncio.run(run(options.cassettes or ALL, node=node, chunkings=chunkings))
    if output is not None:
        output.write_text(page(served, unserved, found))
    wrong = [one for outcomes_ in found.values() for one in outcomes_ if one.differences]
    for one in wrong:
        print(one.case.exchange.name, one.case.endpoint, one.case.chunking, *one.differences)
    print(f"{sum(map(len, found.values())):,} requests in {time.monotonic() - began:.0f} s, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
