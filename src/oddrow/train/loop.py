"""The life of a training: shuffle, step, validate, keep the best, stop. Whole epochs run in one compiled call."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray
from sklearn.base import BaseEstimator

from oddrow.errors import TrainingError, check_number
from oddrow.train.checkpoint import Checkpoint
from oddrow.train.progress import Progress

USUAL_EPOCHS, LEAST_STEPS = 40, 3200
# Validation rows are measured in chunks, so that wide networks need no memory for all of them at once.
VALIDATION_CHUNK = 8192


class Trainable(Protocol):
    """What the loop asks of a network: an Equinox module with a loss."""

    def loss(self, batch: Any, key: PRNGKeyArray | None) -> Float[Array, ""]:
        """Mean loss of a batch (rows, weight); `key=None` asks for the loss without noise."""


N = TypeVar("N", bound=Trainable)


class Training(BaseEstimator):  # type: ignore[misc]
    """How a network is trained; shared by all detectors.

    Parameters
    ----------
    epochs : int or None
        Passes over the training rows at most; 0 leaves the network untrained. None takes 40, or on small tables as
        many as make 3,200 steps.
    batch_size : int
        Rows in a step.
    learning_rate : float
        Adam's step size.
    validation_fraction : float
        Share of the training rows that is held out to decide when to stop, and to choose the threshold.
    patience : int or None
        Stop after this many epochs without a lower validation loss and keep the weights that had the lowest. None
        trains all epochs and keeps the last weights.
    clip_norm : float or None
        Longest gradient allowed; a longer one is scaled down.
    checkpoint : str or None
        Folder in which the state of training is kept, so that an interrupted `fit` can go on from there.
    progress : bool
        Show a bar on a terminal, else one line for each epoch.
    """

    def __init__(
        self,
        *,
        epochs: int | None = None,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        clip_norm: float | None = 1.0,
        checkpoint: str | None = None,
        progress: bool = False,
    ) -> None:
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.clip_norm = clip_norm
        self.checkpoint = checkpoint
        self.progress = progress

    def check(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""
        if self.epochs is not None:
            check_number("training.epochs", self.epochs, 0, whole=True)
        check_number("training.batch_size", self.batch_size, 1, whole=True)
        check_number("training.learning_rate", self.learning_rate, 0, above=True)
        check_number("training.validation_fraction", self.validation_fraction, 0, 0.9)
        if self.patience is not None:
            check_number("training.patience", self.patience, 1, whole=True)
        if self.clip_norm is not None:
            check_number("training.clip_norm", self.clip_norm, 0, above=True)

    def epochs_for(self, n_rows: int) -> int:
        """How many epochs a table of this many training rows gets."""
        if self.epochs is not None:
            return self.epochs
        return max(USUAL_EPOCHS, -(-LEAST_STEPS // -(-n_rows // self.batch_size)))


class State(NamedTuple):
    """Everything that changes while training."""

    parameters: Float[Array, " parameters"]
    optimiser: optax.OptState
    best: Float[Array, " parameters"]


@dataclass(frozen=True)
class Trained(Generic[N]):
    """A trained network and how it came about; `history` has one entry for each epoch."""

    network: N
    history: list[dict[str, float]]
    best_epoch: int


def train(
    network: N,
    rows: Any,
    training: Training,
    *,
    seed: int,
    validation: Any = None,
    signature: str = "",
) -> Trained[N]:
    """Train a network on rows, a pytree of arrays (n, …), with Adam (Kingma and Ba, 2015).

    With patience, the weights with the lowest loss on the validation rows are kept, else the last ones. The same
    seed and rows give the same weights, interrupted or not. `signature` names rows and parameters, so that a
    checkpoint of another training is not taken for this one.

    Raises `TrainingError` when the loss stops being finite.
    """
    training.check()
    epochs = _Epochs(network, rows, validation, training, seed)
    state = epochs.start()
    history: list[dict[str, float]] = []
    checkpoint = Checkpoint(training.checkpoint, f"{signature}-{seed}")
    if (resumed := checkpoint.read(state)) is not None:
        state, history = resumed
    with Progress(epochs.n_epochs, shown=training.progress) as progress, checkpoint:
        while not _finished(history, epochs.n_epochs, training.patience):
            state, line = epochs.run(state, history)
            _check_finite(line, training)
            history = [*history, line]
            checkpoint.update(state, history)
            progress.show(history)
    checkpoint.remove()
    return Trained(_unflatten(network, state.best), history, int(_kept(history, training.patience).get("epoch", 0)))


def _kept(history: list[dict[str, float]], patience: int | None) -> dict[str, float]:
    """The epoch whose weights are kept: the last, or with patience the one with the lowest validation loss."""
    if not history or patience is None or "validation_loss" not in history[0]:
        return history[-1] if history else {}
    return min(history, key=lambda line: line["validation_loss"])


def _finished(history: list[dict[str, float]], n_epochs: int, patience: int | None) -> bool:
    waited = len(history) - _kept(history, patience).get("epoch", 0)
    return len(history) >= n_epochs or (patience is not None and waited >= patience)


def _check_finite(line: dict[str, float], training: Training) -> None:
    if not all(math.isfinite(number) for number in line.values()):
        raise TrainingError(
            f"the loss stopped being finite in epoch {line['epoch']}. Lower training.learning_rate "
            f"(now {training.learning_rate:g}) or training.clip_norm (now {training.clip_norm})."
        )


class _Epochs(Generic[N]):
    """The compiled epoch of one training, and the data it walks over."""

    def __init__(self, network: N, rows: Any, validation: Any, training: Training, seed: int) -> None:
        self.network, self.training, self.seed = network, training, seed
        self.n_rows = jax.tree.leaves(rows)[0].shape[0]
        self.batch_size = min(training.batch_size, self.n_rows)
        self.n_steps = -(-self.n_rows // self.batch_size)
        self.n_epochs = training.epochs_for(self.n_rows)
        self.rows = jax.tree.map(jnp.asarray, rows)
        self.validation = None if validation is None else _in_chunks(validation, VALIDATION_CHUNK)

    def start(self) -> State:
        parameters = _flatten(self.network)
        optimiser = _optimiser(self.training.learning_rate, self.training.clip_norm).init(parameters)
        return State(parameters, optimiser, parameters)

    def run(self, state: State, history: list[dict[str, float]]) -> tuple[State, dict[str, float]]:
        epoch = len(history)
        parameters, optimiser, losses = _run_epoch(
            self.network,
            (self.rows, self.validation),
            (state.parameters, state.optimiser),
            jnp.asarray(self._order(epoch)),
            jax.random.fold_in(jax.random.key(self.seed), epoch),
            self.training.learning_rate,
            self.training.clip_norm,
            self.batch_size,
        )
        line = {"epoch": epoch + 1, **{name: float(loss) for name, loss in losses.items()}}
        is_kept = _kept([*history, line], self.training.patience)["epoch"] == line["epoch"]
        return State(parameters, optimiser, parameters if is_kept else state.best), line

    def _order(self, epoch: int) -> npt.NDArray[np.int32]:
        """The rows of an epoch in shuffled order, filled up with row 0, which then weighs nothing."""
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(self.n_rows).astype(np.int32)
        return np.pad(shuffled, (0, self.n_steps * self.batch_size - self.n_rows))


def _in_chunks(rows: Any, chunk: int) -> tuple[Any, Float[Array, "chunks chunk"]]:
    """Rows (n, …) as (chunks, chunk, …), the last one filled up, with weights that say so."""
    n_rows = jax.tree.leaves(rows)[0].shape[0]
    chunk = min(chunk, n_rows)
    n_chunks = -(-n_rows // chunk)
    places = np.arange(n_chunks * chunk)
    taken = jax.tree.map(lambda leaf: jnp.asarray(leaf[np.minimum(places, n_rows - 1)]), rows)
    shaped = jax.tree.map(lambda leaf: leaf.reshape(n_chunks, chunk, *leaf.shape[1:]), taken)
    return shaped, jnp.asarray(places < n_rows, jnp.float32).reshape(n_chunks, chunk)


def _optimiser(learning_rate: float, clip_norm: float | None) -> optax.GradientTransformation:
    adam = optax.adam(learning_rate)
    return adam if clip_norm is None else optax.chain(optax.clip_by_global_norm(clip_norm), adam)


def _flatten(network: Any) -> Float[Array, " parameters"]:
    flat: Float[Array, " parameters"] = ravel_pytree(eqx.filter(network, eqx.is_inexact_array))[0]
    return flat


def _unflatten(network: N, flat: Float[Array, " parameters"]) -> N:
    """The network with its weights taken from one vector (Adam on one vector is one fused operation)."""
    parameters, rest = eqx.partition(network, eqx.is_inexact_array)
    unravel = ravel_pytree(parameters)[1]
    combined: N = eqx.combine(unravel(flat), rest)
    return combined


@eqx.filter_jit
def _run_epoch(
    network: N,
    data: Any,
    start: tuple[Float[Array, " parameters"], optax.OptState],
    order: Int[Array, " rows"],
    key: PRNGKeyArray,
    learning_rate: float,
    clip_norm: float | None,
    batch_size: int,
) -> tuple[Float[Array, " parameters"], optax.OptState, dict[str, Float[Array, ""]]]:
    """One gather puts the rows in shuffled order, one scan walks the steps, then the validation rows are measured."""
    rows, validation = data
    optimiser = _optimiser(learning_rate, clip_norm)
    n_rows, n_steps = jax.tree.leaves(rows)[0].shape[0], order.shape[0] // batch_size
    shuffled = jax.tree.map(lambda leaf: leaf[order].reshape(n_steps, batch_size, *leaf.shape[1:]), rows)
    weights = (jnp.arange(order.shape[0]) < n_rows).astype(jnp.float32).reshape(n_steps, batch_size)

    def loss_of(parameters: Any, batch: Any, key: PRNGKeyArray | None) -> Float[Array, ""]:
        return _unflatten(network, parameters).loss(batch, key)

    def step(carry: Any, batch_and_number: Any) -> tuple[Any, Float[Array, ""]]:
        parameters, optimiser_state = carry
        batch, number = batch_and_number
        loss, gradient = jax.value_and_grad(loss_of)(parameters, batch, jax.random.fold_in(key, number))
        updates, optimiser_state = optimiser.update(gradient, optimiser_state)
        return (parameters + updates, optimiser_state), loss

    (parameters, optimiser_state), losses = jax.lax.scan(step, start, ((shuffled, weights), jnp.arange(n_steps)))
    measured = {"loss": losses @ weights.sum(axis=1) / n_rows}
    if validation is not None:
        measured["validation_loss"] = _validation_loss(partial(loss_of, parameters), validation)
    return parameters, optimiser_state, measured


def _validation_loss(loss_of: Any, validation: Any) -> Float[Array, ""]:
    weights = validation[1].sum(axis=1)
    losses = jax.lax.map(lambda batch: loss_of(batch, None), validation)
    return jnp.asarray(losses @ weights / weights.sum())
