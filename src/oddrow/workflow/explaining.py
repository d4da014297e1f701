"""Explaining: why a saved model finds one row of a table as odd as it does, and what would be normal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from oddrow.artifact import Artifact
from oddrow.errors import TableError, check_number
from oddrow.explain import Explanation, counterfactuals, reasons
from oddrow.table.convert import as_text
from oddrow.table.dataset import Dataset
from oddrow.typing import Tell, silent
from oddrow.workflow.request import select_for
from oddrow.workflow.scoring import roles_to_score


def explain(
    tables: str | Sequence[str],
    model: str | Path,
    id: str,
    *,
    n_reasons: int = 5,
    join: str | None = None,
    tell: Tell = silent,
) -> Explanation:
    """Say why the row of this id, or of this number (from 0) where the model knows no ids, scores as it does, and of an
    alert which row near it would be none.

    The tables are read whole, as a row's history needs the rows before it. Raises `TableError` where no row, or more
    than one, has the id.
    """
    check_number("reasons", n_reasons, 1, whole=True)
    artifact = Artifact.load(model)
    roles = roles_to_score(artifact, None, in_range=False)
    chosen = select_for(artifact, tables, roles, None, None, join, tell=tell, labelled=False)
    row = _row_of(artifact, chosen, id)
    one = chosen.table.take(np.array([row]))
    (score,) = artifact.detector.anomaly_score(one)
    (found,) = reasons(artifact.detector, one, n_reasons, history=artifact.history)
    named = f"row {row}" if artifact.roles.id is None else f"{artifact.roles.id} {id}"
    cut = artifact.threshold
    near = counterfactuals(artifact.detector, one, cut.value, history=artifact.history)
    normal_score = float(near.scores[0]) if near.found[0] else None
    changes = tuple(near.changes(0))
    rule = cut.rule if cut.cap is None else f"{cut.rule}, which takes {cut.cap}, the highest"
    explanation = Explanation(named, float(score), cut.value, rule, tuple(found), changes, normal_score)
    tell(explanation)
    return explanation


def _row_of(artifact: Artifact, chosen: Dataset, id: str) -> int:
    if artifact.roles.id is None:
        if not (id.isdecimal() and int(id) < len(chosen.rows)):
            raise TableError(f"row {id!r} is none of the {len(chosen.rows):,} rows, which are numbered from 0.")
        return int(id)
    column = artifact.roles.id
    ids = as_text(chosen.table.frame[column])
    rows = np.arange(0) if ids is None else np.flatnonzero((ids == id).fill_null(False).to_numpy())
    if len(rows) != 1:
        raise TableError(f"column '{column}': {len(rows):,} rows are named {id!r}. Expected one.")
    return int(rows[0])
