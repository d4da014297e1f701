"""A table as numbers alone, for models that know no categories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from oddrow.encoding.encoder import TableEncoder
from oddrow.table.schema import ROWS_AT_ONCE
from oddrow.table.table import Table
from oddrow.typing import Floats

TableScorer = Callable[[Table], Floats]

# A category becomes a 0/1 number for each of its levels, the most frequent ones if there are more than this.
MOST_LEVELS = 32


class MatrixScorer(Protocol):
    """What is scored by numbers: rows (n, d) to scores (n,)."""

    def anomaly_score(self, X: npt.NDArray[np.float32]) -> Floats:
        """How odd each row is."""


class NumericMatrix:
    """The numbers of a table's columns, as an encoder fitted to a table gives them; by default scaled and unlimited.

    >>> import polars as pl
    >>> table = Table.from_frame(pl.DataFrame({"amount": [1.0, 2.0, 3.0], "country": ["BE", "NL", "BE"]}))
    >>> NumericMatrix(table)(table).shape  # the amount, the two countries, and missing, unseen and rare ones
    (3, 6)
    """

    def __init__(self, table: Table, encoder: TableEncoder | None = None) -> None:
        encoder = TableEncoder(**({"soft_limit": None} if encoder is None else encoder.get_params()))
        if not encoder.one_hot_up_to:
            encoder.set_params(max_levels=MOST_LEVELS, one_hot_up_to=MOST_LEVELS)
        self.schema = table.fitted_schema()
        self.encoder = encoder.fit(table.frame, self.schema)

    def __call__(self, table: Table) -> npt.NDArray[np.float32]:
        """The numbers of a table with the same columns, (n, d)."""
        return self.encoder.transform_slices(self.schema.slices(table.frame), table.n_rows).numbers

    def scorer(self, model: MatrixScorer) -> TableScorer:
        """A model on these numbers as one on tables, which it takes slice by slice, so that memory stays bounded."""

        def scores(table: Table) -> Floats:
            rows = np.arange(table.n_rows)
            slices = np.array_split(rows, range(ROWS_AT_ONCE, len(rows), ROWS_AT_ONCE))
            return np.concatenate([model.anomaly_score(self(table.take(part))) for part in slices])

        return scores
