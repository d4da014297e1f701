"""DAGMMDetector: the mixture over all training rows, runs side by side, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.detectors.fit_many import fit_many
from oddrow.detectors.training_set import TrainingSet
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ParameterError, TrainingError
from oddrow.nets.dagmm import DAGMM
from oddrow.train.epochs import Epochs
from oddrow.train.training import Training


def detector(epochs: int = 5, **parameters: Any) -> DAGMMDetector:
    training = Training(epochs=epochs, batch_size=64, learning_rate=1e-3, validation_fraction=0.0)
    usual = {"hidden": (6,), "n_components": 2, "estimation": (4,), "training": training, "random_state": 0}
    return DAGMMDetector(**{**usual, **parameters})


def two_groups(n_rows: int = 400, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = np.array([[0, 0, 0, 5.0], [5, 5, 0, 0]])
    return centers[rng.integers(0, 2, n_rows)] + rng.normal(0, 0.3, (n_rows, 4))


@pytest.fixture(scope="module")
def fitted() -> DAGMMDetector:
    return detector().fit(two_groups())


def test_the_mixture_is_that_of_all_training_rows(fitted: DAGMMDetector) -> None:
    z = fitted.code(two_groups())
    memberships = np.asarray(fitted.network_.memberships(jnp.asarray(z.T, jnp.float32)))
    mixture = fitted.network_.mixture
    np.testing.assert_allclose(mixture.phi, memberships.mean(axis=1), rtol=1e-4)
    for component, weights in enumerate(memberships):
        np.testing.assert_allclose(mixture.mean[component], np.average(z, axis=0, weights=weights), atol=1e-5)
        wanted = np.cov(z.T, aweights=weights, ddof=0) + fitted.covariance_floor * np.eye(3)
        np.testing.assert_allclose(mixture.covariance[component], wanted, atol=1e-5)


def test_a_score_is_the_energy_of_scikit_learns_mixture(fitted: DAGMMDetector) -> None:
    mixture, rows = fitted.network_.mixture, two_groups(50, seed=1) * 1.3
    model = GaussianMixture(2)
    model.weights_, model.means_ = np.asarray(mixture.phi, np.float64), np.asarray(mixture.mean, np.float64)
    model.covariances_ = np.asarray(mixture.covariance, np.float64)
    model.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(model.covariances_)).transpose(0, 2, 1)
    np.testing.assert_allclose(
        fitted.anomaly_score(rows), -model.score_samples(fitted.code(rows)), rtol=1e-3, atol=1e-4
    )


def test_chunks_change_nothing_about_the_mixture(fitted: DAGMMDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oddrow.detectors.block_scoring.SUMMED_BYTES", 1)
    again = detector().fit(two_groups())
    for one, other in zip(
        jax.tree.leaves(fitted.network_.mixture), jax.tree.leaves(again.network_.mixture), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_training_finds_what_lies_between_the_groups() -> None:
    trained = detector(epochs=150, lambda_covariance=1e-4, covariance_floor=1e-3).fit(two_groups(1000))
    normal, odd = two_groups(200, seed=2), np.full((50, 4), 2.5) + np.random.default_rng(3).normal(0, 0.3, (50, 4))
    scores = trained.anomaly_score(np.concatenate([normal, odd]))
    assert roc_auc_score(np.arange(250) >= 200, scores) > 0.95
    assert {"loss", "reconstruction", "energy", "covariance_penalty"} <= set(trained.loss_curve_[0])
    assert trained.loss_curve_[-1]["loss"] < trained.loss_curve_[0]["loss"]


@pytest.mark.parametrize(("features", "width"), [(("distance",), 2), (("cosine",), 2), ((), 1)])
def test_features_decide_what_the_mixture_sees(features: tuple[str, ...], width: int) -> None:
    fitted = detector(epochs=1, features=features).fit(two_groups(100))
    assert fitted.code(two_groups(9)).shape == (9, width)
    assert np.isfinite(fitted.anomaly_score(two_groups(9))).all()


def test_categories_and_gaps_are_scored(mixed: pl.DataFrame) -> None:
    rows = mixed.drop("fraud", "row_id")
    scores = detector(epochs=2).fit(rows).anomaly_score(rows)
    assert np.isfinite(scores).all()
    assert scores.std() > 0


def test_fitted_together_each_is_as_if_alone() -> None:
    tables = [two_groups(300, seed=seed) for seed in range(3)]
    together = fit_many([detector(random_state=seed) for seed in range(3)], tables)
    for seed, (found, table) in enumerate(zip(together, tables, strict=True)):
        alone = detector(random_state=seed).fit(table)
        np.testing.assert_allclose(found.anomaly_score(table), alone.anomaly_score(table), rtol=1e-3, atol=1e-3)
        assert found.offset_ == pytest.approx(alone.offset_, rel=1e-3)


def test_tables_of_other_widths_are_fitted_one_by_one() -> None:
    tables = [two_groups(50), two_groups(50)[:, :3]]
    for found, table in zip(fit_many([detector(), detector()], tables), tables, strict=True):
        np.testing.assert_array_equal(found.anomaly_score(table), detector().fit(table).anomaly_score(table))


@pytest.mark.parametrize(
    "other",
    [
        {"lambda_energy": 0.5},
        {"features": ("distance",)},
        {"training": Training(epochs=2, batch_size=64, validation_fraction=0.0)},
    ],
    ids=str,
)
def test_detectors_of_other_settings_are_fitted_by_their_own(other: dict[str, Any]) -> None:
    table = two_groups(100)
    together = fit_many([detector(), detector(**other), detector(random_state=1)], [table] * 3)
    for found, alone in zip(together, [detector(), detector(**other), detector(random_state=1)], strict=True):
        wanted = alone.fit(table).anomaly_score(table)
        np.testing.assert_allclose(found.anomaly_score(table), wanted, rtol=1e-3, atol=1e-3)


def test_what_cannot_be_fitted_together_is_refused() -> None:
    with pytest.raises(ParameterError, match="tables: 1 given for 2 detectors"):
        fit_many([detector(), detector()], [two_groups(50)])
    with pytest.raises(ParameterError, match=r"training=\{'epochs': 3\} is not a Training"):
        detector(training={"epochs": 3}).fit(two_groups(50))


def test_tables_of_very_different_length_are_fitted_as_if_alone() -> None:
    tables, held_out = [two_groups(1000), two_groups(12)], [two_groups(20, seed=1), two_groups(3, seed=1)]
    found = fit_many([detector(), detector()], tables, validation=held_out)
    for each, table, watched in zip(found, tables, held_out, strict=True):
        alone = detector().fit(table, validation=watched)
        np.testing.assert_allclose(each.anomaly_score(table), alone.anomaly_score(table), rtol=1e-4, atol=1e-4)


def test_a_wide_code_is_summed_in_smaller_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scatter of a row has components x width x width numbers; of 400 rows at once that is what a budget ends."""
    rows, wide = two_groups(400), {"latent": 8, "epochs": 1}
    whole = detector(**wide).fit(rows)
    monkeypatch.setattr("oddrow.detectors.block_scoring.SUMMED_BYTES", 300 * 2 * 10 * 10 * 4)
    found = detector(**wide).fit(rows)
    np.testing.assert_allclose(found.anomaly_score(rows), whole.anomaly_score(rows), rtol=1e-4, atol=1e-4)


