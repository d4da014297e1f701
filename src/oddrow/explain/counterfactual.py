"""Nearest normal rows: the smallest changes found that bring odd rows under a cut."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.encoding.decoder import restore_dtype
from oddrow.errors import check_number
from oddrow.explain.reason import said
from oddrow.explain.search import FeasibleValues, Scored, Search
from oddrow.table.history import History
from oddrow.table.schema import Column
from oddrow.table.table import as_table

ROWS_AT_ONCE = 16_384

# Scores differ in their last digits with the number of rows that are scored together: a found row must stay found.
MARGIN = 1e-4

# What a type with fewer digits may add to the ends of a range.
SLACK = 1e-7


@dataclass(frozen=True)
class Change:
    """A column of a row, what is seen there and what would be normal, in words."""

    column: str
    seen: str
    normal: str

    def __str__(self) -> str:
        return f"{self.column} {self.normal} instead of {self.seen}"


@dataclass(frozen=True)
class Counterfactuals:
    """For each of n rows a row near it that is no alert.

    `rows` (n, feature columns) are in the user's own types; where `found` (n,) is False, and where a row was no alert
    to begin with, the row as it came. `scores` (n,) are theirs; `seen` are the rows as they came.
    """

    rows: pl.DataFrame
    found: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]
    seen: pl.DataFrame
    detector: Detector
    named: dict[str, str]

    def changes(self, row: int) -> list[Change]:
        """In what the normal row differs from the one that came, column by column; nothing where none was found."""
        seen, normal = (rows.row(row) for rows in self._read)
        cells = zip(self.detector.schema_.feature_names, seen, normal, strict=True)
        return [Change(self.named.get(name, name), *_told_apart(old, new)) for name, old, new in cells if old != new]

    @cached_property
    def _read(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Both as they are read, for their words."""
        conform = self.detector.schema_.conform
        return conform(self.seen), conform(self.rows)


def _told_apart(old: Any, new: Any) -> tuple[str, str]:
    """Two different values in words that differ too."""
    seen, normal = said(old), said(new)
    return (seen, normal) if seen != normal else (f"{old}", f"{new}")


def counterfactuals(detector: Detector, X: Any, cut: float, *, history: History | None = None) -> Counterfactuals:
    """For rows (n, columns) that score `cut` or more, the rows under it that differ from them least.

    Changed cells have values that training rows had, or between two such: numbers stay in their range and whole where
    they were whole, categories take known levels, nothing is missing that never was. A time moves to the hour that the
    network expects and to a day around its own; one that is missing or given as text stays, unless dates are encoded.
    Few columns change, and numbers by no more than they must: columns that add most to the score take the values that
    the network expects, or move along the gradient of the score, alone, then more and more at once, then back again as
    far as the cut allows.

    The search is no proof: rows that are not found may exist, and nearer ones too. With a `history`, its columns are
    named in words; they are changed like all others, whether or not a past could have led to them. 10,000 rows of 30
    columns take two seconds on two cores.

    Source: Wachter et al. (2017), counterfactual explanations, whose distance here counts columns first.

    >>> from oddrow.detectors.autoencoder import AutoencoderDetector
    >>> from oddrow.train.training import Training
    >>> rng = np.random.default_rng(0)
    >>> rows = pl.DataFrame({"amount": rng.normal(50, 5, 300), "items": rng.integers(1, 9, 300)})
    >>> detector = AutoencoderDetector(training=Training(epochs=2), random_state=0).fit(rows)
    >>> cut = float(np.quantile(detector.anomaly_score(rows), 0.9))
    >>> normal = counterfactuals(detector, pl.DataFrame({"amount": [500.0], "items": [4]}), cut)
    >>> normal.found.tolist(), normal.rows["items"].to_list(), [change.seen for change in normal.changes(0)]
    ([True], [4], ['500'])
    """
    check_number("cut", cut)
    table = as_table(X)
    scores = detector.anomaly_score(table)
    seen = table.in_memory.select(detector.schema_.feature_names)
    alerts = np.flatnonzero(scores >= cut)
    nearest = Scored(seen, scores)
    for start in range(0, len(alerts), ROWS_AT_ONCE):
        places = alerts[start : start + ROWS_AT_ONCE]
        near, is_normal = _near(detector, seen[places], cut)
        nearest = nearest.put(places[is_normal], near.take(np.flatnonzero(is_normal)))
    named = {} if history is None else history.descriptions
    return Counterfactuals(nearest.rows, nearest.scores < cut, nearest.scores, seen, detector, named)


def _near(detector: Detector, seen: pl.DataFrame, cut: float) -> tuple[Scored, npt.NDArray[np.bool_]]:
    """Rows near those seen, in their types, and which of them are normal once read again."""
    rows, normal = detector.schema_.conform(seen), FeasibleValues(detector, seen)
    near = Search(normal, rows, cut - MARGIN * (abs(cut) + abs(detector.offset_))).run()
    written = pl.DataFrame([_written(column, seen, rows, near) for column in detector.schema_.features])
    again = detector.schema_.conform(written)
    scores = normal.scores(again)
    return Scored(written, scores), (scores < cut) & normal.has(again, SLACK).all(axis=1)


def _written(column: Column, seen: pl.DataFrame, rows: pl.DataFrame, near: pl.DataFrame) -> pl.Series:
    """A column with what has changed in the type in which it came, and all else as it came."""
    new = restore_dtype(near[column.name], seen[column.name], column.kind)
    changed = near[column.name].ne_missing(rows[column.name])
    return new.zip_with(changed, seen[column.name].cast(new.dtype)).alias(column.name)
