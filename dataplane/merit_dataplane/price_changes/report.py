"""Changes of prices told: in words, as Markdown, as a document for JSON. Money is exact."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from merit_crds.pricing import usd
from merit_dataplane.price_changes.changes import TYPICAL, Changes, FieldChange, ModelChange
from merit_dataplane.price_changes.fields import Amount, Place, Value

_MILLION = 10**6
_PER_TOKEN, _PER_CALL = "USD per million tokens", "USD per call"
_SAME = "No price changes.\n"


def words(found: Changes) -> str:
    """For people."""
    if found.none:
        return _SAME
    lines = [_summary(found), ""]
    for change in found.models:
        lines.append(f"{change.provider} {change.model}: {_headline(change)}")
        lines += [f"  {told}" for told in _told(change)]
    for price_list, reasons in found.held.items():
        lines += ["", f"The operator would keep the old form of {price_list}:", *(f"  {reason}" for reason in reasons)]
    return "\n".join(lines) + "\n"


def markdown(found: Changes) -> str:
    """For a pull request."""
    if found.none:
        return _SAME
    lines = [f"**{_summary(found)}**", "", "| provider | model | what | typical request |", "| --- | --- | --- | --- |"]
    for change in found.models:
        told = "<br>".join(_cell(line) for line in _told(change)) or change.kind
        lines.append(f"| {_cell(change.provider)} | {_cell(change.model)} | {told} | {_headline(change)} |")
    for price_list, reasons in found.held.items():
        lines += ["", f"> **The operator would keep the old form of {price_list}:**", ">"]
        lines += [f"> - {_cell(reason)}" for reason in reasons]
    request = f"{TYPICAL.input} input and {TYPICAL.output} output tokens"
    return "\n".join([*lines, "", f"A typical request has {request}, at the usual prices, outside schedules."]) + "\n"


def document(found: Changes) -> dict[str, Any]:
    """For programs: prices in USD per million tokens or per call, as decimal strings; null is what is not there."""
    return {
        "models": [
            {
                "priceList": change.price_list,
                "provider": change.provider,
                "model": change.model,
                "kind": change.kind,
                "typicalCostUSD": {"before": _money(change.cost_before), "after": _money(change.cost_after)},
                "fields": [
                    {
                        "place": list(field.place.words),
                        "field": field.name,
                        "before": _plain(field.before),
                        "after": _plain(field.after),
                    }
                    for field in change.fields
                ],
            }
            for change in found.models
        ],
        "heldBack": {price_list: list(reasons) for price_list, reasons in found.held.items()},
    }


def _summary(found: Changes) -> str:
    counts = {"added": 0, "removed": 0, "cheaper": 0, "dearer": 0, "otherwise changed": 0}
    for change in found.models:
        counts[_direction(change) if change.kind == "changed" else change.kind] += 1
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _direction(change: ModelChange) -> str:
    before, after = change.cost_before or 0, change.cost_after or 0
    return "otherwise changed" if before == after else "cheaper" if after < before else "dearer"


def _headline(change: ModelChange) -> str:
    before, after = change.cost_before, change.cost_after
    if before is None or after is None:
        return f"{change.kind}, {_money(after if before is None else before)} USD"
    if before == after:
        return f"{_money(before)} USD as before"
    return f"{_money(before)} → {_money(after)} USD{_percent(before, after)}"


def _told(change: ModelChange) -> Iterator[str]:
    """A line per place, or per field where it is there before and after."""
    whole: dict[Place, list[FieldChange]] = {}
    for field in change.fields:
        if (field.place.words and (field.before is None) != (field.after is None)) or change.kind != "changed":
            whole.setdefault(field.place, []).append(field)
        else:
            yield f"{_at(field.place)}{field.name} {_moved(field)}"
    for place, fields in whole.items():
        gone = change.kind != "added" and all(field.after is None for field in fields)
        values = ", ".join(f"{f.name} {_short(f.before if gone else f.after)}" for f in fields)
        kind = "" if change.kind != "changed" else "no longer: " if gone else "new: "
        yield f"{_at(place)}{kind}{values}"


def _at(place: Place) -> str:
    return f"{', '.join(place.words)}: " if place.words else ""


def _moved(field: FieldChange) -> str:
    before, after = field.before, field.after
    if isinstance(before, Amount) and isinstance(after, Amount):
        unit = _PER_CALL if after.per_call else _PER_TOKEN
        return f"{_short(before)} → {_short(after)} {unit}{_percent(before.pico, after.pico)}"
    return f"{_short(before) or 'none'} → {_short(after) or 'none'}"


def _percent(before: int, after: int) -> str:
    if not before:
        return ""
    change = Decimal(100) * (after - before) / before
    rounded = f"{change:+.1f}".removesuffix(".0")
    return f" ({rounded} %)"


def _short(value: Value | None) -> str:
    if isinstance(value, Amount):
        return usd(value.pico * (1 if value.per_call else _MILLION))
    return value or "its default"


def _plain(value: Value | None) -> str | None:
    return _short(value) if isinstance(value, Amount) else value


def _money(pico: int | None) -> str | None:
    return None if pico is None else usd(pico)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
