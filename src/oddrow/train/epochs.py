"""Whole epochs in one compiled call: the rows on the device, the order of an epoch, the steps, the validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from oddrow.train.monitor import Entry, Histories, History, check_finite, epochs_done, kept_entry
from oddrow.train.shards import Shards
from oddrow.train.training import Training
from oddrow.typing import Ints

Sums = dict[str, npt.NDArray[Any]]

Loss = tuple[Float[Array, ""], dict[str, Float[Array, ""]]]


class Trainable(Protocol):
    """What the loop asks of a network: an Equinox module with a loss."""

    def loss(self, batch: Any, key: PRNGKeyArray | None) -> Loss:
        """Mean loss of a batch (rows, weight), and its parts by name, for the history.

        `key=None` asks for the loss without noise.
        """


@runtime_checkable
class Scheduled(Protocol):
    """A network whose loss changes as training goes on."""

    def at_epoch(self, epoch: Int[Array, ""]) -> Any:
        """The network as it is trained in this epoch, counted from 0; validation sees it as it is."""


N = TypeVar("N", bound=Trainable)

# Validation rows are measured in chunks, so that wide networks need no memory for all of them at once.
VALIDATION_CHUNK = 8192

# Epochs that are not looked at run in one call as long as their rows, put in order beforehand, take no more than this.
LARGEST_CALL_BYTES = 2**26


class State(NamedTuple):
    """Everything that changes while training; with several runs together, each array has one more axis in front."""

    parameters: Float[Array, "*runs parameters"]
    optimiser: optax.OptState
    best: Float[Array, "*runs parameters"]


@dataclass(frozen=True)
class Trained(Generic[N]):
    """A trained network and how it came about; `history` has an entry every few epochs, as `Training` says."""

    network: N
    history: History
    best_epoch: int


class Epochs(Generic[N]):
    """The compiled epochs of one training, and the data they walk over, which lie on the device."""

    def __init__(
        self,
        networks: Sequence[N],
        rows: Sequence[Any],
        validation: Sequence[Any] | None,
        training: Training,
        seeds: Sequence[int],
    ) -> None:
        self.networks, self.training, self.seeds = networks, training, seeds
        self.n_rows = [_length(of_run) for of_run in rows]
        self.batch_size = min(training.batch_size, max(self.n_rows))
        self.n_steps = -(-max(self.n_rows) // self.batch_size)
        self.most_rows = max(self.n_rows)
        self.n_epochs = training.epochs_for(self.most_rows)
        self.rows = _side_by_side([filled(of_run, max(self.n_rows)) for of_run in rows])
        self.weights = _side_by_side([self.in_batches(np.ones(n_rows, np.float32)) for n_rows in self.n_rows])
        self.validation = None if validation is None else in_chunks(validation, VALIDATION_CHUNK)

    def start(self) -> State:
        parameters = _side_by_side([_flatten(network) for network in self.networks])
        initial = _optimiser(self.training.learning_rate, self.training.clip_norm).init
        optimiser = jax.vmap(initial)(parameters) if self.together else initial(parameters)
        return State(parameters, optimiser, parameters)

    @property
    def together(self) -> bool:
        return len(self.networks) > 1

    def has_finished(self, history: History) -> bool:
        patience, n_done = self.training.patience, epochs_done(history)
        waited = n_done - kept_entry(history, patience).get("epoch", 0)
        return n_done >= self.n_epochs or (patience is not None and waited >= patience)

    def run(self, state: State, histories: Histories) -> tuple[State, Histories]:
        """Train up to the next entry of the history."""
        first = max(map(epochs_done, histories))
        n_epochs = min(self.training.epochs_between(self.most_rows), self.n_epochs - first)
        state, sums = self._train(state, np.arange(first, first + n_epochs))
        means: dict[str, Any] = {name: total / n_epochs for name, total in sums.items()}
        if self.validation is not None:
            means["validation_loss"] = _measure(self.networks[0], state.parameters, self.validation, self.together)
        return self._noted(state, histories, first + n_epochs, means)

    def _train(self, state: State, epochs: Ints) -> tuple[State, Sums]:
        """The state after some epochs, and the loss and its parts summed over them."""
        n_calls = -(-len(epochs) // max(1, LARGEST_CALL_BYTES // _bytes(self.rows)))
        total: Sums = {}
        for some in np.array_split(epochs, n_calls):
            state, sums = self._call(state, self.rows, self.weights, some, some)
            total = added(total, sums)
        return state, total

    def _call(self, state: State, rows: Any, weights: Any, epochs: Ints, draws: Ints) -> tuple[State, Sums]:
        """Epochs over rows on the device, whose order and noise are those that the numbers `draws` draw."""
        orders = [np.stack([self._order(run, int(draw)) for draw in draws]) for run in range(len(self.seeds))]
        parameters, optimiser, sums = _run_epochs(
            self.networks[0],
            (rows, weights),
            (state.parameters, state.optimiser),
            _side_by_side(orders),
            _side_by_side([_epoch_keys(seed, draws) for seed in self.seeds]),
            jnp.asarray(epochs),
            (self.training.learning_rate, self.training.clip_norm),
            self.together,
        )
        return State(parameters, optimiser, state.best), {name: np.asarray(total) for name, total in sums.items()}

    def _noted(self, state: State, histories: Histories, epoch: int, means: dict[str, Any]) -> tuple[State, Histories]:
        """Histories with their next entry, and the state with the weights to keep; a run that has finished stays."""
        numbers = {name: np.atleast_1d(values) for name, values in means.items()}
        entries: list[Entry] = [
            {"epoch": epoch, **{name: float(values[run]) for name, values in numbers.items()}}
            for run in range(len(histories))
        ]
        finished = [self.has_finished(history) for history in histories]
        check_finite(list(compress(entries, np.invert(finished))), self.training.learning_rate, self.training.clip_norm)
        histories = [h if over else [*h, entry] for h, entry, over in zip(histories, entries, finished, strict=True)]
        is_kept = [kept_entry(h, self.training.patience) is entry for h, entry in zip(histories, entries, strict=True)]
        return self._keep(state, is_kept), histories

    def _keep(self, state: State, is_kept: Sequence[bool]) -> State:
        """The weights of the runs that have just become better, beside the best of the others."""
        if all(is_kept):
            return state._replace(best=state.parameters)
        if not any(is_kept):
            return state
        return state._replace(best=jnp.where(jnp.asarray(is_kept)[:, None], state.parameters, state.best))

    def trained(self, state: State, histories: Histories) -> list[Trained[N]]:
        best = state.best if self.together else state.best[None]
        patience = self.training.patience
        return [
            Trained(_unflatten(network, flat), history, int(kept_entry(history, patience).get("epoch", 0)))
            for network, flat, history in zip(self.networks, best, histories, strict=True)
        ]

    def _order(self, run: int, draw: int) -> Ints:
        """The rows in shuffled order, (steps, batch)."""
        shuffled = np.random.default_rng([self.seeds[run], draw]).permutation(self.n_rows[run])
        return self.in_batches(shuffled.astype(np.int32))

    def in_batches(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values (n,) as (steps, batch), filled up with zeros; batches differ by one row at most, so none is tiny."""
        filled = np.pad(values, (0, self.n_steps * self.batch_size - len(values)))
        return np.ascontiguousarray(filled.reshape(self.batch_size, self.n_steps).T)


