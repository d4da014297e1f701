"""What published autoencoders ask for, through the detector: to its network, its scores, its folder and the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from laws import OddTable, normal_rows, odd_tables
from oddrow.artifact import Artifact
from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.fit_many import fit_many
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import OddrowError, ParameterError
from oddrow.metrics.ranking import average_precision
from oddrow.table.table import Table
from oddrow.thresholds.threshold import Threshold
from oddrow.train.training import Training

ROWS = normal_rows()
EVERYTHING: dict[str, Any] = {
    "dropout": [0.2, 0, 0.1],
    "activity_l1": 1e-3,
    "activity_l2": 1e-3,
    "error": "squared-log",
    "output": "sigmoid",
    "activations": "leaky-relu",
}


def detector(epochs: int = 3, **parameters: Any) -> AutoencoderDetector:
    usual = {
        "hidden": (8, 4, 8),
        "noise": 0,
        "training": Training(epochs=epochs, batch_size=64, validation_fraction=0.0),
        "encoder": TableEncoder(numbers="minmax"),
        "random_state": 0,
    }
    return AutoencoderDetector(**{**usual, **parameters})


def numbers(n_rows: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_rows, 3))


def encoded(fitted: AutoencoderDetector, X: np.ndarray) -> np.ndarray:
    """Rows of an array as the network gets them."""
    return fitted.encoder_.transform(fitted.schema_.conform(Table.from_array(X).frame)).numbers


def hidden_outputs(fitted: AutoencoderDetector, X: np.ndarray) -> np.ndarray:
    """What comes out of the first hidden layer."""
    layer = fitted.network_.stack.layers[0]
    return np.asarray(np.tanh(encoded(fitted, X) @ np.asarray(layer.weight) + np.asarray(layer.bias)))


def test_options_reach_the_network() -> None:
    net = detector(0, **EVERYTHING).fit(ROWS).network_
    assert net.stack.dropout == (0.2, 0.0, 0.1, 0.0)
    assert (net.activity_l1, net.activity_l2, net.error, net.output) == (1e-3, 1e-3, "squared-log", "sigmoid")
    assert detector(0, dropout=0.3).fit(ROWS).network_.stack.dropout == (0.3, 0.3, 0.3, 0.0)


def test_the_score_is_the_mean_of_the_squared_differences_of_logarithms() -> None:
    fitted = detector(scoring="mse", error="squared-log", output="sigmoid").fit(numbers())
    rebuilt, _ = fitted.reconstruct(numbers())
    assert 0 < rebuilt.min() < rebuilt.max() < 1
    wanted = np.square(np.log1p(encoded(fitted, numbers())) - np.log1p(rebuilt))
    np.testing.assert_allclose(fitted.anomaly_score(numbers()), wanted.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(fitted.column_scores(numbers()).to_numpy(), wanted, rtol=1e-3, atol=1e-7)


def test_penalties_keep_the_first_layer_small_and_out_of_the_scores() -> None:
    plain, sparse = (detector(60, activations="tanh", activity_l1=l1).fit(numbers()) for l1 in (0.0, 1.0))
    sizes = [np.abs(hidden_outputs(fitted, numbers())).mean() for fitted in (plain, sparse)]
    assert sizes[1] < 0.2 * sizes[0]
    one, other = (detector(0, activity_l2=l2).fit(numbers()).anomaly_score(numbers()) for l2 in (0.0, 9.0))
    np.testing.assert_array_equal(one, other)


def test_validation_rows_count_penalties_and_lose_nothing() -> None:
    held_out = numbers(50, seed=1)
    fitted = detector(activations="tanh", activity_l1=0.1, dropout=0.5, noise=0.3, scoring="mse")
    fitted.fit(numbers(), validation=held_out)
    penalty = 0.1 * np.abs(hidden_outputs(fitted, held_out)).sum(axis=1).mean()
    wanted = fitted.anomaly_score(held_out).mean() + penalty
    assert fitted.loss_curve_[-1]["validation_loss"] == pytest.approx(wanted, rel=1e-4)


def test_dropout_changes_what_is_learned_and_no_score_is_drawn() -> None:
    plain, dropping = (detector(dropout=dropout).fit(ROWS) for dropout in (0.0, 0.4))
    assert plain.loss_curve_ != dropping.loss_curve_
    np.testing.assert_array_equal(dropping.anomaly_score(ROWS), dropping.anomaly_score(ROWS))
    np.testing.assert_array_equal(detector(dropout=0.4).fit(ROWS).anomaly_score(ROWS), dropping.anomaly_score(ROWS))


def test_nothing_asked_for_is_what_it_was() -> None:
    usual = detector(noise=0.5).fit(ROWS)
    same = detector(noise=0.5, dropout=[0, 0.0, 0], activity_l1=0, activity_l2=0, error="squared", output="linear").fit(
        ROWS
    )
    np.testing.assert_array_equal(usual.anomaly_score(ROWS), same.anomaly_score(ROWS))


def test_known_anomalies_are_learned_from_with_dropout_and_penalties() -> None:
    rng, y = np.random.default_rng(0), np.arange(1000) < 60
    X = rng.normal(size=(1000, 1)) + rng.normal(0, 0.5, (1000, 4)) + 1.5 * np.outer(y, [1, 0, 0, 0])
    options: dict[str, Any] = {"dropout": [0.0, 0.0, 0.1], "activity_l1": 1e-3, "activity_l2": 1e-3, "encoder": None}
    found = [
        average_precision(y.astype(float), detector(40, known_weight=weight, **options).fit(X, y).anomaly_score(X))
        for weight in (0.0, 10.0)
    ]
    assert found[1] > found[0] + 0.1


def test_runs_together_train_as_each_alone_and_those_of_other_dropout_apart() -> None:
    shares = [0.2, 0.2, 0.5]
    each = [detector(dropout=share, random_state=seed) for seed, share in enumerate(shares)]
    alone = [detector(dropout=share, random_state=seed).fit(ROWS) for seed, share in enumerate(shares)]
    for one, other in zip(fit_many(each, [ROWS] * 3), alone, strict=True):
        np.testing.assert_allclose(one.anomaly_score(ROWS), other.anomaly_score(ROWS), rtol=1e-3)


def test_saved_and_loaded_it_scores_the_same_to_the_bit(tmp_path: Path) -> None:
    fitted = detector(**EVERYTHING).fit(ROWS)
    Artifact(fitted, Threshold(1.5, "fixed:1.5")).save(tmp_path / "model")
    loaded = Artifact.load(tmp_path / "model").detector
    np.testing.assert_array_equal(loaded.anomaly_score(ROWS), fitted.anomaly_score(ROWS))
    assert isinstance(loaded, AutoencoderDetector)
    assert loaded.dropout == (0.2, 0, 0.1)
    assert (loaded.network_.error, loaded.network_.output) == ("squared-log", "sigmoid")
    assert jnp.array_equal(loaded.network_.stack.layers[0].weight, fitted.network_.stack.layers[0].weight)


@pytest.mark.parametrize("name", ["1e30 in training", "1e300 to score", "missing values", "only categories"])
def test_odd_tables_have_finite_logarithms(name: str) -> None:
    """The other laws are tried without logarithms: what lies far below counts as 0 with them, and is not odder."""
    table: OddTable = odd_tables()[name]
    scores = detector(1, hidden=(4, 2, 4), **EVERYTHING).fit(table.fitted).anomaly_score(table.scored)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("dropout", ["0.2", "[0.2, 0.0, 0.0]", "0.2,0,0"])
def test_the_command_takes_them(
    oddrow: Callable[..., Any], mixed_csv: Path, fit_options: tuple[str, ...], dropout: str, tmp_path: Path
) -> None:
    options = [f"detector.dropout={dropout}", "detector.error=squared-log", "detector.activity_l1=1e-4"]
    sets = [part for option in [*options, "detector.output=sigmoid"] for part in ("--set", option)]
    done = oddrow("fit", mixed_csv, "--out", tmp_path / "model", *fit_options, *sets)
    assert done.code == 0, done.err
    fitted = Artifact.load(tmp_path / "model").detector
    assert isinstance(fitted, AutoencoderDetector)
    assert fitted.network_.stack.dropout == ((0.2,) * 3 if dropout == "0.2" else (0.2, 0.0, 0.0)) + (0.0,)
    assert (fitted.activity_l1, fitted.network_.error, fitted.network_.output) == (1e-4, "squared-log", "sigmoid")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dropout": -0.1}, r"dropout=-0.1 is not a finite number of at least 0 and at most 0.9"),
        ({"dropout": [0, 0.95, 0]}, r"dropout=0.95 is not a finite number of at least 0 and at most 0.9"),
        ({"dropout": (0.1, 0.2)}, r"dropout: expected 3 \(one for each hidden layer\), got 2"),
        ({"dropout": (0.1, 0.2), "hidden": None}, r"dropout: expected 3 \(one for each hidden layer\), got 2"),
        ({"dropout": "some"}, r"dropout='some' is not a finite number"),
        ({"dropout": None}, r"dropout=None is not a finite number"),
        ({"activity_l1": -1e-3}, r"activity_l1=-0.001 is not a finite number of at least 0"),
        ({"activity_l2": "x"}, r"activity_l2='x' is not a finite number"),
        (
            {"activity_l1": 0.5, "hidden": ()},
            r"activity_l1=0.5 needs a hidden layer. Add a width to hidden, or set activity_l1=0",
        ),
        ({"activity_l2": 1, "hidden": []}, r"activity_l2=1 needs a hidden layer"),
        ({"error": "squared-logs"}, r"error='squared-logs' is not one of squared, squared-log\. Did you mean"),
        ({"output": "sigmod"}, r"output='sigmod' is not one of .*Did you mean 'sigmoid'\?"),
        ({"activations": "leaky_relu"}, r"activations='leaky_relu' is not one of .*Did you mean 'leaky-relu'\?"),
    ],
)
def test_options_that_mean_nothing_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        detector(**parameters).fit(ROWS)


def test_no_hidden_layer_needs_no_penalty() -> None:
    fitted = detector(hidden=(), output="sigmoid", error="squared-log", activity_l1=0.0).fit(numbers())
    assert np.isfinite(fitted.anomaly_score(numbers())).all()


def test_a_manifest_with_an_option_that_means_nothing_is_refused(tmp_path: Path) -> None:
    Artifact(detector(0).fit(ROWS), Threshold(1.5, "fixed:1.5")).save(tmp_path / "model")
    path = tmp_path / "model" / "manifest.json"
    path.write_text(path.read_text().replace('"error": "squared"', '"error": "cubed"'))
    with pytest.raises(OddrowError, match="error='cubed' is not one of"):
        Artifact.load(tmp_path / "model")
