"""The life of a training: epochs, history, checkpoint, early stopping, the best weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oddrow.errors import ParameterError
from oddrow.train.checkpoint import Checkpoint
from oddrow.train.epochs import Epochs, N, ShardedEpochs, Trained
from oddrow.train.monitor import Histories, History, Progress, Scalars
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
    """Train a network on rows, a pytree of arrays (n, …) or `Shards`, with Adam (Kingma and Ba, 2015).

    With patience, the weights with the lowest loss on the validation rows are kept, else the last ones. The same
    seed and rows give the same weights, interrupted or not. `signature` names rows and parameters, so that a
    checkpoint of another training is not taken for this one.

    Raises `TrainingError` when the loss stops being finite.
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
    """Train networks of one shape side by side under `vmap`, each on its own rows and with its own seed.

    On small tables, twenty together cost little more than one. Each ends as it would alone, up to rounding, where
    all have as many steps in an epoch; the longest table decides how many, and each needs a row for every step.
    Arguments and errors as for `train`.
    """
    training.check()
    epochs = _epochs(networks, rows, validation, training, seeds)
    state = epochs.start()
    histories: Histories = [[] for _ in networks]
    checkpoint = Checkpoint(training.checkpoint, f"{signature}-{'-'.join(map(str, seeds))}")
    if (resumed := checkpoint.read(state)) is not None:
        state, histories = resumed
    shown = Progress(epochs.n_epochs, shown=training.progress), Scalars(training.tensorboard, histories)
    with shown[0] as progress, checkpoint, shown[1] as scalars:
        while not all(epochs.has_finished(history) for history in histories):
            state, histories = epochs.run(state, histories)
            checkpoint.update(state, histories)
            scalars.show(histories)
            progress.show(_mean(histories))
    checkpoint.remove()
    return epochs.trained(state, histories)


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
        raise ParameterError("rows that do not fit into memory train one network at a time.")
    return ShardedEpochs(networks[0], rows[0], validation, training, seeds[0])


def _mean(histories: Histories) -> History:
    """One history for all runs: the longest, its last entry the mean over all of that length."""
    longest = max(map(len, histories))
    last = [history[-1] for history in histories if len(history) == longest]
    means = {name: sum(line[name] for line in last) / len(last) for name in last[0]}
    return [*max(histories, key=len)[:-1], {**means, "epoch": last[0]["epoch"]}]
