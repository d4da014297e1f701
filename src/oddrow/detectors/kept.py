"""What the default detector needs of training rows: which are at hand and trusted, and what their numbers count."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from oddrow.detectors.scoring import score_in_blocks
from oddrow.nets.memory import Memory
from oddrow.train.shards import Shards

Numbers = npt.NDArray[np.float32]
# Numbers (n, numbers) and categories (n, categories).
Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]

# Of rows on disk so many say how far they reach, and which are kept.
ENOUGH_ROWS = 20_000
# Rows are held against so many of them, drawn at random, and there against a fifth, the nearest: a cluster of anomalies
# that is smaller cannot vouch for itself.
N_LANDMARKS, NEAREST_SHARE = 256, 0.2


def at_hand(rows: Any) -> Arrays:
    """Rows that are in memory; of shards on disk, which are random samples, the first ones."""
    if not isinstance(rows, Shards):
        return tuple(map(np.asarray, rows))
    n_shards = int(np.searchsorted(np.cumsum(rows.lengths), ENOUGH_ROWS)) + 1
    return joined(*(rows.read(shard) for shard in range(min(n_shards, len(rows.lengths)))))


def some_of(rows: Arrays, most: int, rng: np.random.Generator) -> Arrays:
    """So many rows at most, in random order."""
    places = rng.permutation(len(rows[0]))[:most]
    return tuple(part[places] for part in rows)


def joined(*several: Arrays) -> Arrays:
    """The rows of all, one after the other."""
    return tuple(map(np.concatenate, zip(*several, strict=True)))


def reach(numbers: Numbers) -> Numbers:
    """The range of each column (n, numbers), (numbers,), 1 where all its values are one."""
    return _not_zero(np.ptp(numbers, axis=0))


def deviation(numbers: Numbers) -> Numbers:
    """The standard deviation of each column (n, numbers), (numbers,), 1 where all its values are one."""
    return _not_zero(numbers.std(axis=0, dtype=np.float64))


def _not_zero(spread: npt.NDArray[Any]) -> Numbers:
    return np.where(spread > 0, spread, 1).astype(np.float32)


def among_others(rows: Arrays, spread: Numbers, share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which rows (n,) are not of the share that lies farthest from the others; all where all lie alike."""
    landmarks = some_of(rows, N_LANDMARKS, rng)
    n_nearest = max(1, round(NEAREST_SHARE * len(landmarks[0])))
    memory = Memory(*map(jnp.asarray, landmarks), scale=jnp.asarray(1 / spread), n_nearest=n_nearest)
    distances = score_in_blocks(_mean_distance, memory, rows)
    return distances <= np.quantile(distances, 1 - share)


def _mean_distance(memory: Memory, rows: Any) -> Any:
    found = memory.nearest(rows)
    return found.mean_without(found.same)
