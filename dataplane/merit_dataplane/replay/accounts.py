"""Usage logs added up, and priced anew."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import polars as pl

from merit_crds.pricing import STANDARD
from merit_crds.pricing.cost import PICO
from merit_crds.snapshot import ContextTier, ModelPrice, Rates, ServiceTier, Snapshot, SpecialRates
from merit_dataplane.replay.lines import pico
from merit_dataplane.replay.names import Ints
from merit_dataplane.replay.pricing import has_price, priced, total
from merit_dataplane.replay.tokens import of_lines

GROUPS = ("day", "route", "tier", "provider", "model", "consumer")
_SPLIT = 10**6
_MOST_NAMED = 8
Prices = Mapping[tuple[str, str], ModelPrice]
"""By provider and model."""


class UnpricedError(ValueError):
    """A price that is asked for is not known; the message says of what, and what to do."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What one group used. Money is pico-dollars."""

    group: tuple[str, ...]
    requests: int
    input_tokens: int
    output_tokens: int
    spend: int

    def plus(self, other: "Sum | None") -> "Sum":
        """Of both."""
        if other is None:
            return self
        return Sum(
            self.group,
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.spend + other.spend,
        )


@dataclass(frozen=True, slots=True)
class Recost:
    """One model's requests, as booked and as priced anew, in pico-dollars."""

    provider: str
    model: str
    requests: int
    booked: int
    anew: int
    differ: int
    """Requests whose cost is another one."""

    def plus(self, other: "Recost | None") -> "Recost":
        """Of both."""
        if other is None:
            return self
        return Recost(
            self.provider,
            self.model,
            self.requests + other.requests,
            self.booked + other.booked,
            self.anew + other.anew,
            self.differ + other.differ,
        )


def sums(lines: Iterable[pl.DataFrame], by: Sequence[str]) -> list[Sum]:
    """Exact sums by group, the dearest first."""
    found: dict[tuple[str, ...], Sum] = {}
    for table in lines:
        for more in _sums(table, by):
            found[more.group] = more.plus(found.get(more.group))
    return sorted(found.values(), key=lambda s: (-s.spend, s.group))


