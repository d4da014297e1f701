"""What each customer, terminal or device did lately: columns that say whether a row is odd for them.

Features are declared in blocks. A window ends at the row itself, or a delay before it, and never looks forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
from oddrow.table.history.behaviour import SINCE_LAST, Behaviour, is_plain
from oddrow.table.history.rows import Rows, check_new, read_rows
from oddrow.table.history.windows import TICKS, Columns, Lanes, Values, calendar, window_values
from oddrow.table.split import duration

_LONGEST_DAYS = 36_500


@dataclass(frozen=True)
class History:
    """Features of behaviour, declared in blocks: how often, how much, how risky, how long since.

    A block names `features`, the column `by` which rows belong together, and the spans `windows` they are counted in;
    `delay` ends the windows that long before the row, for what becomes known late.

    ===============  =========================================  ===================================================
    feature          column                                     value
    ===============  =========================================  ===================================================
    `weekend`        `is_weekend` (Int8)                        1 on Saturday and Sunday; without `by`
    `night`          `is_night` (Int8)                          1 in the hours 0 to 6; without `by`
    `count`          `{by}_count_{window}` (Int32)              rows of the entity in (t - window, t], this one too
    `sum COLUMN`     `{by}_sum_{column}_{window}` (Float64)     total of the known values there, 0 where none is
    `mean COLUMN`    `{by}_mean_{column}_{window}` (Float64)    mean of the known values, missing where none is
    `risk`           `{by}_risk_{window}` (Float64)             known frauds / rows, 0 where no row is; needs a delay
    `since last`     `{by}_since_last` (Float64)                seconds (units of a numeric time) since the entity's
                                                                previous row, missing for its first; no windows
    ===============  =========================================  ===================================================

    With a delay the window is (t - delay - window, t - delay] and the name ends in `_{delay}_ago`. Rows of one entity
    with the very same time count in the order given: each sees those above it and itself. A row whose entity is missing
    belongs to nobody: its features are missing, and it counts for no other. So a value depends on nothing that comes
    later, and is the same to the bit whether rows are computed together or one by one (`HistoryState`).

    Raises `ParameterError`, once for all that does not fit together.

    >>> history = History.of([{"by": "card", "windows": ["1d"], "features": ["count", "mean amount", "since last"]}])
    >>> rows = pl.DataFrame({"t": [0, 3600, 90_000], "card": ["a", "a", "a"], "amount": [1.0, 3.0, 5.0]})
    >>> history.add(rows.with_columns(pl.from_epoch("t")), "t")[history.names].rows()
    [(1, 1.0, None), (2, 2.0, 3600.0), (1, 5.0, 86400.0)]
    """

    blocks: tuple[Behaviour, ...]

    def __post_init__(self) -> None:
        _raise_in_blocks(enumerate(map(list, map(Behaviour.problems, self.blocks)), 1))
        repeated = [name for place, name in enumerate(self.names) if name in self.names[:place]]
        if repeated:
            raise ParameterError(f"history: {first_names(repeated)} would be made twice. Leave one of each out.")
        spans = [span for block in self.blocks for span in block.spans]
        plain = [span for span in spans if is_plain(span)]
        if plain and len(plain) < len(spans):
            timed = next(span for span in spans if not is_plain(span))
            raise ParameterError(f"history: {plain[0]!r} and {timed!r} fit no one time column. Use one kind of span.")

    @classmethod
    def of(cls, blocks: Sequence[Mapping[str, Any]]) -> History:
        """The history that plain values declare, as TOML or JSON holds them: a list of blocks.

        Raises `ParameterError` for unknown keys and features (did you mean), for windows or a delay that are lacking,
        superfluous or no spans, and for columns that would be made twice.
        """
        if not isinstance(blocks, (list, tuple)):
            raise ParameterError(f"history={blocks!r} is no list of blocks. Write [[history]] over each.")
        made: list[Behaviour] = []
        problems: list[tuple[int, list[str]]] = []
        for number, block in enumerate(blocks, 1):
            try:
                made.append(Behaviour.of(block))
            except ParameterError as error:
                problems.append((number, [str(error)]))
        _raise_in_blocks(problems)
        return cls(tuple(made))

    def to_list(self) -> list[dict[str, Any]]:
        """Plain values, such that `History.of` makes the same history of them."""
        return [block.to_dict() for block in self.blocks]

    @cached_property
    def names(self) -> list[str]:
        """The columns it adds, in order."""
        return [name for block in self.blocks for name in block.names]

    @property
    def words(self) -> dict[str, str]:
        """The columns it adds, in words: `rows of the card in 7 days`."""
        return {name: said for block in self.blocks for name, said in zip(block.names, block.words, strict=True)}

    @cached_property
    def types(self) -> dict[str, type[np.generic]]:
        """The columns it adds, and the type of each."""
        return {name: kind for block in self.blocks for name, kind in zip(block.names, block.types, strict=True)}

    @cached_property
    def entities(self) -> list[str]:
        """The columns whose values say which rows belong together, each once."""
        return list(dict.fromkeys(block.by for block in self.blocks if block.by is not None))

    @cached_property
    def amounts(self) -> list[str]:
        """The columns that are totalled, each once."""
        return list(dict.fromkeys(column for block in self.blocks for column in block.amounts))

    @property
    def columns(self) -> list[str]:
        """The columns it reads besides time and label, each once."""
        return list(dict.fromkeys([*self.entities, *self.amounts]))

    @cached_property
    def needs_label(self) -> bool:
        """Whether it looks at known frauds."""
        return any("risk" in block.features for block in self.blocks)

    @property
    def reach(self) -> float:
        """How far back it sees, the longest delay and window, in seconds or units of a time that is a number.

        What `since last` needs is one earlier row, however old.
        """
        return max((block.reach for block in self.blocks), default=0.0)

    def add(self, frame: pl.DataFrame, time: str, y: npt.NDArray[Any] | None = None) -> pl.DataFrame:
        """The frame with the declared columns appended, rows in the order given.

        `time` names a column of dates, times or numbers; `y` (n,) is 1 for a known anomaly, 0 for normal, NaN for
        unknown, and is needed for `risk` only. To compute new rows, put them below `reach` of earlier ones.

        Raises `TableError` for columns that are absent, there already or of a wrong type, for missing times, infinite
        amounts and values of y besides these; `ParameterError` for spans that do not fit the time column.
        """
        rows, ticks = self.read(frame, time, y), self.ticks(frame[time])
        check_new(self.names, frame)
        columns = Columns(frame.height, self.types)
        self.put_calendar(columns, frame[time])
        for by in self.entities:
            lanes = Lanes.of(rows.entities[by], rows.time)
            for block in self.blocks_by(by):
                columns.put(block.names, lanes.given, _of_lanes(block, ticks, lanes, rows))
        return columns.appended(frame)

    def blocks_by(self, by: str | None) -> list[Behaviour]:
        """The blocks of one entity column; None for those of the row's own time."""
        return [block for block in self.blocks if block.by == by]

    def read(self, frame: pl.DataFrame, time: str, y: npt.NDArray[Any] | None) -> Rows:
        """The rows as checked arrays, with columns that are there already or not; raises what `add` does."""
        if self.needs_label and y is None:
            raise ParameterError("history: risk needs labels. Pass y, NaN where the label of a row is not known.")
        labels = y if self.needs_label else None
        of_time = [feature for block in self.blocks_by(None) for feature in block.features]
        return read_rows(frame, time, self.entities, self.amounts, labels, of_time)

    def ticks(self, times: pl.Series) -> dict[str, int]:
        """Each span in ticks of a time column; raises `ParameterError` for one that does not fit it."""
        spans = {span for block in self.blocks for span in block.spans}
        return {span: round(duration(span, times) * TICKS) for span in spans}

    def put_calendar(self, columns: Columns, times: pl.Series) -> None:
        """Fill the columns that the row's own time tells."""
        for block in self.blocks_by(None):
            columns.put(block.names, np.arange(len(times)), calendar(block.features, times))


