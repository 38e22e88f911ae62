"""By what a request was priced, so that its cost can be recomputed: the price list's version and the rates used."""

import hashlib
from functools import lru_cache

import msgspec

from merit_crds.pricing.cost import usd
from merit_crds.snapshot.model import ContextTier, PricingEntry, Rates, SpecialRates
from merit_crds.usage_line import StampedExcess, StampedRates, StampedSpecialRates

_MILLION = 1_000_000
_encode = msgspec.json.Encoder(order="sorted").encode


def price_version(entry: PricingEntry) -> str:
    """First 12 hex digits of a SHA-256 of what a price list says, its generation apart: equal prices, equal version."""
    content = (entry.provider, entry.models, *([entry.commitments] if entry.commitments else ()))
    return hashlib.sha256(_encode(content)).hexdigest()[:12]


@lru_cache(maxsize=8192)
def stamped(rates: Rates) -> StampedRates:
    """Rates in decimal USD per million tokens, `request` per call."""
    return StampedRates(
        input=usd(rates.input * _MILLION),
        output=usd(rates.output * _MILLION),
        cached_input=usd(rates.cached_input * _MILLION),
        cache_write=usd(rates.cache_write * _MILLION),
        request=usd(rates.request),
        special=_special(rates.special) if rates.special else None,
    )


def _special(rates: SpecialRates) -> StampedSpecialRates:
    return StampedSpecialRates(**{name: usd(getattr(rates, name) * _MILLION) for name in rates.__struct_fields__})


def stamped_excess(tier: ContextTier) -> StampedExcess:
    """A context tier that prices the input above it alone."""
    rates = stamped(tier.rates)
    return StampedExcess(
        above=tier.above,
        input=rates.input,
        cached_input=rates.cached_input,
        cache_write=rates.cache_write,
        special=rates.special,
    )
