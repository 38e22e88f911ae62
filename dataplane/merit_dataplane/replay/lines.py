"""Reads usage logs, their Parquet, and CSV of request shapes into one table, a column per field of a usage line.

CSV has the same names in its first row. It needs `time`, `route`, `input_tokens` and `output_tokens`; of the others,
what is there is used, what is not has its default.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from merit_crds.pricing.cost import SpecialTokens
from merit_crds.usage_line import USAGE_LINE_FORMAT

_SPECIAL = SpecialTokens._fields
_SPECIAL_TOKENS = pl.Struct(dict.fromkeys(_SPECIAL, pl.Int64))
_SPECIAL_RATES = pl.Struct(dict.fromkeys(_SPECIAL, pl.String))
_RATES: dict[str, Any] = dict.fromkeys(("input", "output", "cached_input", "cache_write", "request"), pl.String)
_RATES["special"] = _SPECIAL_RATES
_EXCESS: dict[str, Any] = {"above": pl.Int64, **dict.fromkeys(("input", "cached_input", "cache_write"), pl.String)}
_EXCESS["special"] = _SPECIAL_RATES
SCHEMA: dict[str, Any] = {
    "format": pl.Int64, "time": pl.Float64, "request": pl.String, "status": pl.Int64, "duration": pl.Float64,
    "first_token": pl.Float64, "error": pl.String, "operation": pl.String, "features": pl.List(pl.String),
    "expected_input_tokens": pl.Int64, "output_limit": pl.Int64, "choices": pl.Int64, "consumer": pl.String,
    "route": pl.String, "tier": pl.String, "provider": pl.String, "model": pl.String, "attempts": pl.Int64,
    "failures": pl.List(pl.String), "objectives_missed": pl.Boolean, "cache": pl.String, "input_tokens": pl.Int64,
    "cached_input_tokens": pl.Int64, "cache_write_tokens": pl.Int64, "output_tokens": pl.Int64,
    "special": _SPECIAL_TOKENS, "service_tier": pl.String,
    "estimated": pl.Boolean, "cost": pl.String, "expected_cost": pl.String, "saved": pl.String,
    "billed_at": pl.Float64, "rates": pl.Struct(_RATES), "excess": pl.List(pl.Struct(_EXCESS)), "price_list": pl.String,
    "price_version": pl.String, "snapshot": pl.String,
}  # fmt: skip
"""Of the table: the fields of `UsageLine`."""
PREFIX: dict[str, Any] = {"prefix": pl.String, "prefix_tokens": pl.Int64}
"""Of a CSV only: which shared prompt prefix a request begins with, and how long that is."""
_NEEDED = ("time", "route", "input_tokens", "output_tokens")


class UnreadableError(ValueError):
    """A file is no usage log; the message names the file, what is wrong, and what would be right."""


def read(paths: Iterable[Path], *, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """All lines of files, and of folders with their `*.jsonl` and `*.parquet`. Raises UnreadableError, OSError."""
    files = [file for path in paths for file in _files(path)]
    if not files:
        raise UnreadableError("no usage log there: expected *.jsonl, *.jsonl.gz, *.parquet or *.csv")
    wanted = list(columns or (*SCHEMA, *PREFIX))
    return pl.concat([_completed(file, _read(file, wanted), wanted) for file in files], how="vertical")


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(f for f in path.iterdir() if f.name.endswith((".jsonl", ".jsonl.gz", ".parquet")))
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    return [path]


def _read(file: Path, wanted: Sequence[str]) -> pl.DataFrame:
    known = {**SCHEMA, **PREFIX}
    try:
        if file.suffix == ".parquet":
            return pl.read_parquet(file, columns=[n for n in pl.read_parquet_schema(file) if n in wanted])
        if file.suffix == ".csv":
            return pl.read_csv(file, schema_overrides={**known, "features": pl.String, "failures": pl.String})
        return pl.read_ndjson(file, schema={name: kind for name, kind in SCHEMA.items() if name in wanted})
    except (pl.exceptions.PolarsError, ValueError) as error:
        words = str(error).splitlines()[0]
        raise UnreadableError(f"{file}: is no usage log ({words}); see docs/usage-log.md") from error


def _completed(file: Path, table: pl.DataFrame, wanted: Sequence[str]) -> pl.DataFrame:
    """The wanted columns with their types and defaults."""
    if missing := [name for name in _NEEDED if name not in table.columns]:
        raise UnreadableError(f"{file}: has no column {missing[0]!r}; needed are {', '.join(_NEEDED)}")
    newest = table["format"].max() if "format" in table.columns else None
    if isinstance(newest, int) and newest > USAGE_LINE_FORMAT:
        raise UnreadableError(f"{file}: format {newest}, this program knows {USAGE_LINE_FORMAT}: upgrade merit")
    made = []
    for name in wanted:
        kind = {**SCHEMA, **PREFIX}[name]
        if name not in table.columns:
            made.append(pl.lit(_default(name, kind), dtype=kind).alias(name))
        elif name == "features" and table.schema[name] == pl.String:
            made.append(pl.col(name).fill_null("").str.split(" ").alias(name))
        else:
            column, default = pl.col(name).cast(kind), _default(name, kind)
            made.append(column if default is None else column.fill_null(default))
    found = table.select(made) if len(table) else pl.DataFrame(schema={n: {**SCHEMA, **PREFIX}[n] for n in wanted})
    for name in wanted:
        least = found[name].min() if SCHEMA.get(name) == pl.Int64 else None
        if isinstance(least, int) and least < 0:
            raise UnreadableError(f"{file}: {name}: {least} is below 0")
    return found


def _default(name: str, kind: Any) -> Any:
    if name in {"format", "choices"}:
        return 1
    if name == "status":
        return 200
    defaults = {pl.String: "", pl.Int64: 0, pl.Float64: 0.0, pl.Boolean: False}
    return defaults.get(kind) if kind in defaults else None


def pico(column: str) -> pl.Expr:
    """Pico-dollars of a column of exact decimal USD; null where it is empty."""
    parts = pl.when(pl.col(column) != "").then(pl.col(column)).str.split_exact(".", 1)
    whole = parts.struct.field("field_0").cast(pl.Int64)
    rest = parts.struct.field("field_1").fill_null("").str.pad_end(12, "0").cast(pl.Int64)
    return whole * 10**12 + rest
