"""`Outcomes`: what a rule may look at to choose a threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError
from oddrow.typing import Floats, Ints

DAY_S = 86_400.0

EXPECTED = {
    "y": "1, 0 or NaN",
    "amount": "finite amounts of at least 0",
    "time": "seconds",
    "weight": "finite weights of at least 0",
}


@dataclass(frozen=True)
class Outcomes:
    """Scores (n,) with what is known of each row, (n,) or None where nobody knows.

    weight : how many rows a row stands for. y : 1 anomaly, 0 normal, NaN unknown. amount : what is lost with a missed
    anomaly, in a unit of money. time : seconds. entity : a code for whose row it is.
    """

    scores: Floats
    weight: Floats | None = None
    y: Floats | None = None
    amount: Floats | None = None
    time: Floats | None = None
    entity: Ints | None = None

    def __post_init__(self) -> None:
        """Take lists and series as arrays; raise `EvaluationError` where something is not known of every row."""
        for name, value in list(vars(self).items()):
            if value is not None:
                object.__setattr__(self, name, as_codes(value) if name == "entity" else as_numbers(name, value))
        for name, value in vars(self).items():
            if value is not None and len(value) != len(self.scores):
                raise EvaluationError(f"{name} has {len(value):,} values for {len(self.scores):,} scores.")

    @property
    def weights(self) -> Floats:
        """How many rows each row stands for, 1 where nothing is said."""
        return np.ones(len(self.scores)) if self.weight is None else self.weight

    @property
    def all(self) -> Outcomes:
        """All of them."""
        return self

    @property
    def normal(self) -> Outcomes:
        """The rows not known to be anomalous."""
        return self if self.y is None else self.take(self.y != 1)

    @property
    def labelled(self) -> Outcomes:
        """The rows of which is known what they are."""
        return self.take(np.zeros(len(self.scores), bool) if self.y is None else ~np.isnan(self.y))

    @property
    def anomalous(self) -> npt.NDArray[np.bool_]:
        """Mask (n,): known to be anomalous."""
        return np.zeros(len(self.scores), bool) if self.y is None else self.y == 1

    def take(self, rows: npt.NDArray[Any]) -> Outcomes:
        """Some of these rows, by number (m,) or mask (n,)."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(self, **{name: value[rows] for name, value in given.items()})

    @property
    def has_repeated_entities(self) -> bool:
        """Whether an entity has several of the rows."""
        return self.entity is not None and len(np.unique(self.entity)) < len(self.entity)

    def check(self, what: str) -> None:
        """Raise `EvaluationError` where there is nothing to choose by, or no sense in it; `what` begins the message."""
        if len(self.scores) == 0 or not np.isfinite(self.scores).all():
            raise EvaluationError(f"{what}: {len(self.scores)} scores, all of which must be finite.")
        self.check_values(what)
        if not self.weights.sum() > 0:
            raise EvaluationError(f"{what}: the weights of the {len(self.scores)} rows add up to 0.")

    def check_values(self, what: str) -> None:
        """Raise `EvaluationError` for labels, amounts, times or weights that mean nothing."""
        sound = {
            "y": self.y is None or np.isin(self.y[~np.isnan(self.y)], (0, 1)).all(),
            "amount": self.amount is None or (np.isfinite(self.amount) & (self.amount >= 0)).all(),
            "time": self.time is None or np.isfinite(self.time).all(),
            "weight": (np.isfinite(self.weights) & (self.weights >= 0)).all(),
        }
        if odd := [name for name, is_sound in sound.items() if not is_sound]:
            raise EvaluationError(f"{what}: {odd[0]} holds values that mean nothing. Expected {EXPECTED[odd[0]]}.")

    def check_alike(self, what: str) -> None:
        """Raise `EvaluationError` where rows stand for unequal numbers of rows: no bound is known for such."""
        if len(np.unique(self.weights)) > 1:
            raise EvaluationError(
                f"{what}: its promise holds for rows that count alike, and these have weights from "
                f"{self.weights.min():g} to {self.weights.max():g}. Use a rule without a promise, such as quantile."
            )


def day_of(time: Floats) -> Ints:
    """The day of each time (n,) in seconds, as whole numbers.

    >>> day_of(np.array([0.0, 86_399.0, 86_400.0]))
    array([0, 0, 1])
    """
    return np.floor(time / DAY_S).astype(np.int64)


def as_numbers(name: str, values: Any) -> Floats:
    """Numbers as (n,) float64, times as seconds since 1970. Raises `EvaluationError` for anything else."""
    array = np.asarray(values)
    if array.dtype.kind == "M":
        return array.astype("datetime64[us]").astype(np.float64) / 1e6
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{name}: {array.dtype} values are no numbers. Expected one for each row.") from error


def as_codes(values: Any) -> Ints:
    """Names of entities as codes (n,); whole numbers are codes already."""
    array = np.asarray(values)
    return array.astype(np.int64) if array.dtype.kind in "iu" else np.unique(array, return_inverse=True)[1]
