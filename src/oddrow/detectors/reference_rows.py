"""Reference rows: choose among training rows, or replace them by means that reveal none of them."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans

from oddrow.detectors.block_scoring import score_in_blocks
from oddrow.nets.neighbours import Neighbours
from oddrow.train.shards import Shards
from oddrow.typing import Ints, Mask

Numbers: TypeAlias = npt.NDArray[np.float32]

# Numbers (n, numbers) and categories (n, categories).
Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]

# Enough rows of those on disk to choose reference rows from.
SAMPLE_ROWS = 20_000

# Rows are compared with the nearest fifth of random landmarks: a cluster of anomalies smaller than that share is still
# far from its nearest landmarks on average.
N_LANDMARKS, NEAREST_SHARE = 256, 0.2

# Clusters of means: their number at most, rows in each on average, and rows without which one is dropped.
N_CLUSTERS, ROWS_PER_CLUSTER, MIN_CLUSTER_SIZE = 200, 10, 5

# Random numbers that stand for one level in k-means; two levels are then about a squared distance of 1 apart.
LEVEL_WIDTH = 8


def load_rows(rows: Any) -> Arrays:
    """Return arrays; for shards, which are random samples, read the first until there are 20,000 rows."""
    if not isinstance(rows, Shards):
        return tuple(map(np.asarray, rows))
    n_shards = int(np.searchsorted(np.cumsum(rows.lengths), SAMPLE_ROWS)) + 1
    return concat(*(rows.read(shard) for shard in range(min(n_shards, len(rows.lengths)))))


def subsample(rows: Arrays, most: int, rng: np.random.Generator) -> Arrays:
    """Return at most that many rows, in random order."""
    places = rng.permutation(len(rows[0]))[:most]
    return tuple(part[places] for part in rows)


def concat(*several: Arrays) -> Arrays:
    """Concatenate rows, array by array."""
    return tuple(map(np.concatenate, zip(*several, strict=True)))


def column_range(numbers: Numbers) -> Numbers:
    """Return the range of each column (n, numbers), (numbers,); 1 for a constant column."""
    return _one_if_zero(np.ptp(numbers, axis=0))


def column_deviation(numbers: Numbers) -> Numbers:
    """Return the standard deviation of each column (n, numbers), (numbers,); 1 for a constant column."""
    return _one_if_zero(numbers.std(axis=0, dtype=np.float64))


def _one_if_zero(spread: npt.NDArray[Any]) -> Numbers:
    return np.where(spread > 0, spread, 1).astype(np.float32)


def inlier_mask(numbers: Numbers, share: float, rng: np.random.Generator) -> Mask:
    """Return a mask (n,) of the rows whose mean landmark distance is within the 1 - `share` quantile."""
    rows = numbers, np.zeros((len(numbers), 0), np.int32)
    landmarks = subsample(rows, N_LANDMARKS, rng)
    n_nearest = max(1, round(NEAREST_SHARE * len(landmarks[0])))
    scale = jnp.asarray(1 / column_deviation(numbers))
    neighbours = Neighbours(*map(jnp.asarray, landmarks), scale=scale, n_nearest=n_nearest)
    distances = score_in_blocks(_mean_distance, neighbours, rows)
    return distances <= np.quantile(distances, 1 - share)


def _mean_distance(neighbours: Neighbours, rows: Any) -> Any:
    found = neighbours.nearest(rows)
    return found.mean_distance(found.identical)


def centroids(rows: Arrays, spread: Numbers, rng: np.random.Generator) -> Arrays:
    """Return the centres of clusters: the mean of each number and the most frequent level of each category.

    There are at least two; a single cluster gives the same centre twice.
    """
    n_clusters = min(N_CLUSTERS, len(rows[0]) // ROWS_PER_CLUSTER)
    cluster = _clusters(_as_points(rows, spread, rng), n_clusters, rng)
    members = [np.flatnonzero(cluster == place) for place in np.flatnonzero(np.bincount(cluster) >= MIN_CLUSTER_SIZE)]
    members = members if len(members) > 1 else [np.arange(len(cluster))] * 2
    numbers = np.stack([rows[0][of_cluster].mean(axis=0) for of_cluster in members])
    levels = [[np.bincount(column).argmax() for column in rows[1][of_cluster].T] for of_cluster in members]
    return numbers, np.reshape(levels, (len(members), -1)).astype(np.int32)


def _clusters(points: Numbers, n_clusters: int, rng: np.random.Generator) -> Ints:
    if n_clusters < 2:
        return np.zeros(len(points), np.int64)
    means = MiniBatchKMeans(n_clusters, n_init=1, random_state=int(rng.integers(2**31)))
    return np.asarray(means.fit_predict(points), np.int64)


def _as_points(rows: Arrays, spread: Numbers, rng: np.random.Generator) -> Numbers:
    """Return rows as points whose Euclidean distances are about those that `Neighbours` finds."""
    numbers, categories = rows
    scale = 1 / np.sqrt(2 * LEVEL_WIDTH)
    tables = [rng.normal(0, scale, (int(levels.max()) + 1, LEVEL_WIDTH)) for levels in categories.T]
    vectors = [table[levels] for table, levels in zip(tables, categories.T, strict=True)]
    return np.concatenate([numbers / spread, *vectors], axis=1, dtype=np.float32)
