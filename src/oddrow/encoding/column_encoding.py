"""What an encoder learns of one column, `NumberColumn` or `CategoryColumn`: values to numbers, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ParameterError, check_number
from oddrow.typing import Floats, Mask

# The first level numbers of every category.
MISSING, UNSEEN, RARE = 0, 1, 2

SPECIAL_LEVELS = ("missing", "unseen", "rare")

# The encoded number of a missing value in a column that had none in training: it counts as a very unusual value.
UNEXPECTED_MISSING = 10.0

# Far enough to stay the most unusual value of a column, small enough that squares and sums stay finite in float32.
MAX_ENCODED = 1e6

# Columns with more decimals than this are not rounded when decoded.
MAX_DECIMALS = 4


@dataclass(frozen=True)
class NumberColumn:
    """Scaling of one number: (value - center) / scale, or with `knots` the rank as a normal deviate.

    `part` is "value", or the part of a time that the number holds. Beyond `soft_limit` the scaled number z grows like a
    logarithm: soft_limit * asinh(z / soft_limit). Values of the training rows were between `low` and `high` (None: all
    were missing) and had at most `decimals` decimals (None: more than `MAX_DECIMALS`).
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
        """Encode values (n,), NaN if missing, as numbers (n,)."""
        if self.knots:
            encoded = _normal_deviates(values, np.array(self.knots))
        else:
            encoded = scale_numbers(values, self.center, self.scale, self.soft_limit)
        if (is_missing := np.isnan(values)).any():
            encoded[is_missing] = self.encoded_missing
        return encoded

    @property
    def encoded_missing(self) -> float:
        """The number that encodes a missing value."""
        return 0.0 if self.has_missing else UNEXPECTED_MISSING

    def decode(self, encoded: Floats) -> Floats:
        """Decode numbers (n,) as values (n,); without `knots` they may lie outside the range of the training rows."""
        if self.knots:
            return np.asarray(np.interp(encoded, knot_deviates(len(self.knots)), self.knots))
        if self.soft_limit is not None:
            with np.errstate(over="ignore"):
                encoded = self.soft_limit * np.sinh(encoded / self.soft_limit)
        return encoded * self.scale + self.center

    def clip_and_round(self, values: Floats) -> Floats:
        """Clip values (n,) to the range of the training rows and round them to their decimals."""
        if self.low is None:
            return np.full(len(values), np.nan)
        inside = np.clip(values, self.low, self.high)
        # Adding zero turns -0.0 into 0.0.
        return inside if self.decimals is None else np.round(inside, self.decimals) + 0.0

    @property
    def typical(self) -> float | None:
        """A value from the middle of the training rows, None if all were missing."""
        if self.low is None or self.high is None:
            return None
        middle = self.knots[len(self.knots) // 2] if self.knots else self.center
        # Scaled to [0, 1], the center is the lowest value.
        return middle if self.low < middle < self.high else self.low / 2 + self.high / 2

    def check(self) -> None:
        """Raise `ParameterError` for a state that fitting cannot produce."""
        check_number(f"the scale of column '{self.source}'", self.scale, 0, above=True)
        if self.soft_limit is not None:
            check_number(f"the soft limit of column '{self.source}'", self.soft_limit, 0, above=True)
        if self.decimals is not None:
            check_number(f"the decimals of column '{self.source}'", self.decimals, 0, MAX_DECIMALS, whole=True)
        ends = [end for end in (self.low, self.high) if end is not None]
        if len(ends) == 1 or ends != sorted(ends):
            raise ParameterError(f"column '{self.source}' has the range {self.low} to {self.high}, which is not valid.")


def scale_numbers(
    values: Floats,
    center: float | Floats,
    scale: float | Floats,
    soft_limit: float | Floats | None,
    is_soft: bool | Mask = True,
) -> Floats:
    """Scale and limit the values (n,) of one column, or those of one row with an array of each parameter.

    Where `is_soft` is False, `soft_limit` is 1 and does nothing.
    """
    # In place, because a copy takes as long as the arithmetic.
    with np.errstate(over="ignore"):
        scaled = values - center
        scaled /= scale
        if soft_limit is not None:
            scaled /= soft_limit
            np.arcsinh(scaled, out=scaled, where=is_soft)
            scaled *= soft_limit
    return np.clip(scaled, -MAX_ENCODED, MAX_ENCODED, out=scaled)


def _normal_deviates(values: Floats, knots: Floats) -> Floats:
    deviates = knot_deviates(len(knots))
    # Halved, because the difference of two values may be too large for float64.
    values, knots = values / 2, knots / 2
    # With tied knots the mean of both interpolations is the middle of the tie, as in scikit-learn.
    rising = np.interp(values, knots, deviates)
    falling = np.interp(-values, -knots[::-1], -deviates[::-1])
    return np.asarray(rising - falling) / 2


def knot_probabilities(n_knots: int) -> Floats:
    """Return the share of the training rows below each knot, (n_knots,)."""
    return (np.arange(n_knots) + 0.5) / n_knots


@cache
def knot_deviates(n_knots: int) -> Floats:
    """Return the normal deviate of each knot, (n_knots,)."""
    return np.array([NormalDist().inv_cdf(probability) for probability in knot_probabilities(n_knots)])


def range_and_decimals(known: Floats) -> tuple[float, float, int | None]:
    """Return minimum and maximum, and the fewest decimals that write every value exactly (None: `MAX_DECIMALS` + 1).

    >>> range_and_decimals(np.array([2.5, 1.0]))
    (1.0, 2.5, 1)
    """
    # The first thousand rows rule out most counts of decimals at almost no cost.
    exact = (n for n in range(MAX_DECIMALS + 1) if _is_exact(known[:1000], n) and _is_exact(known, n))
    return float(known.min()), float(known.max()), next(exact, None)


def _is_exact(values: Floats, decimals: int) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(np.round(values, decimals), values))


