"""What each customer and each terminal did lately: columns that say whether a row is odd for them.

The fourteen features of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot and Bontempi, 2022,
chapter 3, "Baseline feature transformation"). A window ends at the row itself and never looks forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import (
    ParameterError,
    TableError,
    check_number,
    did_you_mean,
    first_names,
    offenders,
    raise_all,
)

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_LONGEST_DAYS = 36_500


def handbook_features(
    frame: pl.DataFrame,
    *,
    time: str = "time",
    customer: str = "customer_id",
    terminal: str = "terminal_id",
    amount: str = "amount",
    fraud: str = "is_fraud",
    windows_days: Iterable[int] = (1, 7, 30),
    delay_days: int = 7,
) -> pl.DataFrame:
    """The table with the Fraud Detection Handbook's derived features appended, rows in the order given.

    With the default windows these are 14 columns, in the Handbook's order (d = days, 24 hours each):

    - `is_weekend`, `is_night` (Int8, 0 or 1): Saturday or Sunday; hour 0 to 6, on the clock of `time`.
    - `customer_count_{d}d` (Int32) and `customer_mean_amount_{d}d` (Float64, unit of `amount`): the
      customer's rows in (t - d, t], this row included.
    - `terminal_count_{d}d` (Int32) and `terminal_risk_{d}d` (Float64, 0 to 1): the terminal's rows in
      (t - delay - d, t - delay] and the share of known frauds among them, 0 where there is no row. A
      label takes `delay_days` to become known, so no row sees its own label or a younger one.

    Rows of one customer with the very same time count in the order given: each sees those above it and
    itself. A value therefore depends on nothing that comes later in time, nor later in the table at the
    same time, and is the same whether rows are computed together or one by one as they arrive.

    `time` is a Datetime column; `fraud` holds 0, 1 or missing (unknown, no known fraud). To score new
    rows, put them below at least `delay_days` + the longest window of history, labels missing. About
    4 seconds for 1.75 million rows on two cores.

    Raises TableError for an absent column, a wrong type, a missing key or amount, or a feature that is
    there already; ParameterError for windows or a delay below one whole day.

    >>> from datetime import datetime
    >>> rows = pl.DataFrame({
    ...     "time": [datetime(2018, 4, 2, 9), datetime(2018, 4, 2, 12), datetime(2018, 4, 12, 9)],
    ...     "customer_id": [1, 1, 1], "terminal_id": [5, 5, 5],
    ...     "amount": [10.0, 20.0, 60.0], "is_fraud": [0, 1, 0],
    ... })
    >>> handbook_features(rows).select("customer_mean_amount_30d", "terminal_risk_7d").rows()
    [(10.0, 0.0), (15.0, 0.0), (30.0, 0.5)]
    """
    days = _checked_days(windows_days, delay_days)
    roles = {"time": time, "customer": customer, "terminal": terminal, "amount": amount, "fraud": fraud}
    _check_columns(frame, roles, _feature_names(days))
    _check_values(frame, roles)
    by_customer = _history(_sorted_rows(frame, customer, time, amount), days)
    by_terminal = _history(_sorted_rows(frame, terminal, time, fraud), days, delay_days)
    values = [*_calendar(frame[time]), *by_customer, *by_terminal]
    return frame.with_columns(column.alias(name) for name, column in zip(_feature_names(days), values, strict=True))


def _checked_days(windows_days: Iterable[int], delay_days: int) -> list[int]:
    check_number("delay_days", delay_days, 1, _LONGEST_DAYS, whole=True)
    if not isinstance(windows_days, Iterable):
        raise ParameterError(f"windows_days={windows_days!r} is not a list of days. Pass (1, 7, 30).")
    days = list(windows_days)
    for length in days:
        check_number("windows_days", length, 1, _LONGEST_DAYS, whole=True)
    if not days or len(set(days)) < len(days):
        raise ParameterError(f"windows_days={days!r} must hold at least one length, and none twice.")
    return [int(length) for length in days]


def _feature_names(days: list[int]) -> list[str]:
    customer = [f"customer_{what}_{d}d" for d in days for what in ("count", "mean_amount")]
    terminal = [f"terminal_{what}_{d}d" for d in days for what in ("count", "risk")]
    return ["is_weekend", "is_night", *customer, *terminal]


def _check_columns(frame: pl.DataFrame, roles: Mapping[str, str], features: list[str]) -> None:
    if not isinstance(frame, pl.DataFrame):
        raise TableError(f"frame is a {type(frame).__name__}, not a polars DataFrame. Convert it first.")
    raise_all(
        [
            f"column '{name}' is not in the table.{did_you_mean(name, frame.columns)} Name it with {role}=…."
            for role, name in roles.items()
            if name not in frame.columns
        ]
    )
    present = [name for name in features if name in frame.columns]
    if present:
        raise TableError(f"column {first_names(present)}: in the table already. Drop or rename them first.")


def _check_values(frame: pl.DataFrame, roles: Mapping[str, str]) -> None:
    raise_all(list(_type_problems(frame, roles)))
    amount, fraud = pl.col(roles["amount"]), pl.col(roles["fraud"])
    bad = {
        "time": (pl.col(roles["time"]).is_null(), "known times"),
        "customer": (pl.col(roles["customer"]).is_null(), "known customers"),
        "terminal": (pl.col(roles["terminal"]).is_null(), "known terminals"),
        "amount": (amount.is_null() | ~amount.cast(pl.Float64).is_finite(), "finite numbers"),
        "fraud": (~fraud.cast(pl.Float64).is_in([0.0, 1.0]), "0, 1 or missing"),
    }
    problems = (_value_problem(frame, roles[role], rows, kind) for role, (rows, kind) in bad.items())
    raise_all([problem for problem in problems if problem])


def _type_problems(frame: pl.DataFrame, roles: Mapping[str, str]) -> Iterator[str]:
    time, amount, fraud = (frame.schema[roles[role]] for role in ("time", "amount", "fraud"))
    if not isinstance(time, pl.Datetime):
        yield f"column '{roles['time']}' is {time}, not Datetime. Convert it, with str.to_datetime() or cast."
    if not amount.is_numeric():
        yield f"column '{roles['amount']}' is {amount}, not numeric. Cast it to Float64."
    if not (fraud.is_numeric() or fraud in (pl.Boolean, pl.Null)):
        yield f"column '{roles['fraud']}' is {fraud}, not 0 and 1. Map its values to 0, 1 or missing."


def _value_problem(frame: pl.DataFrame, name: str, is_bad: pl.Expr, expected: str) -> str:
    rows = frame.select(pl.arg_where(is_bad)).to_series()
    if rows.is_empty():
        return ""
    shown = offenders(rows.head(3).to_list(), frame[name].gather(rows.head(3)).to_list())
    return f"column '{name}': {len(rows):,} of {frame.height:,} values are not {expected} ({shown})."


def _calendar(time: pl.Series) -> tuple[pl.Series, pl.Series]:
    weekend, night = time.dt.weekday() >= 6, time.dt.hour() <= 6
    return weekend.cast(pl.Int8), night.cast(pl.Int8)


def _sorted_rows(frame: pl.DataFrame, entity: str, time: str, value: str) -> pl.DataFrame:
    """The rows one entity after the other, each in time; `given` is where a row stood in the frame."""
    rows = frame.select(entity=pl.col(entity), time=pl.col(time), value=pl.col(value).cast(pl.Float64).fill_null(0.0))
    rows = rows.with_row_index("given").sort("entity", "time", maintain_order=True)
    return rows.with_columns(entity=pl.col("entity").rle_id(), row=pl.int_range(pl.len()))


def _history(rows: pl.DataFrame, windows_days: list[int], delay_days: int = 0) -> Iterator[pl.Series]:
    """Count and mean value of each window (t - delay - days, t - delay] of the row's own entity."""
    given, value = rows["given"].to_numpy(), rows["value"].to_numpy()
    ends = _first_younger(rows, delay_days) if delay_days else rows["row"].to_numpy() + 1
    for days in windows_days:
        starts = _first_younger(rows, delay_days + days)
        counts = ends - starts
        means = _window_sums(value, starts, ends) / np.maximum(counts, 1)
        yield _as_given(counts.astype(np.int32), given)
        yield _as_given(means, given)


def _first_younger(rows: pl.DataFrame, days: int) -> _Ints:
    """Per row, the first row of its entity that is less than `days` old at that moment."""
    # A rolling group-by promises the order of time within an entity, not the order of the entities.
    windows = rows.rolling("time", period=f"{24 * days}h", group_by="entity")
    first: _Ints = windows.agg(pl.col("row").first()).sort("entity", maintain_order=True)["row"].to_numpy()
    return first


def _window_sums(values: _Floats, starts: _Ints, ends: _Ints) -> _Floats:
    # Runs of 1, 2, 4, … values make up every window. Differences of a running total would be shorter,
    # but one huge amount would then leave its rounding error in every later row.
    totals, at, left = np.zeros(len(starts)), starts.copy(), ends - starts
    runs, length = values, 1
    while left.any():
        odd = np.flatnonzero(left & length)
        totals[odd] += runs[at[odd]]
        at[odd] += length
        left[odd] -= length
        runs, length = runs[:-length] + runs[length:], 2 * length
    return totals


def _as_given(values: npt.NDArray[np.generic], given: npt.NDArray[np.uint32]) -> pl.Series:
    out = np.empty_like(values)
    out[given] = values
    return pl.Series(out)
