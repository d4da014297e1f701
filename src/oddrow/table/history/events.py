"""The rows that a history reads, checked and as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import TableError, first_names, offenders, raise_all
from oddrow.table.history.features import LABEL
from oddrow.table.history.windows import TICKS
from oddrow.table.split import check_times
from oddrow.table.validation import missing_column
from oddrow.typing import Floats, Ints, Mask

LATEST = 2**62

"""No time lies so many ticks away from 0."""

NUMBERS, DATES = "numbers", "dates and times"

WHOLE, TEXT, BOOLEAN = "whole numbers", "text", "true and false"


@dataclass(frozen=True)
class Events:
    """Rows as arrays: `time` (n,) in ticks; `entities`, a column each; `numbers` (n,), NaN where there is none."""

    time: Ints
    entities: dict[str, pl.Series]
    numbers: dict[str, Floats]


def read_events(
    frame: pl.DataFrame,
    time: str,
    entities: Sequence[str],
    amounts: Sequence[str],
    y: npt.NDArray[Any] | None,
    of_time: Sequence[str],
) -> Events:
    """Take the columns and the labels `y` (n,) out, checked; `of_time` are features that need dates and times.

    All problems are raised as one `TableError`.
    """
    check_frame(frame)
    wanted = dict.fromkeys([time, *entities, *amounts])
    raise_all([missing_column(name, frame.columns) for name in wanted if name not in frame.columns])
    problems: list[str] = []
    ticks = _time(frame[time], problems)
    problems.extend(problem for name in entities for problem in _entity_problems(frame[name]))
    problems.extend(_calendar_problems(frame[time], of_time))
    numbers = {name: _amounts(frame[name], problems) for name in amounts}
    if y is not None:
        numbers[LABEL] = _labels(y, frame.height, problems)
    raise_all(problems)
    return Events(ticks, {name: frame[name] for name in entities}, numbers)


def check_frame(frame: object) -> None:
    """Refuse what is no polars frame."""
    if not isinstance(frame, pl.DataFrame):
        raise TableError(f"frame is a {type(frame).__name__}, not a polars DataFrame. Convert it first.")


def check_new(names: Sequence[str], frame: pl.DataFrame) -> None:
    """Refuse to add columns that are there already."""
    present = [name for name in names if name in frame.columns]
    if present:
        raise TableError(f"column {first_names(present)}: in the table already. Drop or rename them first.")


def _calendar_problems(times: pl.Series, features: Sequence[str]) -> Iterator[str]:
    """What a column of times cannot tell."""
    is_time = isinstance(times.dtype, (pl.Date, pl.Datetime))
    if features and not is_time:
        yield f"column '{times.name}' is {times.dtype}: {features[0]} needs dates and times. Convert it, or drop that."
    elif "night" in features and isinstance(times.dtype, pl.Date):
        yield f"column '{times.name}' is Date: night needs the hour. Give a Datetime column, or drop that feature."


def _time(times: pl.Series, problems: list[str]) -> Ints:
    if isinstance(times.dtype, (pl.Date, pl.Datetime)) and not times.null_count():
        return times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None))).cast(pl.Int64).to_numpy()
    try:
        check_times(times)
    except TableError as error:
        problems.append(str(error))
        return np.zeros(len(times), np.int64)
    return _numeric_time(times, problems)


def _numeric_time(times: pl.Series, problems: list[str]) -> Ints:
    numbers = times.cast(pl.Float64).to_numpy()
    far = ~(np.abs(numbers) < LATEST / TICKS)
    if far.any():
        problems.append(_problem(times, far, "times", f"finite numbers below {LATEST / TICKS:.1e}; cast to Datetime"))
        return np.zeros(len(times), np.int64)
    # The whole part by itself, so that no bit of a large number is lost.
    whole = np.floor(numbers)
    ticks: Ints = whole.astype(np.int64) * TICKS + np.rint((numbers - whole) * TICKS).astype(np.int64)
    return ticks


def entity_kind(values: pl.Series) -> str | None:
    """What tells the entities apart: whole numbers, text, or true and false; None where all are missing.

    Raises `TableError` for another type.
    """
    kind = values.dtype
    if kind.is_integer() and kind not in (pl.Int128, pl.UInt128):
        return WHOLE
    if kind == pl.String or isinstance(kind, (pl.Categorical, pl.Enum)):
        return TEXT
    if kind == pl.Boolean:
        return BOOLEAN
    if kind == pl.Null:
        return None
    raise TableError(
        f"column '{values.name}' is {kind} and tells no entities apart. Expected whole numbers, text, or true and "
        "false. Cast it."
    )


def clock_kind(times: pl.Series) -> str:
    """What a column of times counts in: numbers, or dates and times of which zone."""
    if times.dtype.is_numeric():
        return NUMBERS
    zone = getattr(times.dtype, "time_zone", None)
    return DATES + (f" in {zone}" if zone else "")


def _entity_problems(values: pl.Series) -> Iterator[str]:
    try:
        entity_kind(values)
    except TableError as error:
        yield str(error)


def _amounts(values: pl.Series, problems: list[str]) -> Floats:
    if not (values.dtype.is_numeric() or values.dtype == pl.Null):
        problems.append(f"column '{values.name}' is {values.dtype}, not numeric. Cast it to Float64.")
        return np.zeros(len(values))
    numbers: Floats = values.cast(pl.Float64).to_numpy()
    if (infinite := np.isinf(numbers)).any():
        problems.append(_problem(values, infinite, "finite numbers", "finite numbers, or missing ones"))
    return numbers


def _labels(y: npt.NDArray[Any], n_rows: int, problems: list[str]) -> Floats:
    labels: Floats = np.asarray(y, dtype=np.float64)
    if labels.shape != (n_rows,):
        problems.append(f"y has shape {labels.shape}, the table {n_rows:,} rows. Expected a label for each row.")
        return labels
    bad = ~((labels == 0) | (labels == 1) | np.isnan(labels))
    if bad.any():
        problems.append(_problem(pl.Series("y", labels), bad, "labels", "1 anomaly, 0 normal, NaN unknown"))
    return labels


def _problem(values: pl.Series, bad: Mask, noun: str, expected: str) -> str:
    rows = np.flatnonzero(bad)
    shown = offenders(rows.tolist(), values.gather(rows[:3]).to_list())
    return (
        f"column '{values.name}': {len(rows):,} of {len(values):,} values are no {noun} ({shown}). Expected {expected}."
    )
