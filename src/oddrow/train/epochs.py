"""Epochs of training, many in one compiled call: first over rows on the device, then over shards on disk."""

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

from oddrow.train.monitor import LossCurve, LossPoint, check_finite, epochs_done, kept_point
from oddrow.train.shards import Shards
from oddrow.train.training import Training
from oddrow.typing import Ints

# Loss and its parts by name, summed over epochs; an array holds one value for each run.
Sums = dict[str, npt.NDArray[Any]]

# The loss of a batch, and its parts by name.
Loss = tuple[Float[Array, ""], dict[str, Float[Array, ""]]]


class Trainable(Protocol):
    """An Equinox module with a loss."""

    def loss(self, batch: Any, key: PRNGKeyArray | None) -> Loss:
        """Return the mean loss of a batch (rows, weight), and its parts by name for the loss curve.

        Without a key, noise and dropout are off.
        """


@runtime_checkable
class Scheduled(Protocol):
    """A network whose loss depends on the epoch."""

    def at_epoch(self, epoch: Int[Array, ""]) -> Any:
        """Return the network to train in this epoch, counted from 0. Validation uses the network itself."""


N = TypeVar("N", bound=Trainable)

# Rows per chunk of the validation, which bounds the memory of wide networks.
VALIDATION_CHUNK = 8192

# One call runs as many epochs between two points of the loss curve as shuffled rows fit into this many bytes.
MAX_CALL_BYTES = 2**26


class State(NamedTuple):
    """Everything that training changes; with several runs, arrays have a leading axis for the runs."""

    parameters: Float[Array, "*runs parameters"]
    optimiser: optax.OptState
    best: Float[Array, "*runs parameters"]


@dataclass(frozen=True)
class Trained(Generic[N]):
    """A trained network, its loss curve, and the epoch whose weights it has."""

    network: N
    loss_curve: LossCurve
    best_epoch: int


