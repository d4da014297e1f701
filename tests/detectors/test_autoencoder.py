"""AutoencoderDetector's scores by hand from what its network rebuilds; columns named; parameters refused."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from oddrow.detectors.autoencoder import SPREAD_FLOOR, AutoencoderDetector, default_widths
from oddrow.detectors.fit_many import fit_many
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import OddrowError, ParameterError, TableError
from oddrow.metrics.ranking import average_precision
from oddrow.nets.autoencoder import Autoencoder, BinaryAutoencoder
from oddrow.train.training import Training


def rows(n_rows: int = 200, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    amount = rng.normal(50, 10, n_rows)
    return pl.DataFrame(
        {
            "amount": amount,
            "fee": amount / 10 + rng.normal(0, 0.1, n_rows),
            "age": np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(40, 9, n_rows)),
            "shop": rng.choice(["books", "food", "fuel"], n_rows),
            "online": rng.random(n_rows) < 0.3,
        }
    )


def detector(epochs: int = 5, **parameters: Any) -> AutoencoderDetector:
    training = Training(epochs=epochs, batch_size=32, validation_fraction=0.0)
    return AutoencoderDetector(
        **{"hidden": (8, 4, 8), "noise": 0, "training": training, "random_state": 0, **parameters}
    )


def errors_by_hand(fitted: AutoencoderDetector, frame: pl.DataFrame) -> np.ndarray:
    """Squared error of every encoded number, cross-entropy of every category, from what the network rebuilds."""
    numbers, categories = fitted.encoder_.transform(fitted.schema_.conform(frame))
    rebuilt, logits = fitted.network_.reconstruct((jnp.asarray(numbers), jnp.asarray(categories)))
    surprises = []
    for place, scores in enumerate(np.asarray(scores, np.float64) for scores in logits):
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        surprises.append(-np.log(probabilities[np.arange(len(scores)), categories[:, place]]))
    return np.column_stack([(numbers - np.asarray(rebuilt, np.float64)) ** 2, *surprises])


@pytest.fixture(scope="module")
def standardized() -> AutoencoderDetector:
    return detector(epochs=40).fit(rows())


@pytest.fixture(scope="module")
def plain() -> AutoencoderDetector:
    return detector(scoring="mse").fit(rows())


# amount, fee, age, whether age is missing, shop, online: six outputs of five columns.
SHARE = np.array([1, 1, 0.5, 0.5, 1, 1]) / 5


def test_mse_is_the_plain_mean_of_the_errors(plain: AutoencoderDetector) -> None:
    frame = rows(seed=1)
    wanted = errors_by_hand(plain, frame).mean(axis=1)
    np.testing.assert_allclose(plain.anomaly_score(frame), wanted, rtol=1e-4)


def test_standardized_errors_are_in_units_of_their_mean_on_training_rows(standardized: AutoencoderDetector) -> None:
    spread = np.maximum(errors_by_hand(standardized, rows()).mean(axis=0), SPREAD_FLOOR)
    np.testing.assert_allclose(standardized.spread_, spread, rtol=1e-4)
    frame = rows(seed=1)
    wanted = (errors_by_hand(standardized, frame) / spread) @ SHARE
    np.testing.assert_allclose(standardized.anomaly_score(frame), wanted, rtol=1e-4)


def test_the_usual_row_scores_one(standardized: AutoencoderDetector) -> None:
    assert standardized.anomaly_score(rows()).mean() == pytest.approx(1, rel=1e-4)


def test_a_column_rebuilt_almost_exactly_counts_no_finer_than_the_floor() -> None:
    same = pl.DataFrame({"x": np.random.default_rng(0).normal(size=100)}).with_columns(twin=pl.col("x"))
    fitted = detector(epochs=300).fit(same)
    assert errors_by_hand(fitted, same).mean(axis=0).max() < SPREAD_FLOOR
    np.testing.assert_allclose(fitted.spread_, SPREAD_FLOOR)


def test_column_scores_average_to_the_score(standardized: AutoencoderDetector, plain: AutoencoderDetector) -> None:
    for fitted in (standardized, plain):
        columns = fitted.column_scores(rows())
        assert columns.columns == ["amount", "fee", "age", "shop", "online"]
        np.testing.assert_allclose(columns.to_numpy().mean(axis=1), fitted.anomaly_score(rows()), rtol=1e-5)


def test_a_column_of_two_outputs_is_their_sum(standardized: AutoencoderDetector) -> None:
    parts = errors_by_hand(standardized, rows()) / standardized.spread_ * SHARE
    found = standardized.column_scores(rows())["age"].to_numpy()
    np.testing.assert_allclose(found, 5 * (parts[:, 2] + parts[:, 3]), rtol=1e-4)


@pytest.mark.parametrize(
    ("column", "value"),
    [("amount", 5000.0), ("fee", -40.0), ("age", 900.0), ("shop", "casino")],
)
def test_the_odd_column_is_named_first(standardized: AutoencoderDetector, column: str, value: Any) -> None:
    odd = rows()[:1].with_columns(pl.lit(value).alias(column))
    scores = standardized.column_scores(odd).row(0, named=True)
    assert max(scores, key=scores.__getitem__) == column


@pytest.mark.parametrize("value", [5000.0, -5000.0])
def test_a_number_far_out_makes_the_row_odd(standardized: AutoencoderDetector, value: float) -> None:
    odd = standardized.anomaly_score(rows()[:20].with_columns(amount=pl.lit(value)))
    assert odd.min() > standardized.anomaly_score(rows()).max()


def test_a_value_missing_for_the_first_time_is_odd(standardized: AutoencoderDetector) -> None:
    usual, odd = rows()[:20], rows()[:20].with_columns(amount=pl.lit(None, pl.Float64))
    of_usual, of_odd = (standardized.column_scores(frame)["amount"].to_numpy() for frame in (usual, odd))
    assert of_usual.max() < of_odd.min()


def test_validation_rows_decide_nothing_but_when_to_stop() -> None:
    one, other = (detector(epochs=4).fit(rows(), validation=rows(50, seed=seed)) for seed in (2, 3))
    assert [set(entry) for entry in one.loss_curve_] == [{"epoch", "loss", "validation_loss"}] * 4
    assert one.loss_curve_ != other.loss_curve_
    np.testing.assert_array_equal(one.anomaly_score(rows()), other.anomaly_score(rows()))


def test_no_epoch_is_the_untrained_twin() -> None:
    twin = detector(epochs=0).fit(rows())
    assert twin.loss_curve_ == []
    assert np.isfinite(twin.anomaly_score(rows())).all()


def test_widths_and_activations_for_every_layer() -> None:
    fitted = detector(epochs=0, hidden=(9, 2, 7), activations=("relu", "tanh", "linear")).fit(rows()[["amount", "fee"]])
    layers = fitted.network_.stack.layers
    assert [layer.weight.shape for layer in layers] == [(2, 9), (9, 2), (2, 7), (7, 2)]
    assert fitted.network_.stack.activations == ("relu", "tanh", "linear", "linear")


def test_one_activation_is_for_all_layers() -> None:
    fitted = detector(epochs=0, hidden=[5, 6], activations="elu").fit(rows()[["amount", "fee"]])
    assert fitted.network_.stack.activations == ("elu", "elu", "linear")


def test_the_usual_widths_follow_the_outputs() -> None:
    fitted = detector(epochs=0, hidden=None).fit(rows())
    assert tuple(layer.bias.shape[0] for layer in fitted.network_.stack.layers[:-1]) == default_widths(6)
    assert default_widths(6)[0] < default_widths(60)[0], "wider for wider tables"


def test_no_hidden_layer_is_a_linear_map() -> None:
    fitted = detector(hidden=()).fit(rows()[["amount", "fee"]])
    assert len(fitted.network_.stack.layers) == 1
    assert np.isfinite(fitted.anomaly_score(rows()[["amount", "fee"]])).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden": (8, 0)}, r"hidden=0 is not a whole number of at least 1"),
        ({"hidden": (8, 2.5)}, r"hidden=2.5 is not a whole number"),
        ({"hidden": 8}, r"hidden=8 is not a list of widths, such as \[8\]"),
        ({"hidden": "8,4"}, r"hidden='8,4' is not a list"),
        ({"hidden": [1] * 101}, r"number of hidden layers=101 is not a whole number .*at most 100"),
        ({"activations": "rellu"}, r"activations='rellu' is not one of .*Did you mean 'relu'\?"),
        ({"activations": ("relu", "gelu")}, r"activations: expected 3 \(one for each hidden layer\), got 2"),
        ({"noise": -0.1}, r"noise=-0.1 is not a .*number of at least 0"),
        ({"noise": "much"}, r"noise='much'"),
        ({"scoring": "mes"}, r"scoring='mes' is not one of standardized, mse\. Did you mean 'mse'\?"),
        ({"contamination": 0.6}, r"contamination=0.6 is not a .*number above 0 and at most 0.5"),
        ({"encoder": TableEncoder(numbers="robst")}, r"numbers='robst'.*Did you mean 'robust'\?"),
        ({"training": Training(epochs=-1)}, r"training.epochs=-1"),
        ({"kinds": {"amount": "nummeric"}}, r"kind of column 'amount'='nummeric'.*Did you mean 'numeric'\?"),
    ],
)
def test_values_that_mean_nothing_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        detector(**parameters).fit(rows())


def test_a_kind_for_an_unknown_column_is_refused() -> None:
    with pytest.raises(OddrowError, match=r"column 'amuont' is not in the table\. Did you mean 'amount'\?"):
        detector(kinds={"amuont": "numeric"}).fit(rows())


def test_kinds_override_what_is_inferred() -> None:
    fitted = detector(epochs=0, kinds={"age": "dropped", "amount": "category"}).fit(rows())
    assert fitted.column_scores(rows()).columns == ["fee", "amount", "shop", "online"]


def test_times_without_parts_leave_nothing_to_score_by() -> None:
    times = pl.DataFrame({"t": pl.Series(np.datetime64("2024-01-01", "us") + np.arange(30).astype("m8[D]"))})
    with pytest.raises(OddrowError, match=r"times=\(\) encodes nothing of a table that has only times"):
        detector(encoder=TableEncoder(times=())).fit(times)


def test_y_may_say_nothing_of_use_and_the_widths_are_numpys() -> None:
    no_epochs: Any = np.int64(0)
    fitted = detector(hidden=[np.int64(4)], epochs=no_epochs).fit(rows(), np.zeros(200))
    assert fitted.n_known_anomalies_ == 0


def test_a_refused_value_is_named_by_its_row_in_the_table_in_whatever_slice_it_lies(plain: AutoencoderDetector) -> None:
    n_rows = 40_000
    frame = rows(n_rows).with_columns(
        pl.when(pl.int_range(n_rows) == 35_000).then(np.inf).otherwise("fee").alias("fee")
    )
    with pytest.raises(TableError, match=r"1 of 40,000 values is infinite \(row 35000 inf\)"):
        plain.anomaly_score(frame)


def planted(n_normal: int, n_odd: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal rows on a line, and odd rows of one kind near it: few labels tell what no row tells alone."""
    rng = np.random.default_rng(seed)
    line = rng.normal(size=(n_normal + n_odd, 1)) @ np.ones((1, 4))
    y = np.repeat([0.0, 1.0], [n_normal, n_odd])
    X = line + rng.normal(0, 0.5, line.shape)
    X[y == 1, 0] += 1.5
    order = rng.permutation(len(y))
    return X[order], y[order]


