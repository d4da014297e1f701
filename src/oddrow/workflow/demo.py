"""Demo: fit, score and evaluate on simulated transactions."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow import workflow
from oddrow.artifact import Artifact
from oddrow.errors import TableError
from oddrow.metrics.ranking import average_precision
from oddrow.simulation import FRAUD_KINDS, simulate
from oddrow.table.dataset import Dataset, read_dataset
from oddrow.table.table import Table
from oddrow.table.write import check_output_table, write_table
from oddrow.typing import Tell, silent
from oddrow.workflow.settings import Settings

LABEL, KIND, TIME = "is_fraud", "fraud_kind", "time"

AMOUNT, CUSTOMER = "amount", "customer_id"

# One alert for this many rows: 40 a day for the 2,400 rows a day of the default demo.
ROWS_PER_ALERT = 60

SHARE_OF_TIME_TO_LEARN = 0.7


def write_transactions(n_rows: int, path: str | Path, *, seed: int = 0, tell: Tell = silent) -> pl.DataFrame:
    """Simulate transactions and write them to a .parquet or .csv file."""
    check_output_table(Path(path))
    frame = simulate(n_rows, random_state=seed)
    write_table(frame, path)
    tell(
        f"Wrote {path}: {frame.height:,} transactions, {int(frame[LABEL].sum()):,} of them fraud. "
        f"'{KIND}' tells the answer: fit with --drop {KIND}."
    )
    return frame


def run(folder: str | Path, n_rows: int, *, seed: int = 0, progress: bool = False, tell: Tell = silent) -> None:
    """Simulate transactions, fit to the first weeks, score and evaluate the rest; keep all files in `folder`."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TableError(f"{folder}: the folder cannot be created ({error.strerror}).") from error
    table, model, scores = (str(folder / name) for name in ("transactions.parquet", "model", "scores.parquet"))
    frame = write_transactions(n_rows, table, seed=seed, tell=tell)
    cut = _cut(frame)
    roles = {"label": LABEL, "time": TIME, "until": cut, "id": "transaction_id", "amount": AMOUNT, "entity": CUSTOMER}
    options = {**roles, "drop": KIND, "threshold": f"budget:{_alerts_per_day(frame)}", "seed": seed}
    command = " ".join([f"oddrow fit {table} --out {model}", *(f"--{name} {value}" for name, value in options.items())])
    tell(f"\n$ {command}")
    artifact = workflow.fit(
        table, model, Settings.gather(options=options), progress=progress, tell=tell, command=command
    )
    tell(f"\n$ oddrow score {table} --model {model} --from {cut} --out {scores}")
    workflow.score(table, model, scores, start=cut, tell=tell)
    tell(f"\n$ oddrow evaluate {table} --model {model} --from {cut}")
    _evaluate(artifact, table, cut, tell)
    tell(f"\nFiles: {table}, {model}/ (manifest.json, tensors.safetensors, card.md), {scores}")


def _cut(frame: pl.DataFrame) -> str:
    """Return the midnight at which training ends."""
    first, last = frame[TIME].min(), frame[TIME].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    cut = first + timedelta(days=round((last - first).days * SHARE_OF_TIME_TO_LEARN))
    return cut.date().isoformat()


def _alerts_per_day(frame: pl.DataFrame) -> int:
    return max(1, frame.height // frame[TIME].dt.date().n_unique() // ROWS_PER_ALERT)


def _evaluate(artifact: Artifact, table: str, cut: str, tell: Tell) -> None:
    chosen = read_dataset(table, artifact.read, artifact.roles, cut, None, both=True)
    tell(workflow.evaluate_dataset(artifact, chosen, others={"amount alone": _amount}, tell=tell))
    _tell_by_kind(artifact, chosen, tell)


def _amount(table: Table) -> npt.NDArray[np.float64]:
    return table.frame[AMOUNT].to_numpy()


def _tell_by_kind(artifact: Artifact, chosen: Dataset, tell: Tell) -> None:
    """Report how well each kind of fraud is found."""
    scores = artifact.detector.anomaly_score(chosen.table)
    alerts = artifact.threshold.alerts(scores, chosen.outcomes.time)
    kinds = chosen.table.frame[KIND].to_numpy()
    for kind in FRAUD_KINDS[1:]:
        of_kind = kinds == kind
        if not of_kind.any():
            continue
        compared = of_kind | (chosen.outcomes.y == 0)
        ranking = average_precision(of_kind[compared].astype(np.float64), scores[compared])
        found = alerts[of_kind].mean()
        tell(f"{kind}: {int(of_kind.sum()):,} rows, {found:.0%} are alerts, AP {ranking:.3f} against all normal rows")