class Epochs(Generic[N]):
    """The epochs of one or several runs, compiled, with their rows on the device."""

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
        self.most_rows = max(self.n_rows)
        self.batch_size = min(training.batch_size, self.most_rows)
        self.n_steps = -(-self.most_rows // self.batch_size)
        self.n_epochs = training.epochs_for(self.most_rows)
        self.rows = _stack_runs([pad_rows(of_run, self.most_rows) for of_run in rows])
        self.weights = _stack_runs([self.in_batches(np.ones(n_rows, np.float32)) for n_rows in self.n_rows])
        self.validation = None if validation is None else in_chunks(validation, VALIDATION_CHUNK)

    def start(self) -> State:
        """Return the state before the first step."""
        parameters = _stack_runs([_flatten(network) for network in self.networks])
        initial = _optimiser(self.training.learning_rate, self.training.clip_norm).init
        optimiser = jax.vmap(initial)(parameters) if self.together else initial(parameters)
        return State(parameters, optimiser, parameters)

    @property
    def together(self) -> bool:
        """Whether several runs train at once."""
        return len(self.networks) > 1

    def has_finished(self, curve: LossCurve) -> bool:
        """Return whether a run has had all its epochs or exhausted its patience."""
        patience, n_done = self.training.patience, epochs_done(curve)
        waited = n_done - kept_point(curve, patience).get("epoch", 0)
        return n_done >= self.n_epochs or (patience is not None and waited >= patience)

    def run(self, state: State, curves: list[LossCurve]) -> tuple[State, list[LossCurve]]:
        """Train up to the next point of the loss curves."""
        first = max(map(epochs_done, curves))
        n_epochs = min(self.training._epochs_per_point(self.most_rows), self.n_epochs - first)
        state, sums = self._train(state, np.arange(first, first + n_epochs))
        means: dict[str, Any] = {name: total / n_epochs for name, total in sums.items()}
        if self.validation is not None:
            means["validation_loss"] = _measure(self.networks[0], state.parameters, self.validation, self.together)
        return self._record(state, curves, first + n_epochs, means)

    def _train(self, state: State, epochs: Ints) -> tuple[State, Sums]:
        """Return the state after these epochs, and loss and parts summed over them."""
        n_calls = -(-len(epochs) // max(1, MAX_CALL_BYTES // _bytes(self.rows)))
        total: Sums = {}
        for chunk in np.array_split(epochs, n_calls):
            state, sums = self._call(state, self.rows, self.weights, chunk, chunk)
            total = add_sums(total, sums)
        return state, total

    def _call(self, state: State, rows: Any, weights: Any, epochs: Ints, draws: Ints) -> tuple[State, Sums]:
        """Run epochs over rows on the device; `draws` seed the order and the noise of each."""
        orders = [np.stack([self._order(run, int(draw)) for draw in draws]) for run in range(len(self.seeds))]
        parameters, optimiser, sums = _run_epochs(
            self.networks[0],
            (rows, weights),
            (state.parameters, state.optimiser),
            _stack_runs(orders),
            _stack_runs([_epoch_keys(seed, draws) for seed in self.seeds]),
            jnp.asarray(epochs),
            (self.training.learning_rate, self.training.clip_norm),
            self.together,
        )
        return State(parameters, optimiser, state.best), {name: np.asarray(total) for name, total in sums.items()}

    def _record(
        self, state: State, curves: list[LossCurve], epoch: int, means: dict[str, Any]
    ) -> tuple[State, list[LossCurve]]:
        """Append a point to the curves of unfinished runs, and keep the weights of those that have improved."""
        numbers = {name: np.atleast_1d(values) for name, values in means.items()}
        points: list[LossPoint] = [
            {"epoch": epoch, **{name: float(values[run]) for name, values in numbers.items()}}
            for run in range(len(curves))
        ]
        finished = [self.has_finished(curve) for curve in curves]
        check_finite(list(compress(points, np.invert(finished))), self.training.learning_rate, self.training.clip_norm)
        curves = [c if over else [*c, point] for c, point, over in zip(curves, points, finished, strict=True)]
        improved = [kept_point(c, self.training.patience) is point for c, point in zip(curves, points, strict=True)]
        return self._keep(state, improved), curves

    def _keep(self, state: State, improved: Sequence[bool]) -> State:
        if all(improved):
            return state._replace(best=state.parameters)
        if not any(improved):
            return state
        return state._replace(best=jnp.where(jnp.asarray(improved)[:, None], state.parameters, state.best))

    def trained(self, state: State, curves: list[LossCurve]) -> list[Trained[N]]:
        """Return the network of every run with the weights to keep."""
        best = state.best if self.together else state.best[None]
        patience = self.training.patience
        return [
            Trained(_unflatten(network, flat), curve, int(kept_point(curve, patience).get("epoch", 0)))
            for network, flat, curve in zip(self.networks, best, curves, strict=True)
        ]

    def _order(self, run: int, draw: int) -> Ints:
        """Return shuffled row indices, (steps, batch)."""
        shuffled = np.random.default_rng([self.seeds[run], draw]).permutation(self.n_rows[run])
        return self.in_batches(shuffled.astype(np.int32))

    def in_batches(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return values (n,) as (steps, batch), padded with zeros; the padding is spread, so no batch is tiny."""
        padded = np.pad(values, (0, self.n_steps * self.batch_size - len(values)))
        return np.ascontiguousarray(padded.reshape(self.batch_size, self.n_steps).T)


def add_sums(total: Sums, more: Sums, factor: float = 1.0) -> Sums:
    """Return the sum of `total` and `factor` times `more`."""
    return {name: total.get(name, np.zeros(())) + factor * sums for name, sums in more.items()}


def _epoch_keys(seed: int, epochs: Ints) -> PRNGKeyArray:
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), jnp.asarray(epochs))


def _length(rows: Any) -> int:
    return int(jax.tree.leaves(rows)[0].shape[0])


def _bytes(rows: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(rows)) or 1


def pad_rows(rows: Any, n_rows: int) -> Any:
    """Return rows padded with zeros to `n_rows`."""
    short = n_rows - _length(rows)
    if short == 0:
        return rows
    return jax.tree.map(lambda leaf: np.pad(leaf, [(0, short)] + [(0, 0)] * (leaf.ndim - 1)), rows)


def _stack_runs(of_runs: Sequence[Any]) -> Any:
    """Stack pytrees of equal shapes along a new leading axis; a single one stays as it is."""
    if len(of_runs) == 1:
        return jax.tree.map(jnp.asarray, of_runs[0])
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *of_runs)


def in_chunks(of_runs: Sequence[Any], chunk: int) -> tuple[Any, Any]:
    """Return rows as (chunks, chunk, …), padded, and weights that are 0 for the padding; runs are stacked."""
    n_most = max(map(_length, of_runs))
    chunk = min(chunk, n_most)
    n_chunks = -(-n_most // chunk)

    def shaped(leaf: Any) -> Any:
        return leaf.reshape(n_chunks, chunk, *leaf.shape[1:])

    rows = [jax.tree.map(shaped, pad_rows(rows, n_chunks * chunk)) for rows in of_runs]
    weights = [shaped((np.arange(n_chunks * chunk) < _length(rows)).astype(np.float32)) for rows in of_runs]
    return _stack_runs(rows), _stack_runs(weights)


def _optimiser(learning_rate: float, clip_norm: float | None) -> optax.GradientTransformation:
    adam = optax.adam(learning_rate)
    return adam if clip_norm is None else optax.chain(optax.clip_by_global_norm(clip_norm), adam)


def _flatten(network: Any) -> Float[Array, " parameters"]:
    flat: Float[Array, " parameters"] = ravel_pytree(eqx.filter(network, eqx.is_inexact_array))[0]
    return flat


def _unflatten(network: N, flat: Float[Array, " parameters"]) -> N:
    """Return the network with weights from one vector. On one vector, Adam is a single fused operation."""
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
    """Run epochs: one gather shuffles the rows, one scan takes all steps.

    Returns parameters, optimiser state, and the mean loss and parts of an epoch, summed over the epochs.
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
    """Return the loss, without noise, over all validation rows."""

    def measure(parameters: Any, validation: Any) -> Float[Array, ""]:
        of_network = _unflatten(network, parameters)
        weights = validation[1].sum(axis=1)
        losses = jax.lax.map(lambda batch: of_network.loss(batch, None)[0], validation)
        # The last chunks of a run with fewer rows are all padding, and have no loss.
        return jnp.asarray(jnp.where(weights > 0, losses, 0) @ weights / weights.sum())

    return (jax.vmap(measure) if together else measure)(parameters, validation)


class ShardedEpochs(Epochs[N]):
    """The epochs of one network over shards on disk.

    Every epoch sees every row once, the shards in random order and the rows shuffled within each shard.
    """

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
                on_device = jax.tree.map(jnp.asarray, pad_rows(rows, max(self.shards.lengths)))
                weights = jnp.asarray(self.in_batches(np.ones(self.n_rows[0], np.float32)))
                state, sums = self._call(state, on_device, weights, np.array([epoch]), draw)
                total = add_sums(total, sums, self.n_rows[0] / self.shards.n_rows)
        return state, total
