"""Explain: why a saved model scores one row as it does."""

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
from oddrow.workflow.request import Request
from oddrow.workflow.scoring import roles_to_score


def explain(
    tables: str | Path | Sequence[str | Path],
    model: str | Path,
    id: str,
    *,
    n_reasons: int = 5,
    join: str | None = None,
    tell: Tell = silent,
) -> Explanation:
    """Explain the score of one row, and find changes that bring its score below the threshold.

    The tables are read whole, as the history of a row needs the rows before it.

    Parameters
    ----------
    tables : str, Path or sequence of those
        Files or patterns.
    model : str or Path
        Folder of the model.
    id : str
        The id of the row, or its number from 0 if the model has no id column.
    n_reasons : int, default=5
        How many columns to name.
    join : str or None, default=None
        Second table, for a model that was fitted with one.
    tell : callable, optional
        Receives what is reported: lines of text, then the explanation.

    Returns
    -------
    Explanation
        The score, the threshold, the reasons and the counterfactual.

    Raises
    ------
    TableError
        If no row, or more than one, has the id.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from oddrow import simulate, workflow
    >>> with TemporaryDirectory() as folder:
    ...     table, model = f"{folder}/payments.csv", f"{folder}/model"
    ...     simulate(400, random_state=0).write_csv(table)
    ...     settings = workflow.Settings.gather(options={"drop": "is_fraud,fraud_kind", "id": "transaction_id"})
    ...     _ = workflow.fit(table, model, settings)
    ...     explanation = workflow.explain(table, model, "7", n_reasons=2)
    >>> explanation.row_name, len(explanation.reasons)
    ('transaction_id 7', 2)
    """
    check_number("reasons", n_reasons, 1, whole=True)
    artifact = Artifact.load(model)
    roles = roles_to_score(artifact, None, in_range=False)
    chosen = Request(artifact, tables, roles, join=join).read(tell, labelled=False)
    row = _row_of(artifact, chosen, id)
    one = chosen.table.take(np.array([row]))
    (score,) = artifact.detector.anomaly_score(one)
    (of_row,) = reasons(artifact.detector, one, n_reasons, history=artifact.history)
    threshold = artifact.threshold
    capped = "" if threshold.cap is None else f": {threshold.cap}, the highest scores first"
    found = counterfactuals(artifact.detector, one, threshold.value, history=artifact.history)
    explanation = Explanation(
        row_name=f"row {row}" if artifact.roles.id is None else f"{artifact.roles.id} {id}",
        score=float(score),
        threshold=threshold.value,
        rule=f"{threshold.rule}{capped}",
        reasons=tuple(of_row),
        changes=tuple(found.changes(0)),
        counterfactual_score=float(found.scores[0]) if found.found[0] else None,
    )
    tell(explanation)
    return explanation


def _row_of(artifact: Artifact, chosen: Dataset, id: str) -> int:
    if artifact.roles.id is None:
        if not (id.isdecimal() and int(id) < len(chosen.rows)):
            raise TableError(f"row {id!r} does not exist: the {len(chosen.rows):,} rows are numbered from 0.")
        return int(id)
    column = artifact.roles.id
    ids = as_text(chosen.table.frame[column])
    rows = np.arange(0) if ids is None else np.flatnonzero((ids == id).fill_null(False).to_numpy())
    if len(rows) != 1:
        raise TableError(f"column '{column}': {len(rows):,} rows have the id {id!r}. Expected one.")
    return int(rows[0])
