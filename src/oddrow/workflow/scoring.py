"""Scoring: tables and a saved model in, a table of scores and alerts out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.artifact import Artifact
from oddrow.errors import TableError, check_number
from oddrow.explain import reasons
from oddrow.table.dataset import Dataset, no_rows_between, select_from_block
from oddrow.table.read import consume_blocks
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema
from oddrow.table.table import SYNTHETIC, Table
from oddrow.table.validation import ValidationReport
from oddrow.table.write import check_output_table, write_blocks, write_table
from oddrow.thresholds.threshold import Threshold, bands
from oddrow.typing import Tell, silent
from oddrow.workflow.request import check_out, select_for


@dataclass
class Tally:
    """What came of scoring: how many rows there were, how many reached the threshold, how many are alerts."""

    n_rows: int = 0
    n_reached: int = 0
    n_alerts: int = 0

    def count(self, scored: pl.DataFrame, cut: Threshold) -> pl.DataFrame:
        """Count scored rows in, and give them back."""
        self.n_rows += scored.height
        self.n_reached += int((scored["anomaly_score"] >= cut.value).sum())
        self.n_alerts += int(scored["alert"].sum())
        return scored

    def in_words(self, cut: Threshold) -> str:
        """How many alerts there are, and by which cut."""
        n_more = self.n_reached - self.n_alerts
        others = f"; {n_more:,} more reached it" if n_more else ""
        return (
            f"{self.n_alerts:,} alerts in {self.n_rows:,} rows ({cut.rule}, from a score of {cut.value:.6g} on{others})"
        )


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
) -> Tally:
    """Score the rows of tables with a saved model and write id or row, anomaly_score and alert to `out`.

    `join` is the table to put beside them, for a model that was fitted with one; `n_reasons` how many columns to name
    beside every alert that make the row odd. Rows are read, scored and written block by block, in bounded memory, but
    where one needs others: with `join`, a history, or a threshold for all rows of a day or a batch.
    """
    check_output_table(Path(out))
    check_number("reasons", n_reasons, 0, whole=True)
    check_out(out, tables, join, model)
    artifact = Artifact.load(model)
    _check_id(artifact.roles.id)
    roles = roles_to_score(artifact, time, in_range=bool(start or until))
    tally = Tally()
    if _is_by_row(artifact, join):
        tally = consume_blocks(
            tables, artifact.read, lambda parts: _score_parts(artifact, parts, out, roles, start, until, n_reasons)
        )
    else:
        chosen = select_for(artifact, tables, roles, start, until, join, tell=tell, labelled=False)
        write_table(tally.count(score_table(artifact, chosen, n_reasons=n_reasons), artifact.threshold), out)
    tell(f"{tally.in_words(artifact.threshold)}. Wrote {out}.")
    return tally


def _check_id(name: str | None) -> None:
    """Refuse an id column that would stand beside another of its name."""
    if name in ("anomaly_score", "alert", "band") or str(name).startswith("reason_"):
        raise TableError(f"the id column '{name}' has the name of a column that score writes. Rename it.")


def _is_by_row(artifact: Artifact, join: str | None) -> bool:
    """Whether every row is scored and decided by itself."""
    is_joined = join is not None or (artifact.origin is not None and artifact.origin.join is not None)
    cuts = [cut for cut in (artifact.threshold, artifact.block) if cut is not None]
    return artifact.history is None and not is_joined and all(cut.is_by_row for cut in cuts)


def _score_parts(
    artifact: Artifact,
    parts: Iterator[Table],
    out: str | Path,
    roles: Roles,
    start: str | None,
    until: str | None,
    n_reasons: int,
) -> Tally:
    tally = Tally()

    def scored() -> Iterator[pl.DataFrame]:
        chosen = _chosen_parts(parts, roles, start, until)
        for part in chosen:
            try:
                table = score_table(artifact, part, n_reasons=n_reasons)
            except TableError:
                # Scoring looks at every value anyway; all that is wrong is only looked for when something is.
                _raise_all(artifact.detector.schema_, chain([part], chosen), tally.n_rows)
                raise
            yield tally.count(table, artifact.threshold)

    write_blocks(scored(), out)
    return tally


def _chosen_parts(parts: Iterable[Table], roles: Roles, start: str | None, until: str | None) -> Iterator[Dataset]:
    """The rows asked for, part by part."""
    n_read, is_empty, source = 0, True, ""
    for part in parts:
        chosen = select_from_block(part, n_read, roles, start, until)
        n_read, source = n_read + part.n_rows, part.source
        if len(chosen.rows):
            is_empty = False
            yield chosen
    if is_empty:
        raise no_rows_between(source, roles.time or "", start, until)


def _raise_all(schema: Schema, parts: Iterable[Dataset], n_rows: int) -> None:
    """Raise one error for all that is wrong with these parts, after so many rows with which nothing was."""
    report = ValidationReport()
    for part in parts:
        schema.add_problems(report, part.table.frame, part.rows)
        n_rows += len(part.rows)
    report.raise_all(n_rows)


def score_table(artifact: Artifact, chosen: Dataset, *, n_reasons: int = 0) -> pl.DataFrame:
    """The scored rows: the id column under its own name, else `row` (0-based), then anomaly_score and alert.

    A model with a second cut gives `band` too: pass, review, block; `reason_1`, `reason_2`, … stand beside alerts.
    """
    scores = artifact.detector.anomaly_score(chosen.table)
    name = artifact.roles.id
    _check_id(name)
    first = chosen.table.frame[name] if name is not None else pl.Series("row", chosen.rows)
    is_marked = chosen.table.is_marked or chosen.table.synthetic.any()
    marks = [pl.Series(SYNTHETIC, chosen.table.synthetic)] if is_marked else []
    alerts = artifact.threshold.alerts(scores, chosen.outcomes.time, chosen.outcomes.entity)
    decided = [pl.Series("anomaly_score", scores), pl.Series("alert", alerts)]
    if artifact.block is not None:
        blocked = alerts & artifact.block.alerts(scores, chosen.outcomes.time, chosen.outcomes.entity)
        decided.append(pl.Series("band", bands(alerts, blocked)))
    return pl.DataFrame([first, *decided, *_reasons(artifact, chosen, alerts, n_reasons), *marks])


def _reasons(artifact: Artifact, chosen: Dataset, alerts: npt.NDArray[np.bool_], n: int) -> list[pl.Series]:
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
