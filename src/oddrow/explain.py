"""Why a row is odd: the columns that make it so, in the user's own names and units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.errors import check_number
from oddrow.table.encode import MISSING, RARE, UNSEEN, CategoryColumn, NumberColumn
from oddrow.table.history import History
from oddrow.table.table import as_table

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MISSING_WORD = "missing"


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


@dataclass(frozen=True)
class Explanation:
    """A row's score, the cut it is held against with its rule, and the columns that make it odd, the oddest first."""

    named: str
    score: float
    cut: float
    rule: str
    reasons: tuple[Reason, ...]

    @property
    def is_above(self) -> bool:
        """Whether the score reaches the cut."""
        return self.score >= self.cut


def reasons(detector: Detector, X: Any, n: int = 3, *, history: History | None = None) -> list[list[Reason]]:
    """The `n` columns at most that add most to each row's score, for rows (m, columns): a list for each row.

    With a `history`, its columns are named in words. 10,000 rows of 30 columns take about a second.

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
    words = _Words(detector, table.frame, {} if history is None else history.words)
    parts = detector.column_scores(table)
    adding = np.maximum(parts.to_numpy(), 0.0)
    highest = np.argsort(-adding, axis=1, kind="stable")[:, :n]
    found: list[list[Reason]] = [[] for _ in range(table.n_rows)]
    for rank in range(highest.shape[1]):
        for place in np.unique(highest[:, rank]):
            rows = np.flatnonzero((highest[:, rank] == place) & (adding[:, place] > 0))
            shares = adding[rows, place] / adding[rows].sum(axis=1)
            times = np.sqrt(adding[rows, place]) if detector.scores_by_spread else None
            for row, reason in zip(rows, words.of(parts.columns[place], rows, shares, times), strict=True):
                found[row].append(reason)
    return found


class _Words:
    """What is seen in each column of some rows and what is expected, as text."""

    def __init__(self, detector: Detector, frame: pl.DataFrame, named: dict[str, str]) -> None:
        self.frame, self.named = detector.schema_.conform(frame), named
        encoder = detector.encoder_
        self.numbers, self.logits = detector.rebuilt(frame)
        self.places = {source: place for place, source in enumerate(encoder.number_sources_)}
        self.parts = {(column.source, column.part): column for column in encoder.number_columns_}
        self.categories = {column.source: column for column in encoder.category_columns_}
        self.embedded = [source for source, _ in encoder.category_sources_]

    def of(self, column: str, rows: Ints, shares: Floats, times: Floats | None) -> Iterator[Reason]:
        """The reasons of these rows that are this column's doing."""
        name = self.named.get(column, column)
        cells = list(self._cells(column, rows))
        offs = [None] * len(rows) if times is None else times.tolist()
        for (code, seen, expected), share, off in zip(cells, shares.tolist(), offs, strict=True):
            yield Reason(name, code, seen, expected, share, off)

    def _cells(self, column: str, rows: Ints) -> Iterator[tuple[str, str, str]]:
        """Code, what is seen and what is expected, row by row."""
        values = self.frame[column].gather(rows)
        if column in self.categories:
            return self._of_category(self.categories[column], values, rows)
        if values.dtype.is_temporal():
            return self._of_time(column, values, rows)
        return self._of_number(self.parts[column, "value"], values, rows)

    def _of_number(self, column: NumberColumn, values: pl.Series, rows: Ints) -> Iterator[tuple[str, str, str]]:
        rebuilt = column.decode(self.numbers[rows, self.places[column.source, column.part]])
        is_missing = values.is_null() | values.cast(pl.Float64).is_nan().fill_null(True)
        # A column that had gaps in training has a number that says how likely one is expected.
        gap = self.places.get((column.source, "missing"))
        expects_gap = np.zeros(len(rows), bool) if gap is None else self.numbers[rows, gap] > 0.5
        for value, missing, expected, none in zip(values, is_missing, rebuilt, expects_gap, strict=True):
            said = MISSING_WORD if none and not missing else f"about {expected:,.4g}"
            code = "MISSING" if missing else "PRESENT" if none else "HIGH" if value > expected else "LOW"
            yield code, MISSING_WORD if missing else f"{value:,.6g}", said

    def _of_category(self, column: CategoryColumn, values: pl.Series, rows: Ints) -> Iterator[tuple[str, str, str]]:
        level, chances = column.encode(values), self._chances(column, rows)
        likeliest = chances.argmax(axis=1)
        codes = {MISSING: "MISSING", UNSEEN: "NEW", RARE: "RARE"}
        for row, value in enumerate(values.cast(pl.String)):
            expected = f"'{column.names[likeliest[row]]}'" if likeliest[row] > RARE else column.names[likeliest[row]]
            seen = MISSING_WORD if value is None else f"'{value}'"
            said = seen if level[row] in (MISSING, UNSEEN) else f"{seen} (likely to {chances[row, level[row]]:.2%})"
            yield codes.get(level[row], "UNUSUAL"), said, expected

    def _chances(self, column: CategoryColumn, rows: Ints) -> Floats:
        """How likely each level is held, (rows, levels)."""
        if not column.one_hot:
            logits = self.logits[self.embedded.index(column.source)][rows]
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        places = [self.places[column.source, f"={level}"] for level in column.one_hot_names]
        chances = np.zeros((len(rows), len(column.names)))
        chances[:, len(column.names) - len(places) :] = np.clip(self.numbers[rows][:, places], 0, 1)
        return chances

    def _of_time(self, column: str, values: pl.Series, rows: Ints) -> Iterator[tuple[str, str, str]]:
        parts = [part for source, part in self.places if source == column and part != "missing"]
        expected = [self._time_words(column, part, rows) for part in parts if not part.endswith("_sin")]
        for value, *said in zip(values, *expected, strict=True):
            seen = MISSING_WORD if value is None else f"{value:%A %Y-%m-%d %H:%M}"
            yield "MISSING" if value is None else "TIME", seen, " and ".join(said)

    def _time_words(self, column: str, part: str, rows: Ints) -> Sequence[str]:
        name = part.removesuffix("_cos")
        if name == part:
            days = self._decoded(column, part, rows) * 86_400e6
            return [f"about {moment:%Y-%m-%d}" for moment in pl.Series(days).cast(pl.Int64).cast(pl.Datetime("us"))]
        angle = np.arctan2(self._decoded(column, f"{name}_sin", rows), self._decoded(column, part, rows))
        turns = angle / (2 * np.pi) % 1
        if name == "hour":
            return [f"about {hour:02.0f}:00" for hour in np.round(turns * 24) % 24]
        return [WEEKDAYS[int(day)] for day in np.round(turns * 7) % 7]

    def _decoded(self, column: str, part: str, rows: Ints) -> Floats:
        return self.parts[column, part].decode(self.numbers[rows, self.places[column, part]])
