"""The training loop, held against Adam in plain NumPy; early stopping; what is refused."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int, PRNGKeyArray

from oddrow.errors import ParameterError, TrainingError
from oddrow.train.epochs import Loss, Trained
from oddrow.train.loop import train, train_together
from oddrow.train.training import Training

SEED = 11


class Line(eqx.Module):
    """y = x @ slope + level, by least squares: small enough to differentiate by hand."""

    slope: Float[Array, " columns"]
    level: Float[Array, ""]
    name: str = eqx.field(static=True, default="line")

    def loss(self, batch: Any, key: PRNGKeyArray | None) -> Loss:
        (x, y), weight = batch
        return weight @ jnp.square(x @ self.slope + self.level - y) / weight.sum(), {}


class Wobbling(Line):
    """The same with noise on the rows, so that the keys matter."""

    def loss(self, batch: Any, key: PRNGKeyArray | None) -> Loss:
        (x, y), weight = batch
        seen = x if key is None else x + jax.random.normal(key, x.shape)
        return weight @ jnp.square(seen @ self.slope + self.level - y) / weight.sum(), {"level": self.level}


class Growing(Line):
    """Its loss is multiplied by the number of the epoch, counted from 1; validation sees the plain one."""

    factor: Float[Array, ""] = eqx.field(default_factory=lambda: jnp.asarray(1.0))

    def at_epoch(self, epoch: Int[Array, ""]) -> Growing:
        grown: Growing = eqx.tree_at(lambda net: net.factor, self, (epoch + 1).astype(float))
        return grown

    def loss(self, batch: Any, key: PRNGKeyArray | None) -> Loss:
        return self.factor * super().loss(batch, key)[0], {}


AnyLine = TypeVar("AnyLine", bound=Line)


def line_of(kind: type[AnyLine]) -> AnyLine:
    return kind(jnp.array([1.0, 0.0, -1.0]), jnp.array(0.5))


def line() -> Line:
    return line_of(Line)


def rows(n_rows: int = 70, slope: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, 3)).astype(np.float32)
    return x, (slope * x.sum(axis=1) + rng.normal(0, 0.1, n_rows)).astype(np.float32)


def quick(**parameters: Any) -> Training:
    usual = {"epochs": 5, "batch_size": 16, "learning_rate": 0.05, "clip_norm": None}
    return Training(**{**usual, **parameters})


def flat(network: Line) -> np.ndarray:
    return np.array([*network.slope, network.level])


def loss_by_hand(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((x @ weights[:3] + weights[3] - y) ** 2))


def adam_by_hand(training: Training, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Kingma and Ba (2015), algorithm 1, in float64: every `n_steps`-th row of the order is in one batch."""
    weights, first, second, step = flat(line()).astype(float), np.zeros(4), np.zeros(4), 0
    losses = []
    assert training.epochs is not None
    for epoch in range(training.epochs):
        order = np.random.default_rng([SEED, epoch]).permutation(len(x))
        n_steps = -(-len(x) // training.batch_size)
        total = 0.0
        for start in range(n_steps):
            batch = order[start::n_steps]
            total += len(batch) * loss_by_hand(weights, x[batch], y[batch])
            residual = x[batch] @ weights[:3] + weights[3] - y[batch]
            gradient = 2 * np.array([*(residual @ x[batch]), residual.sum()]) / len(batch)
            if training.clip_norm is not None:
                gradient *= min(1.0, training.clip_norm / float(np.linalg.norm(gradient)))
            step += 1
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            weights = weights - training.learning_rate * (first / (1 - 0.9**step)) / (
                np.sqrt(second / (1 - 0.999**step)) + 1e-8
            )
        losses.append(total / len(x))
    return weights, losses


@pytest.mark.parametrize("n_rows", [70, 64, 65, 5], ids=["short last batch", "whole", "last of one", "one batch"])
def test_weights_and_losses_are_those_of_adam_by_hand(n_rows: int) -> None:
    x, y = rows(n_rows)
    trained = train(line(), (x, y), quick(), seed=SEED)
    weights, losses_by_hand = adam_by_hand(quick(), x, y)
    np.testing.assert_allclose(flat(trained.network), weights, rtol=1e-4)
    np.testing.assert_allclose([point["loss"] for point in trained.loss_curve], losses_by_hand, rtol=1e-4)
    assert [point["epoch"] for point in trained.loss_curve] == [1, 2, 3, 4, 5]


def test_clipping_is_that_by_hand() -> None:
    x, y = rows()
    trained = train(line(), (x, y), quick(clip_norm=0.3), seed=SEED)
    weights, _ = adam_by_hand(quick(clip_norm=0.3), x, y)
    np.testing.assert_allclose(flat(trained.network), weights, rtol=1e-4)
    plain, _ = adam_by_hand(quick(), x, y)
    assert np.abs(weights - plain).max() > 0.01, "the reference tells the two apart"


def test_it_learns() -> None:
    x, y = rows(200)
    trained = train(line(), (x, y), quick(epochs=60, batch_size=20), seed=0)
    np.testing.assert_allclose(flat(trained.network), [2, 2, 2, 0], atol=0.05)
    assert trained.loss_curve[-1]["loss"] < 0.02 < trained.loss_curve[0]["loss"]
    assert trained.network.name == "line", "what is no weight stays as it was"


def stopped_early(patience: int | None) -> Trained[Line]:
    """The training rows ask for slopes of 2, the validation rows for slopes of 1.2: its loss falls, then rises."""
    return train(line(), rows(), quick(epochs=40, patience=patience), seed=SEED, validation=rows(33, slope=1.2, seed=1))


def test_patience_stops_and_keeps_the_best_weights() -> None:
    trained = stopped_early(patience=3)
    losses = [point["validation_loss"] for point in trained.loss_curve]
    assert trained.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == trained.best_epoch + 3 < 40
    kept = loss_by_hand(flat(trained.network), *rows(33, slope=1.2, seed=1))
    assert kept == pytest.approx(min(losses), rel=1e-4)
    assert kept < losses[-1] < losses[0]


def test_without_patience_the_last_weights_are_kept() -> None:
    trained = stopped_early(patience=None)
    losses = [point["validation_loss"] for point in trained.loss_curve]
    assert len(losses) == trained.best_epoch == 40
    kept = loss_by_hand(flat(trained.network), *rows(33, slope=1.2, seed=1))
    assert kept == pytest.approx(losses[-1], rel=1e-4)
    assert losses[-1] > 1.2 * min(losses)


def test_validation_in_chunks_is_the_mean_over_all_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oddrow.train.epochs.VALIDATION_CHUNK", 8)
    held_out = rows(19, seed=2)
    trained = train(line(), rows(), quick(epochs=1), seed=0, validation=held_out)
    wanted = loss_by_hand(flat(trained.network), *held_out)
    assert trained.loss_curve[0]["validation_loss"] == pytest.approx(wanted, rel=1e-5)


def test_a_run_with_fewer_validation_rows_has_nothing_in_the_last_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oddrow.train.epochs.VALIDATION_CHUNK", 8)
    held_out = [rows(19, seed=2), rows(5, seed=3)]
    found = train_together([line()] * 2, [rows()] * 2, quick(epochs=1), seeds=[0, 1], validation=held_out)
    for trained, own in zip(found, held_out, strict=True):
        wanted = loss_by_hand(flat(trained.network), *own)
        assert trained.loss_curve[0]["validation_loss"] == pytest.approx(wanted, rel=1e-5)


def test_patience_means_nothing_without_validation_rows() -> None:
    trained = train(line(), rows(), quick(epochs=6, patience=1), seed=0)
    assert [set(point) for point in trained.loss_curve] == [{"epoch", "loss"}] * 6
    assert trained.best_epoch == 6


def test_no_epoch_leaves_the_network_as_it_was() -> None:
    trained = train(line(), rows(), quick(epochs=0), seed=0, validation=rows(9))
    assert eqx.tree_equal(trained.network, line())
    assert (trained.loss_curve, trained.best_epoch) == ([], 0)


def test_the_network_given_is_not_changed() -> None:
    given = line()
    train(given, rows(), quick(epochs=1), seed=0)
    assert eqx.tree_equal(given, line())


def test_the_same_seed_gives_the_same_weights() -> None:
    first, again, other = (train(line_of(Wobbling), rows(), quick(epochs=2), seed=seed) for seed in (1, 1, 2))
    assert eqx.tree_equal(first.network, again.network)
    assert first.loss_curve == again.loss_curve
    assert not eqx.tree_equal(first.network, other.network)


def test_noise_reaches_training_but_not_validation() -> None:
    x, y = rows()
    trained = train(line_of(Wobbling), (x, y), quick(epochs=1, learning_rate=1e-9), seed=1, validation=(x, y))
    plain = loss_by_hand(flat(line()), x, y)
    assert trained.loss_curve[0]["validation_loss"] == pytest.approx(plain, rel=1e-4)
    assert trained.loss_curve[0]["loss"] > 1.05 * plain


@pytest.mark.parametrize("log_every", [1, 2])
def test_a_network_may_change_its_loss_from_epoch_to_epoch(log_every: int) -> None:
    still = quick(epochs=4, learning_rate=1e-9, log_every=log_every)
    trained = train(line_of(Growing), rows(), still, seed=0, validation=rows(9))
    plain, held_out = (loss_by_hand(flat(line()), *table) for table in (rows(), rows(9)))
    wanted = [1, 2, 3, 4] if log_every == 1 else [1.5, 3.5]
    np.testing.assert_allclose([point["loss"] for point in trained.loss_curve], plain * np.array(wanted), rtol=1e-4)
    assert [point["validation_loss"] for point in trained.loss_curve] == pytest.approx(
        [held_out] * len(wanted), rel=1e-4
    )
    assert float(trained.network.factor) == 1.0


def test_every_step_has_noise_of_its_own() -> None:
    x, y = np.ones((40, 3), np.float32), np.zeros(40, np.float32)
    still = quick(epochs=4, batch_size=40, learning_rate=1e-9)
    losses = {point["loss"] for point in train(line_of(Wobbling), (x, y), still, seed=1).loss_curve}
    assert len(losses) == 4


@pytest.mark.parametrize(("validation", "epoch"), [(None, 2), (rows(9), 1)], ids=["no validation", "validation"])
def test_a_loss_beyond_measure_stops_with_advice(validation: Any, epoch: int) -> None:
    """The step that goes too far is the only one of the first epoch: its loss is measured before it."""
    with pytest.raises(TrainingError, match=rf"epoch {epoch}.*learning_rate \(now 1e\+30\).*set training.clip_norm\."):
        train(line(), rows(16), quick(learning_rate=1e30), seed=0, validation=validation)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epochs": -1}, r"training.epochs=-1 is not a whole number of at least 0"),
        ({"epochs": 2.5}, r"training.epochs=2.5"),
        ({"batch_size": 0}, r"training.batch_size=0 is not a whole number of at least 1"),
        ({"learning_rate": 0}, r"training.learning_rate=0 is not a .*number above 0"),
        ({"learning_rate": math.nan}, r"training.learning_rate=nan"),
        ({"learning_rate": math.inf}, r"training.learning_rate=inf"),
        ({"learning_rate": "fast"}, r"training.learning_rate='fast'"),
        ({"validation_fraction": 1}, r"training.validation_fraction=1 is not a .*number of at least 0 and at most 0.9"),
        ({"patience": 0}, r"training.patience=0"),
        ({"log_every": 0}, r"training.log_every=0"),
        ({"clip_norm": 0}, r"training.clip_norm=0"),
    ],
)
def test_values_that_mean_nothing_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        train(line(), rows(), quick(**parameters), seed=0)