@dataclass(frozen=True)
class CategoryColumn:
    """Level numbers of one category: missing 0, unseen 1, rare 2, then `levels` from the most frequent.

    As 0/1 numbers (`one_hot`) it has one for each level number; with `has_fixed_levels`, whose levels were declared
    beforehand, one for each of these only. `has_missing` tells whether training rows had missing values.
    """

    source: str
    levels: tuple[str, ...]
    has_rare: bool
    one_hot: bool
    has_fixed_levels: bool = False
    has_missing: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each level number."""
        return (*SPECIAL_LEVELS, *self.levels)

    @cached_property
    def level_numbers(self) -> dict[str, int]:
        """The number of each named level."""
        return dict(zip(self.levels, range(len(SPECIAL_LEVELS), len(self.names)), strict=True))

    @property
    def other_level(self) -> int:
        """The number of any other text: rare if training rows had rare levels, else unseen."""
        return RARE if self.has_rare else UNSEEN

    def encode(self, values: pl.Series) -> npt.NDArray[np.int32]:
        """Encode text (n,) as level numbers (n,)."""
        texts = values.cast(pl.String)
        encoded = texts.replace_strict(self.level_numbers, default=self.other_level, return_dtype=pl.Int32)
        return np.where(values.is_null().to_numpy(), MISSING, encoded.to_numpy()).astype(np.int32)

    @property
    def one_hot_names(self) -> tuple[str, ...]:
        """The name of each 0/1 number."""
        return self.levels if self.has_fixed_levels else self.names

    @property
    def first_one_hot(self) -> int:
        """The level number of the first 0/1 number."""
        return len(self.names) - len(self.one_hot_names)

    def encode_one_hot(self, values: pl.Series) -> npt.NDArray[np.float32]:
        """Encode text (n,) as 0/1 numbers (n, one_hot_names)."""
        levels = self.encode(values)[:, None]
        return np.asarray(levels == np.arange(self.first_one_hot, len(self.names)), dtype=np.float32)

    @property
    def known_levels(self) -> list[int]:
        """The level numbers that training rows had, except rare: rare levels have no name to decode."""
        named = list(self.level_numbers.values())
        return [MISSING, *named] if self.has_missing or not named else named

    def likeliest(self, scores: Floats, rank: int = 0) -> npt.NDArray[np.int32]:
        """Return the known level with the highest score, (n,); with `rank` 1 the second highest, and so on.

        `scores` (n, names) are probabilities or logits. A rank beyond the number of levels means the last one.
        """
        known = np.array(self.known_levels)
        ranked = np.argsort(-scores[:, known], axis=1, kind="stable")
        return np.asarray(known[ranked[:, min(rank, len(known) - 1)]], dtype=np.int32)


SECONDS_PER_DAY = 86_400

MICROSECONDS_PER_DAY = SECONDS_PER_DAY * 1e6

# The part from which a time can be decoded.
ELAPSED = "elapsed"

# The parts that are positions on a circle: sine and cosine.
CYCLES = ("hour", "weekday")


def _hour(times: pl.Series) -> dict[str, Floats]:
    since_midnight = times - times.dt.truncate("1d")
    return _circle("hour", since_midnight.dt.total_seconds() / SECONDS_PER_DAY)


def _weekday(times: pl.Series) -> dict[str, Floats]:
    return _circle("weekday", times.dt.weekday() / 7)


def _circle(name: str, positions: pl.Series) -> dict[str, Floats]:
    angle = 2 * np.pi * positions.cast(pl.Float64).to_numpy()
    return {f"{name}_sin": np.sin(angle), f"{name}_cos": np.cos(angle)}


def _elapsed(times: pl.Series) -> dict[str, Floats]:
    return {ELAPSED: times.dt.epoch("us").cast(pl.Float64).to_numpy() / MICROSECONDS_PER_DAY}


# For each name in `TableEncoder.times`: a function from times (n,) to the numbers (n,) of its parts, NaN if missing.
TIME_PARTS: dict[str, Callable[[pl.Series], dict[str, Floats]]] = {
    "hour": _hour,
    "weekday": _weekday,
    ELAPSED: _elapsed,
}


def circle_position(sine: Floats, cosine: Floats) -> Floats:
    """Return the position on a circle (n,), in turns from 0 to below 1, that is nearest to sine and cosine (n,).

    >>> circle_position(np.array([1.0]), np.array([0.0]))
    array([0.25])
    """
    return np.asarray(np.arctan2(sine, cosine) / (2 * np.pi) % 1)


def move_times(times: pl.Series, positions: dict[str, Floats]) -> pl.Series:
    """Move times (n,) to the full hour of position "hour" and to the nearest day of position "weekday", (n,) each."""
    if "hour" in positions:
        hours = np.round(24 * positions["hour"]).astype(np.int64) % 24
        times = times.dt.truncate("1d") + _spans(hours, "h")
    if "weekday" in positions:
        weekday = np.round(7 * positions["weekday"]).astype(np.int64)
        days = (pl.Series(weekday) - times.dt.weekday().cast(pl.Int64) + 3) % 7 - 3
        times = times + _spans(days.fill_null(0).to_numpy(), "D")
    return times


def _spans(counts: npt.NDArray[np.int64], unit: str) -> pl.Series:
    return pl.Series(counts.astype(f"timedelta64[{unit}]").astype("timedelta64[us]"))


def times_from_days(days: Floats) -> pl.Series:
    """Return days since 1970 (n,), NaN if missing, as times."""
    return (pl.Series(days).fill_nan(None) * SECONDS_PER_DAY * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us"))
