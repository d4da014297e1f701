"""Columns with a role besides the features: label, time, id, weight, amount, entity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from oddrow.errors import ParameterError, TableError, did_you_mean, first_names, offenders, raise_all
from oddrow.outcomes import Outcomes
from oddrow.table.convert import as_numbers, as_text, describe_type
from oddrow.table.invalid_values import missing_column, n_of
from oddrow.table.parquet import Frame
from oddrow.table.times import wall_clock
from oddrow.typing import Floats, Ints

COLUMN_ROLES = ("label", "time", "id", "weight", "amount", "entity")

# Without --anomaly and --normal these are the two classes.
ANOMALY_TEXTS = ("1", "true")
NORMAL_TEXTS = ("0", "false")


@dataclass(frozen=True)
class Roles:
    """Name the columns that have a role, and the columns to leave out.

    Columns with a role are not features, except a datetime `time` and `amount`.

    Parameters
    ----------
    label : str, optional
        Column that says which rows are anomalies.
    anomaly : tuple of str, optional
        Label values, as text, that mean an anomaly; all others are normal. By default 1 and true are anomalies.
    normal : tuple of str, optional
        Label values that mean a normal row; all others are anomalies. Give either `anomaly` or `normal`.
    time : str, optional
        Column that orders the rows: numbers, dates or times.
    id : str, optional
        Column that identifies a row in the output.
    weight : str, optional
        Column of sample weights.
    amount : str, optional
        Column of the amount lost if the row is a missed anomaly.
    entity : str, optional
        Column of the card, customer or device that the row belongs to.
    drop : tuple of str, optional
        Columns to leave out.

    Examples
    --------
    >>> roles = Roles(label="outcome", anomaly=("fraud",))
    >>> roles.labels(pl.DataFrame({"outcome": ["fraud", "paid", None]}), both=True)
    array([ 1.,  0., nan])
    """

    label: str | None = None
    anomaly: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    time: str | None = None
    id: str | None = None
    weight: str | None = None
    amount: str | None = None
    entity: str | None = None
    drop: tuple[str, ...] = ()

    def check(self, columns: list[str]) -> None:
        """Check that every named column exists.

        Parameters
        ----------
        columns : list of str
            Columns of the table.

        Raises
        ------
        TableError
            If columns are missing; the message lists all of them.
        ParameterError
            If both `anomaly` and `normal` are given.
        """
        named = ((f"--{role}", getattr(self, role)) for role in COLUMN_ROLES)
        wanted = [*((option, name) for option, name in named if name), *(("--drop", name) for name in self.drop)]
        raise_all([f"{option}: {missing_column(name, columns)}" for option, name in wanted if name not in columns])
        if self.anomaly and self.normal:
            raise ParameterError("--anomaly and --normal were both given. Give one; other values are the other class.")

    @property
    def columns(self) -> list[str]:
        """Columns that have a role."""
        return list(dict.fromkeys(name for role in COLUMN_ROLES if (name := getattr(self, role)) is not None))

    def without_absent(self, roles: Iterable[str], columns: list[str]) -> Roles:
        """Return the roles without those whose column the table lacks.

        Parameters
        ----------
        roles : iterable of str
            Roles that may be absent, such as "label".
        columns : list of str
            Columns of the table.

        Returns
        -------
        Roles
            The roles that remain.
        """
        absent: dict[str, Any] = {role: None for role in roles if getattr(self, role) not in columns}
        return replace(self, **absent)

    def reasons(self, frame: Frame) -> dict[str, str]:
        """Return the columns that are not features because of their role, and why.

        A numeric time only orders the rows. Dates and times remain features, for their hour and weekday.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows.

        Returns
        -------
        dict of str to str
            Reason by column.
        """
        used_as = {self.label: "label", self.id: "id", self.weight: "weight", self.entity: "entity"}
        reasons = {name: f"used as {role}" for name, role in used_as.items() if name is not None}
        if self.time is not None and not isinstance(frame[self.time].dtype, (pl.Date, pl.Datetime)):
            reasons[self.time] = "used to order the rows"
        return reasons | dict.fromkeys(self.drop, "left out by --drop")

    def known_labels(self, frame: Frame) -> Floats:
        """Return the labels, whatever classes occur.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows.

        Returns
        -------
        ndarray of float64, shape (n,)
            1 for an anomaly, 0 for a normal row, NaN if the label is missing.

        Raises
        ------
        TableError
            If the values are not two classes.
        ParameterError
            If `anomaly` or `normal` looks like a misspelt value of the column.
        """
        assert self.label is not None
        texts = _label_texts(frame[self.label])
        known = texts.drop_nulls().unique(maintain_order=True).to_list()
        anomalies, normals = (tuple(map(_as_written, given)) for given in (self.anomaly, self.normal))
        for value in (*anomalies, *normals):
            # A table of normal rows may well lack the anomalous value, but a misspelt one resembles another.
            if value not in known and (hint := did_you_mean(value, known, likeness=0.7)):
                raise ParameterError(f"column '{self.label}' has no value {value!r}.{hint}")
        if not anomalies and not normals:
            self._check_two_classes(known)
        is_anomaly = ~texts.is_in(list(normals)) if normals else texts.is_in(list(anomalies or ANOMALY_TEXTS))
        return is_anomaly.cast(pl.Float64).fill_null(float("nan")).to_numpy()

    def _check_two_classes(self, known: list[str]) -> None:
        if others := [value for value in known if value not in ANOMALY_TEXTS + NORMAL_TEXTS]:
            raise TableError(
                f"column '{self.label}' is not a label of two classes: besides 0, 1, true and false it holds "
                f"{first_names(others)}. Name the anomalous values (--anomaly V,V) or the normal ones (--normal V,V)."
            )

    def labels(self, frame: Frame, *, both: bool) -> Floats:
        """Return the labels of a table that has labelled normal rows.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows.
        both : bool
            Require labelled anomalies too.

        Returns
        -------
        ndarray of float64, shape (n,)
            1 for an anomaly, 0 for a normal row, NaN if the label is missing.

        Raises
        ------
        TableError
            If the values are not two classes or a required class is absent.
        """
        y = self.known_labels(frame)
        n_anomalies, n_normal = int(np.nansum(y == 1)), int(np.nansum(y == 0))
        if n_anomalies + n_normal == 0:
            raise TableError(f"column '{self.label}': every value is missing. Expected labels; or leave out --label.")
        if n_normal == 0:
            raise TableError(
                f"column '{self.label}': all {n_anomalies:,} labelled rows are anomalous. Expected normal rows too. "
                "If the values mean the opposite, name the anomalous ones with --anomaly."
            )
        if both and n_anomalies == 0:
            raise TableError(
                f"column '{self.label}': none of {len(y):,} rows is anomalous. Expected at least one labelled anomaly."
            )
        return y

    def unseen_values(self, frame: Frame) -> list[str]:
        """Return the values of `anomaly` and `normal` that the label column lacks.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows.

        Returns
        -------
        list of str
            The values, as given.
        """
        if self.label is None:
            return []
        known = set(_label_texts(frame[self.label]).drop_nulls().unique().to_list())
        return [value for value in (*self.anomaly, *self.normal) if _as_written(value) not in known]

    def outcomes(self, frame: Frame, rows: Ints, y: Floats | None = None) -> Outcomes:
        """Return what the columns with a role tell about each row.

        Parameters
        ----------
        frame : polars.DataFrame or ParquetFrame
            The rows.
        rows : ndarray of int64, shape (n,)
            Their row numbers, for messages.
        y : ndarray of float64, shape (n,), optional
            The labels, if they have been read.

        Returns
        -------
        Outcomes
            The labels given, and the weights, amounts, times and entities of the columns that have these roles.

        Raises
        ------
        TableError
            If a weight or an amount is negative, infinite or missing, or all weights are 0.
        """
        weight = None if self.weight is None else _non_negative(frame[self.weight], rows, "weight")
        if weight is not None and not weight.any():
            raise TableError(f"column '{self.weight}': every weight is 0. Expected at least one positive weight.")
        return Outcomes(
            y=y,
            weight=weight,
            amount=None if self.amount is None else _non_negative(frame[self.amount], rows, "amount"),
            time=None if self.time is None else wall_clock(frame[self.time]),
            entity=None if self.entity is None else _entity_codes(frame[self.entity]),
            n_rows=len(rows),
        )


def _label_texts(values: pl.Series) -> pl.Series:
    texts = as_text(values)
    if texts is None:
        raise TableError(f"column '{values.name}': {describe_type(values.dtype)} cannot be labels. Expected 0 and 1.")
    return texts


def _as_written(value: str) -> str:
    """Return a label value as `as_text` writes it: '1.0' becomes '1'."""
    try:
        number = float(value)
    except ValueError:
        return value
    return str(int(number)) if number.is_integer() else value


def _non_negative(values: pl.Series, rows: Ints, role: str) -> Floats:
    numbers = as_numbers(values)
    if numbers is None:
        raise TableError(f"column '{values.name}': {describe_type(values.dtype)} cannot be {role}s. Expected numbers.")
    bad = (numbers.is_null() | numbers.is_nan() | (numbers < 0) | numbers.is_infinite()).fill_null(True)
    if bad.any():
        bad_rows = rows[bad.to_numpy()].tolist()
        shown = offenders(bad_rows, values.filter(bad)[:3].to_list())
        raise TableError(
            f"column '{values.name}': {n_of(len(bad_rows), len(bad), role)} invalid ({shown}). "
            "Expected finite numbers of at least 0."
        )
    return numbers.to_numpy()


def _entity_codes(values: pl.Series) -> Ints:
    """Return equal numbers for rows of one entity; a row whose entity is missing has a number of its own."""
    codes = values.rank("dense").cast(pl.Int64)
    own_codes = pl.Series(-1 - np.arange(len(values)))
    return codes.zip_with(codes.is_not_null(), own_codes).to_numpy()