@pytest.mark.parametrize(("n_rows", "epochs"), [(1, 3200), (2560, 320), (20_481, 40), (10**8, 40)])
def test_small_tables_get_more_epochs(n_rows: int, epochs: int) -> None:
    assert Training(batch_size=256).epochs_for(n_rows) == epochs
    assert Training(epochs=7).epochs_for(n_rows) == 7


def three(**parameters: Any) -> list[Trained[Wobbling]]:
    tables = [rows(slope=slope, seed=seed) for seed, slope in enumerate((2.0, 1.0, 0.5))]
    held_out = [rows(n, slope=1.2, seed=9) for n in (9, 12, 33)]
    networks = [line_of(Wobbling)] * 3
    return train_together(networks, tables, quick(**parameters), seeds=[4, 5, 6], validation=held_out)


@pytest.mark.parametrize("parameters", [{}, {"epochs": 40, "patience": 3}, {"log_every": 2}], ids=str)
def test_runs_together_end_as_they_would_alone(parameters: dict[str, Any]) -> None:
    together = three(**parameters)
    for run, (slope, n_held_out) in enumerate(((2.0, 9), (1.0, 12), (0.5, 33))):
        held_out = rows(n_held_out, slope=1.2, seed=9)
        alone = train(line_of(Wobbling), rows(70, slope, run), quick(**parameters), seed=4 + run, validation=held_out)
        np.testing.assert_allclose(flat(together[run].network), flat(alone.network), rtol=1e-4)
        assert together[run].best_epoch == alone.best_epoch
        assert [point["epoch"] for point in together[run].loss_curve] == [point["epoch"] for point in alone.loss_curve]
        for name in ("loss", "validation_loss", "level"):
            seen, wanted = ([e[name] for e in of.loss_curve if name in e] for of in (together[run], alone))
            np.testing.assert_allclose(seen, wanted, rtol=1e-4)


