"""Requests as columns of numbers: what dispatch and pricing need of them, and no more."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from merit_dataplane.replay.names import Ints, Names, names_of
from merit_dataplane.replay.tokens import Tokens, of_lines
from merit_dataplane.wire.features import BY_NAME, Feature

COLUMNS = (
    "format", "time", "route", "tier", "provider", "model", "status", "cache", "features", "expected_input_tokens",
    "output_limit", "choices", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "special",
    "service_tier", "duration", "first_token", "prefix", "prefix_tokens",
)  # fmt: skip
"""Of a usage line, those that a plan reads."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Recorded requests that were answered by a model, in the order of the trace."""

    time: NDArray[np.float64]
    """When each began: epoch seconds."""
    route: Names
    tier: Names
    candidate: Names
    """Who answered when it was recorded: `provider model`; empty where the trace doesn't say."""
    prefix: Names
    prefix_tokens: Ints
    tokens: Tokens
    input: Ints
    """All input tokens."""
    estimated_input: Ints
    """As counted before the call, by which conditions go."""
    output_limit: Ints
    choices: Ints
    features: Ints
    duration: NDArray[np.float64]
    first_token: NDArray[np.float64]
    left_out: int
    """Lines that no model answered: refused, failed, or served from the exact cache."""

    def __len__(self) -> int:
        return len(self.time)


def shapes(lines: pl.DataFrame) -> Shapes:
    """What a plan replays of lines that `lines.read` read with `COLUMNS`."""
    answered = lines.filter((pl.col("status") == 200) & (pl.col("cache") != "hit"))
    tokens = of_lines(answered)
    counted = _ints(answered, "expected_input_tokens")
    names = answered.with_columns(
        candidate=pl.when(pl.col("provider") != "")
        .then(pl.col("provider") + " " + pl.col("model"))
        .otherwise(pl.lit(""))
    )
    return Shapes(
        time=answered["time"].to_numpy(),
        route=names_of(names["route"]),
        tier=names_of(names["tier"]),
        candidate=names_of(names["candidate"]),
        prefix=names_of(names["prefix"]),
        prefix_tokens=_ints(answered, "prefix_tokens"),
        tokens=tokens,
        input=tokens.input,
        estimated_input=np.where(counted > 0, counted, tokens.input),
        output_limit=_ints(answered, "output_limit"),
        choices=np.maximum(1, _ints(answered, "choices")),
        features=_features(answered),
        duration=answered["duration"].to_numpy(),
        first_token=answered["first_token"].to_numpy(),
        left_out=len(lines) - len(answered),
    )


def streamed(bits: Ints) -> NDArray[np.bool_]:
    """Which requests are streams."""
    found: NDArray[np.bool_] = (bits & int(Feature.STREAMING)) != 0
    return found


def _ints(table: pl.DataFrame, name: str) -> Ints:
    found: Ints = table[name].to_numpy()
    return found


def _features(table: pl.DataFrame) -> Ints:
    bits: Any = pl.lit(0, dtype=pl.Int64)
    listed = pl.col("features").fill_null([])
    for name, bit in BY_NAME.items():
        bits = bits + listed.list.contains(name).cast(pl.Int64) * int(bit)
    found: Ints = table.select(bits=bits)["bits"].to_numpy()
    return np.broadcast_to(found, (len(table),)).copy() if len(found) != len(table) else found
