"""The training loop: epochs, loss curve, checkpoint, early stopping, best weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oddrow.errors import ParameterError
from oddrow.train.checkpoint import Checkpoint
from oddrow.train.epochs import Epochs, N, ShardedEpochs, Trained
from oddrow.train.monitor import LossCurve, Progress, Scalars
from oddrow.train.shards import Shards
from oddrow.train.training import Training


def train(
    network: N,
    rows: Any,
    training: Training,
    *,
    seed: int,
    validation: Any = None,
    signature: str = "",
) -> Trained[N]:
    """Train a network with Adam.

    Parameters
    ----------
    network : Trainable
        The network, with its initial weights.
    rows : pytree of arrays, each of shape (n, ...), or Shards
        Training rows.
    training : Training
        How to train.
    seed : int
        Random seed of shuffling and noise. The same seed and rows give the same weights, interrupted or not.
    validation : pytree of arrays, each of shape (m, ...), or None
        Validation rows.
    signature : str
        Identifies rows and parameters, so that the checkpoint of another fit is refused.

    Returns
    -------
    Trained
        The network with its last weights or, with `training.patience`, those of the lowest validation loss.

    Raises
    ------
    TrainingError
        If the loss stops being finite, or the checkpoint is of another fit.

    References
    ----------
    Kingma and Ba (2015), Adam: A Method for Stochastic Optimization, algorithm 1.
    """
    held_out = None if validation is None else [validation]
    return train_together([network], [rows], training, seeds=[seed], validation=held_out, signature=signature)[0]


def train_together(
    networks: Sequence[N],
    rows: Sequence[Any],
    training: Training,
    *,
    seeds: Sequence[int],
    validation: Sequence[Any] | None = None,
    signature: str = "",
) -> list[Trained[N]]:
    """Train several networks of the same shape at once under `vmap`, each on its own rows with its own seed.

    On small tables twenty runs cost little more than one. All runs take as many steps per epoch as the longest table
    needs, and each needs a row for every step. A run that would take as many on its own ends with the same weights, up
    to rounding. Parameters and errors are those of `train`.
    """
    training._check()
    epochs = _epochs(networks, rows, validation, training, seeds)
    state = epochs.start()
    curves: list[LossCurve] = [[] for _ in networks]
    checkpoint = Checkpoint(training.checkpoint, f"{signature}-{'-'.join(map(str, seeds))}")
    if (resumed := checkpoint.read(state)) is not None:
        state, curves = resumed
    bar, events = Progress(epochs.n_epochs, shown=training.progress), Scalars(training.tensorboard, curves)
    with bar as progress, checkpoint, events as scalars:
        while not all(map(epochs.has_finished, curves)):
            state, curves = epochs.run(state, curves)
            checkpoint.update(state, curves)
            scalars.show(curves)
            progress.show(_mean(curves))
    checkpoint.remove()
    return epochs.trained(state, curves)


def _epochs(
    networks: Sequence[N],
    rows: Sequence[Any],
    validation: Sequence[Any] | None,
    training: Training,
    seeds: Sequence[int],
) -> Epochs[N]:
    if not isinstance(rows[0], Shards):
        return Epochs(networks, rows, validation, training, seeds)
    if len(networks) > 1:
        raise ParameterError("rows on disk can train one network only. Pass one network, or rows in memory.")
    return ShardedEpochs(networks[0], rows[0], validation, training, seeds[0])


def _mean(curves: list[LossCurve]) -> LossCurve:
    """Return the longest curve with its last point replaced by the mean over all curves of that length."""
    longest = max(curves, key=len)
    last = [curve[-1] for curve in curves if len(curve) == len(longest)]
    means = {name: sum(point[name] for point in last) / len(last) for name in last[0]}
    return [*longest[:-1], {**means, "epoch": last[0]["epoch"]}]
