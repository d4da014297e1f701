"""Means of training rows, for a model that is to hold none of the rows themselves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans

from oddrow.detectors.kept import Arrays, Numbers

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
