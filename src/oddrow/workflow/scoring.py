"""Score: from tables and a saved model to a table of scores and alerts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from oddrow.artifact import Artifact
from oddrow.errors import TableError, check_number, counted
from oddrow.explain import reasons
from oddrow.table.dataset import Dataset, no_rows_between, select_from_block
from oddrow.table.invalid_values import ValidationReport
from oddrow.table.read import consume_blocks
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema
from oddrow.table.table import SYNTHETIC, Table
from oddrow.table.write import check_output_table, write_blocks, write_table
from oddrow.thresholds.threshold import Threshold, bands
from oddrow.typing import Mask, Tell, silent
from oddrow.workflow.request import Request, check_not_input


@dataclass
class Tally:
    """Counts of what was scored.

    Parameters
    ----------
    n_rows : int, default=0
        Rows.
    n_reached : int, default=0
        Rows whose score reached the threshold.
    n_alerts : int, default=0
        Alerts: fewer, if the threshold has a cap or looks at a whole batch.

    Examples
    --------
    >>> Tally(n_rows=1000, n_reached=12, n_alerts=10)
    Tally(n_rows=1000, n_reached=12, n_alerts=10)
    """

    n_rows: int = 0
    n_reached: int = 0
    n_alerts: int = 0

    def _count(self, scored: pl.DataFrame, threshold: Threshold) -> pl.DataFrame:
        """Count scored rows, and return them."""
        self.n_rows += scored.height
        self.n_reached += int((scored["anomaly_score"] >= threshold.value).sum())
        self.n_alerts += int(scored["alert"].sum())
        return scored

    def _in_words(self, threshold: Threshold) -> str:
        """Return the number of alerts and the threshold in words."""
        n_more = self.n_reached - self.n_alerts
        more = f"; {n_more:,} more reached it" if n_more else ""
        return (
            f"{counted(self.n_alerts, 'alert')} in {counted(self.n_rows, 'row')} "
            f"(threshold {threshold.value:.6g}, {threshold.rule}{more})"
        )


def score(
    tables: str | Path | Sequence[str | Path],
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
    """Score rows with a saved model and write a table of scores and alerts.

    Rows are read, scored and written in blocks, in bounded memory. Only with a second table, a history, or a threshold
    that looks at a whole day or batch are all rows read first.

    Parameters
    ----------
    tables : str, Path or sequence of those
        Files or patterns.
    model : str or Path
        Folder of the model.
    out : str or Path
        File to write, `.csv` or `.parquet`. Its columns: the id (or `row`, the row number from 0), `anomaly_score`,
        `alert`, and, if asked for, `band` and `reason_1`, `reason_2` and so on.
    time : str or None, default=None
        Time column, if not that of the model.
    start, until : str or None, default=None
        The first time to include, and the first to exclude.
    join : str or None, default=None
        Second table, for a model that was fitted with one.
    n_reasons : int, default=0
        How many columns to name as reasons for each alert.
    tell : callable, optional
        Receives what is reported, as text.

    Returns
    -------
    Tally
        How many rows there were, how many reached the threshold, how many are alerts.

    Raises
    ------
    OddrowError
        If a table, the model or the file is invalid.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from oddrow import simulate, workflow
    >>> with TemporaryDirectory() as folder:
    ...     table, model = f"{folder}/payments.csv", f"{folder}/model"
    ...     simulate(400, random_state=0).write_csv(table)
    ...     settings = workflow.Settings.gather(options={"drop": "is_fraud,fraud_kind"})
    ...     _ = workflow.fit(table, model, settings)
    ...     workflow.score(table, model, f"{folder}/scores.csv").n_rows
    400
    """
    check_output_table(Path(out))
    check_number("reasons", n_reasons, 0, whole=True)
    check_not_input(out, tables, join, model)
    artifact = Artifact.load(model)
    _check_id(artifact.roles.id)
    roles = roles_to_score(artifact, time, in_range=bool(start or until))
    request = Request(artifact, tables, roles, start, until, join)
    tally = Tally()
    if _is_by_row(artifact, join):
        tally = consume_blocks(tables, artifact.read, lambda parts: _score_parts(request, parts, out, n_reasons))
    else:
        chosen = request.read(tell, labelled=False)
        write_table(tally._count(score_table(artifact, chosen, n_reasons=n_reasons), artifact.threshold), out)
    tell(f"{tally._in_words(artifact.threshold)}. Wrote {out}.")
    return tally


def score_table(artifact: Artifact, chosen: Dataset, *, n_reasons: int = 0) -> pl.DataFrame:
    """Score rows in memory.

    Parameters
    ----------
    artifact : Artifact
        The model.
    chosen : Dataset
        The rows, with their times and entities if the threshold needs them.
    n_reasons : int, default=0
        How many columns to name as reasons for each alert.

    Returns
    -------
    DataFrame
        The id column (or `row`, the row number from 0), `anomaly_score`, `alert`; `band` ("pass", "review", "block")
        if the model has a second threshold; `reason_1`, `reason_2`, ..., null for rows that are not alerts.

    Raises
    ------
    TableError
        If a column is missing or holds values of another kind.

    Examples
    --------
    >>> import numpy as np
    >>> from oddrow import Artifact, OddRowDetector, Threshold
    >>> from oddrow.outcomes import Outcomes
    >>> from oddrow.table.table import Table
    >>> detector = OddRowDetector(random_state=0).fit(np.random.default_rng(0).normal(size=(200, 2)))
    >>> rows = np.array([[0.0, 0.0], [0.0, 9.0]])
    >>> chosen = Dataset(Table.from_array(rows), np.arange(2), Outcomes(n_rows=2))
    >>> score_table(Artifact(detector, Threshold(5.0, "fixed:5")), chosen).drop("anomaly_score").rows()
    [(0, False), (1, True)]
    """
    scores = artifact.detector.anomaly_score(chosen.table)
    name, known = artifact.roles.id, chosen.outcomes
    _check_id(name)
    first = chosen.table.frame[name] if name is not None else pl.Series("row", chosen.rows)
    is_marked = chosen.table.is_marked or chosen.table.synthetic.any()
    marks = [pl.Series(SYNTHETIC, chosen.table.synthetic)] if is_marked else []
    alerts = artifact.threshold.alerts(scores, known.time, known.entity)
    decided = [pl.Series("anomaly_score", scores), pl.Series("alert", alerts)]
    if artifact.block is not None:
        blocked = alerts & artifact.block.alerts(scores, known.time, known.entity)
        decided.append(pl.Series("band", bands(alerts, blocked)))
    return pl.DataFrame([first, *decided, *_reasons(artifact, chosen, alerts, n_reasons), *marks])


def roles_to_score(artifact: Artifact, time: str | None, *, in_range: bool) -> Roles:
    """Return the roles that scoring needs: to choose rows, for their history, and for a cap on alerts."""
    roles = artifact.roles
    caps = [cut.cap for cut in (artifact.threshold, artifact.block) if cut is not None and cut.cap is not None]
    needs_time = in_range or artifact.history is not None or caps
    return Roles(
        time=time or (roles.time if needs_time else None),
        id=roles.id,
        entity=roles.entity if any(cap.per_entity for cap in caps) else None,
    )


def _check_id(name: str | None) -> None:
    if name in ("anomaly_score", "alert", "band") or str(name).startswith("reason_"):
        raise TableError(f"the id column '{name}' has the name of a column that score writes. Rename it.")


def _is_by_row(artifact: Artifact, join: str | None) -> bool:
    """Whether every row is scored and decided by itself."""
    is_joined = join is not None or (artifact.origin is not None and artifact.origin.join is not None)
    cuts = [cut for cut in (artifact.threshold, artifact.block) if cut is not None]
    return artifact.history is None and not is_joined and all(cut.is_by_row for cut in cuts)


def _score_parts(request: Request, parts: Iterator[Table], out: str | Path, n_reasons: int) -> Tally:
    artifact, tally = request.artifact, Tally()

    def scored() -> Iterator[pl.DataFrame]:
        chosen = _chosen_parts(request, parts)
        for part in chosen:
            try:
                table = score_table(artifact, part, n_reasons=n_reasons)
            except TableError:
                # Look for everything that is wrong only when something is: scoring looks at every value anyway.
                _raise_all(artifact.detector.schema_, chain([part], chosen), tally.n_rows)
                raise
            yield tally._count(table, artifact.threshold)

    write_blocks(scored(), out)
    return tally


def _chosen_parts(request: Request, parts: Iterable[Table]) -> Iterator[Dataset]:
    n_read, is_empty, source = 0, True, ""
    for part in parts:
        chosen = select_from_block(part, n_read, request.roles, request.start, request.until)
        n_read, source = n_read + part.n_rows, part.source
        if len(chosen.rows):
            is_empty = False
            yield chosen
    if is_empty:
        raise no_rows_between(source, request.roles.time or "", request.start, request.until)


def _raise_all(schema: Schema, parts: Iterable[Dataset], n_rows: int) -> None:
    """Raise one error for all that is wrong with these parts; the `n_rows` before them are right."""
    report = ValidationReport()
    for part in parts:
        schema.add_problems(report, part.table.frame, part.rows)
        n_rows += len(part.rows)
    report.raise_all(n_rows)


def _reasons(artifact: Artifact, chosen: Dataset, alerts: Mask, n: int) -> list[pl.Series]:
    rows = np.flatnonzero(alerts)
    if not n:
        return []
    found = reasons(artifact.detector, chosen.table.take(rows), n, history=artifact.history) if len(rows) else []
    texts: list[list[str | None]] = [[None] * len(alerts) for _ in range(n)]
    for row, of_row in zip(rows, found, strict=True):
        for rank, reason in enumerate(of_row):
            texts[rank][row] = str(reason)
    return [pl.Series(f"reason_{rank}", column, dtype=pl.String) for rank, column in enumerate(texts, 1)]
