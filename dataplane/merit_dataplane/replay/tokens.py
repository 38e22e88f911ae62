"""Tokens of requests in disjoint classes, a column for each class that any of them has."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from merit_crds.pricing import STANDARD, Usage
from merit_crds.pricing.cost import SpecialTokens, special_rates
from merit_crds.snapshot import Rates
from merit_dataplane.replay.names import Ints, Names, names_of

INPUT = (
    "cached_input",
    "cached_audio_input",
    "cache_write",
    "cache_write_1h",
    "image_input",
    "audio_input",
    "uncached_input",
)
"""In the order in which they stand in a prompt (`merit_crds.pricing.context_tiers`)."""
OUTPUT = ("output", "reasoning", "image_output", "audio_output")
_PLAIN = ("uncached_input", "output", "cached_input", "cache_write")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Columns by class; `uncached_input` and `output` are always there."""

    columns: Mapping[str, Ints]
    service_tiers: Names | None = None
    """In which each was served; None where all are of the standard one."""

    def __len__(self) -> int:
        return len(self.columns["output"])

    def __getitem__(self, rows: Any) -> "Tokens":
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Tokens(columns, self.service_tiers[rows] if self.service_tiers else None)

    @property
    def input(self) -> Ints:
        """All input tokens."""
        return self._sum(INPUT)

    @property
    def output(self) -> Ints:
        """All output tokens."""
        return self._sum(OUTPUT)

    def usages(self) -> list[Usage]:
        """One by one."""
        none = np.zeros(len(self), np.int64)
        plain = [self.columns.get(name, none).tolist() for name in _PLAIN]
        special = [self.columns.get(name, none).tolist() for name in SpecialTokens._fields]
        tiers = self.service_tiers
        served = [tiers.names[code] for code in tiers.codes] if tiers else [""] * len(self)
        return [
            Usage(uncached, output, cached, written, SpecialTokens(*dear), tier)
            for (uncached, output, cached, written), dear, tier in zip(
                zip(*plain, strict=True), zip(*special, strict=True), served, strict=True
            )
        ]

    def of(self, columns: Mapping[str, Ints]) -> "Tokens":
        """Other tokens of the same requests."""
        return replace(self, columns=columns)

    def _sum(self, names: tuple[str, ...]) -> Ints:
        made = np.zeros(len(self), np.int64)
        for name in names:
            if name in self.columns:
                made += self.columns[name]
        return made


def of_usages(usages: list[Usage]) -> Tokens:
    """Columns of requests that are known one by one."""
    special = [usage.special or SpecialTokens() for usage in usages]
    columns = {name: np.array([getattr(u, name) for u in usages], np.int64) for name in _PLAIN}
    columns |= {name: np.array([getattr(s, name) for s in special], np.int64) for name in SpecialTokens._fields}
    return Tokens(columns, _service_tiers(pl.Series([usage.service_tier for usage in usages], dtype=pl.String)))


def of_lines(table: pl.DataFrame) -> Tokens:
    """Columns of usage lines. Raises ValueError where the classes of a line exceed all its tokens."""
    special = {}
    if table["special"].null_count() < len(table):
        for name in SpecialTokens._fields:
            column = table["special"].struct.field(name).fill_null(0).to_numpy()
            if column.any():
                special[name] = column
    nothing = np.zeros(len(table), np.int64)

    def of(name: str) -> Ints:
        return special.get(name, nothing)

    cached, written = table["cached_input_tokens"].to_numpy(), table["cache_write_tokens"].to_numpy()
    columns = {
        "cached_input": cached - of("cached_audio_input"),
        "cache_write": written - of("cache_write_1h"),
        "uncached_input": table["input_tokens"].to_numpy() - cached - written - of("image_input") - of("audio_input"),
        "output": table["output_tokens"].to_numpy() - of("reasoning") - of("image_output") - of("audio_output"),
        **special,
    }
    for name, column in columns.items():
        if len(column) and column.min() < 0:
            raise ValueError(f"a line has more tokens of its classes than in all ({name} would be {column.min()})")
    for name in ("cached_input", "cache_write"):
        if not columns[name].any():
            del columns[name]
    return Tokens(columns, _service_tiers(table["service_tier"]))


def _service_tiers(column: pl.Series) -> Names | None:
    return None if column.is_in(list(STANDARD)).all() else names_of(column)


def by_class(rates: Rates) -> dict[str, int]:
    """Pico-dollars per token of each class."""
    dear = special_rates(rates)
    return {
        "uncached_input": rates.input, "output": rates.output,
        "cached_input": rates.cached_input, "cache_write": rates.cache_write,
        **{name: getattr(dear, name) for name in SpecialTokens._fields},
    }  # fmt: skip
