"""Epochs over rows that do not fit into memory, shard by shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from oddrow.train.epochs import VALIDATION_CHUNK, Epochs, Ints, N, State, Sums, added, filled, in_chunks
from oddrow.train.shards import Shards
from oddrow.train.training import Training


class ShardedEpochs(Epochs[N]):
    """The epochs of one network over shards: each sees every row once, the shards and the rows in each in new order."""

    def __init__(
        self, network: N, shards: Shards, validation: Sequence[Any] | None, training: Training, seed: int
    ) -> None:
        self.networks, self.training, self.seeds, self.shards = [network], training, [seed], shards
        self.n_rows = [max(shards.lengths)]
        self.batch_size = min(training.batch_size, self.n_rows[0])
        self.n_steps = -(-self.n_rows[0] // self.batch_size)
        self.most_rows = shards.n_rows
        self.n_epochs = training.epochs_for(self.most_rows)
        self.validation = None if validation is None else in_chunks(validation, VALIDATION_CHUNK)

    def _train(self, state: State, epochs: Ints) -> tuple[State, Sums]:
        total: Sums = {}
        for epoch in epochs:
            order = np.random.default_rng([self.seeds[0], epoch, 1]).permutation(len(self.shards.lengths))
            for turn, (shard, rows) in enumerate(zip(order, self.shards.ahead(order), strict=True)):
                draw = np.array([epoch * len(order) + turn])
                self.n_rows = [self.shards.lengths[shard]]
                on_device = jax.tree.map(jnp.asarray, filled(rows, max(self.shards.lengths)))
                weights = jnp.asarray(self.in_batches(np.ones(self.n_rows[0], np.float32)))
                state, sums = self._call(state, on_device, weights, np.array([epoch]), draw)
                total = added(total, sums, self.n_rows[0] / self.shards.n_rows)
        return state, total
