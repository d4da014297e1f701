"""Columns with a part to play besides the features: label, time, id, weight, amount, entity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from oddrow.errors import ParameterError, TableError, did_you_mean, first_names, offenders, raise_all
from oddrow.table.parquet import Frame
from oddrow.table.schema import as_numbers, as_text, missing_column
from oddrow.typing import Floats, Ints

# Roles that are one column each.
NAMING = ("label", "time", "id", "weight", "amount", "entity")

ANOMALOUS = ("1", "true")

NORMAL = ("0", "false")


@dataclass(frozen=True)
class Roles:
    """Which column is the label, the time, the id, the weight, and which columns are not to be looked at.

    `anomaly` or `normal` are the label's values that mean so, as text; by default 1 and true are anomalous. `amount` is
    what is lost with a missed anomaly; `entity` says whose row it is: a card, a customer.
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
        """Raise one `TableError` for every named column that is not there."""
        named = ((f"--{role}", getattr(self, role)) for role in NAMING)
        wanted = [*((option, name) for option, name in named if name), *(("--drop", name) for name in self.drop)]
        raise_all([f"{option}: {missing_column(name, columns)}" for option, name in wanted if name not in columns])
        if self.anomaly and self.normal:
            raise ParameterError("--anomaly and --normal were both given: say one, the other values are the rest.")

    @property
    def columns(self) -> list[str]:
        """The columns that a role needs to be there."""
        return list(dict.fromkeys(name for role in NAMING if (name := getattr(self, role)) is not None))

    def without_absent(self, roles: Iterable[str], columns: list[str]) -> Roles:
        """These roles, but for those named whose column is absent."""
        absent: dict[str, Any] = {role: None for role in roles if getattr(self, role) not in columns}
        return replace(self, **absent)

    def reasons(self, frame: Frame) -> dict[str, str]:
        """The columns that are no features because of their role, and which role that is.

        A numeric time only orders the rows; a true time stays, so that its hour and weekday can tell.
        """
        named = {
            self.label: "the label",
            self.id: "names the row",
            self.weight: "the weight",
            self.entity: "whose row it is",
        }
        if self.time is not None and not isinstance(frame[self.time].dtype, (pl.Date, pl.Datetime)):
            named[self.time] = "orders the rows"
        named |= dict.fromkeys(self.drop, "left out (--drop)")
        return {name: reason for name, reason in named.items() if name is not None}

    def known_labels(self, frame: Frame) -> Floats:
        """The label as (n,) float64, whatever classes there are: 1 anomaly, 0 normal, NaN unknown."""
        assert self.label is not None
        return self._zeros_and_ones(_as_text(frame[self.label]))

    def labels(self, frame: Frame, *, both: bool) -> Floats:
        """The label as (n,) float64: 1 anomaly, 0 normal, NaN unknown.

        Raises `TableError` where the values are not two classes or all are anomalous; with `both`, where one is absent.
        """
        y = self.known_labels(frame)
        n_anomalies, n_normal = int(np.nansum(y == 1)), int(np.nansum(y == 0))
        if n_anomalies + n_normal == 0:
            raise TableError(f"column '{self.label}': every value is missing. Expected a label, or no --label at all.")
        if n_normal == 0:
            raise TableError(
                f"column '{self.label}': all {n_anomalies:,} labelled rows are anomalous. "
                "Expected normal rows too; if the values are the other way round, say --anomaly or --normal."
            )
        if both and n_anomalies == 0:
            raise TableError(f"column '{self.label}': none of {len(y):,} rows is anomalous: nothing can be measured.")
        return y

    def unseen_values(self, frame: Frame) -> list[str]:
        """Values that `anomaly` or `normal` name and the label does not have."""
        if self.label is None:
            return []
        known = set(_as_text(frame[self.label]).drop_nulls().unique().to_list())
        return [value for value in (*self.anomaly, *self.normal) if _like_column(value) not in known]

    def weights(self, frame: Frame, rows: Ints) -> Floats | None:
        """The weight column as (n,) float64, None where there is none; `rows` (n,) are the numbers of the rows.

        Raises `TableError` for a weight that is below 0 or missing, and where all are 0.
        """
        if self.weight is None:
            return None
        weights = _at_least_zero(frame[self.weight], rows, "weight")
        if not weights.any():
            raise TableError(f"column '{self.weight}': no value is a weight. Expected numbers, 0 and above.")
        return weights

    def amounts(self, frame: Frame, rows: Ints) -> Floats | None:
        """The amount column as (n,) float64, None where there is none.

        Raises `TableError` for an amount that is below 0 or missing: what would a miss cost there?
        """
        return None if self.amount is None else _at_least_zero(frame[self.amount], rows, "amount")

    def entities(self, frame: Frame) -> Ints | None:
        """A code for whose row each is, (n,), None where there is no such column; a row of nobody has its own."""
        if self.entity is None:
            return None
        codes = frame[self.entity].rank("dense").cast(pl.Int64)
        alone = pl.Series(-1 - np.arange(frame.height))
        return codes.zip_with(codes.is_not_null(), alone).to_numpy()

    def _zeros_and_ones(self, values: pl.Series) -> Floats:
        known = values.drop_nulls().unique(maintain_order=True).to_list()
        anomalies, normals = (tuple(map(_like_column, given)) for given in (self.anomaly, self.normal))
        for value in (*anomalies, *normals):
            # A table of normal rows alone lacks the anomalous value; a misspelt one looks like another.
            if value not in known and (hint := did_you_mean(value, known, likeness=0.7)):
                raise ParameterError(f"column '{self.label}' has no value {value!r}.{hint}")
        if normals:
            anomalous = ~values.is_in(list(normals))
        else:
            if not anomalies:
                self._check_two_classes(known)
            anomalous = values.is_in(list(anomalies or ANOMALOUS))
        return anomalous.cast(pl.Float64).fill_null(float("nan")).to_numpy()

    def _check_two_classes(self, known: list[str]) -> None:
        if others := [value for value in known if value not in ANOMALOUS + NORMAL]:
            raise TableError(
                f"column '{self.label}' is no label of two classes: besides 0, 1, true and false it holds "
                f"{first_names(others)}. Say which values are anomalous (--anomaly V,V) or normal (--normal V,V)."
            )


def _at_least_zero(values: pl.Series, rows: Ints, kind: str) -> Floats:
    numbers = as_numbers(values)
    if numbers is None:
        raise TableError(f"column '{values.name}': no value is a{'n' * (kind[0] == 'a')} {kind}. Expected numbers.")
    bad = (numbers.is_null() | numbers.is_nan() | (numbers < 0) | numbers.is_infinite()).fill_null(True)
    if bad.any():
        odd = rows[bad.to_numpy()].tolist()
        shown = offenders(odd, values.filter(bad)[:3].to_list())
        raise TableError(
            f"column '{values.name}': {len(odd):,} of {len(bad):,} values are no {kind}s ({shown}). "
            "Expected finite numbers of at least 0."
        )
    return numbers.to_numpy()


def _as_text(values: pl.Series) -> pl.Series:
    text = as_text(values)
    if text is None:
        raise TableError(f"column '{values.name}': values of type {values.dtype} are no label. Expected 0 and 1.")
    return text


def _like_column(value: str) -> str:
    """A label value as the column holds it: 1.0 is '1' there."""
    try:
        number = float(value)
    except ValueError:
        return value
    return str(int(number)) if number.is_integer() else value