def added(total: Sums, more: Sums, times: float = 1.0) -> Sums:
    """Sums with more of them added."""
    return {name: total.get(name, np.zeros(())) + times * sums for name, sums in more.items()}


def _epoch_keys(seed: int, epochs: Ints) -> PRNGKeyArray:
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), jnp.asarray(epochs))


def _length(rows: Any) -> int:
    return int(jax.tree.leaves(rows)[0].shape[0])


def _bytes(rows: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(rows)) or 1


def filled(rows: Any, n_rows: int) -> Any:
    """Rows filled up to n_rows with zeros."""
    short = n_rows - _length(rows)
    return (
        rows if short == 0 else jax.tree.map(lambda leaf: np.pad(leaf, [(0, short)] + [(0, 0)] * (leaf.ndim - 1)), rows)
    )


def _side_by_side(of_runs: Sequence[Any]) -> Any:
    """Pytrees of one shape as one with an axis for the runs in front; a single one stays as it is."""
    if len(of_runs) == 1:
        return jax.tree.map(jnp.asarray, of_runs[0])
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *of_runs)


def in_chunks(of_runs: Sequence[Any], chunk: int) -> tuple[Any, Any]:
    """Rows (n, …) as (chunks, chunk, …), the last one filled up, with weights that say so; runs side by side."""
    n_most = max(map(_length, of_runs))
    chunk = min(chunk, n_most)
    n_chunks = -(-n_most // chunk)

    def shaped(leaf: Any) -> Any:
        return leaf.reshape(n_chunks, chunk, *leaf.shape[1:])

    rows = [jax.tree.map(shaped, filled(rows, n_chunks * chunk)) for rows in of_runs]
    weights = [shaped((np.arange(n_chunks * chunk) < _length(rows)).astype(np.float32)) for rows in of_runs]
    return _side_by_side(rows), _side_by_side(weights)


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
def _run_epochs(
    network: N,
    data: Any,
    start: Any,
    orders: Any,
    keys: Any,
    epochs: Int[Array, " epochs"],
    step_size: tuple[float, float | None],
    together: bool,
) -> tuple[Any, Any, dict[str, Any]]:
    """One gather puts the rows in shuffled order, one scan walks the steps of all epochs.

    Returns parameters, the optimiser's state and, summed over the epochs, the mean of the loss and of its parts.
    """
    optimiser = _optimiser(*step_size)

    def loss_of(parameters: Any, batch: Any, key: PRNGKeyArray, epoch: Any) -> Loss:
        trained = _unflatten(network, parameters)
        return (trained.at_epoch(epoch) if isinstance(trained, Scheduled) else trained).loss(batch, key)

    def step(carry: Any, batch_and_key: Any) -> tuple[Any, Any]:
        parameters, optimiser_state = carry
        batch, key, number, epoch = batch_and_key
        value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, parts), gradient = value_and_grad(parameters, batch, jax.random.fold_in(key, number), epoch)
        updates, optimiser_state = optimiser.update(gradient, optimiser_state)
        return (parameters + updates, optimiser_state), {"loss": loss, **parts}

    def run(data: Any, start: Any, orders: Any, keys: Any) -> Any:
        rows, weights = data
        n_epochs, n_steps, batch_size = orders.shape
        shuffled = jax.tree.map(lambda leaf: leaf[orders.reshape(-1, batch_size)], rows)
        batches = shuffled, jnp.tile(weights, (n_epochs, 1))
        numbers = jnp.tile(jnp.arange(n_steps), n_epochs)
        steps = batches, keys.repeat(n_steps), numbers, epochs.repeat(n_steps)
        (parameters, optimiser_state), found = jax.lax.scan(step, start, steps)
        share = weights.sum(axis=1) / weights.sum()
        return parameters, optimiser_state, {n: (v.reshape(n_epochs, n_steps) @ share).sum() for n, v in found.items()}

    return (jax.vmap(run) if together else run)(data, start, orders, keys)  # type: ignore[no-any-return]


@eqx.filter_jit
def _measure(network: N, parameters: Any, validation: Any, together: bool) -> Float[Array, "*runs"]:
    """The loss without noise over all validation rows."""

    def measure(parameters: Any, validation: Any) -> Float[Array, ""]:
        of_network = _unflatten(network, parameters)
        weights = validation[1].sum(axis=1)
        losses = jax.lax.map(lambda batch: of_network.loss(batch, None)[0], validation)
        # A run with fewer rows than others has nothing in the last chunks, and no loss there.
        return jnp.asarray(jnp.where(weights > 0, losses, 0) @ weights / weights.sum())

    return (jax.vmap(measure) if together else measure)(parameters, validation)


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
