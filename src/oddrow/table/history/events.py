"""Events: the rows of a table as a history reads them, checked and as arrays."""

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
from oddrow.table.invalid_values import missing_column, n_of
from oddrow.table.times import check_times
from oddrow.typing import Floats, Ints, Mask

# All times are between -LATEST and LATEST, in ticks.
LATEST = 2**62

# What a time column counts in, and what values an entity column holds: in messages and in saved states.
NUMBERS, DATES = "numbers", "dates and times"

WHOLE, TEXT, BOOLEAN = "whole numbers", "text", "true and false"


@dataclass(frozen=True)
class Events:
    """Times (n,) in ticks, one column for each entity, and amounts and labels (n,) by name, NaN if missing."""

    time: Ints
    entities: dict[str, pl.Series]
    numbers: dict[str, Floats]


def read_events(
    frame: pl.DataFrame,
    time: str,
    entities: Sequence[str],
    amounts: Sequence[str],
    y: npt.NDArray[Any] | pl.Series | None,
    *,
    calendar: Sequence[str] = (),
    complete: Sequence[str] = (),
) -> Events:
    """Return the named columns and the labels `y` (n,) as events, or raise one `TableError` with all that is wrong.

    `calendar` are features that need dates and times; the `complete` columns must not have missing values.
    """
    check_frame(frame)
    wanted = dict.fromkeys([time, *entities, *amounts])
    raise_all([missing_column(name, frame.columns) for name in wanted if name not in frame.columns])
    problems: list[str] = []
    ticks = _read_time(frame[time], problems)
    problems += [problem for name in entities for problem in _entity_problems(frame[name])]
    problems += _calendar_problems(frame[time], calendar)
    problems += [problem for name in complete for problem in _missing_problems(frame[name])]
    numbers = {name: _read_amounts(frame[name], problems) for name in amounts}
    if y is not None:
        numbers[LABEL] = _read_labels(y, frame.height, problems)
    raise_all(problems)
    return Events(ticks, {name: frame[name] for name in entities}, numbers)


def check_frame(frame: object) -> None:
    """Raise `TableError` unless it is a polars DataFrame."""
    if not isinstance(frame, pl.DataFrame):
        raise TableError(f"frame is a {type(frame).__name__}, not a polars DataFrame. Convert it first.")


def check_absent(names: Sequence[str], frame: pl.DataFrame) -> None:
    """Raise `TableError` if the frame already has one of the columns that would be added."""
    if present := [name for name in names if name in frame.columns]:
        raise TableError(f"already in the table: {first_names(present)}. Drop or rename what is there first.")


def entity_kind(values: pl.Series) -> str | None:
    """Return whether entities are whole numbers, text, or true and false; None if all are missing.

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
        f"column '{values.name}' is {kind}, which cannot name entities. Cast it to whole numbers, text or booleans."
    )


def clock_kind(times: pl.Series) -> str:
    """Return what a time column counts in: numbers, or dates and times with their zone."""
    if times.dtype.is_numeric():
        return NUMBERS
    zone = getattr(times.dtype, "time_zone", None)
    return DATES + (f" in {zone}" if zone else "")


def time_text(ticks: int, clock: str) -> str:
    """Return a time in ticks as people read it."""
    if clock == NUMBERS:
        return f"{ticks / TICKS:.15g}"
    zone = clock.removeprefix(DATES).removeprefix(" in ") or None
    return str(pl.Series([ticks]).cast(pl.Datetime("us", zone))[0])


def _entity_problems(values: pl.Series) -> Iterator[str]:
    try:
        entity_kind(values)
    except TableError as error:
        yield str(error)


def _calendar_problems(times: pl.Series, features: Sequence[str]) -> Iterator[str]:
    if features and not isinstance(times.dtype, (pl.Date, pl.Datetime)):
        yield f"column '{times.name}' is {times.dtype}, but {features[0]} needs dates and times. Convert it first."
    elif "night" in features and isinstance(times.dtype, pl.Date):
        yield f"column '{times.name}' is Date, but night needs the time of day. Use a Datetime column."


def _missing_problems(values: pl.Series) -> Iterator[str]:
    missing = values.is_null() | values.is_nan() if values.dtype.is_float() else values.is_null()
    if missing.any():
        yield f"{_bad_values(values, missing.to_numpy(), 'missing')} Fill them in, or leave these rows out."


def _read_time(times: pl.Series, problems: list[str]) -> Ints:
    if isinstance(times.dtype, (pl.Date, pl.Datetime)) and not times.null_count():
        return times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None))).cast(pl.Int64).to_numpy()
    try:
        check_times(times)
    except TableError as error:
        problems.append(str(error))
        return np.zeros(len(times), np.int64)
    numbers = times.cast(pl.Float64).to_numpy()
    far = ~(np.abs(numbers) < LATEST / TICKS)
    if far.any():
        fault = f"not between -{LATEST / TICKS:.1e} and {LATEST / TICKS:.1e}"
        problems.append(f"{_bad_values(times, far, fault)} Cast them to Datetime.")
        return np.zeros(len(times), np.int64)
    # The whole part by itself, so that large numbers lose no bit.
    whole = np.floor(numbers)
    ticks: Ints = whole.astype(np.int64) * TICKS + np.rint((numbers - whole) * TICKS).astype(np.int64)
    return ticks


def _read_amounts(values: pl.Series, problems: list[str]) -> Floats:
    if not (values.dtype.is_numeric() or values.dtype == pl.Null):
        problems.append(f"column '{values.name}' is {values.dtype}, not numeric. Cast it to Float64.")
        return np.zeros(len(values))
    numbers: Floats = values.cast(pl.Float64).to_numpy()
    if (infinite := np.isinf(numbers)).any():
        problems.append(f"{_bad_values(values, infinite, 'infinite')} Leave them missing if they are not known.")
    return numbers


def _read_labels(y: npt.NDArray[Any] | pl.Series, n_rows: int, problems: list[str]) -> Floats:
    if np.shape(y) != (n_rows,):
        problems.append(f"y has shape {np.shape(y)}, but the table has {n_rows:,} rows. Pass one label for each row.")
        return np.zeros(n_rows)
    if isinstance(y, pl.Series) and not (y.dtype.is_numeric() or y.dtype in (pl.Boolean, pl.Null)):
        problems.append(f"column '{y.name}' is {y.dtype}, not 0 and 1. Map its values to 0, 1 or missing.")
        return np.zeros(n_rows)
    labels: Floats = y.cast(pl.Float64).to_numpy() if isinstance(y, pl.Series) else np.asarray(y, np.float64)
    bad = ~((labels == 0) | (labels == 1) | np.isnan(labels))
    if bad.any():
        column = y if isinstance(y, pl.Series) else pl.Series("y", labels)
        problems.append(_bad_values(column, bad, "not 0, 1 or missing"))
    return labels


def _bad_values(values: pl.Series, bad: Mask, fault: str) -> str:
    rows = np.flatnonzero(bad)
    shown = offenders(rows.tolist(), values.gather(rows[:3]).to_list())
    return f"column '{values.name}': {n_of(len(rows), len(values), 'value')} {fault} ({shown})."
