"""Find the values of a table that do not fit its schema, and report all of them in one error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from oddrow.errors import did_you_mean, offenders, raise_all
from oddrow.table.convert import CONVERTERS, describe_type
from oddrow.typing import Ints

EXPECTED = {"numeric": "numbers", "boolean": "true or false (1 or 0)", "time": "times", "category": "text"}

# The message shows three rows; the advice about missing values needs a few more different ones.
MAX_KEPT_VALUES = 100

# 1,023.50 and 1 023.50
WITH_THOUSANDS_SEPARATOR = re.compile(r"-?\d{1,3}([,' ]\d{3})+(\.\d+)?")


@dataclass
class _BadValues:
    """Values of one column that have the same problem: `unreadable` or `infinite`."""

    column: str
    kind: str
    problem: str
    n: int = 0
    rows: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def message(self, n_rows: int) -> str:
        where = offenders(self.rows, self.values)
        if self.problem == "infinite":
            return (
                f"column '{self.column}': {n_of(self.n, n_rows, 'value')} infinite ({where}). "
                "Expected finite numbers. Leave the field empty if the value is unknown."
            )
        return (
            f"column '{self.column}': {self.n:,} of {n_rows:,} values cannot be read as {EXPECTED[self.kind]} "
            f"({where}). {self._advice()} To use the column as a category: "
            f"--set schema.{self.column}=category (in Python: kinds={{'{self.column}': 'category'}})."
        )

    def _advice(self) -> str:
        texts = list(dict.fromkeys(str(value) for value in self.values))[:3]
        if any(WITH_THOUSANDS_SEPARATOR.fullmatch(text) for text in texts):
            return "Write numbers without thousands separators."
        options = f"--set table.missing={','.join(texts)} (in Python: missing={tuple(texts)})"
        return f"To read such values as missing: {options}."


class ValidationReport:
    """Collect everything that is wrong with a table, in one part or many, and raise it as one error.

    >>> report = ValidationReport()
    >>> report.add_values("fee", "numeric", "infinite", 1, rows=[17], values=[float("inf")])
    >>> report.add_values("fee", "numeric", "infinite", 1, rows=[99], values=[float("inf")])
    >>> report.raise_all(200)
    Traceback (most recent call last):
    oddrow.errors.TableError: column 'fee': 2 of 200 values are infinite (row 17 inf, row 99 inf). \
Expected finite numbers. Leave the field empty if the value is unknown.
    """

    def __init__(self) -> None:
        self._problems: dict[tuple[str, str], _BadValues | str] = {}

    def add_column(self, column: str, message: str) -> None:
        """Add a problem of a whole column; the first one stays."""
        self._problems.setdefault((column, ""), message)

    def add_values(
        self, column: str, kind: str, problem: str, n: int, *, rows: Sequence[int], values: Sequence[Any]
    ) -> None:
        """Add `n` bad values, of which `rows` and `values` are the first."""
        bad = self._problems.setdefault((column, problem), _BadValues(column, kind, problem))
        assert isinstance(bad, _BadValues)
        bad.n += n
        bad.rows = [*bad.rows, *rows][:MAX_KEPT_VALUES]
        bad.values = [*bad.values, *values][:MAX_KEPT_VALUES]

    def raise_all(self, n_rows: int) -> None:
        """Raise one `TableError` with every problem found in `n_rows` rows, or return if there is none."""
        found = self._problems.values()
        raise_all([problem if isinstance(problem, str) else problem.message(n_rows) for problem in found])


def convert_column(
    values: pl.Series, kind: str, report: ValidationReport, rows: Ints | None = None
) -> pl.Series | None:
    """Return a column as the values of its kind, and add those that cannot be read to the report.

    `rows` are the row numbers to report, (n,); by default they count from 0.
    """
    try:
        converted = CONVERTERS[kind](values)
    except pl.exceptions.PolarsError:
        converted = None
    if converted is None:
        report.add_column(
            values.name,
            f"column '{values.name}': {describe_type(values.dtype)} cannot be read as kind '{kind}'. "
            f"Expected {EXPECTED[kind]}.",
        )
        return None
    bad = _unreadable(values, converted, kind)
    problem = "unreadable"
    if kind == "numeric" and (bad is None or not bad.any()):
        bad, problem = converted.is_infinite(), "infinite"
    if bad is not None and bad.any():
        places = bad.arg_true().to_numpy()
        first = places[:MAX_KEPT_VALUES]
        numbers = (first if rows is None else rows[first]).tolist()
        report.add_values(values.name, kind, problem, len(places), rows=numbers, values=values[first].to_list())
    return converted


def _unreadable(values: pl.Series, converted: pl.Series, kind: str) -> pl.Series | None:
    if kind == "numeric" and values.dtype.is_numeric():
        # Every number can be read; on tables of many columns, looking would take longer than reading.
        return None
    known = values.is_not_null() & values.is_not_nan() if values.dtype.is_float() else values.is_not_null()
    return known & converted.is_null()


def missing_column(name: str, names: Sequence[str]) -> str:
    """Return the message for a column that the table lacks."""
    return f"column '{name}' is not in the table.{did_you_mean(name, names)}"


def n_of(n: int, total: int, noun: str) -> str:
    """Return how many of all, with the verb.

    >>> n_of(1, 3, "value"), n_of(2, 1_000, "value")
    ('1 of 3 values is', '2 of 1,000 values are')
    """
    return f"{n:,} of {total:,} {noun}s {'is' if n == 1 else 'are'}"