def _of_lanes(block: Behaviour, ticks: Mapping[str, int], lanes: Lanes, rows: Rows) -> Iterator[Values]:
    numbers = {name: rows.numbers[name][lanes.given] for name in block.numbers}
    yield from window_values(block, ticks, lanes.younger(), np.arange(len(lanes.given)) + 1, numbers)
    if SINCE_LAST in block.features:
        yield lanes.since_last()


def _raise_in_blocks(problems: Iterable[tuple[int, list[str]]]) -> None:
    raise_all(
        [f"history, block {number}: {problem}" for number, found in problems for problem in found], ParameterError
    )


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
    rows = frame.select(pl.col(name).alias(role) for role, name in roles.items())
    y = rows["fraud"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    added = (
        _handbook(days, delay_days).add(rows.drop("fraud"), "time", y).drop("time", "customer", "terminal", "amount")
    )
    return frame.hstack(added.rename(dict(zip(added.columns, _feature_names(days), strict=True))))


def _handbook(days: list[int], delay_days: int) -> History:
    windows = [f"{length}d" for length in days]
    customer = {"by": "customer", "windows": windows, "features": ["count", "mean amount"]}
    terminal = {"by": "terminal", "windows": windows, "features": ["count", "risk"], "delay": f"{delay_days}d"}
    return History.of([{"features": ["weekend", "night"]}, customer, terminal])


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
