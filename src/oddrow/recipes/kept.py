"""What is kept of a run for its report: everybody's scores of the rows that tested them, in one table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import ArtifactError
from oddrow.recipes.cases import RowNumbers
from oddrow.table.write import write_table

Floats = npt.NDArray[np.float64]

SCORES = "scores.parquet"
ROW = "row"


def keep_scores(folder: Path, rows: RowNumbers, name: str, scores: Floats) -> None:
    """Put a contestant's scores (n,) beside those of the others; those of other rows go.

    `rows` (n,) are the numbers of the rows in the file.
    """
    kept = {**kept_scores(folder, rows), name: scores}
    write_table(pl.DataFrame({ROW: rows, **kept}), folder / SCORES)


def kept_scores(folder: Path, rows: RowNumbers) -> dict[str, Floats]:
    """The scores of these rows by contestant; none where those of other rows are kept."""
    path = folder / SCORES
    if not path.exists():
        return {}
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(f"{path}: this cannot be read ({error}). Delete it to go on.") from error
    if ROW not in frame.columns or not np.array_equal(frame[ROW].to_numpy(), rows):
        return {}
    return {name: frame[name].to_numpy() for name in frame.columns if name != ROW}