def _sums(table: pl.DataFrame, by: Sequence[str]) -> list[Sum]:
    table = table.with_columns(
        day=pl.from_epoch((pl.col("time") * 1000).cast(pl.Int64), "ms").dt.strftime("%Y-%m-%d"),
        pico=pico("cost").fill_null(0) + pico("lost_cost").fill_null(0),
    )
    found = table.group_by(list(by)).agg(
        pl.len(),
        pl.col("input_tokens", "output_tokens").sum(),
        (pl.col("pico") // _SPLIT).sum().alias("high"),  # in two pieces: a sum of int64 ends at 9.2 million USD
        (pl.col("pico") % _SPLIT).sum().alias("low"),
    )
    return [Sum(tuple(row[: len(by)]), row[-5], row[-4], row[-3], row[-2] * _SPLIT + row[-1]) for row in found.rows()]


def recost(lines: Iterable[pl.DataFrame], prices: Prices | None) -> list[Recost]:
    """Every priced line anew: by these prices, else by the rates that it is stamped with. Raises UnpricedError."""
    found: dict[tuple[str, str], Recost] = {}
    for table in lines:
        for more in _recost(table, prices):
            name = (more.provider, more.model)
            found[name] = more.plus(found.get(name))
    return [found[name] for name in sorted(found)]


def _recost(lines: pl.DataFrame, prices: Prices | None) -> Iterator[Recost]:
    keys = ["provider", "model"] if prices is not None else ["provider", "model", _STAMP]
    table = _priced_lines(lines).with_columns(booked=pico("cost"))
    # what commitments took off, or put on, stays as it was drawn
    table = table.with_columns(taken_off=pl.coalesce(pico("list_cost"), pl.col("booked")) - pl.col("booked"))
    for key, part in table.partition_by(keys, as_dict=True, maintain_order=True).items():
        name = (str(key[0]), str(key[1]))
        price = _stamped_price(name, part) if prices is None else prices.get(name)
        if price is None:
            raise UnpricedError(f"{name[1]} of {name[0]} has no price there: add it to the price list")
        booked, listed = part["booked"].to_numpy(), _anew(name, price, part, stamped=prices is None)
        anew = np.maximum(listed - part["taken_off"].to_numpy(), 0)
        yield Recost(*name, len(part), total(booked), total(anew), int((booked != anew).sum()))


def _priced_lines(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.filter(pl.col("cost") != "").with_columns(_stamp())


def prices_of(snapshot: Snapshot) -> dict[tuple[str, str], ModelPrice]:
    """All prices of a snapshot."""
    return {(p.provider, model): price for p in snapshot.pricings.values() for model, price in p.models.items()}


def prices_in(lines: Iterable[pl.DataFrame], version: str) -> dict[tuple[str, str], ModelPrice]:
    """The prices that lines of one snapshot, or of one price list, are stamped with. Raises UnpricedError."""
    charges: dict[tuple[str, str], dict[str, ModelPrice]] = {}
    stamps: dict[tuple[str, str, str], str] = {}
    used: set[tuple[str, str, str]] = set()
    versions: set[str] = set()
    several = ""
    for batch in lines:
        table = _priced_lines(batch).with_columns(service_tier=_service_tier())
        used |= set(table.select("provider", "model", "service_tier").unique().rows())
        versions |= {v for name in ("snapshot", "price_version") for v in table[name].unique() if v}
        chosen = table.filter(
            pl.col("snapshot").str.starts_with(version) | pl.col("price_version").str.starts_with(version)
        )
        keys = ["provider", "model", "service_tier", _STAMP]
        for key, part in chosen.partition_by(keys, as_dict=True, maintain_order=True).items():
            provider, model, tier, stamp = (str(k) for k in key)
            if stamps.setdefault((provider, model, tier), stamp) != stamp:
                several = several or f"{model} of {provider}"
            charges.setdefault((provider, model), {})[tier] = _stamped_price((provider, model), part)
    _check_version(version, versions)
    if several:
        raise UnpricedError(
            f"{several} has several rates in version {version!r} (context tiers, schedules): "
            "give the resources of then with --prices"
        )
    return {name: _with_tiers(name, found, used) for name, found in charges.items()}


def _check_version(version: str, versions: set[str]) -> None:
    meant = sorted(known for known in versions if known.startswith(version))
    if not meant:
        known = ", ".join(sorted(versions)[:_MOST_NAMED]) or "none"
        raise UnpricedError(
            f"no line is of version {version!r} (the log has {known}): give one of these, "
            "or the resources of then with --prices"
        )
    if len(meant) > 1:
        raise UnpricedError(
            f"{version!r} is the beginning of {len(meant)} versions ({', '.join(meant[:_MOST_NAMED])}): give more of it"
        )


def _with_tiers(name: tuple[str, str], found: dict[str, ModelPrice], used: set[tuple[str, str, str]]) -> ModelPrice:
    """One price of what was seen in each service tier."""
    if missing := [tier for provider, model, tier in sorted(used) if (provider, model) == name and tier not in found]:
        raise UnpricedError(
            f"{name[1]} of {name[0]} has no rates of the service tier {missing[0] or 'default'!r} in that version: "
            "give the resources of then with --prices"
        )
    tiers = tuple(
        ServiceTier(name=tier, rates=price.rates, context_tiers=price.context_tiers)
        for tier, price in sorted(found.items())
        if tier
    )
    usual = found.get("") or next(iter(found.values()))  # nobody used the standard tier: its rates count for nothing
    return msgspec.structs.replace(usual, service_tiers=tiers)


def _service_tier() -> pl.Expr:
    return pl.when(pl.col("service_tier").is_in(list(STANDARD))).then(pl.lit("")).otherwise(pl.col("service_tier"))


_STAMP = "stamp"


def _stamp() -> pl.Expr:
    """One string per set of rates."""
    excess = pl.col("excess").list.eval(pl.element().struct.json_encode()).list.join(";").fill_null("")
    return pl.concat_str(pl.col("rates").struct.json_encode().fill_null(""), excess, separator="|").alias(_STAMP)


def _stamped_price(name: tuple[str, str], part: pl.DataFrame) -> ModelPrice:
    rates: dict[str, Any] | None = part["rates"][0]
    if not rates or rates.get("input") is None:
        raise UnpricedError(f"a line of {name[1]} of {name[0]} has a cost and no rates: give prices with --prices")
    tiers = tuple(
        ContextTier(above=tier["above"], excess=True, rates=_rates({**tier, "output": "0"}))
        for tier in (part["excess"].to_list()[0] or ())
    )
    return ModelPrice(rates=_rates(rates), context_tiers=tiers)


def _rates(stamped: Mapping[str, Any]) -> Rates:
    special = stamped.get("special") or {}
    return Rates(
        **{name: _per_token(stamped[name]) for name in ("input", "output", "cached_input", "cache_write")},
        request=int(Decimal(stamped.get("request") or "0") * PICO),
        special=SpecialRates(**{k: _per_token(v) for k, v in special.items()}) if special.get("reasoning") else None,
    )


def _per_token(usd_per_million: str) -> int:
    return int(Decimal(usd_per_million) * _SPLIT)


def _anew(name: tuple[str, str], price: ModelPrice, part: pl.DataFrame, *, stamped: bool) -> Ints:
    began, billed = part["time"].to_numpy(), part["billed_at"].to_numpy()
    at = np.where(billed > 0, billed, began + (part["duration"].to_numpy() if price.billed_by_completion else 0.0))
    tokens = of_lines(part)
    if tokens.service_tiers is not None and not stamped:
        unpriced = ~has_price(price, at, tokens.service_tiers) & ~part["estimated"].to_numpy()
        if unpriced.any():
            tier = part["service_tier"][int(unpriced.argmax())]
            raise UnpricedError(
                f"{name[1]} of {name[0]} has no price for the service tier {tier!r} there: add it to serviceTiers"
            )
    return priced(price, at, tokens)