def test_interrupted_fits_of_several_forms_keep_their_states_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pair() -> list[DAGMMDetector]:
        training = Training(epochs=4, batch_size=64, validation_fraction=0.0, checkpoint=str(tmp_path / "state"))
        return [detector(training=training), detector(training=training, latent=2)]

    table, shown = two_groups(100), []

    def stop_in_the_second(self: Epochs[Any], state: Any, histories: Any) -> Any:
        shown.append(state)
        if len(shown) == 7:
            raise KeyboardInterrupt
        return usual(self, state, histories)

    usual = Epochs.run
    with monkeypatch.context() as patch:
        patch.setattr(Epochs, "run", stop_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            fit_many(pair(), [table, table])
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["group-1"]
    resumed = fit_many(pair(), [table, table])
    for found, latent in zip(resumed, (1, 2), strict=True):
        whole = Training(epochs=4, batch_size=64, validation_fraction=0.0)
        alone = detector(training=whole, latent=latent).fit(table)
        np.testing.assert_array_equal(found.anomaly_score(table), alone.anomaly_score(table))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 0}, "n_components=0 is not a whole number of at least 1"),
        ({"latent": 0}, "latent=0 is not"),
        ({"hidden": 4}, r"hidden=4 is not a list of widths, such as \[4\]"),
        ({"estimation": "10"}, "estimation='10' is not a list"),
        ({"activations": "tanhh"}, "activations='tanhh' is not one of .* Did you mean 'tanh'"),
        ({"activations": ("tanh", "relu")}, r"activations: expected 1 \(one for each hidden layer\), got 2"),
        ({"dropout": 1}, "dropout=1 is not"),
        ({"features": ("distances",)}, "features='distances' is not one of distance, cosine. Did you mean 'distance'"),
        ({"features": "cosine"}, "features='cosine' is not a list"),
        ({"lambda_energy": 0}, "lambda_energy=0 is not a finite number above 0"),
        ({"lambda_covariance": -1}, "lambda_covariance=-1 is not"),
        ({"covariance_floor": 0}, "covariance_floor=0 is not a finite number above 0"),
        ({"n_components": 40}, "n_components=40 is too many for 100 training rows: a component of 3 dimensions"),
    ],
)
def test_values_that_mean_nothing_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        detector(**parameters).fit(two_groups(100))


