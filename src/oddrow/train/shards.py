"""Encoded rows on disk, in shards small enough to hold one or two in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from oddrow.errors import TrainingError

Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]


class Shards:
    """Rows as arrays (n, …) on disk. Each shard is a random sample of them, and sizes differ by one row at most.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    lengths : sequence of int
        Number of rows of each shard.
    forms : sequence of (shape, dtype)
        Shape of a row and type of each array.
    """

    def __init__(self, folder: Path, lengths: Sequence[int], forms: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]):
        self.folder, self.lengths, self.forms = folder, list(lengths), list(forms)

    @classmethod
    def write(cls, parts: Iterable[Arrays], n_rows: int, n_shards: int, folder: Path, *, seed: int) -> Shards:
        """Write rows that arrive in parts, `n_rows` in all, to shards drawn at random.

        Raises `TrainingError` if they cannot be written.
        """
        shard_of = (np.arange(n_rows) % n_shards).astype(np.min_scalar_type(n_shards))
        np.random.default_rng(seed).shuffle(shard_of)
        forms: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        start = 0
        try:
            folder.mkdir(parents=True)
            for part in parts:
                forms = [(array.shape[1:], array.dtype) for array in part]
                _append(part, shard_of[start : start + len(part[0])], folder)
                start += len(part[0])
        except OSError as error:
            raise TrainingError(f"{folder}: the encoded rows cannot be written ({error}).") from error
        return cls(folder, np.bincount(shard_of, minlength=n_shards).tolist(), forms)

    @property
    def n_rows(self) -> int:
        """Number of rows in all shards."""
        return sum(self.lengths)

    def read(self, shard: int) -> Arrays:
        """Return the rows of a shard, in the order in which they arrived."""
        n_rows = self.lengths[shard]
        return tuple(
            np.fromfile(_path(self.folder, shard, place), dtype).reshape(n_rows, *shape)
            for place, (shape, dtype) in enumerate(self.forms)
        )

    def ahead(self, order: Iterable[int]) -> Iterator[Arrays]:
        """Yield shards in an order; the next one is read while the caller works on the last."""
        with ThreadPoolExecutor(1) as pool:
            coming: Future[Arrays] | None = None
            for shard in order:
                ready, coming = coming, pool.submit(self.read, shard)
                if ready is not None:
                    yield ready.result()
            if coming is not None:
                yield coming.result()

    def __iter__(self) -> Iterator[Arrays]:
        """Yield all shards."""
        return self.ahead(range(len(self.lengths)))


def parts_of(rows: Any) -> Iterable[Any]:
    """Return rows as parts that fit into memory: the shards, or a list of the arrays themselves."""
    return rows if isinstance(rows, Shards) else [rows]


def row_count(rows: Any) -> int:
    """Return the number of rows in arrays (n, …) or shards."""
    return rows.n_rows if isinstance(rows, Shards) else len(rows[0])


def _append(part: Arrays, shard_of: npt.NDArray[Any], folder: Path) -> None:
    """Append the rows of a part to the files of their shards, in order."""
    order = np.argsort(shard_of, kind="stable")
    shards, begins = np.unique(shard_of[order], return_index=True)
    for shard, rows in zip(shards, np.split(order, begins[1:]), strict=True):
        for place, array in enumerate(part):
            with _path(folder, int(shard), place).open("ab") as file:
                array[rows].tofile(file)


def _path(folder: Path, shard: int, place: int) -> Path:
    return folder / f"{shard:05d}-{place}.bin"