def test_runs_of_different_length_each_see_all_their_rows_once_an_epoch() -> None:
    """With a step too small to move the weights, the loss of an epoch is the plain mean over a run's own rows."""
    tables = [rows(n, seed=n) for n in (70, 33, 65)]
    still = quick(epochs=2, learning_rate=1e-9)
    found = train_together([line()] * 3, tables, still, seeds=[0, 1, 2])
    losses = [trained.loss_curve[1]["loss"] for trained in found]
    np.testing.assert_allclose(losses, [loss_by_hand(flat(line()), *table) for table in tables], rtol=1e-5)


@pytest.mark.parametrize("largest_call", [1, 10**9], ids=["an epoch in a call", "all in a call"])
def test_entries_every_few_epochs_are_means_and_change_no_weights(
    largest_call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = train(line_of(Wobbling), rows(), quick(epochs=7), seed=1)
    monkeypatch.setattr("oddrow.train.epochs.MAX_CALL_BYTES", largest_call)
    seldom = train(line_of(Wobbling), rows(), quick(epochs=7, log_every=3), seed=1)
    np.testing.assert_allclose(flat(seldom.network), flat(each.network), rtol=1e-5)
    assert [point["epoch"] for point in seldom.loss_curve] == [3, 6, 7]
    losses = [point["loss"] for point in each.loss_curve]
    wanted = np.array([np.mean(losses[:3]), np.mean(losses[3:6]), losses[6]])
    np.testing.assert_allclose([point["loss"] for point in seldom.loss_curve], wanted, rtol=1e-5)


def test_the_parts_of_the_loss_stand_in_the_loss_curve() -> None:
    trained = train(line_of(Wobbling), rows(), quick(epochs=2, learning_rate=1e-9), seed=1)
    assert [set(point) for point in trained.loss_curve] == [{"epoch", "loss", "level"}] * 2
    assert trained.loss_curve[0]["level"] == pytest.approx(0.5)
