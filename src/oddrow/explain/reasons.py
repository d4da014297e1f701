"""Why a row is odd: the columns that make it so, in the user's own names and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from oddrow.detectors.base import Detector
from oddrow.errors import check_number
from oddrow.explain.words import Words
from oddrow.table.history import History
from oddrow.table.table import as_table


@dataclass(frozen=True)
class Reason:
    """A column that makes a row odd.

    `code` is HIGH, LOW, UNUSUAL, NEW (never seen in training), RARE, MISSING, PRESENT or TIME; `share` that of the
    score; `times` by how many times its usual error the column is off, where the detector knows that.
    """

    column: str
    code: str
    seen: str
    expected: str
    share: float
    times: float | None = None

    def __str__(self) -> str:
        off = "" if self.times is None else f", {self.times:,.2g} times its usual error"
        return f"{self.column} {self.seen}, expected {self.expected}{off} ({self.share:.0%} of the score)"


def reasons(detector: Detector, X: Any, n: int = 3, *, history: History | None = None) -> list[list[Reason]]:
    """The `n` columns at most that add most to each row's score, for rows (m, columns): a list for each row.

    With a `history`, its columns are named in words. 10,000 rows of 30 columns take about a second.

    >>> import polars as pl
    >>> from oddrow.detectors.autoencoder import AutoencoderDetector
    >>> from oddrow.train.training import Training
    >>> rng = np.random.default_rng(0)
    >>> rows = pl.DataFrame({"amount": rng.normal(50, 5, 300), "shop": rng.choice(["books", "food"], 300)})
    >>> detector = AutoencoderDetector(training=Training(epochs=2), random_state=0).fit(rows)
    >>> [[reason]] = reasons(detector, pl.DataFrame({"amount": [500.0], "shop": ["food"]}), n=1)
    >>> reason.column, reason.code, reason.seen
    ('amount', 'HIGH', '500')
    """
    check_number("n", n, 1, whole=True)
    table = as_table(X)
    words = Words(detector, table.in_memory, {} if history is None else history.words)
    parts = detector.column_scores(table)
    adding = np.maximum(parts.to_numpy(), 0.0)
    highest = np.argsort(-adding, axis=1, kind="stable")[:, :n]
    found: list[list[Reason]] = [[] for _ in range(table.n_rows)]
    for rank in range(highest.shape[1]):
        for place in np.unique(highest[:, rank]):
            rows = np.flatnonzero((highest[:, rank] == place) & (adding[:, place] > 0))
            shares = adding[rows, place] / adding[rows].sum(axis=1)
            offs = np.sqrt(adding[rows, place]).tolist() if detector.scores_by_spread else [None] * len(rows)
            cells = words.of(parts.columns[place], rows)
            for row, cell, share, off in zip(rows, cells, shares.tolist(), offs, strict=True):
                found[row].append(Reason(*cell, share, off))
    return found
