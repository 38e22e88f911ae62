"""The commitments of a ProviderPricing: amounts to integers, every default filled in."""

from collections.abc import Iterator
from fractions import Fraction

from merit_crds.compile.prices import (
    Path,
    charge_at,
    deviation_problems,
    list_terms,
    no_such_day,
    seconds_of,
    zone_problems,
)
from merit_crds.problems import Problem, shown
from merit_crds.snapshot.model import Commitment, Terms, TokenWeights
from merit_crds.v1alpha1 import CommitmentSpec, Deviation, ProviderPricingSpec
from merit_crds.v1alpha1.commitments import FeeSpec, VolumeSpec
from merit_crds.v1alpha1.fields import epoch_seconds, milliseconds

_MILLION = 10**6
_SHORTEST_MS = 60_000


def commitments(spec: ProviderPricingSpec) -> tuple[Commitment, ...]:
    """The entries, by name. The spec has no `problems`."""
    return tuple(_commitment(spec, one) for one in sorted(spec.commitments, key=lambda one: one.name))


def _commitment(spec: ProviderPricingSpec, one: CommitmentSpec) -> Commitment:
    volume = one.volume
    money = volume.prepaid or volume.minimum_spend
    rate = Fraction(spec.currency.usd_per_unit) if spec.currency else Fraction(1)
    amount = max(1, round(Fraction(money) * rate * _MILLION)) if money else 0
    fee, fee_seconds = amount, 0
    if one.fee is not None:
        fee, fee_seconds = round(Fraction(one.fee.amount) * rate * _MILLION), _seconds(one.fee.per)
    period = one.period
    return Commitment(
        name=one.name,
        models=tuple(sorted(one.models or (model.model for model in spec.models))),
        unit="usd" if money else "requests" if volume.requests else "tokens",
        volume=amount or volume.requests or volume.tokens or volume.input_tokens or volume.output_tokens or 0,
        start=epoch_seconds(one.starts),
        end=epoch_seconds(one.expires) if one.expires else 0,
        months_of=(period.time_zone or "") if period else "",
        seconds=_seconds(period.length) if period else 0,
        covers="input" if volume.input_tokens else "output" if volume.output_tokens else "all",
        weights=_weights(volume),
        fee=fee,
        fee_seconds=fee_seconds,
        minimum=volume.minimum_spend is not None,
        within=_rates(spec, one.committed, usual=_MILLION if money else 0),
        beyond=_rates(spec, one.overage, usual=_MILLION),
    )


def _seconds(duration: str | None) -> int:
    return milliseconds(duration) // 1000 if duration else 0


def _weights(volume: VolumeSpec) -> TokenWeights | None:
    if volume.weights is None:
        return None
    given = volume.weights
    plain = given.input or "1"
    return TokenWeights(
        input=_millionths(plain),
        cached_input=_millionths(given.cached_input or plain),
        cache_write=_millionths(given.cache_write or plain),
        output=_millionths(given.output or "1"),
    )


def _millionths(decimal: str) -> int:
    return int(Fraction(decimal) * _MILLION)


def _rates(spec: ProviderPricingSpec, deviation: Deviation | None, *, usual: int) -> Terms:
    if deviation is None:
        return Terms(ppm=usual)
    if deviation.prices is not None:
        return Terms(charge=charge_at(deviation.prices, deviation.context_tiers or (), list_terms(spec)))
    return Terms(ppm=_MILLION - int(Fraction(deviation.percent_off or "0") * _MILLION / 100))


# ---- what is wrong


def problems(spec: ProviderPricingSpec) -> Iterator[Problem]:
    """What only the whole price list can tell."""
    models = {model.model: model for model in spec.models}
    for i, one in enumerate(spec.commitments):
        path: Path = ("spec", "commitments", i)
        for m, name in enumerate(one.models):
            if name not in models:
                yield Problem(path=(*path, "models", m), reason="is none of spec.models", value=shown(name))
        yield from _time_problems(path, one)
        yield from _weight_problems(path, one.volume)
        if one.fee is not None:
            yield from _fee_problems((*path, "fee"), one.fee)
        if len(one.models) == 1 and one.models[0] in models:
            for field, rates in (("committed", one.committed), ("overage", one.overage)):
                if rates is not None:
                    yield from deviation_problems((*path, field), models[one.models[0]], rates)


def _time_problems(path: Path, one: CommitmentSpec) -> Iterator[Problem]:
    start, end = seconds_of(one.starts), seconds_of(one.expires)
    if start is None:
        yield no_such_day((*path, "starts"), one.starts)
    if one.expires and end is None:
        yield no_such_day((*path, "expires"), one.expires)
    if start is not None and end is not None and one.expires and end <= start:
        yield Problem(path=(*path, "expires"), reason="must be after starts", value=shown(one.expires))
    if one.period is not None and one.period.time_zone is not None:
        yield from zone_problems((*path, "period", "timeZone"), one.period.time_zone)
    if one.period is not None and one.period.length is not None:
        yield from _length_problems((*path, "period", "length"), one.period.length)


def _fee_problems(path: Path, fee: FeeSpec) -> Iterator[Problem]:
    if fee.per is not None:
        yield from _length_problems((*path, "per"), fee.per)


def _length_problems(path: Path, duration: str) -> Iterator[Problem]:
    length = milliseconds(duration)
    if length < _SHORTEST_MS or length % 1000:
        yield Problem(path=path, reason="must be whole seconds, at least 1m", value=shown(duration))


def _weight_problems(path: Path, volume: VolumeSpec) -> Iterator[Problem]:
    weights = _weights(volume)
    if weights is not None and not weights.input and not weights.output:
        words = "count neither input nor output: nothing would ever be drawn"
        yield Problem(path=(*path, "volume", "weights"), reason=words)
