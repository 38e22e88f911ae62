"""Reads usage logs, their Parquet, and CSV of request shapes into one table, a column per field of a usage line.

CSV has the same names in its first row. It needs `time`, `route`, `input_tokens` and `output_tokens`; of the others,
what is there is used, what is not has its default.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from merit_crds.pricing.cost import SpecialTokens
from merit_crds.usage_line import USAGE_LINE_FORMAT, UsageLine

_SPECIAL = SpecialTokens._fields
_SPECIAL_TOKENS = pl.Struct(dict.fromkeys(_SPECIAL, pl.Int64))
_SPECIAL_RATES = pl.Struct(dict.fromkeys(_SPECIAL, pl.String))
_RATES: dict[str, Any] = dict.fromkeys(("input", "output", "cached_input", "cache_write", "request"), pl.String)
_RATES["special"] = _SPECIAL_RATES
_EXCESS: dict[str, Any] = {"above": pl.Int64, **dict.fromkeys(("input", "cached_input", "cache_write"), pl.String)}
_EXCESS["special"] = _SPECIAL_RATES
_DRAW: dict[str, Any] = {"commitment": pl.String, "period": pl.Int64, "drawn": pl.String, "wanted": pl.String}
_DRAW["fee"] = pl.String
_LOST = pl.Struct({
    "provider": pl.String, "model": pl.String, "endpoint": pl.String, "outcome": pl.String, "cost": pl.String,
    "input_tokens": pl.Int64, "output_tokens": pl.Int64, "estimated": pl.Boolean,
    "price_list": pl.String, "price_version": pl.String,
})  # fmt: skip
SCHEMA: dict[str, Any] = {
    "format": pl.Int64, "time": pl.Float64, "request": pl.String, "status": pl.Int64, "duration": pl.Float64,
    "first_token": pl.Float64, "error": pl.String, "operation": pl.String, "features": pl.List(pl.String),
    "expected_input_tokens": pl.Int64, "expected_cached_input_tokens": pl.Int64,
    "output_limit": pl.Int64, "choices": pl.Int64, "consumer": pl.String,
    "route": pl.String, "tier": pl.String, "provider": pl.String, "model": pl.String, "endpoint": pl.String,
    "attempts": pl.Int64,
    "failures": pl.List(pl.String), "objectives_missed": pl.Boolean, "placement": pl.String, "hedge": pl.String,
    "cache": pl.String,
    "input_tokens": pl.Int64,
    "cached_input_tokens": pl.Int64, "cache_write_tokens": pl.Int64, "output_tokens": pl.Int64,
    "special": _SPECIAL_TOKENS, "service_tier": pl.String,
    "estimated": pl.Boolean, "cost": pl.String, "list_cost": pl.String, "effective_cost": pl.String,
    "commitments": pl.List(pl.Struct(_DRAW)), "lost": pl.List(_LOST), "lost_cost": pl.String,
    "mid_stream": pl.String, "stem_tokens": pl.Int64, "expected_cost": pl.String, "similarity": pl.Float64,
    "saved": pl.String,
    "billed_at": pl.Float64, "rates": pl.Struct(_RATES), "excess": pl.List(pl.Struct(_EXCESS)), "price_list": pl.String,
    "price_version": pl.String, "snapshot": pl.String,
}  # fmt: skip
"""Of the table: the fields of `UsageLine`."""
PREFIX: dict[str, Any] = {"prefix": pl.String, "prefix_tokens": pl.Int64}
"""Of a CSV only: which shared prompt prefix a request begins with, and how long that is."""
_KNOWN: dict[str, Any] = {**SCHEMA, **PREFIX}
_BLOCK = 16 * 1024 * 1024
"""Bytes of JSON lines that are read at a time."""
_ROWS = 200_000
"""Rows of Parquet that are read at a time."""
_ALL = 1 << 62
_MONEY = ("cost", "list_cost", "effective_cost", "lost_cost", "expected_cost", "saved")
_DECIMAL = r"^([0-9]+(\.[0-9]{1,12})?)?$"
_NEEDED = ("time", "route", "input_tokens", "output_tokens")


class UnreadableError(ValueError):
    """A file is no usage log; the message names the file, the line, what is wrong, and what would be right."""


def read(paths: Iterable[Path], *, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """All lines of files, and of folders with their `*.jsonl` and `*.parquet`. Raises UnreadableError, OSError."""
    nothing, *tables = _tables(paths, columns, rows=_ALL)
    return pl.concat(tables, how="vertical") if tables else nothing  # together they would be copied once more


def batches(paths: Iterable[Path], *, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """The same, some at a time, the first without lines: memory is bounded, whatever the size of the files."""
    return _tables(paths, columns, rows=_ROWS)


def _tables(paths: Iterable[Path], columns: Sequence[str] | None, *, rows: int) -> Iterator[pl.DataFrame]:
    files = [file for path in paths for file in _files(path)]
    if not files:
        raise UnreadableError("no usage log there: expected *.jsonl, *.jsonl.gz, *.parquet or *.csv")
    wanted = list(columns or (*SCHEMA, *PREFIX))
    yield pl.DataFrame(schema={name: _KNOWN[name] for name in wanted})
    for file in files:
        if file.suffix == ".parquet":
            yield from _of_parquet(file, wanted, rows)
        elif file.suffix == ".csv":
            yield _of_csv(file, wanted)
        else:
            yield from _of_json(file, wanted)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(f for f in path.iterdir() if f.name.endswith((".jsonl", ".jsonl.gz", ".parquet")))
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    return [path]


class _WrongRowError(Exception):
    """A row of a table that is no usage line."""

    def __init__(self, row: int, words: str):
        super().__init__(words)
        self.row, self.words = row, words


def _of_parquet(file: Path, wanted: Sequence[str], rows: int) -> Iterator[pl.DataFrame]:
    try:
        names = [name for name in pl.read_parquet_schema(file) if name in wanted]
        _check_columns(file, names)
        length = pl.scan_parquet(file).select(pl.len()).collect().item()
        for first in range(0, length, rows):
            table = pl.scan_parquet(file).select(names).slice(first, min(rows, length)).collect()
            try:
                yield _completed(table, wanted)
            except _WrongRowError as error:
                raise UnreadableError(f"{file}, row {first + error.row + 1}: {error.words}") from None
    except pl.exceptions.PolarsError as error:
        raise _no_usage_log(file, error) from error


def _of_csv(file: Path, wanted: Sequence[str]) -> pl.DataFrame:
    try:
        table = pl.read_csv(file, schema_overrides={**_KNOWN, "features": pl.String, "failures": pl.String})
        _check_columns(file, table.columns)
        return _completed(table, wanted)
    except _WrongRowError as error:
        raise UnreadableError(f"{file}:{error.row + 2}: {error.words}") from None
    except pl.exceptions.PolarsError as error:
        raise _no_usage_log(file, error) from error


def _check_columns(file: Path, names: Sequence[str]) -> None:
    if missing := [name for name in _NEEDED if name not in names]:
        raise UnreadableError(f"{file}: has no column {missing[0]!r}; needed are {', '.join(_NEEDED)}")


def _no_usage_log(file: Path, error: Exception) -> UnreadableError:
    return UnreadableError(f"{file}: is no usage log ({str(error).splitlines()[0]}); see docs/usage-log.md")


def _of_json(file: Path, wanted: Sequence[str]) -> Iterator[pl.DataFrame]:
    first, rest = 1, b""
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        while True:
            try:
                block = stream.read(_BLOCK)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise UnreadableError(f"{file}: is damaged after line {first}: {error}; copy it again") from error
            whole, newline, after = (rest + block).rpartition(b"\n")
            lines, rest = (whole + newline, after) if block else (rest, b"")
            if lines.strip():
                yield _parsed(file, first, lines, wanted)
            if not block:
                return
            first += lines.count(b"\n")


def _parsed(file: Path, first: int, lines: bytes, wanted: Sequence[str]) -> pl.DataFrame:
    """Lines of a JSON log; `first` is the number of the first of them."""
    try:
        table = _decoded(lines, wanted)
        for name in ("format", "time"):
            empty = table[name].is_null() if name in table.columns else None
            if empty is not None and empty.any():
                raise _WrongRowError(int(empty.arg_max() or 0), f"has no {name}: is no usage line")
        return _completed(table, wanted)
    except _WrongRowError as error:
        filled = [number for number, line in enumerate(lines.split(b"\n")) if line.strip()]
        raise UnreadableError(f"{file}:{first + filled[error.row]}: {error.words}") from None
    except pl.exceptions.PolarsError:
        number, line = _unreadable(lines, wanted)
        words = _what_is_wrong(line, cut=not lines.endswith(b"\n") and lines.endswith(line))
        raise UnreadableError(f"{file}:{first + number}: {words}") from None


def _decoded(lines: bytes, wanted: Sequence[str]) -> pl.DataFrame:
    return pl.read_ndjson(lines, schema={name: kind for name, kind in SCHEMA.items() if name in wanted})


def _unreadable(lines: bytes, wanted: Sequence[str]) -> tuple[int, bytes]:
    """The first line that is none, and how many stand before it."""
    several, before = lines.split(b"\n"), 0
    while len(several) > 1:
        half = len(several) // 2
        head = b"\n".join(several[:half])
        try:
            if head.strip():
                _decoded(head, wanted)
            several, before = several[half:], before + half
        except pl.exceptions.PolarsError:
            several = several[:half]
    return before, several[0]


def _what_is_wrong(line: bytes, *, cut: bool) -> str:
    try:
        msgspec.json.decode(line, type=_AnyLine)
    except msgspec.ValidationError as error:
        return f"is no usage line ({error}); correct it, or take the line out"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if cut:
            return "the last line is cut off; wait until the file is complete, or take the line out"
        return f"is no JSON ({error}); correct it, or take the line out"
    return "has a number that is too large; correct it, or take the line out"


_AnyLine = msgspec.defstruct("_AnyLine", [(f.name, f.type, None) for f in msgspec.structs.fields(UsageLine)])
"""A line that may leave anything out."""


def _completed(table: pl.DataFrame, wanted: Sequence[str]) -> pl.DataFrame:
    """The wanted columns with their types and defaults. Raises _WrongRowError."""
    made = []
    for name in wanted:
        kind = _KNOWN[name]
        if name not in table.columns:
            made.append(pl.lit(_default(name, kind), dtype=kind).alias(name))
        elif name == "features" and table.schema[name] == pl.String:
            made.append(pl.col(name).fill_null("").str.split(" ").alias(name))
        else:
            column, default = pl.col(name).cast(kind), _default(name, kind)
            made.append(column if default is None else column.fill_null(default))
    found = table.select(made) if len(table) else pl.DataFrame(schema={name: _KNOWN[name] for name in wanted})
    _check(found)
    return found


def _check(table: pl.DataFrame) -> None:
    for name, kind in table.schema.items():
        column = table[name]
        if kind == pl.Int64:
            _refuse(column, column < 0, f"{name}: {{}} is below 0")
        elif name in _MONEY:
            _refuse(column, ~column.str.contains(_DECIMAL), f"{name}: {{!r}} is no decimal USD of at most 12 places")
    if "format" in table.columns:
        column = table["format"]
        newer = f"format {{}}, this program knows {USAGE_LINE_FORMAT}: upgrade merit"
        _refuse(column, column > USAGE_LINE_FORMAT, newer)
        _refuse(column, column < 1, "format {}: no release wrote that; formats begin with 1")


def _refuse(column: pl.Series, wrong: pl.Series, words: str) -> None:
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise _WrongRowError(row, words.format(column[row]))


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