def test_ten_rows_are_too_few_for_four_components_and_enough_for_two() -> None:
    with pytest.raises(ParameterError, match="n_components=4 is too many for 10 training rows"):
        detector(n_components=4).fit(two_groups(10))
    assert np.isfinite(detector(epochs=1).fit(two_groups(10)).anomaly_score(two_groups(10))).all()


def test_a_covariance_penalty_of_zero_and_a_constant_column_are_no_trouble() -> None:
    rows = np.column_stack([two_groups(100), np.full(100, 7.0)])
    assert np.isfinite(detector(lambda_covariance=0).fit(rows).anomaly_score(rows)).all()


def prepared(detector: DAGMMDetector, *size: int) -> TrainingSet:
    """The rows that it was fitted to, as training had them."""
    rows = detector.encoder_.transform(pl.DataFrame(two_groups(*size), schema=["x0", "x1", "x2", "x3"]))
    return TrainingSet(tuple(map(jnp.asarray, rows)), None, 0, None)


def finished(change: Callable[[DAGMM], Any], factor: float, shift: Any = 0.0) -> None:
    """Finish training with weights somewhere in the network that training rarely leads to."""
    ready = detector(epochs=0).fit(two_groups(100))
    network = eqx.tree_at(change, ready.network_, replace_fn=lambda weights: weights * factor + shift)
    ready._finish(network, prepared(ready, 100))


def test_a_dead_component_is_named() -> None:
    with pytest.raises(TrainingError, match=r"component 2 of 2 has died: \S+ of 100 training rows belong to it. Lower"):
        finished(lambda net: net.estimator.layers[-1].bias, 1.0, jnp.array([0.0, -100.0]))


def test_a_singular_component_is_named() -> None:
    with pytest.raises(TrainingError, match=r"component \d of 2 has a singular covariance \(\d+ rows\)\. .*\(now 0.01"):
        finished(lambda net: net.encoder.layers[-1].weight, 1e6)


def test_a_diverged_training_says_what_may_help() -> None:
    wild = Training(epochs=3, learning_rate=1e38, clip_norm=None, validation_fraction=0.0)
    with pytest.raises(TrainingError, match=r"learning_rate \(now 1e\+38\).*covariance_floor \(now 0.01\)"):
        detector(training=wild).fit(two_groups(100))


def test_a_code_that_collapses_has_a_finite_score() -> None:
    """With a huge weight on the energy all codes end in one place; the floor keeps the mixture regular."""
    rows = two_groups(200)
    collapsed = detector(epochs=200, lambda_energy=1e4, lambda_covariance=0.0).fit(rows)
    assert np.ptp(collapsed.code(rows)[:, 0]) < np.ptp(detector(epochs=0).fit(rows).code(rows)[:, 0])
    assert np.isfinite(collapsed.anomaly_score(rows)).all()


def test_numbers_are_scaled_to_the_unit_interval_unless_said_otherwise(fitted: DAGMMDetector) -> None:
    numbers = fitted.encoder_.transform(pl.DataFrame(two_groups(), schema=["x0", "x1", "x2", "x3"])).numbers
    assert (numbers.min(), numbers.max()) == pytest.approx((0, 1), abs=0.01)
    assert detector(epochs=1, encoder=TableEncoder()).fit(two_groups(100)).encoder_.number_columns_[0].center != 0


def test_the_network_given_to_finish_is_not_changed(fitted: DAGMMDetector) -> None:
    before = fitted.network_
    assert eqx.tree_equal(fitted._finish(before, prepared(fitted)), before)
