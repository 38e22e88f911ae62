"""`merit prices import`: a price list of somebody else as ProviderPricing YAML."""

import argparse
import fnmatch
import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from merit_crds.compile.translate import translate
from merit_crds.manifest import read
from merit_dataplane.price_lists import genai_prices, litellm, models_dev, openrouter, portkey
from merit_dataplane.price_lists.merging import merged
from merit_dataplane.price_lists.quote import Listing, Quote, UnreadableError, Unsaid
from merit_dataplane.price_lists.writing import resources
from merit_dataplane.price_lists.yaml_text import yaml_text

HELP = "write ProviderPricing YAML from a price list of somebody else"
_READERS: dict[str, Callable[[Any, str], Listing]] = {
    "genai-prices": lambda document, _: genai_prices.read(document),
    "litellm": lambda document, _: litellm.read(document),
    "models.dev": lambda document, _: models_dev.read(document),
    "openrouter": lambda document, _: openrouter.read(document),
    "portkey": portkey.read,
}


def add_arguments(take: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    take.add_argument("file", type=Path, metavar="FILE", help="the price list; .gz is unpacked")
    take.add_argument("--from", dest="source", required=True, choices=sorted(_READERS), help="whose price list it is")
    take.add_argument(
        "--provider", action="append", default=[], metavar="LISTED[=NAME]",
        help="a provider of the list, and the name of your Provider if it is another (repeatable); default all",
    )  # fmt: skip
    take.add_argument("--model", action="append", default=[], metavar="GLOB", help="only such models (repeatable)")
    take.add_argument(
        "--output", type=Path, metavar="PATH",
        help="a folder, for a file per provider, or with one provider a file; default: standard output",
    )  # fmt: skip
    take.add_argument("--report", type=Path, metavar="FILE", help="write as JSON what could not be taken over")
    take.add_argument("--strict", action="store_true", help="exit with 1 when something could not be taken over")


def run(args: argparse.Namespace) -> int:
    """Writes YAML. 1 when the file is of another source, no model is left, or with --strict something is left out."""
    try:
        document = json.loads(_unpacked(args.file), parse_float=Decimal, parse_int=Decimal)
        listing = _READERS[args.source](document, args.file.name.split(".")[0])
    except (UnreadableError, ValueError) as error:
        print(f"merit prices: {args.file} is no price list of {args.source}: {error}", file=sys.stderr)
        return 1
    unsaid = list(listing.unsaid)
    chosen = _chosen(listing.quotes, args)
    if isinstance(chosen, str):
        _tell(args, unsaid, [])
        print(f"merit prices: {chosen}", file=sys.stderr)
        return 1
    wanted = {q.path for quotes in chosen.values() for q in quotes}
    narrowed = bool(args.provider or args.model)
    if narrowed:
        unsaid = [u for u in unsaid if any(u.path == path or u.path.startswith(f"{path}.") for path in wanted)]
    notes: list[str] = []
    try:
        texts = {name: _text(args, name, quotes, unsaid, notes) for name, quotes in chosen.items()}
    except UnreadableError as error:
        print(f"merit prices: {error}", file=sys.stderr)
        return 1
    _write(args, {name: text for name, text in texts.items() if text})
    _tell(args, unsaid, notes)
    if not any(texts.values()):
        print("merit prices: no model could be taken over", file=sys.stderr)
        return 1
    return 1 if args.strict and unsaid else 0


def _unpacked(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def _chosen(quotes: tuple[Quote, ...], args: argparse.Namespace) -> dict[str, list[Quote]] | str:
    """Quotes by name of the Provider; or what is wrong with the choice."""
    names = dict(given.partition("=")[::2] for given in args.provider)
    made: dict[str, list[Quote]] = defaultdict(list)
    listed = sorted({q.provider for q in quotes})
    if strange := sorted(names.keys() - set(listed)):
        return f"the list has no provider {strange[0]!r}; it has: {', '.join(listed) or 'none'}"
    for quote in quotes:
        if names and quote.provider not in names:
            continue
        if not args.model or any(fnmatch.fnmatchcase(quote.model, glob) for glob in args.model):
            made[names.get(quote.provider) or quote.provider].append(quote)
    return dict(made) or "no model of the list has such a name"


def _file(args: argparse.Namespace, name: str, alone: bool) -> Path | None:
    output: Path | None = args.output
    if output is None:
        return None
    return output if alone and output.suffix in {".yaml", ".yml"} else output / f"{name}.yaml"


def _text(args: argparse.Namespace, name: str, quotes: list[Quote], unsaid: list[Unsaid], notes: list[str]) -> str:
    made = list(resources(quotes, name=name, provider=name, unsaid=unsaid))
    file = _file(args, name, bool(args.provider) and len(args.provider) == 1)
    if file is not None and file.is_file() and made:
        text = file.read_text("utf-8")
        there = read(text, source=str(file))
        if wrong := [str(fault) for fault in there.faults] or [
            f"{r.source}: {p}" for r in there.resources if isinstance(found := translate(r), tuple) for p in found
        ]:
            raise UnreadableError(f"{file} is there and not valid, repair or remove it: {wrong[0]}")
        documents = {d["metadata"]["name"]: d for d in yaml.safe_load_all(text) if d}
        if any(d["kind"] != "ProviderPricing" for d in documents.values()):
            raise UnreadableError(f"{file} holds more than ProviderPricing: give another --output")
        made = merged(documents, made, notes)
    words = f"Prices from {args.source}, by `merit prices import`: an import leaves fields beside prices as they are."
    return yaml_text(made, words) if made else ""


def _write(args: argparse.Namespace, texts: dict[str, str]) -> None:
    if args.output is None:
        print("---\n".join(texts.values()), end="")
        return
    for name, text in texts.items():
        file = _file(args, name, bool(args.provider) and len(args.provider) == 1)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")


def _tell(args: argparse.Namespace, unsaid: list[Unsaid], notes: list[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    found = sorted(set(unsaid))
    for one in found:
        print(f"not taken over: {one}", file=sys.stderr)
    if args.report is not None:
        args.report.write_text(
            json.dumps([one._asdict() for one in found], indent=2, ensure_ascii=False) + "\n", "utf-8"
        )
