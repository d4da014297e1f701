"""The workflow that made generated frauds popular, step by step as it was, so that its figure can be looked into."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import normalize

from oddrow.nets.cvae import CVAE
from oddrow.train.history import History
from oddrow.train.loop import train
from oddrow.train.training import Training

Floats = npt.NDArray[np.float64]

HIDDEN, LATENT = (128, 64), 2
REACH = 3.0


class Generated(NamedTuple):
    """Made-up rows (n, d), and how the network learned."""

    X: Floats
    history: History


def generated_from_anomalies_alone(X: Floats, n: int, seed: int) -> Generated:
    """n rows from a VAE of anomalies (m, d) alone, whose condition is therefore always the same.

    Every row is scaled to length 1, as the notebook does, which loses all that amounts say; codes walk along the
    diagonal of the latent plane; and what is decoded lies in [0, 1], as from a sigmoid, whatever the rows were.
    """
    rows = normalize(X).astype(np.float32)
    parts = jnp.asarray(rows), jnp.zeros((len(rows), 0), jnp.int32), jnp.zeros(len(rows), jnp.int32)
    network = CVAE(X.shape[1], (), 1, HIDDEN, LATENT, key=jax.random.key(seed))
    done = train(network, parts, Training(batch_size=32), seed=seed)
    steps = np.linspace(-REACH, REACH, n, dtype=np.float32)
    decoded: Any = done.network.likeliest(jnp.column_stack([steps] * LATENT), jnp.zeros(n, jnp.int32))[0]
    return Generated(np.clip(np.asarray(decoded, np.float64), 0, 1), done.history)
