"""scikit-learn's contract: its own checks, parameters, pipelines, and tables of every make."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.detectors.oddrow import OddRowDetector
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ParameterError, TableError
from oddrow.resampling.cvae import CVAESampler
from oddrow.table.table import Table
from oddrow.train.training import Training

NAMES = ["amount", "fee", "age"]


def detector(**parameters: Any) -> AutoencoderDetector:
    usual = {"hidden": (4,), "noise": 0, "training": Training(epochs=2), "random_state": 0}
    return AutoencoderDetector(**{**usual, **parameters})


def array(n_rows: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n_rows, 3))


def frame(n_rows: int = 60) -> pl.DataFrame:
    return pl.DataFrame(array(n_rows), schema=NAMES)


QUICK = Training(epochs=1)


@pytest.mark.parametrize(
    "quick",
    [
        OddRowDetector(),
        # Its network has six layers, which take minutes to compile for all the shapes.
        pytest.param(
            OddRowDetector(mode="novelty", training=Training(epochs=1, validation_fraction=0)),
            marks=pytest.mark.slow,
        ),
        AutoencoderDetector(hidden=(2,), noise=0, training=QUICK),
        DAGMMDetector(hidden=(2,), n_components=2, estimation=(2,), dropout=0, training=QUICK),
    ],
    ids=["oddrow", "oddrow novelty", "autoencoder", "dagmm"],
)
def test_scikit_learns_own_checks_pass_with_no_expected_failure(quick: Detector) -> None:
    """Without noise, because the checks fit dozens of shapes and each compiles in half the time then."""
    results = check_estimator(quick, on_skip=None, on_fail="raise")
    assert len(results) > 40
    assert {result["status"] for result in results} <= {"passed", "skipped"}
    assert all(not result["expected_to_fail"] for result in results)


def test_a_clone_has_the_parameters_but_no_fit() -> None:
    fitted = detector(encoder=TableEncoder(numbers="robust")).fit(array())
    copy = clone(fitted)
    assert repr(copy.get_params()) == repr(fitted.get_params())
    assert copy.training is not fitted.training
    assert not hasattr(copy, "network_")
    np.testing.assert_array_equal(copy.fit(array()).anomaly_score(array()), fitted.anomaly_score(array()))


def test_nested_parameters_are_read_and_set_by_their_path() -> None:
    nested = detector(encoder=TableEncoder())
    assert nested.get_params()["training__epochs"] == 2
    nested.set_params(training__learning_rate=0.01, encoder__numbers="minmax", noise=0.1)
    assert nested.training is not None
    assert nested.encoder is not None
    assert (nested.training.learning_rate, nested.encoder.numbers, nested.noise) == (0.01, "minmax", 0.1)
    with pytest.raises(ValueError, match="Invalid parameter 'speed'"):
        nested.set_params(training__speed=9)


@pytest.mark.parametrize(
    ("estimator", "training"),
    [
        (AutoencoderDetector(), Training()),
        (DAGMMDetector(), Training()),
        (OddRowDetector(mode="novelty"), Training()),
        (OddRowDetector(), Training(validation_fraction=0.0)),
        (CVAESampler(), Training(batch_size=512, patience=10)),
    ],
    ids=["autoencoder", "dagmm", "oddrow novelty", "oddrow outlier", "sampler"],
)
def test_a_nested_parameter_of_a_part_that_is_none_changes_the_default_part(estimator: Any, training: Training) -> None:
    changed = clone(estimator).set_params(training__epochs=3)
    assert changed.training.get_params() == {**training.get_params(), "epochs": 3}
    assert estimator.training is None
    with pytest.raises(ValueError, match="Invalid parameter 'speed' for estimator Training"):
        clone(estimator).set_params(training__speed=9)


def test_a_nested_parameter_of_the_encoder_too_and_the_default_is_that_of_the_new_mode() -> None:
    changed = OddRowDetector().set_params(encoder__max_levels=5, mode="novelty")
    assert changed.encoder is not None
    assert changed.encoder.get_params() == TableEncoder(numbers="robust", soft_limit=30.0, max_levels=5).get_params()
    given = detector().set_params(training=None, training__epochs=3)
    assert given.training is not None
    assert given.training.get_params() == Training(epochs=3).get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'coder'"):
        OddRowDetector().set_params(coder__max_levels=5)


@pytest.mark.parametrize("wrong", ["speed", "training__speed", "coder__levels", "kinds__amount", "hidden__x"])
def test_a_wrong_name_changes_nothing(wrong: str) -> None:
    changed = AutoencoderDetector(hidden=(4, 2))
    with pytest.raises(ParameterError, match=f"Invalid parameter '({wrong}|{'|'.join(wrong.split('__'))})'"):
        changed.set_params(**{"random_state": 1, "training__epochs": 3, "encoder__max_levels": 5, wrong: 3})
    assert repr(changed.get_params()) == repr(AutoencoderDetector(hidden=(4, 2)).get_params())
    given = AutoencoderDetector(hidden=(4, 2), training=Training(epochs=2))
    with pytest.raises(ParameterError):
        given.set_params(**{"training__epochs": 3, wrong: 3})
    assert given.get_params()["training__epochs"] == 2


def test_a_parameter_is_stored_as_given() -> None:
    hidden, training = [4, 2], Training()
    given = AutoencoderDetector(hidden=hidden, training=training)
    assert given.hidden is hidden
    assert given.training is training
    assert AutoencoderDetector().training is None


def test_a_grid_search_reaches_the_training() -> None:
    def fit_to_held_out_rows(model: AutoencoderDetector, X: np.ndarray, y: None = None) -> float:
        return float(model.score_samples(X).mean())

    plain = detector(scoring="mse", training=Training(batch_size=8, learning_rate=0.01))
    search = GridSearchCV(plain, {"training__epochs": [0, 30]}, scoring=fit_to_held_out_rows, cv=2)
    assert search.fit(array()).best_params_ == {"training__epochs": 30}


def test_a_grid_search_reaches_a_training_that_is_none() -> None:
    def lowest_loss(model: AutoencoderDetector, X: np.ndarray, y: None = None) -> float:
        return -model.loss_curve_[-1]["loss"]

    grid = {"training__learning_rate": [1e-6, 0.01], "training__epochs": [20], "encoder__numbers": ["minmax"]}
    search = GridSearchCV(detector(training=None), grid, scoring=lowest_loss, cv=2).fit(array())
    assert search.best_params_["training__learning_rate"] == 0.01
    assert search.best_estimator_.encoder_.numbers == "minmax"
    assert search.best_estimator_.n_epochs_ == 20


def test_it_goes_through_memory_pickled() -> None:
    fitted = detector().fit(frame())
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.anomaly_score(frame()), fitted.anomaly_score(frame()))
    assert list(copy.feature_names_in_) == NAMES


def test_it_ends_a_pipeline() -> None:
    pipeline = make_pipeline(StandardScaler(), detector()).fit(array())
    alone = detector().fit(StandardScaler().fit_transform(array()))
    np.testing.assert_array_equal(
        pipeline.score_samples(array()), alone.score_samples(StandardScaler().fit_transform(array()))
    )
    assert set(pipeline.predict(array())) == {-1, 1}


def test_fit_predict_is_fit_and_predict() -> None:
    np.testing.assert_array_equal(detector().fit_predict(array()), detector().fit(array()).predict(array()))


MAKES: dict[str, Callable[[], Any]] = {
    "numpy": array,
    "numpy, Fortran order": lambda: np.asfortranarray(array()),
    "list": lambda: array().tolist(),
    "polars": frame,
    "polars, lazy": lambda: frame().lazy(),
    "pandas": lambda: frame().to_pandas(),
    "pandas, numbered columns": lambda: pd.DataFrame(array()),
    "arrow": lambda: frame().to_arrow(),
    "table": lambda: Table.from_frame(frame()),
}


def test_the_same_numbers_get_the_same_scores_from_every_make_of_table() -> None:
    scores = {make: detector().fit(give()).anomaly_score(give()) for make, give in MAKES.items()}
    for make, found in scores.items():
        np.testing.assert_array_equal(found, scores["numpy"], err_msg=make)


def test_fitted_to_one_make_it_scores_another_of_the_same_names() -> None:
    fitted = detector().fit(frame())
    wanted = fitted.anomaly_score(frame())
    for other in (frame().to_pandas(), frame().to_arrow(), Table.from_frame(frame())):
        np.testing.assert_array_equal(fitted.anomaly_score(other), wanted)


def test_missing_values_are_the_same_from_every_make() -> None:
    gaps = np.where(np.random.default_rng(1).random((60, 3)) < 0.2, np.nan, array())
    nulls = pl.DataFrame(gaps, schema=NAMES, nan_to_null=True)
    wanted = detector().fit(gaps).anomaly_score(gaps)
    for other in (nulls, nulls.to_pandas(), nulls.to_arrow()):
        np.testing.assert_array_equal(detector().fit(other).anomaly_score(other), wanted)


@pytest.mark.parametrize("make", ["polars", "pandas", "arrow"])
def test_names_are_kept_and_held_to(make: str) -> None:
    table: Any = MAKES[make]()
    fitted = detector().fit(table)
    assert list(fitted.feature_names_in_) == NAMES
    assert fitted.n_features_in_ == 3


def test_an_array_has_no_names() -> None:
    fitted = detector().fit(array())
    assert not hasattr(fitted, "feature_names_in_")
    assert fitted.n_features_in_ == 3
    with pytest.raises(ValueError, match="X has 2 features, but AutoencoderDetector is expecting 3 features"):
        fitted.anomaly_score(array()[:, :2])


def test_columns_in_another_order_are_scikit_learns_error() -> None:
    with pytest.raises(ValueError, match="must be in the same order"):
        detector().fit(frame().to_pandas()).anomaly_score(frame().to_pandas()[NAMES[::-1]])


@pytest.mark.parametrize("give", [lambda: "rows.csv", lambda: {"a": [1]}, lambda: array()[0], lambda: None])
def test_what_is_no_table_is_refused(give: Any) -> None:
    """In scikit-learn's words, which its own checks ask for."""
    with pytest.raises((ValueError, TypeError), match=r"Expected 2D array|could not convert|NoneType|not 'dict'"):
        detector().fit(give())


def test_two_columns_of_one_name_are_refused() -> None:
    twice = pd.DataFrame(array(), columns=["a", "b", "a"])
    with pytest.raises(TableError, match="several columns have the name 'a'"):
        detector().fit(twice)
