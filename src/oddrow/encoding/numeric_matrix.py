"""A table as one matrix of numbers, for models that cannot read categories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from oddrow.encoding.encoder import TableEncoder
from oddrow.table.schema import ROWS_AT_ONCE
from oddrow.table.table import Table
from oddrow.typing import Floats

# Scores the rows of a table, (n,).
TableScorer = Callable[[Table], Floats]

# At most this many levels of a category get a 0/1 number of their own.
MOST_LEVELS = 32


class MatrixScorer(Protocol):
    """A model that scores the rows of a matrix."""

    def anomaly_score(self, X: npt.NDArray[np.float32]) -> Floats:
        """Return a score (n,) for each row of X (n, d); the higher, the more unusual."""


class NumericMatrix:
    """Encodes tables as matrices of numbers, categories as 0/1 numbers.

    It is fitted to `table`. `encoder` gives the parameters; by default numbers are standardised without a soft limit.

    >>> import polars as pl
    >>> table = Table.from_frame(pl.DataFrame({"amount": [1.0, 2.0, 3.0], "country": ["BE", "NL", "BE"]}))
    >>> NumericMatrix(table)(table).shape  # amount; BE and NL; missing, unseen and rare
    (3, 6)
    """

    def __init__(self, table: Table, encoder: TableEncoder | None = None) -> None:
        encoder = TableEncoder(**({"soft_limit": None} if encoder is None else encoder.get_params()))
        if not encoder.one_hot_up_to:
            encoder.set_params(max_levels=MOST_LEVELS, one_hot_up_to=MOST_LEVELS)
        self.schema = table.fitted_schema()
        self.encoder = encoder.fit(table.frame, self.schema)

    def __call__(self, table: Table) -> npt.NDArray[np.float32]:
        """Return the matrix (n, d) of a table with the same columns."""
        return self.encoder.transform_slices(self.schema.conform_slices(table.frame), table.n_rows).numbers

    def scorer(self, model: MatrixScorer) -> TableScorer:
        """Return a scorer of tables that gives them to the model as matrices, slice by slice to bound memory."""

        def scores(table: Table) -> Floats:
            rows = np.arange(table.n_rows)
            slices = np.array_split(rows, range(ROWS_AT_ONCE, len(rows), ROWS_AT_ONCE))
            return np.concatenate([model.anomaly_score(self(table.take(part))) for part in slices])

        return scores
