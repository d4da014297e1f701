"""`NumberColumn`, `CategoryColumn`: what an encoder has learned of a column, and values to numbers and back by it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, check_number
from oddrow.typing import Floats

MISSING, UNSEEN, RARE = 0, 1, 2

SPECIAL_LEVELS = ("missing", "unseen", "rare")

# A number that is missing although its column never was in training is as odd as one this far out.
UNEXPECTED_MISSING = 10.0

# Far enough to stay the oddest value of its column, near enough that float32 squares and sums stay finite.
LARGEST_ENCODED = 1e6

# Numbers with more decimals count as having any.
MOST_DECIMALS = 4


@dataclass(frozen=True)
class NumberColumn:
    """One encoded number: (value - center) / scale, or a place among `knots` read as a normal deviate.

    Beyond `soft_limit` spreads the scaled number grows like a logarithm: soft_limit * asinh(z / soft_limit).
    `part` says what of the source column it holds: its value, or a part of a time. Training rows had values from `low`
    to `high` (None: no value at all), with `decimals` places at most (None: with more than `MOST_DECIMALS`).
    """

    source: str
    part: str
    center: float = 0.0
    scale: float = 1.0
    knots: tuple[float, ...] = ()
    soft_limit: float | None = None
    has_missing: bool = False
    low: float | None = None
    high: float | None = None
    decimals: int | None = None

    def encode(self, values: Floats) -> Floats:
        """Values (n,) with NaN for missing, as encoded numbers (n,)."""
        if self.knots:
            encoded = _normal_deviates(values, np.array(self.knots))
        else:
            with np.errstate(over="ignore"):
                encoded = values - self.center
                encoded /= self.scale
                _draw_in(encoded, self.soft_limit)
        if (is_missing := np.isnan(values)).any():
            encoded[is_missing] = 0.0 if self.has_missing else UNEXPECTED_MISSING
        return encoded

    def decode(self, encoded: Floats) -> Floats:
        """Encoded numbers (n,) as values (n,), which may lie outside what training rows had, but for `knots`."""
        if self.knots:
            return np.asarray(np.interp(encoded, knot_deviates(len(self.knots)), self.knots))
        if self.soft_limit is not None:
            with np.errstate(over="ignore"):
                encoded = self.soft_limit * np.sinh(encoded / self.soft_limit)
        return encoded * self.scale + self.center

    def clip_and_round(self, values: Floats) -> Floats:
        """Values (n,) rounded as those of the training rows are, and brought between the least and largest of them."""
        if self.low is None:
            return np.full(len(values), np.nan)
        inside = np.clip(values, self.low, self.high)
        # A zero added makes -0.0 a 0.0.
        return inside if self.decimals is None else np.round(inside, self.decimals) + 0.0

    @property
    def typical(self) -> float | None:
        """A value in the middle of what training rows had; None where they had none."""
        if self.low is None or self.high is None:
            return None
        middle = self.knots[len(self.knots) // 2] if self.knots else self.center
        # What scales to [0, 1] begins at the least value, which is none in the middle.
        return middle if self.low < middle < self.high else self.low / 2 + self.high / 2

    def check(self) -> None:
        """Raise `ParameterError` for what no training rows can have led to."""
        check_number(f"the scale of column '{self.source}'", self.scale, 0, above=True)
        if self.soft_limit is not None:
            check_number(f"the soft limit of column '{self.source}'", self.soft_limit, 0, above=True)
        if self.decimals is not None:
            check_number(f"the decimals of column '{self.source}'", self.decimals, 0, MOST_DECIMALS, whole=True)
        ends = [end for end in (self.low, self.high) if end is not None]
        if len(ends) == 1 or ends != sorted(ends):
            raise ParameterError(
                f"column '{self.source}' has values from {self.low} to {self.high}, which is no range."
            )


@dataclass(frozen=True)
class CategoryColumn:
    """One encoded category: level numbers are missing 0, unseen 1, rare 2, then `levels` from the most frequent.

    With `is_given`, its levels were known beforehand: as 0/1 numbers it has just these, and none for the first three.
    `has_missing` says whether training rows lacked values.
    """

    source: str
    levels: tuple[str, ...]
    has_rare: bool
    one_hot: bool
    is_given: bool = False
    has_missing: bool = False

    @property
    def one_hot_names(self) -> tuple[str, ...]:
        """The name of every 0/1 number."""
        return self.levels if self.is_given else self.names

    def encode_one_hot(self, values: pl.Series) -> npt.NDArray[np.float32]:
        """Text (n,) as 0/1 numbers (n, one_hot_names)."""
        level = self.encode(values)[:, None] - (len(self.names) - len(self.one_hot_names))
        return np.asarray(level == np.arange(len(self.one_hot_names)), dtype=np.float32)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every level number."""
        return (*SPECIAL_LEVELS, *self.levels)

    @property
    def known_levels(self) -> list[int]:
        """The level numbers that training rows had, but for the rare ones, which have lost their names."""
        named = list(range(len(SPECIAL_LEVELS), len(self.names)))
        return [MISSING, *named] if self.has_missing or not named else named

    def likeliest(self, chances: Floats, rank: int = 0) -> npt.NDArray[np.int32]:
        """The likeliest of the known levels, as level numbers (n,), by chances or logits (n, names); with a `rank` the
        second likeliest and so on, as far as there are levels.
        """
        known = np.array(self.known_levels)
        ranked = np.argsort(-chances[:, known], axis=1, kind="stable")
        return np.asarray(known[ranked[:, min(rank, len(known) - 1)]], dtype=np.int32)

    def encode(self, values: pl.Series) -> npt.NDArray[np.int32]:
        """Text (n,) as level numbers (n,); any other level is `rare` where training rows had such, else `unseen`."""
        numbers = dict(zip(self.levels, range(len(SPECIAL_LEVELS), len(self.names)), strict=True))
        other = RARE if self.has_rare else UNSEEN
        encoded = values.cast(pl.String).replace_strict(numbers, default=other, return_dtype=pl.Int32)
        return np.where(values.is_null().to_numpy(), MISSING, encoded.to_numpy()).astype(np.int32)


