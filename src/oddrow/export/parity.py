"""Check that an exported model gives the same scores as its detector, on generated rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from oddrow.detectors.base import Detector
from oddrow.encoding.column_encoding import SECONDS_PER_DAY, CategoryColumn, NumberColumn
from oddrow.errors import ArtifactError, ParameterError
from oddrow.export.graph import NEEDS, load_onnx
from oddrow.export.onnx_model import SCORE, input_columns, model_inputs
from oddrow.typing import Floats, Mask

N_PARITY_ROWS = 4096

# How much two scores may differ, in units of the score if that exceeds 1: in 99 of 100 rows, and in any row. Networks
# that reconstruct few columns well differ by up to 7e-5 from float32 rounding alone; a wrong graph differs by more.
TYPICAL_DIFFERENCE, MAX_DIFFERENCE = 1e-4, 1e-3

# The share of odd cells in a generated row, in turn.
ODD_SHARES = (0.0, 0.05, 0.3, 1.0)

FAR_OUT = (0.0, 1e-30, 1e9, -1e9, 1e30, -1e30)

# In days since 1970: times of unknown range lie within the first, odd times within the second (1950 to 2200).
TYPICAL_DAYS, FAR_DAYS = (10_000.0, 25_000.0), (-7_305.0, 84_005.0)

UNSEEN_TEXT = "a level that no training row had"


def check_packages() -> None:
    """Check that the packages for an export are installed.

    Raises
    ------
    ParameterError
        If onnx or ONNX Runtime is missing.

    Examples
    --------
    >>> check_packages()
    """
    load_onnx()
    load_onnxruntime()


def check_parity(detector: Detector, model: bytes) -> float:
    """Compare the scores of an exported model with those of its detector.

    Both score 4,096 generated rows that hold missing, unseen and extreme values, always the same ones for a detector.

    Parameters
    ----------
    detector : Detector
        The fitted detector.
    model : bytes
        The model that `to_onnx` made of it.

    Returns
    -------
    float
        The largest difference `abs(a - b) / max(1, abs(b))` between exported scores a and scores b.

    Raises
    ------
    ArtifactError
        If the scores differ by more than rounding explains.
    ParameterError
        If ONNX Runtime is not installed.

    Examples
    --------
    >>> from oddrow import AutoencoderDetector, Training
    >>> from oddrow.export import to_onnx
    >>> rows = pl.DataFrame({"amount": [5.0, 7.0, 6.0] * 20})
    >>> detector = AutoencoderDetector(hidden=(2,), training=Training(epochs=0)).fit(rows)
    >>> check_parity(detector, to_onnx(detector)) < 1e-3
    True
    """
    rows = generate_rows(detector, N_PARITY_ROWS)
    expected = detector._score_conformed(rows)
    session = load_onnxruntime().InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run([SCORE], model_inputs(input_columns(detector), rows))
    differences = np.abs(scores - expected) / np.maximum(1, np.abs(expected))
    # A score that is not a number differs from every other.
    differences = np.nan_to_num(differences, nan=np.inf)
    worst = int(differences.argmax())
    if differences[worst] > MAX_DIFFERENCE or np.quantile(differences, 0.99) > TYPICAL_DIFFERENCE:
        raise ArtifactError(
            f"the scores of the ONNX model differ from those of the detector: {scores[worst]:.9g} instead of "
            f"{expected[worst]:.9g} for one of {N_PARITY_ROWS:,} generated rows, and "
            f"{(differences > TYPICAL_DIFFERENCE).sum():,} rows differ by more than {TYPICAL_DIFFERENCE:g} of the "
            "score. Nothing was written."
        )
    return float(differences[worst])


def generate_rows(detector: Detector, n_rows: int) -> pl.DataFrame:
    """Generate rows in the form that `Schema.conform` returns, always the same ones for a detector."""
    rng = np.random.default_rng(0)
    shares = np.resize(ODD_SHARES, n_rows)
    numbers = {(number.source, number.part): number for number in detector.encoder_.number_columns_}
    categories = {category.source: category for category in detector.encoder_.category_columns_}
    cells: list[pl.Series] = []
    for column in detector.schema_.features:
        generator = CellGenerator(rng, rng.random(n_rows) < shares)
        if column.kind == "numeric":
            values = generator.numbers(numbers[column.name, "value"])
        elif column.kind == "time":
            values = generator.times(numbers.get((column.name, "elapsed")))
        else:
            values = generator.texts(categories[column.name])
        # A boolean has no other level than true and false.
        cells.append((values == "true" if column.kind == "boolean" else values).alias(column.name))
    return pl.DataFrame(cells)


@dataclass(frozen=True)
class CellGenerator:
    """Draws the cells of a column: usual ones, and missing or odd ones in the rows that are `odd` (n,)."""

    rng: np.random.Generator
    odd: Mask

    def numbers(self, column: NumberColumn) -> pl.Series:
        """Draw values within the range of the training rows; odd ones are its ends, missing or far outside."""
        low, high = column.low or 0.0, column.high or 0.0
        usual = column.clip_and_round(self._between(low, high))
        if column.knots:
            usual = np.where(self.rng.random(len(usual)) < 0.5, self.rng.choice(column.knots, len(usual)), usual)
        beyond = [2 * end for end in (low - high / 2, high - low / 2)]
        return pl.Series(self._mix(usual, [low, high, *beyond, *FAR_OUT]), nan_to_null=True)

    def times(self, days: NumberColumn | None) -> pl.Series:
        """Draw times within the range of the training rows; odd ones are midnights far outside."""
        low, high = TYPICAL_DAYS if days is None or days.low is None or days.high is None else (days.low, days.high)
        far = [float(day) for day in np.round(np.linspace(*FAR_DAYS, 100))]
        microseconds = self._mix(self._between(low, high), far) * SECONDS_PER_DAY * 1e6
        return pl.Series(np.round(microseconds), nan_to_null=True).cast(pl.Int64).cast(pl.Datetime("us"))

    def texts(self, column: CategoryColumn) -> pl.Series:
        """Draw levels of the training rows; odd ones are unseen or missing."""
        levels = np.array([*column.levels, UNSEEN_TEXT, None], dtype=object)
        usual = self.rng.integers(max(len(column.levels), 1), size=len(self.odd))
        unusual = self.rng.integers(len(levels) - 2, len(levels), size=len(self.odd))
        return pl.Series(levels[np.where(self.odd, unusual, usual)], dtype=pl.String)

    def _between(self, low: float, high: float) -> Floats:
        share = self.rng.random(len(self.odd))
        return low * (1 - share) + high * share

    def _mix(self, usual: Floats, odd: list[float]) -> Floats:
        """Replace the values of odd rows: a third becomes missing, the others one of the odd values."""
        drawn = self.rng.choice(odd, len(usual))
        return np.where(self.odd, np.where(self.rng.random(len(usual)) < 1 / 3, np.nan, drawn), usual)


def load_onnxruntime() -> Any:
    """Import ONNX Runtime. Raises `ParameterError` if it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ParameterError(NEEDS) from error
    return onnxruntime
