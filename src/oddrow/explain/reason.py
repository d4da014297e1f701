"""Why a row is odd: the columns that make it so, in the user's own names and units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.encoding.column_encoding import MISSING, RARE, UNSEEN, CategoryColumn, NumberColumn, circle_position
from oddrow.encoding.decoder import TableDecoder
from oddrow.errors import check_number
from oddrow.table.history import History
from oddrow.table.table import Table, as_table
from oddrow.typing import Floats, Ints

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

MISSING_WORD = "missing"

# A smaller share of a column's largest value is shown as 0.
ROUNDED_TO_ZERO = 1e-6

# A level with a lower probability is shown without it.
LEAST_PROBABILITY = 1e-6


def format_value(value: float | str | bool | datetime | None) -> str:
    """Return a value as text: numbers with up to six digits, text in quotes, times with their weekday."""
    if value is None:
        return MISSING_WORD
    if isinstance(value, datetime):
        return f"{value:%A %Y-%m-%d %H:%M}"
    if isinstance(value, bool):
        return f"'{value}'".lower()
    return f"'{value}'" if isinstance(value, str) else f"{value:,.6g}"


class CellTexts:
    """What rows hold in each column, and what the detector expects there, as text."""

    def __init__(self, detector: Detector, frame: pl.DataFrame, column_names: dict[str, str]) -> None:
        self.frame, self.column_names = detector.schema_.conform(frame), column_names
        self.decoder = TableDecoder(detector.encoder_, detector.schema_)
        self.numbers, self.logits = detector.reconstruct(Table.from_frame(frame))
        self.places, self.parts = self.decoder.places, self.decoder.parts

    def of(self, column: str, rows: Ints) -> Iterator[tuple[str, str, str, str]]:
        """Yield the column's name, the reason's code, what is seen and what is expected, row by row."""
        return ((self.column_names.get(column, column), *cell) for cell in self._cells(column, rows))

    def _cells(self, column: str, rows: Ints) -> Iterator[tuple[str, str, str]]:
        """Return code, what is seen and what is expected, row by row."""
        values = self.frame[column].gather(rows)
        if column in self.decoder.categories:
            return self._category_cells(self.decoder.categories[column], values, rows)
        if values.dtype.is_temporal():
            return self._time_cells(column, values, rows)
        return self._number_cells(self.parts[column, "value"], values, rows)

    def _number_cells(self, column: NumberColumn, values: pl.Series, rows: Ints) -> Iterator[tuple[str, str, str]]:
        rebuilt = column.decode(self.numbers[rows, self.places[column.source, column.part]])
        rebuilt[np.abs(rebuilt) < ROUNDED_TO_ZERO * max(abs(column.low or 0), abs(column.high or 0))] = 0.0
        is_missing = values.is_null() | values.cast(pl.Float64).is_nan().fill_null(True)
        # A column with missing values in training has an output for how likely one is.
        gap = self.places.get((column.source, "missing"))
        expects_gap = np.zeros(len(rows), bool) if gap is None else self.numbers[rows, gap] > 0.5
        for value, missing, expected, none in zip(values, is_missing, rebuilt, expects_gap, strict=True):
            expects = MISSING_WORD if none and not missing else f"about {expected:,.4g}"
            code = "MISSING" if missing else "PRESENT" if none else "HIGH" if value > expected else "LOW"
            yield code, format_value(None if missing else value), expects

    def _category_cells(self, column: CategoryColumn, values: pl.Series, rows: Ints) -> Iterator[tuple[str, str, str]]:
        level, probabilities = column.encode(values), self._probabilities(column, rows)
        likeliest = probabilities.argmax(axis=1)
        codes = {MISSING: "MISSING", UNSEEN: "NEW", RARE: "RARE"}
        for row, value in enumerate(values.cast(pl.String)):
            expected = f"'{column.names[likeliest[row]]}'" if likeliest[row] > RARE else column.names[likeliest[row]]
            probability = 0.0 if level[row] in (MISSING, UNSEEN) else probabilities[row, level[row]]
            likely = f" (likely to {probability:.2%})" if probability > LEAST_PROBABILITY else ""
            yield codes.get(level[row], "UNUSUAL"), format_value(value) + likely, expected

    def _probabilities(self, column: CategoryColumn, rows: Ints) -> Floats:
        """Return the probability of each level, (rows, levels)."""
        if not column.one_hot:
            logits = self.logits[self.decoder.embedded.index(column.source)][rows]
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        return self.decoder.level_scores(column, self.numbers[rows])

    def _time_cells(self, column: str, values: pl.Series, rows: Ints) -> Iterator[tuple[str, str, str]]:
        parts = [part for source, part in self.places if source == column and part != "missing"]
        expected = [self._time_texts(column, part, rows) for part in parts if not part.endswith("_sin")]
        for value, *places in zip(values, *expected, strict=True):
            yield "MISSING" if value is None else "TIME", format_value(value), " and ".join(places)

    def _time_texts(self, column: str, part: str, rows: Ints) -> Sequence[str]:
        name = part.removesuffix("_cos")
        if name == part:
            days = self._decoded(column, part, rows) * 86_400e6
            return [f"about {moment:%Y-%m-%d}" for moment in pl.Series(days).cast(pl.Int64).cast(pl.Datetime("us"))]
        turns = circle_position(self._decoded(column, f"{name}_sin", rows), self._decoded(column, part, rows))
        if name == "hour":
            return [f"about {hour:02.0f}:00" for hour in np.round(turns * 24) % 24]
        return [WEEKDAYS[int(day)] for day in np.round(turns * 7) % 7]

    def _decoded(self, column: str, part: str, rows: Ints) -> Floats:
        return self.parts[column, part].decode(self.numbers[rows, self.places[column, part]])


@dataclass(frozen=True)
class Reason:
    """A column that makes a row odd.

    Parameters
    ----------
    column : str
        Name of the column; a column of history in words.
    code : {"HIGH", "LOW", "UNUSUAL", "NEW", "RARE", "MISSING", "PRESENT", "TIME"}
        Kind of reason. NEW is a level never seen in training, PRESENT a value where a missing one was expected.
    seen : str
        What the row holds.
    expected : str
        What the detector expects.
    share : float
        Column's share of all positive contributions, 0 to 1.
    error_ratio : float, optional
        Error of the column, divided by its root mean squared error in training, if the detector scores by errors.

    See Also
    --------
    reasons : Find the reasons of rows.

    Examples
    --------
    >>> print(Reason("amount", "HIGH", "500", "about 50", 0.9, 12.0))
    amount 500, expected about 50, 12 times its typical error (90% of the explanation)
    """

    column: str
    code: str
    seen: str
    expected: str
    share: float
    error_ratio: float | None = None

    def __str__(self) -> str:
        ratio = "" if self.error_ratio is None else f", {self.error_ratio:,.2g} times its typical error"
        return f"{self.column} {self.seen}, expected {self.expected}{ratio} ({self.share:.0%} of the explanation)"


def reasons(detector: Detector, X: Any, n: int = 3, *, history: History | None = None) -> list[list[Reason]]:
    """Return the columns that contribute most to each row's score.

    Parameters
    ----------
    detector : Detector
        A fitted detector.
    X : frame or ndarray, shape (m, columns)
        Rows to explain.
    n : int, default=3
        Most reasons for a row.
    history : History, optional
        The history whose columns are in X, to describe them in words.

    Returns
    -------
    list of list of Reason
        The reasons of each row, the largest share first.

    Raises
    ------
    ParameterError
        If n is not a whole number of at least 1.

    See Also
    --------
    counterfactuals : The smallest changes that would bring rows below a threshold.

    Notes
    -----
    10,000 rows of 30 columns take about a second.

    Examples
    --------
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
    texts = CellTexts(detector, table.in_memory, {} if history is None else history.descriptions)
    parts = detector.column_scores(table)
    contributions = np.maximum(parts.to_numpy(), 0.0)
    highest = np.argsort(-contributions, axis=1, kind="stable")[:, :n]
    found: list[list[Reason]] = [[] for _ in range(table.n_rows)]
    for rank in range(highest.shape[1]):
        for place in np.unique(highest[:, rank]):
            rows = np.flatnonzero((highest[:, rank] == place) & (contributions[:, place] > 0))
            shares = contributions[rows, place] / contributions[rows].sum(axis=1)
            ratios = np.sqrt(contributions[rows, place]).tolist() if detector._scores_by_spread else [None] * len(rows)
            cells = texts.of(parts.columns[place], rows)
            for row, cell, share, ratio in zip(rows, cells, shares.tolist(), ratios, strict=True):
                found[row].append(Reason(*cell, share, ratio))
    return found