def range_and_decimals(known: Floats) -> tuple[float, float, int | None]:
    """Least and largest of some values, and the fewest decimals, `MOST_DECIMALS` at most, with which all are exact."""
    # The first rows rule most numbers out, and cost next to nothing.
    exact = (n for n in range(MOST_DECIMALS + 1) if _has_decimals(known[:1000], n) and _has_decimals(known, n))
    return float(known.min()), float(known.max()), next(exact, None)


def _has_decimals(values: Floats, n: int) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(np.round(values, n), values))


def knot_probabilities(n_knots: int) -> Floats:
    """The shares of the training rows below each knot."""
    return (np.arange(n_knots) + 0.5) / n_knots


@cache
def knot_deviates(n_knots: int) -> Floats:
    """The normal deviate of each knot, (n_knots,)."""
    return np.array([NormalDist().inv_cdf(share) for share in knot_probabilities(n_knots)])


def _draw_in(scaled: Floats, soft_limit: float | None) -> None:
    """In place, for copies take as long as the arithmetic."""
    if soft_limit is not None:
        scaled /= soft_limit
        np.arcsinh(scaled, out=scaled)
        scaled *= soft_limit
    np.clip(scaled, -LARGEST_ENCODED, LARGEST_ENCODED, out=scaled)


def _normal_deviates(values: Floats, knots: Floats) -> Floats:
    deviates = knot_deviates(len(knots))
    # Tied knots: the middle of what interpolation from the left and from the right says, as scikit-learn does.
    values, knots = values / 2, knots / 2  # as when they were chosen
    upward = np.interp(values, knots, deviates)
    return np.asarray(upward - np.interp(-values, -knots[::-1], -deviates[::-1])) / 2