def test_known_anomalies_are_learned_from_where_that_is_asked_for() -> None:
    X, y = planted(1500, 60, seed=0)
    X_test, y_test = planted(1500, 100, seed=1)
    found = {
        weight: average_precision(y_test, detector(30, known_weight=weight).fit(X, y).anomaly_score(X_test))
        for weight in (0.0, 10.0)
    }
    assert found[10.0] > found[0.0] + 0.1


def test_labels_change_nothing_more_than_asked_for() -> None:
    X, y = planted(300, 10, seed=0)
    scores = {
        (weight, labelled): detector(known_weight=weight).fit(X[y == 0] if not labelled else X, y if labelled else None)
        for weight, labelled in ((0.0, True), (5.0, False), (0.0, False))
    }
    one, other, plain = (fitted.anomaly_score(X) for fitted in scores.values())
    np.testing.assert_array_equal(other, plain, "without a known anomaly there is nothing to learn from")
    np.testing.assert_array_equal(one, plain, "left out is left out")
    unknown = np.where(y == 1, np.nan, 0.0)
    fitted = detector(known_weight=5.0).fit(X, unknown)
    assert fitted.n_known_anomalies_ == 0


def contaminated(seed: int) -> np.ndarray:
    """1,900 rows on a line and 40 far from it."""
    far = 6 * np.array([1.0, -1, 1, -1]) + np.random.default_rng(seed).normal(0, 0.3, (40, 4))
    return np.vstack([planted(1900, 0, seed)[0], far])


