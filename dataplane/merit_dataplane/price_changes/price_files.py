"""ProviderPricing from files: other kinds beside them are passed over, a broken list is an error."""

from pathlib import Path
from typing import NamedTuple

from merit_crds.compile.translate import translate
from merit_crds.manifest import read
from merit_crds.resources import Resource
from merit_crds.snapshot import PricingEntry

_SUFFIXES = {".yaml", ".yml"}


class InvalidListError(ValueError):
    """Lists can't be compared; a line each of what is wrong."""


class PriceList(NamedTuple):
    """One resource, as written and as compiled."""

    resource: Resource
    entry: PricingEntry


def price_lists(path: Path) -> dict[str, PriceList]:
    """Price lists by `namespace/name`. Raises InvalidListError, and OSError for a path that can't be read."""
    files = sorted(f for f in path.rglob("*") if f.suffix in _SUFFIXES and f.is_file()) if path.is_dir() else [path]
    found: dict[str, PriceList] = {}
    wrong: list[str] = []
    for file in files:
        try:
            manifest = read(file.read_text("utf-8"), source=str(file))
        except UnicodeDecodeError:
            wrong.append(f"{file}: is no UTF-8 text")
            continue
        wrong += [str(fault) for fault in manifest.faults]
        for resource in manifest.resources:
            if resource.id.kind != "ProviderPricing":
                continue
            entry = translate(resource)
            key = f"{resource.id.namespace}/{resource.id.name}"
            if not isinstance(entry, PricingEntry):
                problems = entry if isinstance(entry, tuple) else ()
                wrong += [f"{resource.source}: ProviderPricing {key}: {problem}" for problem in problems]
            elif key in found:
                wrong.append(f"{resource.source}: ProviderPricing {key} is in {found[key].resource.source}, too")
            else:
                found[key] = PriceList(resource, entry)
    if wrong:
        raise InvalidListError("\n".join(wrong))
    return found
