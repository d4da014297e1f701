"""The workflow that made generated frauds popular, step by step as it was, so that its figure can be looked into.

Rows are made up, or left out, before anything is divided; hence most of the frauds it is tested on are its own.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import normalize

from oddrow.nets.cvae import CVAE
from oddrow.recipes.learning import LearnAndTest
from oddrow.table.split import split_random
from oddrow.train.history import History
from oddrow.train.loop import train
from oddrow.train.training import Training

Floats = npt.NDArray[np.float64]

HIDDEN, LATENT = (128, 64), 2
REACH = 3.0


def generated_before(
    X: Floats, y: Floats, weight: Floats, *, n: int, share: float, seed: int
) -> tuple[LearnAndTest, History]:
    """n generated frauds join the rows, then a share of all tests; and how the network learned."""
    made, history = generated_from_anomalies_alone(X[y == 1], n, seed)
    is_made = np.arange(len(X) + n) >= len(X)
    rows = np.vstack([X, made]), np.append(y, np.ones(n)), np.append(weight, np.ones(n))
    return _divided(*rows, is_made, share, seed), history


def under_sampled_before(X: Floats, y: Floats, *, share: float, seed: int) -> LearnAndTest:
    """As many normal rows as there are frauds, then a share of both tests: half of the test rows are frauds."""
    rng = np.random.default_rng(seed)
    frauds = np.flatnonzero(y == 1)
    rows = np.sort(np.append(frauds, rng.permutation(np.flatnonzero(y == 0))[: len(frauds)]))
    return _divided(X[rows], y[rows], np.ones(len(rows)), np.zeros(len(rows), bool), share, seed)


def generated_from_anomalies_alone(X: Floats, n: int, seed: int) -> tuple[Floats, History]:
    """n rows (n, d) from a VAE of anomalies (m, d) alone, whose condition is therefore always the same.

    Every row is scaled to length 1, as the notebook does, which loses all that amounts say; codes walk along the
    diagonal of the latent plane; and what is decoded lies in [0, 1], as from a sigmoid, whatever the rows were.
    """
    rows = normalize(X).astype(np.float32)
    parts = jnp.asarray(rows), jnp.zeros((len(rows), 0), jnp.int32), jnp.zeros(len(rows), jnp.int32)
    network = CVAE(X.shape[1], (), 1, HIDDEN, LATENT, key=jax.random.key(seed))
    done = train(network, parts, Training(batch_size=32), seed=seed)
    steps = np.linspace(-REACH, REACH, n, dtype=np.float32)
    decoded: Any = done.network.likeliest(jnp.column_stack([steps] * LATENT), jnp.zeros(n, jnp.int32))[0]
    return np.clip(np.asarray(decoded, np.float64), 0, 1), done.history


def _divided(
    X: Floats, y: Floats, weight: Floats, is_made: npt.NDArray[np.bool_], share: float, seed: int
) -> LearnAndTest:
    train, test = split_random(len(y), share, np.random.default_rng(seed), y=y)
    return LearnAndTest(X[train], y[train], weight[train], X[test], y[test], weight[test], is_made[test])