def test_a_trial_of_training_leaves_the_oddest_rows_out() -> None:
    y = np.repeat([0.0, 1.0], [1900, 40])
    found = {
        trim: average_precision(y, detector(60, trim=trim).fit(contaminated(0)).anomaly_score(contaminated(1)))
        for trim in (0.0, 0.05)
    }
    assert found[0.0] < 0.2, "far as they are, they have been learned"
    assert found[0.05] > 0.9


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"known_weight": -1}, "known_weight=-1 is not"), ({"trim": 0.6}, "trim=0.6 is not"), ({"trim": "x"}, "trim='x'")],
)
def test_weights_and_shares_that_mean_nothing(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        detector(**parameters).fit(rows())


def test_several_that_learn_from_known_anomalies_train_as_each_would_alone() -> None:
    X, y = planted(300, 12, seed=0)
    each = [detector(known_weight=3.0, trim=0.05, random_state=seed) for seed in (0, 1)]
    alone = [detector(known_weight=3.0, trim=0.05, random_state=seed).fit(X, y).anomaly_score(X) for seed in (0, 1)]
    together = [fitted.anomaly_score(X) for fitted in fit_many(each, [X, X], [y, y])]
    np.testing.assert_allclose(together, alone, rtol=1e-3)


def test_known_weight_is_how_much_a_known_anomaly_counts() -> None:
    net = Autoencoder(2, [], [4], ["tanh"], 0.0, key=jax.random.key(0))
    rows = jnp.asarray([[1.0, 2.0], [3.0, -1.0]]), jnp.zeros((2, 0), jnp.int32)
    normal, odd = np.asarray(net.row_errors(rows, None)[0], np.float64)
    known = jnp.asarray([0, 1], jnp.int32)
    for weight in (1.0, 7.0):
        loss, _ = BinaryAutoencoder(net, weight).loss(((*rows, known), jnp.ones(2)), None)
        assert float(loss) == pytest.approx((normal - weight * np.log1p(-np.exp(-odd))) / 2, rel=1e-4)
    held_out, _ = BinaryAutoencoder(net, 7.0).loss((rows, jnp.ones(2)), None)
    assert float(held_out) == pytest.approx((normal + odd) / 2, rel=1e-4)


def test_the_share_that_predict_flags_is_of_all_training_rows_trimmed_ones_too() -> None:
    X = contaminated(0)
    for validation in (None, planted(200, 0, seed=3)[0]):
        fitted = detector(8, trim=0.3, contamination=0.01).fit(X, validation=validation)
        assert (fitted.predict(X) == -1).mean() == pytest.approx(0.01, abs=0.002)


def test_runs_of_other_trims_train_apart() -> None:
    X = contaminated(0)
    each = [detector(8, trim=trim) for trim in (0.05, 0.4)]
    alone = [detector(8, trim=trim).fit(X).anomaly_score(X) for trim in (0.05, 0.4)]
    together = [fitted.anomaly_score(X) for fitted in fit_many(each, [X, X])]
    np.testing.assert_allclose(together, alone, rtol=1e-4)
