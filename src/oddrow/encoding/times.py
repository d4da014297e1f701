"""Parts of times, position in the day, position in the week and days since 1970, and times rebuilt from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.typing import Floats

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
