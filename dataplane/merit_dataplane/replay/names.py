"""A column of names as numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Names:
    """A column of names: codes, and what they stand for."""

    codes: Ints
    names: list[str]

    def code(self, name: str) -> int:
        """The code of a name; -1 where no request has it."""
        return self.names.index(name) if name in self.names else -1

    def __getitem__(self, rows: Any) -> "Names":
        return Names(self.codes[rows], self.names)


def names_of(column: pl.Series) -> Names:
    """Codes in the order in which names are met."""
    found = column.unique(maintain_order=True)
    positions = pl.DataFrame({"name": found}).with_row_index("code")
    codes = column.to_frame("name").join(positions, on="name", how="left", maintain_order="left")["code"]
    return Names(codes.cast(pl.Int64).to_numpy(), found.to_list())
