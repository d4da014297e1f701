"""What each column of a table means: inferred from the values, printed with the reason, overridden by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import polars as pl

from oddrow.errors import TableError, check_choice, counted, did_you_mean, offenders, raise_all
from oddrow.table.parquet import Frame
from oddrow.typing import Ints

# As many values are kept as the advice about them may need.
MOST_KEPT = 100

# The message for values: `3 of 2,000 values`, `row 17 'N/A', row 402 '-'`, the values themselves.
Says = Callable[[str, str, Sequence[Any]], str]


@dataclass
class _Values:
    """Values of one column that cannot be taken for one reason."""

    says: Says
    n: int = 0
    rows: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def message(self, n_rows: int) -> str:
        return self.says(f"{self.n:,} of {n_rows:,} values", offenders(self.rows, self.values), self.values)


class ValidationReport:
    """All that is wrong with a table.

    >>> offences = ValidationReport()
    >>> offences.add_values("amount", "unread", lambda of, where, values: f"{of} are odd ({where}).", 1, [17], ["x"])
    >>> offences.add_values("amount", "unread", lambda of, where, values: f"{of} are odd ({where}).", 1, [99], ["y"])
    >>> offences.raise_all(200)
    Traceback (most recent call last):
    oddrow.errors.TableError: 2 of 200 values are odd (row 17 'x', row 99 'y').
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], _Values | str] = {}

    def add_text(self, column: str, text: str) -> None:
        """Something wrong with a column as a whole, said once."""
        self._found.setdefault((column, ""), text)

    def add_values(self, column: str, why: str, says: Says, n: int, rows: Sequence[int], values: Sequence[Any]) -> None:
        """`n` values of a column that cannot be taken, with the first of them and their rows."""
        found = self._found.setdefault((column, why), _Values(says))
        assert isinstance(found, _Values)
        found.n += n
        found.rows = [*found.rows, *rows][:MOST_KEPT]
        found.values = [*found.values, *values][:MOST_KEPT]

    def raise_all(self, n_rows: int) -> None:
        """Raise one `TableError` with everything that was found in `n_rows` rows, if anything was."""
        found = self._found.values()
        raise_all([each if isinstance(each, str) else each.message(n_rows) for each in found])


FEATURE_KINDS = ("numeric", "category", "boolean", "time")

KINDS = (*FEATURE_KINDS, "identifier", "constant", "dropped")

NUMERIC_SHARE = 0.95

DISTINCT_SHARE = 0.8

LEAST_ROWS_FOR_IDENTIFIER = 50

ROWS_AT_ONCE = 65_536

SEPARATED = re.compile(r"-?\d{1,3}([,' ]\d{3})+(\.\d+)?")

# `card_id`, `UUID`, `TransactionID`, but not `paid` or `valid`.
IDENTIFIER_NAME = re.compile(r"(?i:(?:^|[_\s.-])(?:id|uuid|guid)$)|[a-z](?:ID|Id)$")


@dataclass(frozen=True)
class Column:
    """One column: its name, its kind (one of `KINDS`) and why it is thought so."""

    name: str
    kind: str
    why: str
    n_missing: int = 0

    @property
    def is_feature(self) -> bool:
        """Whether the column takes part in the score."""
        return self.kind in FEATURE_KINDS


