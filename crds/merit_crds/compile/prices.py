"""The prices of a ProviderPricing: decimals of the resource to integer rates, every default filled in.

A rate is rounded once, half to even, to a whole pico-dollar per token: only a percentage can make that necessary, since
prices have six decimals.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import or_
from typing import get_args
from zoneinfo import ZoneInfoNotFoundError

from merit_crds.pricing import BATCH, STANDARD, special_rates
from merit_crds.pricing.zones import zone
from merit_crds.problems import Problem, shown
from merit_crds.snapshot.model import (
    Charge,
    ContextTier,
    ModelPrice,
    Period,
    Rates,
    Schedule,
    ServiceTier,
    SpecialRates,
    Tariff,
    Window,
)
from merit_crds.v1alpha1 import (
    ContextTierSpec,
    Deviation,
    ModelPricing,
    PeriodSpec,
    Prices,
    ProviderPricingSpec,
    ScheduleSpec,
    ServiceTierSpec,
    TariffSpec,
)
from merit_crds.v1alpha1.fields import day_seconds, epoch_day, epoch_seconds
from merit_crds.v1alpha1.prices import ContextTiers
from merit_crds.v1alpha1.schedules import Day, WindowSpec

Path = tuple[str | int, ...]
FIELDS = {"input": "input", "output": "output", "cached_input": "cachedInput", "cache_write": "cacheWrite"}
SPECIAL_FIELDS = {
    "cache_write_1h": "cacheWrite1h",
    "reasoning": "reasoning",
    "image_input": "imageInput",
    "image_output": "imageOutput",
    "audio_input": "audioInput",
    "cached_audio_input": "cachedAudioInput",
    "audio_output": "audioOutput",
}
_SPECIAL = frozenset(SPECIAL_FIELDS)
_PER_TOKEN, _PER_CALL = 10**6, 10**12
_DAYS = {day: 1 << bit for bit, day in enumerate(get_args(Day))}
_EVERY_DAY = reduce(or_, _DAYS.values())
_WHOLE = Fraction(1)


def models(spec: ProviderPricingSpec) -> dict[str, ModelPrice]:
    """The models' entries. The spec has no `problems`."""
    schedules = {schedule.name: schedule for schedule in spec.schedules}
    terms = list_terms(spec)
    return {pricing.model: _model(pricing, schedules, terms) for pricing in spec.models}


def list_terms(spec: ProviderPricingSpec) -> Fraction:
    """What a price of the list is multiplied by: the currency's rate, the account's discount."""
    if spec.currency is None and spec.discount_percent is None:
        return _WHOLE
    rate = Fraction(spec.currency.usd_per_unit) if spec.currency else _WHOLE
    return rate * _left(spec.discount_percent or "0")


def problems(spec: ProviderPricingSpec) -> list[Problem]:
    """What only the whole price list can tell."""
    found: list[Problem] = []
    if spec.currency is not None and not _is_day(spec.currency.as_of):
        found.append(no_such_day(("spec", "currency", "asOf"), spec.currency.as_of))
    found += [p for i, schedule in enumerate(spec.schedules) for p in _schedule_problems(i, schedule)]
    names = {schedule.name for schedule in spec.schedules}
    for i, pricing in enumerate(spec.models):
        path: Path = ("spec", "models", i)
        found += _tariff_problems(path, pricing, names)
        found += _unpriced(path, pricing)
        for p, period in enumerate(pricing.periods):
            at = (*path, "periods", p)
            found += _tariff_problems(at, period, names)
            start, end = seconds_of(period.valid_from), seconds_of(period.valid_to)
            if start is None:
                found.append(no_such_day((*at, "validFrom"), period.valid_from))
            if period.valid_to and end is None:
                found.append(no_such_day((*at, "validTo"), period.valid_to))
            if start and end and end <= start:
                words = "must be after validFrom"
                found.append(Problem(path=(*at, "validTo"), reason=words, value=shown(period.valid_to)))
    return found


def _model(pricing: ModelPricing, schedules: Mapping[str, ScheduleSpec], terms: Fraction) -> ModelPrice:
    usual = _usual(pricing, terms)
    return ModelPrice(
        rates=usual.rates,
        context_tiers=usual.context_tiers,
        service_tiers=usual.service_tiers,
        capabilities=tuple(sorted(pricing.capabilities)),
        context_window=pricing.context_window or 0,
        max_output_tokens=pricing.max_output_tokens or 0,
        schedules=_schedules(pricing, schedules, terms),
        periods=tuple(
            _period(period, schedules, terms) for period in sorted(pricing.periods, key=lambda p: p.valid_from)
        ),
        billed_by_completion=pricing.billed_by == "Completion",
    )


