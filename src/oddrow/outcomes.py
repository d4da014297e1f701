"""`Outcomes`: what is known of each row besides its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError
from oddrow.typing import Floats, Ints, Mask

DAY_S = 86_400.0

ARRAYS = ("y", "weight", "amount", "time", "entity")


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcomes:
    """Labels, weights, amounts, times and entities of the same rows, each None where it is not known.

    Parameters
    ----------
    y : ndarray of float64, shape (n,), optional
        Labels: 1 anomaly, 0 normal, NaN unknown.
    weight : ndarray of float64, shape (n,), optional
        How many rows each row stands for, if the rows are a sample.
    amount : ndarray of float64, shape (n,), optional
        What is lost if an anomaly is missed, in a unit of money.
    time : ndarray of float64, shape (n,), optional
        Seconds. Datetimes are converted to seconds since 1970.
    entity : ndarray of int64, shape (n,), optional
        A code for the card, customer or machine that a row belongs to. Names are converted to codes.
    n_rows : int, optional
        Number of rows, needed only if none of the arrays is given.

    Raises
    ------
    EvaluationError
        If the arrays differ in length, or a value is not a number.

    Examples
    --------
    >>> outcomes = Outcomes(y=[0, 1, np.nan], amount=[10, 250, 30])
    >>> outcomes.labelled
    array([ True,  True, False])
    >>> outcomes.take(outcomes.anomalous).amount
    array([250.])
    """

    y: Floats | None = None
    weight: Floats | None = None
    amount: Floats | None = None
    time: Floats | None = None
    entity: Ints | None = None
    n_rows: int = 0

    def __post_init__(self) -> None:
        """Convert the arrays and compare their lengths."""
        lengths = {} if not self.n_rows else {"n_rows": self.n_rows}
        for name, values in self._given().items():
            array = as_codes(values) if name == "entity" else as_numbers(name, values)
            object.__setattr__(self, name, array)
            lengths[name] = len(array)
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name}: {length:,}" for name, length in lengths.items())
            raise EvaluationError(f"the arrays differ in length ({found}). Expected one value for each row.")
        object.__setattr__(self, "n_rows", next(iter(lengths.values()), 0))

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.n_rows

    def _given(self) -> dict[str, Any]:
        return {name: values for name in ARRAYS if (values := getattr(self, name)) is not None}

    @property
    def labels(self) -> Floats:
        """The labels, shape (n,), NaN everywhere if none are known."""
        return np.full(self.n_rows, np.nan) if self.y is None else self.y

    @property
    def weights(self) -> Floats:
        """The weights, shape (n,), 1 everywhere if none are known."""
        return np.ones(self.n_rows) if self.weight is None else self.weight

    @property
    def day(self) -> Ints | None:
        """The day of each row, shape (n,), or None if the time is not known."""
        return None if self.time is None else day_of(self.time)

    @property
    def labelled(self) -> Mask:
        """Mask, shape (n,), of the rows with a label."""
        return ~np.isnan(self.labels)

    @property
    def anomalous(self) -> Mask:
        """Mask, shape (n,), of the known anomalies."""
        return np.asarray(self.labels == 1)

    @property
    def normal(self) -> Mask:
        """Mask, shape (n,), of the rows that are not known anomalies; unlabelled rows count as normal."""
        return ~self.anomalous

    def take(self, rows: npt.NDArray[Any]) -> Outcomes:
        """Select rows.

        Parameters
        ----------
        rows : ndarray
            Row numbers, shape (m,), or a mask, shape (n,).

        Returns
        -------
        Outcomes
            The selected rows, in that order.
        """
        taken = {name: values[rows] for name, values in self._given().items()}
        return Outcomes(**taken, n_rows=len(np.arange(self.n_rows)[rows]))

    def check(self) -> None:
        """Check that the values make sense.

        Raises
        ------
        EvaluationError
            If a label is not 1, 0 or NaN, a time is not finite, or a weight or an amount is negative or not finite.
        """
        amounts = "finite values of at least 0"
        sound = {
            "y": (np.isin(self.labels, (0, 1)) | np.isnan(self.labels), "1, 0 or NaN"),
            "weight": (np.isfinite(self.weights) & (self.weights >= 0), amounts),
            "amount": (self.amount is None or np.isfinite(self.amount) & (self.amount >= 0), amounts),
            "time": (self.time is None or np.isfinite(self.time), "finite seconds"),
        }
        for name, (is_sound, expected) in sound.items():
            if not np.all(is_sound):
                row = int(np.argmin(is_sound))
                value = float(getattr(self, name)[row])
                raise EvaluationError(f"{name} is {value:g} in row {row:,}. Expected {expected}.")


def day_of(time: Floats) -> Ints:
    """Return the day of each time in seconds, as whole numbers.

    >>> day_of(np.array([0.0, 86_399.0, 86_400.0]))
    array([0, 0, 1])
    """
    return np.floor(time / DAY_S).astype(np.int64)


def as_numbers(name: str, values: Any) -> Floats:
    """Return values as float64, datetimes as seconds since 1970; raise `EvaluationError` for anything else."""
    array = np.asarray(values)
    if array.dtype.kind == "M":
        return array.astype("datetime64[us]").astype(np.float64) / 1e6
    try:
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{name}: {array.dtype} values are not numbers. Expected one for each row.") from error


def as_codes(values: Any) -> Ints:
    """Return names of entities as codes; whole numbers are codes already."""
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    return np.unique(array, return_inverse=True)[1]
