"""Proof that an exported model scores as its detector does: both on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.encoding.columns import CategoryColumn, NumberColumn
from oddrow.encoding.times import SECONDS_PER_DAY
from oddrow.errors import ArtifactError, ParameterError
from oddrow.export.convert import SCORE, columns_seen, inputs_of
from oddrow.export.graph import NEEDS, onnx
from oddrow.typing import Floats

# How many of its cells are odd, in rows by turns.
SHARES_ODD = (0.0, 0.05, 0.3, 1.0)

FAR_OUT = (0.0, 1e-30, 1e9, -1e9, 1e30, -1e30)

# Days since 1970 where nobody knows the range of a time; and from 1950 to 2200.
USUAL_DAYS, FAR_DAYS = (10_000.0, 25_000.0), (-7_305.0, 84_005.0)

UNSEEN_TEXT = "a level that no training row had"


@dataclass(frozen=True)
class Trial:
    """Draws the cells of a column: usual ones, and in the rows `odd` (n,) missing or odd ones."""

    rng: np.random.Generator
    odd: npt.NDArray[np.bool_]

    def numbers(self, column: NumberColumn) -> pl.Series:
        """Values between the least and the largest of the training rows, and their ends, missing and far out ones."""
        low, high = column.low or 0.0, column.high or 0.0
        usual = column.clip_and_round(self._between(low, high))
        if column.knots:
            usual = np.where(self.rng.random(len(usual)) < 0.5, self.rng.choice(column.knots, len(usual)), usual)
        beyond = [2 * end for end in (low - high / 2, high - low / 2)]
        return pl.Series(self._mixed(usual, [low, high, *beyond, *FAR_OUT]), nan_to_null=True)

    def times(self, days: NumberColumn | None) -> pl.Series:
        """Moments of the training rows' days, and midnights before and after."""
        low, high = USUAL_DAYS if days is None or days.low is None or days.high is None else (days.low, days.high)
        far = [float(day) for day in np.round(np.linspace(*FAR_DAYS, 100))]
        moments = self._mixed(self._between(low, high), far) * SECONDS_PER_DAY * 1e6
        return pl.Series(np.round(moments), nan_to_null=True).cast(pl.Int64).cast(pl.Datetime("us"))

    def texts(self, column: CategoryColumn) -> pl.Series:
        """Levels of the training rows, and an unseen one."""
        levels = np.array([*column.levels, UNSEEN_TEXT, None], dtype=object)
        usual = self.rng.integers(max(len(column.levels), 1), size=len(self.odd))
        unusual = self.rng.integers(len(levels) - 2, len(levels), size=len(self.odd))
        return pl.Series(levels[np.where(self.odd, unusual, usual)], dtype=pl.String)

    def _between(self, low: float, high: float) -> Floats:
        share = self.rng.random(len(self.odd))
        return low * (1 - share) + high * share

    def _mixed(self, usual: Floats, odd: list[float]) -> Floats:
        """Usual values, and in odd rows missing ones or some of these."""
        drawn = self.rng.choice(odd, len(usual))
        return np.where(self.odd, np.where(self.rng.random(len(usual)) < 1 / 3, np.nan, drawn), usual)


def trial_rows(detector: Detector, n_rows: int) -> pl.DataFrame:
    """Rows as `Schema.conform` returns them, always the same ones for a detector."""
    rng = np.random.default_rng(0)
    shares = np.resize(SHARES_ODD, n_rows)
    numbers = {(number.source, number.part): number for number in detector.encoder_.number_columns_}
    categories = {category.source: category for category in detector.encoder_.category_columns_}
    cells: list[pl.Series] = []
    for column in detector.schema_.features:
        trial = Trial(rng, rng.random(n_rows) < shares)
        if column.kind == "numeric":
            values = trial.numbers(numbers[column.name, "value"])
        elif column.kind == "time":
            values = trial.times(numbers.get((column.name, "elapsed")))
        else:
            values = trial.texts(categories[column.name])
        # Of a boolean nothing but true and false can be unseen.
        cells.append((values == "true" if column.kind == "boolean" else values).alias(column.name))
    return pl.DataFrame(cells)


ROWS_TRIED = 4096

# What two scores may differ by, in units of the score where it is above 1: in 99 of 100 rows, and in any. Networks that
# rebuild few columns well leave differences of up to 7e-5 to the rounding of float32, on either side; a wrong graph
# leaves others.
USUAL_DIFFERENCE, LARGEST_DIFFERENCE = 1e-4, 1e-3


def check_packages() -> None:
    """Raise `ParameterError` where what an export is made with is missing, before the work rather than after."""
    onnx()
    onnxruntime()


def check_parity(detector: Detector, model: bytes) -> float:
    """The largest difference between the scores of a detector and of an exported model, |a - b| / max(1, |b|), over
    4,096 rows that hold missing, unseen and extreme values.

    Raises `ArtifactError` where it is more than rounding explains.
    """
    rows = trial_rows(detector, ROWS_TRIED)
    expected = detector._score_conformed(rows)
    session = onnxruntime().InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run([SCORE], inputs_of(columns_seen(detector), rows))
    differences = np.abs(scores - expected) / np.maximum(1, np.abs(expected))
    # What is not even a number differs from any.
    differences = np.nan_to_num(differences, nan=np.inf)
    worst = int(differences.argmax())
    if differences[worst] > LARGEST_DIFFERENCE or np.quantile(differences, 0.99) > USUAL_DIFFERENCE:
        raise ArtifactError(
            f"the ONNX model does not score as the detector does: {scores[worst]:.9g} instead of {expected[worst]:.9g} "
            f"for one of {ROWS_TRIED:,} made-up rows, and {(differences > USUAL_DIFFERENCE).sum():,} of them differ by "
            f"more than {USUAL_DIFFERENCE:g} of the score. Nothing was written."
        )
    return float(differences[worst])


def onnxruntime() -> Any:
    """The package onnxruntime. Raises `ParameterError` where it is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ParameterError(NEEDS) from error
    return onnxruntime