def _period(period: PeriodSpec, schedules: Mapping[str, ScheduleSpec], terms: Fraction) -> Period:
    usual = _usual(period, terms)
    return Period(
        start=epoch_seconds(period.valid_from),
        end=epoch_seconds(period.valid_to) if period.valid_to else 0,
        rates=usual.rates,
        context_tiers=usual.context_tiers,
        service_tiers=usual.service_tiers,
        schedules=_schedules(period, schedules, terms),
    )


# ---- tariffs


def _usual(spec: TariffSpec, terms: Fraction) -> Tariff:
    return _tariff(spec.prices, spec.context_tiers, spec.service_tiers, terms, terms)


def _schedules(usual: TariffSpec, schedules: Mapping[str, ScheduleSpec], terms: Fraction) -> tuple[Schedule, ...]:
    made = []
    for deviation in usual.schedules:
        hours = schedules[deviation.name]
        made.append(
            Schedule(
                name=hours.name,
                time_zone=hours.time_zone,
                windows=tuple(_window(window) for window in hours.windows),
                tariff=_deviating(usual, deviation, terms),
                holidays=tuple(sorted(map(epoch_day, hours.holidays))),
            )
        )
    return tuple(made)


def _deviating(usual: TariffSpec, deviation: Deviation, terms: Fraction) -> Tariff:
    if deviation.prices is None:
        factor = terms * _left(deviation.percent_off or "0")
        return _tariff(usual.prices, usual.context_tiers, usual.service_tiers, factor, terms)
    return _tariff(deviation.prices, deviation.context_tiers or (), usual.service_tiers, terms, terms)


def _tariff(
    prices: Prices,
    context_tiers: ContextTiers,
    service_tiers: tuple[ServiceTierSpec, ...],
    factor: Fraction,
    terms: Fraction,
) -> Tariff:
    """`factor` is for these prices, `terms` for the prices of service tiers that have their own."""
    made = []
    for tier in service_tiers:
        base, tiers, times = prices, context_tiers, factor
        if tier.prices is not None:
            base, tiers, times = tier.prices, tier.context_tiers or (), terms
        elif tier.percent_off is not None:
            times = factor * _left(tier.percent_off)
        made.append(
            ServiceTier(name=tier.name, rates=_rates(base, times), context_tiers=_context_tiers(base, tiers, times))
        )
    return Tariff(
        rates=_rates(prices, factor),
        context_tiers=_context_tiers(prices, context_tiers, factor),
        service_tiers=tuple(sorted(made, key=lambda tier: tier.name)),
    )


def charge_at(prices: Prices, context_tiers: ContextTiers, terms: Fraction) -> Charge:
    """What prices that stand for themselves come to."""
    return Charge(rates=_rates(prices, terms), context_tiers=_context_tiers(prices, context_tiers, terms))


def _left(percent_off: str) -> Fraction:
    return 1 - Fraction(percent_off) / 100


def _rates(prices: Prices, factor: Fraction) -> Rates:
    return Rates(
        input=_pico(prices.input, _PER_TOKEN, factor),
        output=_pico(prices.output, _PER_TOKEN, factor),
        cached_input=_pico(prices.cached_input or prices.input, _PER_TOKEN, factor),
        cache_write=_pico(prices.cache_write or prices.input, _PER_TOKEN, factor),
        request=_pico(prices.request or "0", _PER_CALL, factor),
        special=_special_rates(prices, factor) if prices.model_fields_set & _SPECIAL else None,
    )


def _special_rates(prices: Prices, factor: Fraction) -> SpecialRates:
    def rate(*choices: str | None) -> int:
        return _pico(next(price for price in choices if price is not None), _PER_TOKEN, factor)

    return SpecialRates(
        cache_write_1h=rate(prices.cache_write_1h, prices.cache_write, prices.input),
        reasoning=rate(prices.reasoning, prices.output),
        image_input=rate(prices.image_input, prices.input),
        image_output=rate(prices.image_output, prices.output),
        audio_input=rate(prices.audio_input, prices.input),
        cached_audio_input=rate(prices.cached_audio_input, prices.audio_input, prices.cached_input, prices.input),
        audio_output=rate(prices.audio_output, prices.output),
    )


def _pico(price: str, unit: int, factor: Fraction) -> int:
    return int(Decimal(price) * unit) if factor is _WHOLE else round(Fraction(price) * unit * factor)


def _context_tiers(base: Prices, tiers: tuple[ContextTierSpec, ...], factor: Fraction) -> tuple[ContextTier, ...]:
    """What a tier leaves out is what the tier below *named*: an unnamed cachedInput goes on following its input."""
    named, made = base, []
    for tier in sorted(tiers, key=lambda t: t.above):
        named = named.model_copy(update=tier.prices.model_dump(exclude_none=True))
        made.append(ContextTier(above=tier.above, excess=tier.applies == "Excess", rates=_rates(named, factor)))
    return tuple(made)


