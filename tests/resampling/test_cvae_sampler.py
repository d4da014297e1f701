"""CVAESampler: imbalanced-learn's contract, every container, and what new rows must be like."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator
from polars.testing import assert_frame_equal
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from oddrow.errors import ParameterError, TableError
from oddrow.resampling.cvae import CVAESampler
from oddrow.train.training import Training


def sampler(epochs: int = 2, **parameters: Any) -> CVAESampler:
    usual = {"hidden": (16,), "latent": 2, "training": Training(epochs=epochs, batch_size=64), "random_state": 0}
    return CVAESampler(**{**usual, **parameters})


@pytest.mark.parametrize(("estimator", "check"), [*estimator_checks_generator(sampler())])
def test_imbalanced_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def rows(n_rows: int = 200, n_rare: int = 30, seed: int = 0) -> tuple[pl.DataFrame, pl.Series]:
    """Columns of every kind; the rare class has larger amounts, other shops, an amount that goes with its fee."""
    rng = np.random.default_rng(seed)
    rare = np.arange(n_rows) < n_rare
    amount = np.where(rare, rng.normal(80, 10, n_rows), rng.normal(30, 5, n_rows))
    frame = pl.DataFrame(
        {
            "amount": amount.round(2),
            "fee": 0.1 * amount + rng.normal(0, 0.2, n_rows),
            "items": rng.poisson(np.where(rare, 6, 2)).astype(np.int32),
            "age": pl.Series(
                np.where(rng.random(n_rows) < np.where(rare, 0.5, 0.1), np.nan, rng.normal(40, 9, n_rows))
            ),
            "shop": np.where(rare, "web", rng.choice(["books", "food"], n_rows)),
            "online": rng.random(n_rows) < 0.4,
            "time": pl.Series(np.datetime64("2024-01-01", "us") + rng.integers(0, 10**12, n_rows).astype("m8[us]")),
            "currency": ["EUR"] * n_rows,
        }
    ).with_columns(pl.col("age").fill_nan(None))
    return frame, pl.Series("fraud", rare.astype(int))


@pytest.fixture(scope="module")
def learned() -> CVAESampler:
    """Trained long enough to know how rare rows look."""
    return sampler(epochs=150, hidden=(64,), latent=4).fit(*rows(1500, 300))


@pytest.mark.parametrize("around", ["rows", "prior"])
def test_real_rows_come_first_and_unchanged(around: str) -> None:
    X, y = rows()
    X_all, y_all = sampler(around=around, sampling_strategy=0.5).fit_resample(X, y)
    assert X_all.schema == X.schema
    assert (y_all.name, y_all.dtype) == ("fraud", y.dtype)
    assert X_all[: X.height].equals(X)
    assert y_all[: len(y)].equals(y)
    assert (X_all.height, int(y_all.sum())) == (170 + 85, 85)
    assert (y_all[X.height :] == 1).all()


def test_the_mask_says_which_rows_are_new() -> None:
    made = sampler()
    _, y_all = made.fit_resample(*rows())
    assert made.synthetic_mask_.tolist() == [False] * 200 + [True] * 140
    assert len(y_all) == 340
    assert made.sampling_strategy_ == {1: 140}


@pytest.mark.parametrize(
    "form",
    [
        lambda X, y: (X.to_pandas(), y.to_pandas()),
        lambda X, y: (X.to_arrow(), y.to_numpy()),
        lambda X, y: (X.lazy(), y.to_list()),
        lambda X, y: (X, y.to_frame()),
        lambda X, y: (X.to_pandas().set_index(np.arange(900, 1100)), y.to_pandas().to_frame()),
    ],
    ids=["pandas", "arrow", "lazy", "a frame of labels", "pandas with an index"],
)
def test_rows_come_back_in_the_container_they_came_in(form: Any) -> None:
    X, y = form(*rows())
    X_all, y_all = sampler().fit_resample(X, y)
    assert type(X_all) is (pl.DataFrame if isinstance(X, pl.LazyFrame) else type(X))
    assert type(y_all) is type(y)
    first = pl.DataFrame(X_all)[:200] if isinstance(X_all, (pd.DataFrame, pa.Table)) else X_all[:200]
    wanted = rows()[0]
    assert_frame_equal(first.with_columns(pl.col("age").fill_nan(None)), wanted, check_dtypes=False)
    assert len(y_all) == 340


def test_arrays_keep_their_type() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 50, (100, 3)).astype(np.int16)
    X_all, y_all = sampler().fit_resample(X, np.arange(100) < 20)
    assert (X_all.dtype, y_all.dtype) == (np.int16, np.bool_)
    assert X_all.shape == (160, 3)


def test_levels_ranges_and_decimals_are_those_of_the_real_rows(learned: CVAESampler) -> None:
    X, _ = rows(1500, 300)
    made = learned.sample(3000)
    assert made.schema == X.schema
    for name in ("amount", "fee", "items", "age", "time"):
        assert X[name].min() <= made[name].min()
        assert made[name].max() <= X[name].max()
    assert set(made["shop"]) <= set(X["shop"])
    assert set(made["currency"]) == {"EUR"}
    assert (made["amount"].round(2) == made["amount"]).all()
    assert 0.3 < made["age"].null_count() / 3000 < 0.7
    assert made["amount"].null_count() == 0


def test_a_category_that_always_has_a_value_has_one_in_new_rows_however_little_was_learned() -> None:
    X, y = rows()
    with_gaps = X.with_columns(pl.when(pl.int_range(X.height) % 3 == 0).then(None).otherwise("shop").alias("gaps"))
    hardly = sampler(training=Training(epochs=1)).fit(with_gaps, y)
    made = hardly.sample(2000)
    assert made["shop"].null_count() == 0
    assert made["gaps"].null_count() > 0
    assert hardly.latent_grid(20)["shop"].null_count() == 0


@pytest.mark.parametrize("near", [False, True], ids=["from the prior", "near rows"])
def test_new_rows_are_like_held_out_rows_of_their_class(learned: CVAESampler, near: bool) -> None:
    X, y = rows(1500, 300)
    real = rows(1500, 300, seed=1)[0][:300]
    made = learned.sample(3000, near=X.filter(y == 1) if near else None)
    for name in ("amount", "fee", "items", "age"):
        # Two samples of 300 and 3,000 rows of one distribution differ by .08 in one case of twenty.
        assert ks_2samp(real[name].drop_nulls(), made[name].drop_nulls()).statistic < 0.25
    assert (made["shop"] == "web").mean() > 0.9
    together = np.corrcoef(made["amount"], made["fee"])[0, 1]
    assert together > 0.6, f"amounts and fees go together in real rows, here by {together:.2f}"
    normal = learned.sample(1000, 0)
    assert normal["amount"].mean() < 40 < 60 < made["amount"].mean()


def test_new_rows_are_no_copies(learned: CVAESampler) -> None:
    """No new row equals a real one; and they lie about as far from real rows as those do from each other."""
    X, y = rows(1500, 300)
    numbers = ["amount", "fee", "items"]
    scale = X.filter(y == 1).select(numbers).std().to_numpy()
    real, made = (frame.select(numbers).to_numpy() / scale for frame in (X.filter(y == 1), learned.sample(2000)))
    neighbours = NearestNeighbors(n_neighbors=2).fit(real)
    among_real = neighbours.kneighbors(real)[0][:, 1]
    to_real = neighbours.kneighbors(made, n_neighbors=1)[0][:, 0]
    assert (to_real == 0).mean() < 0.01
    assert np.median(to_real) > 0.5 * np.median(among_real)


def test_a_grid_walks_the_plane_of_the_code(learned: CVAESampler) -> None:
    grid = learned.latent_grid(5)
    assert grid.shape == (25, 8)
    assert grid.equals(learned.latent_grid(5)), "nothing is drawn"
    assert grid["amount"].n_unique() > 5
    assert sampler(latent=1).fit(*rows()).latent_grid(4).shape == (4, 8)


def test_the_same_seed_gives_the_same_rows_and_global_chance_is_untouched() -> None:
    before = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    first, again, other = (sampler(random_state=seed).fit_resample(*rows())[0] for seed in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before)  # noqa: NPY002


def test_samples_go_on_from_each_other() -> None:
    fitted = sampler().fit(*rows())
    assert not fitted.sample(5).equals(fitted.sample(5))
    assert fitted.sample(70_000).height == 70_000


def test_no_row_is_kept() -> None:
    X = np.random.default_rng(0).normal(size=(100, 2))
    kept = weakref.ref(X)
    fitted = sampler().fit(X, np.arange(100) < 20)
    del X
    gc.collect()
    assert kept() is None
    assert fitted.sample(3).shape == (3, 2)


def test_it_trains_inside_a_pipeline_and_is_cloned() -> None:
    X, y = rows()
    numbers = X.select("amount", "fee", "items").to_numpy()
    pipeline = make_pipeline(clone(sampler()), LogisticRegression(max_iter=1000)).fit(numbers, y.to_numpy())
    assert pipeline.predict_proba(numbers).shape == (200, 2)


def test_several_classes_of_any_name() -> None:
    X, _ = rows(90)
    y = pl.Series("kind", ["a"] * 50 + ["b"] * 30 + ["c"] * 10)
    fitted = sampler(sampling_strategy={"c": 25, "b": 30})
    _, y_all = fitted.fit_resample(X, y)
    assert y_all.value_counts().sort("kind").rows() == [("a", 50), ("b", 30), ("c", 25)]
    assert fitted.sample(4, "b").height == 4


def test_a_class_of_three_rows_and_a_column_constant_within_it_are_no_trouble() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=60), np.where(np.arange(60) < 3, 7.0, rng.normal(size=60))])
    X_all, y_all = sampler().fit_resample(X, np.arange(60) < 3)
    assert np.isfinite(X_all).all()
    assert y_all.sum() == 57


def test_balanced_classes_get_no_row() -> None:
    X, y = rows(60, 30)
    X_all, y_all = sampler().fit_resample(X, y)
    assert X_all.equals(X)
    assert y_all.equals(y)


def test_early_stopping_looks_at_held_out_rows_of_every_class() -> None:
    training = Training(epochs=400, batch_size=64, patience=3, learning_rate=0.01)
    fitted = sampler(training=training).fit(*rows())
    assert len(fitted.loss_curve_) < 400
    assert {"loss", "reconstruction", "kl", "validation_loss"} <= set(fitted.loss_curve_[0])
    losses = [entry["validation_loss"] for entry in fitted.loss_curve_]
    assert int(np.argmin(losses)) == len(losses) - 4


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0] * 200, "y has only one class"),
        ([1] + [0] * 199, "class 1 has 1 row, and a sampler needs at least 2"),
        ([None, 1, 1] + [0] * 197, "y: 1 of 200 labels are missing"),
        ([float("nan"), 1.0, 1.0] + [0.0] * 197, "y: 1 of 200 labels are missing"),
        ([1, 1, 0], "y has 3 values for 200 rows"),
    ],
)
def test_labels_that_cannot_be_learned_from_are_refused(y: list[Any], message: str) -> None:
    with pytest.raises(TableError, match=message):
        sampler().fit(rows()[0], pl.Series("y", y, strict=False))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sampling_strategy": {1: 10}}, "asks for 10 rows of class 1, but there are 30 already"),
        ({"around": "row"}, "around='row' is not one of prior, rows. Did you mean 'rows'"),
        ({"latent": 0}, "latent=0 is not"),
        ({"hidden": 5}, "hidden=5 is not a list"),
        ({"warm_up": -1}, "warm_up=-1 is not"),
        ({"training": Training(epochs=-1)}, "training.epochs=-1"),
    ],
)
def test_values_that_mean_nothing_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        sampler(**parameters).fit(*rows())


def test_an_identifier_is_refused_and_an_unknown_class_too() -> None:
    X, y = rows()
    with pytest.raises(TableError, match="'card_id': values of identifiers"):
        sampler().fit(X.with_columns(card_id=pl.int_range(200)), y)
    with pytest.raises(ParameterError, match="y=2 is not one of the classes 0, 1"):
        sampler().fit(X, y).sample(3, 2)
    with pytest.raises(ParameterError, match="n=0 is not"):
        sampler().fit(X, y).sample(0)