@dataclass(frozen=True)
class Schema:
    """The columns of a table in order.

    Kinds: numeric, category, boolean and time take part in the score; identifier, constant and dropped do not.

    >>> frame = pl.DataFrame({"amount": [1.5, 2.0, None], "shop": ["a", "b", "a"]})
    >>> [(column.name, column.kind) for column in Schema.infer(frame).columns]
    [('amount', 'numeric'), ('shop', 'category')]
    """

    columns: tuple[Column, ...]

    @classmethod
    def infer(
        cls, frame: Frame, kinds: Mapping[str, str] | None = None, reasons: Mapping[str, str] | None = None
    ) -> Schema:
        """Decide each column's kind from its values; `kinds` maps names to given kinds, `reasons` says who gave them.

        Raises `ParameterError` for an unknown kind, `TableError` for a name that is not in the table.
        """
        kinds = dict(kinds or {})
        for name, kind in kinds.items():
            check_choice(f"the kind of column {name!r}", kind, KINDS)
        _check_names(kinds, frame.columns)
        given = {name: (kind, (reasons or {}).get(name, "as you said")) for name, kind in kinds.items()}
        return cls(tuple(_infer_column(frame[name], given.get(name)) for name in frame.columns))

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that take part in the score."""
        return tuple(column for column in self.columns if column.is_feature)

    @property
    def feature_names(self) -> list[str]:
        """Their names."""
        return [column.name for column in self.features]

    def conform(self, frame: Frame) -> pl.DataFrame:
        """The feature columns alone, in order: numbers as Float64, categories as String, booleans, times.

        Missing values are null. Raises one `TableError` with every column that is absent or holds other values.
        """
        offences = ValidationReport()
        plain = _plain_numbers(frame, self.features) if isinstance(frame, pl.DataFrame) else {}
        ready = [
            plain[column.name] if column.name in plain else _conform_column(frame, column, offences)
            for column in self.features
        ]
        offences.raise_all(frame.height)
        return pl.DataFrame({series.name: series for series in ready if series is not None})

    def slices(self, frame: Frame) -> Iterator[pl.DataFrame]:
        """What `conform` gives, slice by slice, so that no second table of that size lies in memory."""
        return map(self.conform, frame.iter_slices(ROWS_AT_ONCE))

    def check(self, frame: Frame, rows: Ints | None = None) -> None:
        """Raise what `conform` would, with `rows` (n,) as the numbers of the rows; keeps one column at a time."""
        offences = ValidationReport()
        self.look_for(offences, frame, rows)
        offences.raise_all(frame.height)

    def look_for(self, offences: ValidationReport, frame: Frame, rows: Ints | None = None) -> None:
        """Add what is wrong with a part of a table, so that all of it can be raised at once."""
        for column in self.features:
            _conform_column(frame, column, offences, rows)


def _check_names(wanted: Mapping[str, str], names: list[str]) -> None:
    raise_all([missing_column(name, names) for name in wanted if name not in names])


def missing_column(name: str, names: list[str]) -> str:
    """The message for a column that is not in the table."""
    return f"column '{name}' is not in the table.{did_you_mean(name, names)}"


def _infer_column(values: pl.Series, given: tuple[str, str] | None) -> Column:
    n_missing = values.null_count() + (_count(values.is_nan()) if values.dtype.is_float() else 0)
    kind, why = given or _kind_and_reason(values, len(values) - n_missing)
    return Column(values.name, kind, why, n_missing)


def _kind_and_reason(values: pl.Series, n_known: int) -> tuple[str, str]:
    if n_known == 0:
        return "constant", "every value is missing"
    known = values.drop_nans().drop_nulls() if values.dtype.is_float() else values.drop_nulls()
    if known.dtype in (pl.List, pl.Array, pl.Struct, pl.Object, pl.Binary):
        return "dropped", f"values of type {values.dtype} are not numbers, text or times"
    if known.min() == known.max() and n_known == len(values):
        return "constant", f"every value is {known[0]!r}"
    if known.dtype == pl.Boolean:
        return "boolean", "true or false"
    if known.dtype in (pl.Date, pl.Datetime):
        return "time", "dates" if known.dtype == pl.Date else "dates and times"
    if known.dtype.is_integer():
        return _integer_kind(known)
    if known.dtype.is_numeric() or known.dtype in (pl.Duration, pl.Time):
        return "numeric", f"values of type {values.dtype}"
    return _text_kind(known.cast(pl.String))


def _integer_kind(known: pl.Series) -> tuple[str, str]:
    low, high = int(known.min()), int(known.max())  # type: ignore[arg-type]
    if IDENTIFIER_NAME.search(known.name):
        return "identifier", "whole numbers under a name that ends in 'id'"
    long_enough = len(known) >= LEAST_ROWS_FOR_IDENTIFIER
    if long_enough and high - low == len(known) - 1 and known.n_unique() == len(known):
        return "identifier", f"counts from {low} to {high}, every number once"
    return "numeric", "whole numbers"


def _text_kind(known: pl.Series) -> tuple[str, str]:
    n_bad = len(known) - _count(parse_numbers(known).is_not_null())
    if n_bad <= (1 - NUMERIC_SHARE) * len(known):
        return "numeric", "text that reads as numbers" + (f", but {n_bad:,} values do not" if n_bad else "")
    n_levels = known.n_unique()
    if IDENTIFIER_NAME.search(known.name):
        return "identifier", "text under a name that ends in 'id'"
    if len(known) >= LEAST_ROWS_FOR_IDENTIFIER and n_levels >= DISTINCT_SHARE * len(known):
        return "identifier", f"text with {n_levels:,} different values in {len(known):,} rows"
    return "category", f"text with {counted(n_levels, 'different value')}"


def parse_numbers(text: pl.Series) -> pl.Series:
    """Text as Float64; null where it is no number."""
    return text.str.strip_chars().cast(pl.Float64, strict=False)


def _plain_numbers(frame: pl.DataFrame, columns: Iterable[Column]) -> dict[str, pl.Series]:
    """The columns of finite numbers as Float64, all at once: column by column, calls cost more than work."""
    types = frame.schema
    names = [c.name for c in columns if c.kind == "numeric" and types.get(c.name, pl.String()).is_numeric()]
    if not names:
        return {}
    converted = frame.select(pl.col(names).cast(pl.Float64).fill_nan(None))
    has_infinite = converted.select(pl.all().is_infinite().any()).row(0)
    return {name: converted[name] for name, infinite in zip(names, has_infinite, strict=True) if not infinite}


def _conform_column(
    frame: Frame, column: Column, offences: ValidationReport, rows: Ints | None = None
) -> pl.Series | None:
    if column.name not in frame.columns:
        offences.add_text(column.name, missing_column(column.name, frame.columns))
        return None
    values = frame[column.name]
    try:
        ready = _CONFORM[column.kind](values)
    except pl.exceptions.PolarsError:
        ready = None
    if ready is None:
        offences.add_text(column.name, _other_kind(values, column))
        return None
    if column.kind == "numeric" and values.dtype.is_numeric():
        # Whatever is a number can be read as one: with many columns, looking for what cannot takes longer than reading.
        unread = None
    else:
        known = values.is_not_null() & values.is_not_nan() if values.dtype.is_float() else values.is_not_null()
        unread = known & ready.is_null()
    if unread is not None and unread.any():
        _add_values(offences, column, "unread", values, unread, rows)
    elif column.kind == "numeric" and (infinite := ready.is_infinite()).any():
        _add_values(offences, column, "infinite", values, infinite, rows)
    return ready


def as_numbers(values: pl.Series) -> pl.Series | None:
    """Values as Float64, durations and times of day in seconds; null where one is no number, None where none can be."""
    if values.dtype == pl.String:
        return parse_numbers(values)
    if values.dtype in (pl.Duration, pl.Time):
        return values.cast(pl.Duration("us")).cast(pl.Int64).cast(pl.Float64) / 1e6
    if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null):
        return values.cast(pl.Float64).fill_nan(None)
    return None


def as_text(values: pl.Series) -> pl.Series | None:
    """Values as text, 1.0 as '1' and True as 'true', so that files and options agree; None where none can be."""
    if values.dtype in (pl.List, pl.Array, pl.Struct, pl.Object, pl.Binary, pl.Duration):
        return None
    if values.dtype.is_float() or values.dtype.is_decimal():
        floats = values.cast(pl.Float64).fill_nan(None)
        # 3.0 and 3 are one level, whether the file wrote a decimal point or not, and whatever else is in the column.
        is_whole = (floats.round() == floats) & (floats.abs() < 2**53)
        return floats.cast(pl.Int64, strict=False).cast(pl.String).zip_with(is_whole, floats.cast(pl.String))
    return values.cast(pl.String)


def as_booleans(values: pl.Series) -> pl.Series | None:
    """Values as booleans; null where one is none, None where none can be."""
    if values.dtype == pl.Boolean or values.dtype == pl.Null:
        return values.cast(pl.Boolean)
    if values.dtype == pl.String:
        spoken = {"true": True, "false": False, "1": True, "0": False}
        return values.str.strip_chars().str.to_lowercase().replace_strict(spoken, default=None, return_dtype=pl.Boolean)
    if values.dtype.is_numeric():
        numbers = values.cast(pl.Float64).fill_nan(None)
        return pl.select(pl.when(numbers.is_in([0.0, 1.0])).then(numbers == 1.0)).to_series().alias(values.name)
    return None


def _times(values: pl.Series) -> pl.Series | None:
    if values.dtype == pl.String:
        return values.str.to_datetime(time_unit="us", strict=False)
    if values.dtype.is_numeric():
        return (values.cast(pl.Float64).fill_nan(None) * 1e6).cast(pl.Int64).cast(pl.Datetime("us"))
    if values.dtype in (pl.Date, pl.Datetime, pl.Null):
        # The hour of the day is that of the place, not of Greenwich.
        zoned = values.dt.replace_time_zone(None) if getattr(values.dtype, "time_zone", None) else values
        return zoned.cast(pl.Datetime("us"))
    return None


_CONFORM = {"numeric": as_numbers, "category": as_text, "boolean": as_booleans, "time": _times}

_MEANT = {"numeric": "numbers", "boolean": "true or false (1 or 0)", "time": "times", "category": "text"}


def _other_kind(values: pl.Series, column: Column) -> str:
    return (
        f"column '{column.name}': {spoken_type(values.dtype)} cannot be read as kind '{column.kind}'. "
        f"Expected {_MEANT[column.kind]}."
    )


def spoken_type(kind: pl.DataType) -> str:
    """What a column holds, in words where there are some."""
    if isinstance(kind, (pl.Categorical, pl.Enum)):
        return "text"
    if kind.is_numeric():
        return "numbers"
    return {"String": "text", "Boolean": "true and false"}.get(str(kind), f"values of type {kind}")


def _add_values(
    offences: ValidationReport, column: Column, why: str, values: pl.Series, mask: pl.Series, rows: Ints | None
) -> None:
    """Add the values under a mask, with the numbers of their rows."""
    places = mask.arg_true().to_numpy()
    first = places[:MOST_KEPT]
    numbers = first if rows is None else rows[first]
    offences.add_values(
        column.name, why, partial(_SAYS[why], column), len(places), numbers.tolist(), values[first].to_list()
    )


def _unreadable(column: Column, how_many: str, where: str, values: Sequence[Any]) -> str:
    advice = f"{column.name}=category in [schema] (kinds={{'{column.name}': 'category'}})"
    missing = list(dict.fromkeys(str(value) for value in values))[:3]
    return (
        f"column '{column.name}': {how_many} are not {_MEANT[column.kind]} ({where}). "
        f"Expected kind '{column.kind}'. {_way_out(missing)}, or declare the column categorical: {advice}."
    )


def _infinite(column: Column, how_many: str, where: str, values: Sequence[Any]) -> str:
    return (
        f"column '{column.name}': {how_many} are infinite ({where}). "
        "Expected finite numbers. Leave the field empty where the value is not known."
    )


_SAYS = {"unread": _unreadable, "infinite": _infinite}


def _way_out(texts: list[str]) -> str:
    """What to do with texts that are no numbers: to be missing, where they are not numbers written otherwise."""
    if any(SEPARATED.fullmatch(text) for text in texts):
        return "Write numbers without separators of thousands"
    return f"Pass missing={tuple(texts)!r} when reading (--set table.missing={','.join(texts)})"


def _count(mask: pl.Series) -> int:
    return int(mask.sum() or 0)


def check_features(schema: Schema) -> None:
    """Refuse a table in which no column is left to score by."""
    if not schema.features:
        listed = "; ".join(f"'{column.name}' is {column.kind}: {column.why}" for column in schema.columns[:5])
        raise TableError(f"no column is left to score by ({listed}). Expected at least one with varying values.")
