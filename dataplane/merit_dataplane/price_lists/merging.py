"""A new import over resources that are there: prices are the import's, everything else stays as the hand left it."""

from collections.abc import Mapping, Sequence
from typing import Any

from merit_dataplane.price_lists.writing import lists

Spec = dict[str, Any]
_OF_SOURCE = ("model", "prices", "contextTiers", "serviceTiers")
"""Fields of a model that are the source's alone."""
_OF_WHOEVER_HAS_THEM = ("schedules", "periods")
"""The source's where it has them, else what the file has."""


def merged(old: Mapping[str, Spec], new: Sequence[Spec], notes: list[str]) -> list[Spec]:
    """The new resources of one provider with what those of the same names have beside prices.

    A model that the source lacks is kept, and noted. `old` is by name of the resource; its specs are valid.
    """
    before = {m["model"]: m for document in old.values() for m in document["spec"]["models"]}
    after = {m["model"]: _model(before.get(m["model"], {}), m) for d in new for m in d["spec"]["models"]}
    for model in sorted(before.keys() - after.keys()):
        notes.append(f"{model}: is in the file and not in the source: kept as it is")
        after[model] = before[model]
    hours = {s["name"]: s for d in old.values() for s in d["spec"].get("schedules", ())}
    for schedule in (s for d in new for s in d["spec"].get("schedules", ())):
        if hours.setdefault(schedule["name"], schedule) != schedule:
            notes.append(f"schedule {schedule['name']}: its hours in the file give way to those of the source")
            hours[schedule["name"]] = schedule
    name, provider = new[0]["metadata"]["name"], new[0]["spec"]["providerRef"]["name"]
    made = lists([after[model] for model in sorted(after)], hours, name=name, provider=provider)
    return [_over(old[d["metadata"]["name"]], d, notes) if d["metadata"]["name"] in old else d for d in made]


def _over(old: Spec, new: Spec, notes: list[str]) -> Spec:
    spec = old["spec"]
    if "currency" in spec:
        notes.append(f"{old['metadata']['name']}: spec.currency is kept, but the source's prices are in USD: remove it")
    named = {s["name"] for s in new["spec"].get("schedules", ())}
    unused = [s for s in spec.get("schedules", ()) if s["name"] not in named]
    hours = [*new["spec"].get("schedules", ()), *unused]
    kept = {k: v for k, v in spec.items() if k not in ("providerRef", "schedules", "models")}
    return {
        **new,
        "metadata": old["metadata"],
        "spec": {
            "providerRef": spec["providerRef"],
            **kept,
            **({"schedules": hours} if hours else {}),
            "models": new["spec"]["models"],
        },
    }


def _model(old: Mapping[str, Any], new: Spec) -> Spec:
    listed = {k: v for k, v in new.items() if k in _OF_SOURCE}
    timed = {k: v for k in _OF_WHOEVER_HAS_THEM if (v := new.get(k) or old.get(k))}
    rest = (*_OF_SOURCE, *_OF_WHOEVER_HAS_THEM)
    described = {k: v for k, v in new.items() if k not in rest}
    return {**listed, **timed, **described, **{k: v for k, v in old.items() if k not in rest}}
