"""Usage logs added up, and priced anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from merit_crds.pricing.cost import PICO
from merit_crds.snapshot import ContextTier, ModelPrice, Rates, Snapshot, SpecialRates
from merit_dataplane.replay.lines import pico
from merit_dataplane.replay.names import Ints
from merit_dataplane.replay.pricing import priced, total
from merit_dataplane.replay.tokens import of_lines

GROUPS = ("day", "route", "tier", "provider", "model", "consumer")
_SPLIT = 10**6
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


def sums(lines: pl.DataFrame, by: Sequence[str]) -> list[Sum]:
    """Exact sums by group, the dearest first."""
    table = lines.with_columns(
        day=pl.from_epoch((pl.col("time") * 1000).cast(pl.Int64), "ms").dt.strftime("%Y-%m-%d"),
        pico=pico("cost").fill_null(0),
    )
    found = table.group_by(list(by)).agg(
        pl.len(),
        pl.col("input_tokens", "output_tokens").sum(),
        (pl.col("pico") // _SPLIT).sum().alias("high"),  # in two pieces: a sum of int64 ends at 9.2 million USD
        (pl.col("pico") % _SPLIT).sum().alias("low"),
    )
    made = [Sum(tuple(row[: len(by)]), row[-5], row[-4], row[-3], row[-2] * _SPLIT + row[-1]) for row in found.rows()]
    return sorted(made, key=lambda s: (-s.spend, s.group))


def recost(lines: pl.DataFrame, prices: Prices | None) -> list[Recost]:
    """Every priced line anew: by these prices, else by the rates that it is stamped with. Raises UnpricedError."""
    table = lines.filter(pl.col("cost") != "").with_columns(booked=pico("cost"))
    keys = ["provider", "model"] if prices is not None else ["provider", "model", _STAMP]
    found: dict[tuple[str, str], Recost] = {}
    for key, part in table.with_columns(_stamp()).partition_by(keys, as_dict=True, maintain_order=True).items():
        name = (str(key[0]), str(key[1]))
        price = _stamped_price(name, part) if prices is None else prices.get(name)
        if price is None:
            raise UnpricedError(f"{name[1]} of {name[0]} has no price there: add it to the price list")
        booked, anew = part["booked"].to_numpy(), _anew(price, part)
        so_far = found.get(name, Recost(*name, 0, 0, 0, 0))
        found[name] = Recost(
            *name,
            requests=so_far.requests + len(part),
            booked=so_far.booked + total(booked),
            anew=so_far.anew + total(anew),
            differ=so_far.differ + int((booked != anew).sum()),
        )
    return [found[name] for name in sorted(found)]


def prices_of(snapshot: Snapshot) -> dict[tuple[str, str], ModelPrice]:
    """All prices of a snapshot."""
    return {(p.provider, model): price for p in snapshot.pricings.values() for model, price in p.models.items()}


def prices_in(lines: pl.DataFrame, version: str) -> dict[tuple[str, str], ModelPrice]:
    """The prices that lines of one snapshot, or of one price list, are stamped with. Raises UnpricedError."""
    table = lines.filter(
        (pl.col("cost") != "")
        & (pl.col("snapshot").str.starts_with(version) | pl.col("price_version").str.starts_with(version))
    ).with_columns(_stamp())
    if not len(table):
        raise UnpricedError(f"no line is of version {version!r}: give the resources of then with --prices")
    made: dict[tuple[str, str], ModelPrice] = {}
    for key, part in table.partition_by(["provider", "model", _STAMP], as_dict=True, maintain_order=True).items():
        name = (str(key[0]), str(key[1]))
        if name in made:
            raise UnpricedError(
                f"{name[1]} of {name[0]} has several rates in version {version!r} (context tiers, schedules): "
                "give the resources of then with --prices"
            )
        made[name] = _stamped_price(name, part)
    return made


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


def _anew(price: ModelPrice, part: pl.DataFrame) -> Ints:
    began, billed = part["time"].to_numpy(), part["billed_at"].to_numpy()
    at = np.where(billed > 0, billed, began + (part["duration"].to_numpy() if price.billed_by_completion else 0.0))
    return priced(price, at, of_lines(part))
