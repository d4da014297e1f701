"""The input of a saved model: tables, rows and column roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.artifact import Artifact
from oddrow.artifact.saved_folder import CARD, MANIFEST, TENSORS
from oddrow.detectors.base import Detector
from oddrow.errors import ParameterError, TableError, raise_all
from oddrow.structure import build, unknown_keys
from oddrow.table.dataset import Dataset, read_dataset
from oddrow.table.history import History
from oddrow.table.join import Join
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema
from oddrow.table.table import Table, row_hashes, table_hashes
from oddrow.typing import Tell


class RowOptions(TypedDict, total=False):
    """Which rows of the tables are meant, and which columns play which part.

    Options that are left out default to those used in fitting; weight and time span default to none.

    Attributes
    ----------
    label : str
        Column that labels rows as anomalous or normal.
    anomaly : str or sequence of str
        Label values that mean anomaly; a text may hold several, separated by commas.
    normal : str or sequence of str
        Label values that mean normal; all others then mean anomaly.
    weight : str
        Column with the number of rows that each row stands for.
    amount : str
        Column with the cost of missing an anomaly.
    entity : str
        Column with the entity of each row, such as a card.
    time : str
        Column that orders the rows.
    start : str
        First time to include: a number or an ISO date.
    until : str
        First time to exclude.
    join : str
        Second table, for a model that was fitted with one.

    Examples
    --------
    >>> rows: RowOptions = {"label": "is_fraud", "start": "2024-05-01"}
    >>> sorted(rows)
    ['label', 'start']
    """

    label: str | None
    anomaly: str | Sequence[str] | None
    normal: str | Sequence[str] | None
    weight: str | None
    amount: str | None
    entity: str | None
    time: str | None
    start: str | None
    until: str | None
    join: str | None


@dataclass(frozen=True)
class Request:
    """Rows of tables for a saved model; the columns of the roles in `optional` may be missing."""

    artifact: Artifact
    tables: str | Path | Sequence[str | Path]
    roles: Roles
    start: str | None = None
    until: str | None = None
    join: str | None = None
    optional: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        tables: str | Path | Sequence[str | Path],
        rows: RowOptions,
        *,
        id: str | None = None,
        optional: Sequence[str] = ("time", "amount", "entity"),
    ) -> Request:
        """Return a request with the model's roles, and those that are given in their place.

        A role of the model that is in `optional` and not given holds only if the table has its column.
        """
        raise_all(unknown_keys(rows, RowOptions.__annotations__), ParameterError)
        given = {name: value for name, value in cast(dict[str, Any], rows).items() if value}
        span = {name: given.pop(name, None) for name in ("start", "until", "join")}
        if (label := given.get("label")) in artifact.detector.schema_.feature_names:
            raise ParameterError(
                f"--label {label}: the model uses this column as a feature, so its scores know the answer. Fit again "
                f"with --label {label} or --drop {label}."
            )
        built = build(Roles, given, lenient=True)
        own: dict[str, Any] = {name: getattr(built, name) for name in given}
        roles = replace(artifact.roles, **{"weight": None, "id": id, "drop": (), **own})
        return cls(artifact, tables, roles, **span, optional=tuple(name for name in optional if name not in given))

    def read(self, tell: Tell, *, both: bool = False, labelled: bool = True) -> Dataset:
        """Read the rows and check them against the model's schema; `both` asks for labels of both classes."""
        fitted = self.artifact.roles if self.artifact.origin is None else self.artifact.origin.roles
        history = self.artifact.history
        # History features use the label of fitting, whatever label is evaluated.
        by = fitted.label if history is not None and history.needs_label else None
        chosen = read_dataset(
            self.tables,
            self.artifact.read,
            self.roles,
            self.start,
            self.until,
            join=self._join(),
            history=history,
            history_roles=Roles(label=by, anomaly=fitted.anomaly, normal=fitted.normal, time=fitted.time),
            both=both,
            labelled=labelled,
            absent=self.optional,
        )
        tell_note(chosen.table, tell)
        self.artifact.detector.schema_.check(chosen.table.frame, chosen.rows)
        return chosen

    def _join(self) -> Join | None:
        origin = self.artifact.origin
        fitted = None if origin is None else origin.join
        if fitted is None and self.join:
            raise ParameterError(f"--join {self.join}: the model was fitted without a second table. Leave --join out.")
        if fitted is not None and not self.join:
            raise ParameterError(
                f"the model was fitted with {fitted.table} joined on '{fitted.on}'. Name a table: --join TABLE."
            )
        return Join(self.join, fitted.on) if fitted is not None and self.join else None


def hashes_of(detector: Detector, history: History | None, chosen: Dataset) -> npt.NDArray[np.uint64]:
    """Return a hash of each row, shape (n,), from its features without those of its history.

    A part of a table has less history, so its rows would not be recognised by that. Few features may be left: the
    entities and the time are hashed in their place.
    """
    made = set() if history is None else set(history.names)
    known = Schema(tuple(column for column in detector.schema_.features if column.name not in made))
    hashes = table_hashes(chosen.table.frame, known)
    if history is None or chosen.outcomes.time is None:
        return hashes
    entities = chosen.table.in_memory.select(pl.col(history.entities).cast(pl.String))
    return hashes ^ row_hashes(entities.with_columns(time=pl.Series(chosen.outcomes.time)))


def tell_note(table: Table, tell: Tell) -> None:
    """Report how a table was read, if there is anything to report."""
    if table.note:
        tell(table.note)


def as_tuple(tables: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """Return the tables as they were given."""
    return (str(tables),) if isinstance(tables, (str, Path)) else tuple(map(str, tables))


def check_not_input(
    out: str | Path, tables: str | Path | Sequence[str | Path], join: str | None, model: str | Path
) -> None:
    """Refuse to overwrite an input: a table, or a file of the model."""
    path = Path(out).resolve()
    if path in {Path(table).resolve() for table in (*as_tuple(tables), *([join] if join else []))}:
        raise TableError(f"{out}: this is one of the tables to read and would be overwritten. Choose another file.")
    if path in {(Path(model) / name).resolve() for name in (MANIFEST, TENSORS, CARD)}:
        raise TableError(f"{out}: this is a file of the model and would be overwritten. Choose another file.")