def _window(window: WindowSpec) -> Window:
    days = reduce(or_, (_DAYS[day] for day in window.days), 0) or _EVERY_DAY
    return Window(days=days, start=day_seconds(window.from_), end=day_seconds(window.to))


# ---- what is wrong


def _tariff_problems(path: Path, tariff: TariffSpec, names: set[str]) -> Iterator[Problem]:
    yield from _falling((*path, "contextTiers"), tariff.prices, tariff.context_tiers)
    for i, schedule in enumerate(tariff.schedules):
        at = (*path, "schedules", i)
        if schedule.name not in names:
            yield Problem(path=(*at, "name"), reason="is none of spec.schedules", value=shown(schedule.name))
        yield from deviation_problems(at, tariff, schedule)
    for i, tier in enumerate(tariff.service_tiers):
        if tier.name in STANDARD:
            words = "is the tier that prices are of: take it out"
            yield Problem(path=(*path, "serviceTiers", i, "name"), reason=words, value=shown(tier.name))
        yield from deviation_problems((*path, "serviceTiers", i), tariff, tier)


def _unpriced(path: Path, pricing: ModelPricing) -> Iterator[Problem]:
    """Sound costs several times what text does, a batch half: nobody means the usual price by saying nothing."""
    if "Batches" in pricing.capabilities and all(tier.name != BATCH for tier in pricing.service_tiers):
        words = (
            'needs a tier named batch with the capability Batches: add {name: batch, percentOff: "50"}, or its prices'
        )
        yield Problem(path=(*path, "serviceTiers"), reason=words)
    if "Audio" not in pricing.capabilities:
        return
    named = [(path, pricing.prices), *(((*path, "periods", i), p.prices) for i, p in enumerate(pricing.periods))]
    for at, prices in named:
        if prices.audio_input is None:
            words = "is required with the capability Audio: add it, or take Audio out of capabilities"
            yield Problem(path=(*at, "prices", "audioInput"), reason=words)


def deviation_problems(path: Path, usual: TariffSpec, deviation: Deviation) -> Iterator[Problem]:
    """Of what deviates from a model's usual prices."""
    if deviation.prices is None:
        return
    if usual.context_tiers and deviation.context_tiers is None:
        words = "is required beside prices, since the model has context tiers: add it, or [] for none"
        yield Problem(path=(*path, "contextTiers"), reason=words)
    yield from _falling((*path, "contextTiers"), deviation.prices, deviation.context_tiers or ())


def _falling(path: Path, prices: Prices, tiers: tuple[ContextTierSpec, ...]) -> list[Problem]:
    """Context tiers that are cheaper than what lies below: a longer request would cost less than a shorter one."""
    if not tiers:
        return []
    tariff, place = _tariff(prices, tiers, (), _WHOLE, _WHOLE), {tier.above: i for i, tier in enumerate(tiers)}
    below = [tariff.rates, *(tier.rates for tier in tariff.context_tiers)]
    return [
        Problem(
            path=(*path, place[high.above], "prices"),
            reason=f"{name} can't be less than in the tier below: a longer request would cost less",
        )
        for low, high in zip(below, tariff.context_tiers, strict=False)
        for name in _fallen(low, high.rates)
    ]


def _fallen(low: Rates, high: Rates) -> Iterator[str]:
    """Fields in which rates are lower than those that should be below them."""
    yield from (field for name, field in FIELDS.items() if getattr(high, name) < getattr(low, name))
    if low.special or high.special:
        below, above = special_rates(low), special_rates(high)
        yield from (field for name, field in SPECIAL_FIELDS.items() if getattr(above, name) < getattr(below, name))


def _schedule_problems(i: int, schedule: ScheduleSpec) -> Iterator[Problem]:
    path: Path = ("spec", "schedules", i)
    yield from zone_problems((*path, "timeZone"), schedule.time_zone)
    for h, holiday in enumerate(schedule.holidays):
        if not _is_day(holiday):
            yield no_such_day((*path, "holidays", h), holiday)


def zone_problems(path: Path, name: str) -> Iterator[Problem]:
    """Whether a time zone is one."""
    try:
        zone(name)
    except ZoneInfoNotFoundError:
        words = "is no IANA time zone: use one such as 'Asia/Shanghai' or 'UTC'"
        yield Problem(path=path, reason=words, value=shown(name))


def _is_day(day: str) -> bool:
    try:
        epoch_day(day)
    except ValueError:
        return False
    return True


def no_such_day(path: Path, value: str) -> Problem:
    """A date that the calendar does not have."""
    return Problem(path=path, reason="is a day that its month does not have", value=shown(value))


def seconds_of(instant: str | None) -> int | None:
    """Epoch seconds; None where there is no such day."""
    try:
        return epoch_seconds(instant) if instant else None
    except ValueError:
        return None
