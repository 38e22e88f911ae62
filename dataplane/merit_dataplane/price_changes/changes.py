"""What differs between two sets of price lists, and which moves the guard rail would hold back. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from merit_crds.compile.price_moves import held_back
from merit_crds.pricing import Usage, price_details
from merit_crds.snapshot import ModelPrice
from merit_dataplane.price_changes.fields import Fields, Place, Value, fields_of
from merit_dataplane.price_changes.price_files import PriceList

TYPICAL = Usage(uncached_input=300, output=60)
"""The request by which a model is said to be cheaper or dearer."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field; None is where it is not there."""

    place: Place
    name: str
    before: Value | None
    after: Value | None


@dataclass(frozen=True, slots=True)
class ModelChange:
    """One model of one price list. Costs are pico-dollars of the typical request at the usual prices."""

    price_list: str
    provider: str
    model: str
    kind: Literal["added", "removed", "changed"]
    fields: tuple[FieldChange, ...]
    cost_before: int | None
    cost_after: int | None


@dataclass(frozen=True, slots=True)
class Changes:
    """All that differs, by price list and model."""

    models: tuple[ModelChange, ...]
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Price lists that the operator would hold back, and why."""

    @property
    def none(self) -> bool:
        """Whether both say the same."""
        return not self.models


def changes(old: Mapping[str, PriceList], new: Mapping[str, PriceList]) -> Changes:
    """What differs."""
    found = [change for key in sorted(old.keys() | new.keys()) for change in _of_list(key, old.get(key), new.get(key))]
    held = held_back(
        {listed.resource.id: listed.resource for listed in new.values()},
        {listed.resource.id: listed.entry for listed in new.values()},
        {listed.resource.id: listed.entry for listed in old.values()},
    )
    return Changes(
        models=tuple(found),
        held={f"{rid.namespace}/{rid.name}": tuple(why for _, why in reasons) for rid, reasons in held.items()},
    )


def _of_list(key: str, old: PriceList | None, new: PriceList | None) -> Iterator[ModelChange]:
    before = old.entry.models if old else {}
    after = new.entry.models if new else {}
    provider = (new or old).entry.provider if (new or old) else ""  # type: ignore[union-attr] # one of them is there
    for model in sorted(before.keys() | after.keys()):
        was, becomes = before.get(model), after.get(model)
        differing = tuple(_differing(fields_of(was) if was else {}, fields_of(becomes) if becomes else {}))
        if differing:
            kind: Literal["added", "removed", "changed"] = "changed"
            if was is None or becomes is None:
                kind = "added" if was is None else "removed"
            yield ModelChange(key, provider, model, kind, differing, _typical(was), _typical(becomes))


def _differing(before: Fields, after: Fields) -> Iterator[FieldChange]:
    for place, name in dict.fromkeys((*before, *after)):
        was, becomes = before.get((place, name)), after.get((place, name))
        if was != becomes:
            yield FieldChange(place, name, was, becomes)


def _typical(price: ModelPrice | None) -> int | None:
    return price_details(price, TYPICAL).total if price is not None else None
