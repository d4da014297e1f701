"""Tables of any size whose columns hang together, written block by block, so that none is ever whole in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.table.write import write_blocks

Floats = npt.NDArray[np.float64]

N_FACTORS, NOISE = 4, 0.3
# So many rows are drawn; beyond them they come again, each time with more noise of its own.
N_DRAWN, NOISE_AGAIN = 1_000_000, 0.1
ROWS_AT_ONCE = 100_000
DECIMALS = 6
# What a number takes in a file, at most.
BYTES_OF_A_NUMBER = {".parquet": 8, ".csv": 10}
# Scores, or encoded rows, lie beside the file.
BESIDE = 1.6


def structured(n_rows: int, n_columns: int, seed: int) -> Floats:
    """Numbers (n, columns) that few factors rule, with noise; the same factors for every seed."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(0).normal(size=(N_FACTORS, n_columns))
    return np.tanh(rng.normal(size=(n_rows, N_FACTORS)) @ weights) + NOISE * rng.normal(size=(n_rows, n_columns))


def blocks(n_rows: int, n_columns: int, seed: int) -> Iterator[pl.DataFrame]:
    """The rows, some at a time."""
    drawn = structured(min(n_rows, N_DRAWN), n_columns, seed)
    rng = np.random.default_rng([seed, 1])
    for start in range(0, n_rows, ROWS_AT_ONCE):
        rows = drawn[np.arange(start, min(start + ROWS_AT_ONCE, n_rows)) % len(drawn)]
        again = NOISE_AGAIN * rng.standard_normal(rows.shape) if start >= len(drawn) else 0
        yield as_frame(rows + again)


def as_frame(numbers: Floats) -> pl.DataFrame:
    """Numbers (n, columns) as a frame of x0, x1, …, with so many decimals that a text file is no longer than usual."""
    return pl.DataFrame(numbers.round(DECIMALS), schema=[f"x{column}" for column in range(numbers.shape[1])])


def write_structured(path: Path, n_rows: int, n_columns: int, seed: int = 1) -> None:
    """Write such rows as the ending of the path says."""
    write_blocks(blocks(n_rows, n_columns, seed), path)


def check_disk(folder: Path | None, n_numbers: int, suffix: str = ".parquet") -> None:
    """Stop where a file of so many numbers, and what is written beside it, would fill the disk."""
    place = Path(gettempdir()) if folder is None else folder
    needed, free = BESIDE * n_numbers * BYTES_OF_A_NUMBER[suffix], shutil.disk_usage(place).free
    if free < needed:
        raise SystemExit(f"{place}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free. See --folder.")
