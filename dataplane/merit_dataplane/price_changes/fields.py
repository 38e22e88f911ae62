"""A model's price as fields with a place and a name, so that two of them can be compared."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from merit_crds.compile.prices import FIELDS, SPECIAL_FIELDS
from merit_crds.snapshot import Charge, ModelPrice, Rates, Schedule, Tariff, Window

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "holidays")
_EVERY_DAY = 0xFF
_OF_WHOLE = ("output", "request")
"""What a tier that prices the excess alone leaves as it is."""
_FOLLOWS = {
    "cachedInput": "input",
    "cacheWrite": "input",
    "cacheWrite1h": "cacheWrite",
    "reasoning": "output",
    "imageInput": "input",
    "imageOutput": "output",
    "audioInput": "input",
    "cachedAudioInput": "cachedInput",
    "audioOutput": "output",
}


class Place(NamedTuple):
    """Where in a price list a field stands: words from the outside in; none for the usual prices."""

    words: tuple[str, ...] = ()

    def within(self, word: str) -> "Place":
        """A part of this place."""
        return Place((*self.words, word))


class Amount(NamedTuple):
    """A price in pico-dollars, per token or per call."""

    pico: int
    per_call: bool = False


Value = Amount | str
Fields = dict[tuple[Place, str], Value]


def fields_of(price: ModelPrice) -> Fields:
    """All that a price list says of a model, without the prices that only follow another one."""
    found: Fields = {}
    usual = Place()
    found[usual, "capabilities"] = ", ".join(price.capabilities)
    found[usual, "contextWindow"] = str(price.context_window or "unknown")
    found[usual, "maxOutputTokens"] = str(price.max_output_tokens or "unknown")
    found[usual, "billedBy"] = "Completion" if price.billed_by_completion else "Start"
    found |= _tariff(usual, price)
    found |= _schedules(usual, price.schedules)
    for period in price.periods:
        until = f" until {_instant(period.end)}" if period.end else ""
        place = usual.within(f"from {_instant(period.start)}{until}")
        found |= _tariff(place, period)
        found |= _schedules(place, period.schedules)
    return found


def _schedules(place: Place, schedules: tuple[Schedule, ...]) -> Fields:
    found: Fields = {}
    for schedule in schedules:
        inner = place.within(f"schedule {schedule.name}")
        found[inner, "hours"] = _hours(schedule)
        found |= _tariff(inner, schedule.tariff)
    return found


def _tariff(place: Place, tariff: Tariff) -> Fields:
    found = _charge(place, tariff)
    for tier in tariff.service_tiers:
        found |= _charge(place.within(f"service tier {tier.name}"), tier)
    return found


def _charge(place: Place, charge: Charge) -> Fields:
    found: Fields = dict(_rates(place, charge.rates))
    for tier in charge.context_tiers:
        applies = "the input above it" if tier.excess else "the whole request"
        inner = place.within(f"above {tier.above} input tokens, {applies}")
        found |= {
            key: value
            for key, value in _rates(inner, tier.rates)
            if not (tier.excess and key[1] in ("output", "request"))
        }
    return found


def _rates(place: Place, rates: Rates) -> Iterator[tuple[tuple[Place, str], Amount]]:
    """What equals the price that it would follow is not told: it says nothing of its own."""
    everything = {field: getattr(rates, name) for name, field in FIELDS.items()}
    if rates.special:
        everything |= {field: getattr(rates.special, name) for name, field in SPECIAL_FIELDS.items()}
    for name, pico in everything.items():
        follows = _FOLLOWS.get(name)
        if follows is None or pico != everything[follows]:
            yield (place, name), Amount(pico)
    if rates.request:
        yield (place, "request"), Amount(rates.request, per_call=True)


def _hours(schedule: Schedule) -> str:
    windows = ", ".join(_window(window) for window in schedule.windows)
    dates = sorted(_day(day) for day in schedule.holidays)
    return f"{windows} by the clock of {schedule.time_zone}" + (f", holidays {', '.join(dates)}" if dates else "")


def _window(window: Window) -> str:
    days = [name for bit, name in enumerate(_DAYS) if window.days >> bit & 1]
    which = "every day" if window.days == _EVERY_DAY else "+".join(days)
    return f"{which} {_clock(window.start)}-{_clock(window.end)}"


def _clock(second: int) -> str:
    hours, rest = divmod(second, 3600)
    return f"{hours:02d}:{rest // 60:02d}"


def _instant(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(days: int) -> str:
    return datetime.fromtimestamp(days * 86_400, UTC).strftime("%Y-%m-%d")
