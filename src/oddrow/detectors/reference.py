"""Means of training rows, for a model that is to hold none of the rows themselves."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans

from oddrow.detectors.scoring import score_in_blocks
from oddrow.nets.neighbours import Neighbours
from oddrow.train.shards import Shards

Numbers = npt.NDArray[np.float32]

# Numbers (n, numbers) and categories (n, categories).
Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]

# Of rows on disk so many say how far they reach, and which are kept.
ENOUGH_ROWS = 20_000

# Rows are held against so many of them, drawn at random, and there against a fifth, the nearest: a cluster of anomalies
# that is smaller cannot vouch for itself.
N_LANDMARKS, NEAREST_SHARE = 256, 0.2


def load_rows(rows: Any) -> Arrays:
    """Rows that are in memory; of shards on disk, which are random samples, the first ones."""
    if not isinstance(rows, Shards):
        return tuple(map(np.asarray, rows))
    n_shards = int(np.searchsorted(np.cumsum(rows.lengths), ENOUGH_ROWS)) + 1
    return concat(*(rows.read(shard) for shard in range(min(n_shards, len(rows.lengths)))))


def subsample(rows: Arrays, most: int, rng: np.random.Generator) -> Arrays:
    """So many rows at most, in random order."""
    places = rng.permutation(len(rows[0]))[:most]
    return tuple(part[places] for part in rows)


def concat(*several: Arrays) -> Arrays:
    """The rows of all, one after the other."""
    return tuple(map(np.concatenate, zip(*several, strict=True)))


def column_range(numbers: Numbers) -> Numbers:
    """The range of each column (n, numbers), (numbers,), 1 where all its values are one."""
    return _not_zero(np.ptp(numbers, axis=0))


def column_deviation(numbers: Numbers) -> Numbers:
    """The standard deviation of each column (n, numbers), (numbers,), 1 where all its values are one."""
    return _not_zero(numbers.std(axis=0, dtype=np.float64))


def _not_zero(spread: npt.NDArray[Any]) -> Numbers:
    return np.where(spread > 0, spread, 1).astype(np.float32)


def inlier_mask(rows: Arrays, spread: Numbers, share: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which rows (n,) are not of the share that lies farthest from the others; all where all lie alike."""
    landmarks = subsample(rows, N_LANDMARKS, rng)
    n_nearest = max(1, round(NEAREST_SHARE * len(landmarks[0])))
    memory = Neighbours(*map(jnp.asarray, landmarks), scale=jnp.asarray(1 / spread), n_nearest=n_nearest)
    distances = score_in_blocks(_mean_distance, memory, rows)
    return distances <= np.quantile(distances, 1 - share)


def _mean_distance(memory: Neighbours, rows: Any) -> Any:
    found = memory.nearest(rows)
    return found.mean_without(found.same)


# At most so many clusters, of so many rows each on average; those with fewer members than the last are left out.
N_CLUSTERS, ROWS_OF_EACH, LEAST_MEMBERS = 200, 10, 5

# A level stands for so many random numbers, two levels being at a squared distance of about 1.
WIDTH_OF_A_LEVEL = 8


def centroids(rows: Arrays, spread: Numbers, rng: np.random.Generator) -> Arrays:
    """The middles of clusters of the rows: the mean of each number, of every category the most frequent level.

    There are two at least; the same twice where all rows are one cluster.
    """
    n_clusters = min(N_CLUSTERS, len(rows[0]) // ROWS_OF_EACH)
    cluster = _clusters(_in_space(rows, spread, rng), n_clusters, rng)
    sizes = np.bincount(cluster)
    members = [np.flatnonzero(cluster == place) for place in np.flatnonzero(sizes >= LEAST_MEMBERS)]
    members = members if len(members) > 1 else [np.arange(len(cluster))] * 2
    numbers = np.stack([rows[0][of_cluster].mean(axis=0) for of_cluster in members])
    levels = np.stack([_most_frequent(rows[1][of_cluster]) for of_cluster in members])
    return numbers, levels


def _clusters(points: Numbers, n_clusters: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    if n_clusters < 2:
        return np.zeros(len(points), np.int64)
    means = MiniBatchKMeans(n_clusters, n_init=1, random_state=int(rng.integers(2**31)))
    return np.asarray(means.fit_predict(points), np.int64)


def _in_space(rows: Arrays, spread: Numbers, rng: np.random.Generator) -> Numbers:
    """Rows as points (n, …) whose distances are about those that a memory of them finds."""
    numbers, categories = rows
    scale = 1 / np.sqrt(2 * WIDTH_OF_A_LEVEL)
    tables = [rng.normal(0, scale, (int(levels.max()) + 1, WIDTH_OF_A_LEVEL)) for levels in categories.T]
    vectors = [table[levels] for table, levels in zip(tables, categories.T, strict=True)]
    return np.concatenate([numbers / spread, *vectors], axis=1, dtype=np.float32)


def _most_frequent(categories: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return np.array([np.bincount(levels).argmax() for levels in categories.T], np.int32)
