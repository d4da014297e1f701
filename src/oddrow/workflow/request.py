"""Tables as the commands read them: inspected, or chosen for a saved model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.artifact import CARD, MANIFEST, TENSORS, Artifact
from oddrow.detectors.base import Detector
from oddrow.errors import ParameterError, TableError
from oddrow.table.dataset import Dataset, read_dataset
from oddrow.table.fingerprint import row_hashes, table_hashes
from oddrow.table.history import History
from oddrow.table.join import Join
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema
from oddrow.table.table import Table
from oddrow.typing import Tell


def select_for(
    artifact: Artifact,
    tables: str | Sequence[str],
    roles: Roles,
    start: str | None,
    until: str | None,
    join: str | None,
    *,
    tell: Tell,
    both: bool = False,
    labelled: bool = True,
    absent: Sequence[str] = (),
) -> Dataset:
    """The rows of tables that a saved model is asked about, read and checked as it was taught.

    Roles that the model has and nobody named, those in `absent`, hold where the table has their column.
    """
    chosen = read_dataset(
        tables,
        artifact.read,
        roles,
        start,
        until,
        join=_join_for(artifact, join),
        history=artifact.history,
        history_roles=_fitted_roles(artifact),
        both=both,
        labelled=labelled,
        absent=absent,
    )
    tell_note(chosen.table, tell)
    artifact.detector.schema_.check(chosen.table.frame, chosen.rows)
    return chosen


def _fitted_roles(artifact: Artifact) -> Roles:
    """Time and label that a row's history is known by, whichever label is measured against now."""
    roles = artifact.roles if artifact.origin is None else artifact.origin.roles
    needs_label = artifact.history is not None and artifact.history.needs_label
    return Roles(
        label=roles.label if needs_label else None, anomaly=roles.anomaly, normal=roles.normal, time=roles.time
    )


def roles_given(artifact: Artifact, given: dict[str, Any]) -> tuple[Roles, list[str]]:
    """The model's roles with those given now in their place, and the names of those that nobody gave."""
    spoken = {name: value for name, value in given.items() if value}
    if spoken.get("label") in artifact.detector.schema_.feature_names:
        raise ParameterError(
            f"--label {spoken['label']}: the model looks at this column, so its scores know the answer. Fit again with "
            f"--label {spoken['label']}, or with --drop {spoken['label']}."
        )
    absent = [name for name in ("time", "amount", "entity") if name not in spoken]
    return replace(artifact.roles, **{"weight": None, "id": None, "drop": (), **spoken}), absent


def hashes_of(detector: Detector, history: History | None, chosen: Dataset) -> npt.NDArray[np.uint64]:
    """The hashes of the rows' features, (n,), but for those of their history: a part of a table has less of it.

    What a row has besides may be little: whose it is, and when, stand in for its history.
    """
    made = set() if history is None else set(history.names)
    known = Schema(tuple(column for column in detector.schema_.features if column.name not in made))
    hashes = table_hashes(chosen.table.frame, known)
    if history is None or chosen.outcomes.time is None:
        return hashes
    whose = chosen.table.in_memory.select(pl.col(history.entities).cast(pl.String))
    return hashes ^ row_hashes(whose.with_columns(time=pl.Series(chosen.outcomes.time)))


def tell_note(table: Table, tell: Tell) -> None:
    """Tell how a table came about, if there is something to tell."""
    if table.note:
        tell(table.note)


def named(tables: str | Sequence[str]) -> tuple[str, ...]:
    """The tables as they were named."""
    return (tables,) if isinstance(tables, str) else tuple(str(table) for table in tables)


def check_out(out: str | Path, tables: str | Sequence[str], join: str | None, model: str | Path) -> None:
    """Refuse to write over what is to be read: a table, or a part of the model."""
    place = Path(out).resolve()
    if place in {Path(table).resolve() for table in (*named(tables), *([join] if join else []))}:
        raise TableError(f"{out}: this is a table to read; its rows would be lost. Give another --out.")
    if place in {(Path(model) / name).resolve() for name in (MANIFEST, TENSORS, CARD)}:
        raise TableError(f"{out}: this is a part of the model, which would be lost. Give another --out.")


def _join_for(artifact: Artifact, table: str | None) -> Join | None:
    """The table given now, by the key that the model was fitted with."""
    fitted = artifact.origin.join if artifact.origin is not None else None
    if fitted is None and table:
        raise ParameterError(f"--join {table}: the model was fitted without a joined table. Leave --join out.")
    if fitted is not None and not table:
        raise ParameterError(
            f"the model was fitted with {fitted.table} joined on '{fitted.on}': say which table to join here, "
            "that one or one like it: --join TABLE."
        )
    return Join(table, fitted.on) if fitted is not None and table else None
