"""Scoring: tables and a saved model in, a table of scores and alerts out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.artifact import Artifact
from oddrow.errors import TableError, check_number
from oddrow.explain import reasons
from oddrow.table.roles import Roles
from oddrow.table.selection import Selection
from oddrow.table.table import SYNTHETIC
from oddrow.table.write import check_target, write_table
from oddrow.thresholds.threshold import Threshold, bands
from oddrow.workflow.tables import Tell, check_out, select_for, silent


def score(
    tables: str | Sequence[str],
    model: str | Path,
    out: str | Path,
    *,
    time: str | None = None,
    start: str | None = None,
    until: str | None = None,
    join: str | None = None,
    n_reasons: int = 0,
    tell: Tell = silent,
) -> pl.DataFrame:
    """Score the rows of tables with a saved model and write id or row, anomaly_score and alert to `out`.

    `join` is the table to put beside them, for a model that was fitted with one; `n_reasons` how many columns to name
    beside every alert that make the row odd.
    """
    check_target(Path(out))
    check_number("reasons", n_reasons, 0, whole=True)
    check_out(out, tables, join, model)
    artifact = Artifact.load(model)
    roles = roles_to_score(artifact, time, in_range=bool(start or until))
    chosen = select_for(artifact, tables, roles, start, until, join, tell=tell, labelled=False)
    scored = score_table(artifact, chosen, n_reasons=n_reasons)
    write_table(scored, out)
    tell(f"{_alerts_in_words(scored, artifact.threshold)}. Wrote {out}.")
    return scored


def score_table(artifact: Artifact, chosen: Selection, *, n_reasons: int = 0) -> pl.DataFrame:
    """The scored rows: the id column under its own name, else `row` (0-based), then anomaly_score and alert.

    A model with a second cut gives `band` too: pass, review, block; `reason_1`, `reason_2`, … stand beside alerts.
    """
    scores = artifact.detector.anomaly_score(chosen.table)
    name = artifact.roles.id
    if name in ("anomaly_score", "alert", "band") or str(name).startswith("reason_"):
        raise TableError(f"the id column '{name}' has the name of a column that score writes. Rename it.")
    first = chosen.table.frame[name] if name is not None else pl.Series("row", chosen.rows)
    marks = [pl.Series(SYNTHETIC, chosen.table.synthetic)] if chosen.table.synthetic.any() else []
    alerts = artifact.threshold.alerts(scores, chosen.time, chosen.entity)
    decided = [pl.Series("anomaly_score", scores), pl.Series("alert", alerts)]
    if artifact.block is not None:
        blocked = alerts & artifact.block.alerts(scores, chosen.time, chosen.entity)
        decided.append(pl.Series("band", bands(alerts, blocked)))
    return pl.DataFrame([first, *decided, *_reasons(artifact, chosen, alerts, n_reasons), *marks])


def _alerts_in_words(scored: pl.DataFrame, cut: Threshold) -> str:
    n_alerts, n_reached = int(scored["alert"].sum()), int((scored["anomaly_score"] >= cut.value).sum())
    others = f"; {n_reached - n_alerts:,} more reached it" if n_reached > n_alerts else ""
    return f"{n_alerts:,} alerts in {scored.height:,} rows ({cut.rule}, from a score of {cut.value:.6g} on{others})"


def _reasons(artifact: Artifact, chosen: Selection, alerts: npt.NDArray[np.bool_], n: int) -> list[pl.Series]:
    """The columns `reason_1` to `reason_n`, missing beside rows that are no alerts."""
    rows = np.flatnonzero(alerts)
    if not n:
        return []
    found = reasons(artifact.detector, chosen.table.take(rows), n, history=artifact.history) if len(rows) else []
    texts: list[list[str | None]] = [[None] * len(alerts) for _ in range(n)]
    for row, of_row in zip(rows, found, strict=True):
        for rank, reason in enumerate(of_row):
            texts[rank][row] = str(reason)
    return [pl.Series(f"reason_{rank}", column, dtype=pl.String) for rank, column in enumerate(texts, 1)]


def roles_to_score(artifact: Artifact, time: str | None, *, in_range: bool) -> Roles:
    """The roles that are needed: to choose rows, to know their history and the day of each, whose they are."""
    roles = artifact.roles
    caps = [cut.cap for cut in (artifact.threshold, artifact.block) if cut is not None and cut.cap is not None]
    return Roles(
        time=time or (roles.time if in_range or artifact.history is not None or caps else None),
        id=roles.id,
        entity=roles.entity if any(cap.per_entity for cap in caps) else None,
    )
