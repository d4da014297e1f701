"""Parts of times: places on the circles of day and week, and days; and times moved to such places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.typing import Floats

SECONDS_PER_DAY = 86_400

# The part of a time from which the time itself can be decoded.
ELAPSED = "elapsed"

# The parts that are positions on a circle.
CYCLES = ("hour", "weekday")


def _circle(name: str, turns: pl.Series) -> dict[str, Floats]:
    angle = 2 * np.pi * _floats(turns)
    return {f"{name}_sin": np.sin(angle), f"{name}_cos": np.cos(angle)}


def _hour(times: pl.Series) -> dict[str, Floats]:
    midnight = times.dt.truncate("1d")
    return _circle("hour", (times - midnight).dt.total_seconds() / SECONDS_PER_DAY)


def _weekday(times: pl.Series) -> dict[str, Floats]:
    return _circle("weekday", times.dt.weekday() / 7)


def _elapsed(times: pl.Series) -> dict[str, Floats]:
    return {"elapsed": _floats(times.dt.epoch("us")) / (SECONDS_PER_DAY * 1e6)}


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).to_numpy()


# The encoded parts of every part that an encoder can be asked for.
TIME_PARTS: dict[str, Callable[[pl.Series], dict[str, Floats]]] = {
    "hour": _hour,
    "weekday": _weekday,
    "elapsed": _elapsed,
}


def circle_position(sine: Floats, cosine: Floats) -> Floats:
    """The places on a circle (n,), from 0 up to 1, that these sines and cosines are nearest to."""
    return np.asarray(np.arctan2(sine, cosine) / (2 * np.pi) % 1)


def move_times(times: pl.Series, turns: dict[str, Floats]) -> pl.Series:
    """Times (n,) at other full hours, and on the nearest days of other weekdays, by places on the circles (n,) each."""
    if "hour" in turns:
        hours = np.round(24 * turns["hour"]).astype(np.int64) % 24
        times = times.dt.truncate("1d") + _spans(hours, "h")
    if "weekday" in turns:
        days = np.round(7 * turns["weekday"]).astype(np.int64)
        ahead = (pl.Series(days) - times.dt.weekday().cast(pl.Int64) + 3) % 7 - 3
        times = times + _spans(ahead.fill_null(0).to_numpy(), "D")
    return times


def _spans(counts: npt.NDArray[np.int64], unit: str) -> pl.Series:
    return pl.Series(counts.astype(f"timedelta64[{unit}]").astype("timedelta64[us]"))


def times_from_days(days: Floats) -> pl.Series:
    """Days since 1970 (n,), NaN for missing, as times."""
    return (pl.Series(days).fill_nan(None) * SECONDS_PER_DAY * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us"))
