"""The detectors that the laws (test_laws.py) hold for, and the tables they are tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.detectors.oddrow import OddRowDetector
from oddrow.encoding.encoder import TableEncoder
from oddrow.train.training import Training

New = Callable[..., Detector]


def autoencoder(epochs: int = 3, *, noisy: bool = True, **parameters: Any) -> AutoencoderDetector:
    """Small enough to fit in a moment, with a batch that leaves a short one at the end of the epoch."""
    training = Training(epochs=epochs, batch_size=64, validation_fraction=0.2)
    usual = {"hidden": (6, 3, 6), "training": training, "random_state": 0}
    return AutoencoderDetector(**{**usual, **({} if noisy else {"noise": 0}), **parameters})


def dagmm(epochs: int = 3, *, noisy: bool = True, learning_rate: float = 1e-3, **parameters: Any) -> DAGMMDetector:
    """Small too; here noise means dropout."""
    training = Training(epochs=epochs, batch_size=64, validation_fraction=0.2, learning_rate=learning_rate)
    usual = {"hidden": (6,), "n_components": 2, "estimation": (4,), "training": training, "random_state": 0}
    return DAGMMDetector(**{**usual, **({} if noisy else {"dropout": 0}), **parameters})


def sparse_autoencoder(epochs: int = 3, *, noisy: bool = True, **parameters: Any) -> AutoencoderDetector:
    """An autoencoder as many papers publish it: dropout, activity penalties, numbers in [0, 1] in and out."""
    usual = {
        "activations": "leaky-relu",
        "output": "sigmoid",
        "activity_l1": 1e-5,
        "activity_l2": 1e-5,
        "encoder": TableEncoder(numbers="minmax"),
        **({"noise": 0.05, "dropout": (0.0, 0.1, 0.2)} if noisy else {}),
    }
    return autoencoder(epochs, noisy=noisy, **{**usual, **parameters})


def oddrow(epochs: int = 3, *, noisy: bool = True, mode: str = "novelty", **parameters: Any) -> OddRowDetector:
    """Either mode, with fewer reference rows than the smallest table of the laws."""
    training = Training(epochs=epochs if mode == "novelty" else None, batch_size=64, validation_fraction=0.2)
    usual = {"mode": mode, "n_reference_rows": 100, "training": training, "random_state": 0}
    return OddRowDetector(**{**usual, **parameters})


def outlier_oddrow(epochs: int = 3, *, noisy: bool = True, **parameters: Any) -> OddRowDetector:
    return oddrow(epochs, mode="outlier", **parameters)


# How to make each detector so that it fits quickly. `epochs=0` makes an untrained copy; without noise it compiles in
# half the time.
DETECTORS: dict[str, New] = {
    "oddrow": oddrow,
    "oddrow outlier": outlier_oddrow,
    "autoencoder": autoencoder,
    "sparse autoencoder": sparse_autoencoder,
    "dagmm": dagmm,
}
# For tests that fit many: networks of six layers take longest to compile and are left to `make test-all`.
QUICK_DETECTORS = [pytest.param(name, marks=[pytest.mark.slow] if name == "oddrow" else []) for name in DETECTORS]
# The fewest rows that each can learn from.
FEWEST_ROWS = {"oddrow": 2, "oddrow outlier": 2, "autoencoder": 2, "sparse autoencoder": 2, "dagmm": 8}
# These train no network.
UNTRAINED = ("oddrow outlier",)
# What each needs to find the planted rows.
LEARNED: dict[str, dict[str, Any]] = {
    "oddrow": {"epochs": 40, "n_reference_rows": 10_000},
    "oddrow outlier": {"n_reference_rows": 10_000},
    "autoencoder": {"epochs": 40, "hidden": (32, 6, 32)},
    # Dropout in a middle layer of five loses the little by which planted rows differ.
    "sparse autoencoder": {"epochs": 100, "hidden": (32, 5, 32), "dropout": 0.0},
    "dagmm": {
        "epochs": 100,
        "hidden": (32,),
        "latent": 5,
        "encoder": TableEncoder(),
        "learning_rate": 3e-3,
        "lambda_covariance": 1e-4,
        "covariance_floor": 1e-3,
    },
}


def normal_rows(n_rows: int = 300, seed: int = 0) -> pl.DataFrame:
    """Every kind of column: correlated numbers, one with missing values, a category, a boolean, a time."""
    rng = np.random.default_rng(seed)
    amount = rng.normal(50, 15, n_rows)
    return pl.DataFrame(
        {
            "amount": amount,
            "fee": 0.1 * amount + rng.normal(0, 0.2, n_rows),
            "age": np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(40, 9, n_rows)),
            "shop": rng.choice(["books", "food", "fuel"], n_rows, p=[0.2, 0.5, 0.3]),
            "online": rng.random(n_rows) < 0.4,
            "time": pl.Series(np.datetime64("2024-01-01", "us") + rng.integers(0, 10**12, n_rows).astype("m8[us]")),
        }
    )


def planted_rows(n_rows: int = 400, n_planted: int = 40, seed: int = 1) -> tuple[pl.DataFrame, np.ndarray]:
    """Rows, and a mask of those that break the correlations: each value is common, the combination is not."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, 3))
    anomalous = np.arange(n_rows) < n_planted
    partner = np.where(anomalous, rng.permutation(x[:, 0]), x[:, 0])
    square = np.where(anomalous, rng.permutation(x[:, 1] ** 2), x[:, 1] ** 2)
    sign = np.where(anomalous ^ (x[:, 2] > 0), "plus", "minus")
    return pl.DataFrame(
        {
            "x": x[:, 0],
            "twin": 2 * partner + rng.normal(0, 0.1, n_rows),
            "y": x[:, 1],
            "square": square + rng.normal(0, 0.1, n_rows),
            "z": x[:, 2],
            "sign": sign,
        }
    ), anomalous


@dataclass(frozen=True)
class OddTable:
    """Rows to fit and rows to score; `refused` is part of the message if they must be refused."""

    fitted: Any
    scored: Any
    refused: str | None = None


def _numbers(n_rows: int = 20, **columns: Any) -> pl.DataFrame:
    rng = np.random.default_rng(2)
    return pl.DataFrame({"x": rng.normal(size=n_rows), "y": rng.normal(size=n_rows), **columns})


def _array(n_rows: int, n_columns: int = 2) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n_rows, n_columns))


def odd_tables() -> dict[str, OddTable]:
    """Tables that a detector meets in real life, by name."""
    nothing, days = np.full(20, np.nan), [date(2024, 2, 20) + timedelta(days=day) for day in range(20)]
    shops = ["a", "b"] * 10
    huge = _numbers(x=[*([1e30, -1e30] * 3), *range(14)])
    return {
        "fewer rows than a batch": OddTable(_array(10), _array(5)),
        "two rows": OddTable(_array(2), _array(5)),
        "one row to fit": OddTable(_numbers(1), _numbers(5), "n_samples = 1, expected at least 2"),
        "last batch of one": OddTable(_array(65 + 16), _array(65)),
        "one row to score": OddTable(_array(20), _array(1)),
        "no row to score": OddTable(_numbers(), _numbers(0), "n_samples = 0, expected at least 1"),
        "one column": OddTable(_array(20, 1), _array(5, 1)),
        "constant column": OddTable(_numbers(same=1.5), _numbers(same=2.5)),
        "constant column of an array": OddTable(np.ones((20, 2)), np.array([[1.0, 1.0], [2.0, -1e9]])),
        "nothing but constants": OddTable(pl.DataFrame({"a": [1] * 9}), _array(9, 1), "'a' is constant: every value"),
        "all-missing column": OddTable(_numbers(gone=nothing), _numbers(gone=nothing)),
        "all-missing column of an array": OddTable(np.column_stack([_array(20), nothing]), _array(20, 3)),
        "missing for the first time": OddTable(_numbers(), _numbers(x=nothing)),
        "missing values": OddTable(_numbers(x=[None, 1.0] * 10), _numbers(x=[None, None] * 10)),
        "unseen category": OddTable(_numbers(shop=shops), _numbers(shop=["a", "new"] * 10)),
        "missing category": OddTable(_numbers(shop=shops), _numbers(shop=["a", None] * 10)),
        "only categories": OddTable(pl.DataFrame({"shop": shops}), pl.DataFrame({"shop": ["b", "c"]})),
        "1e30 in training": OddTable(huge, huge),
        "1e30 to score": OddTable(_numbers(), huge),
        "1e300 to score": OddTable(_numbers(x=np.arange(20) * 1e-20), _numbers(x=[1e300, -1e300] * 10)),
        "1e300 in training": OddTable(_numbers(x=[1e300, -1e300] * 10), _numbers()),
        "infinity": OddTable(_numbers(), _numbers(x=[np.inf] * 20), "column 'x': 20 of 20 values are infinite"),
        "integers": OddTable(_numbers(n=np.arange(20) % 7), _numbers(n=np.arange(20) % 9)),
        "integers and floats": OddTable(_numbers(n=np.arange(20) % 7), _numbers(n=np.linspace(0, 1, 20))),
        "array of integers": OddTable(np.arange(60).reshape(20, 3), np.arange(9).reshape(3, 3)),
        "booleans": OddTable(_numbers(b=[True, False] * 10), _numbers(b=[True, None] * 10)),
        "array of booleans": OddTable(_array(20) > 0, _array(5) > 0),
        "dates": OddTable(_numbers(day=days), _numbers(day=[None, *days[1:]])),
        "text for a number": OddTable(
            _numbers(), _numbers(x=["N/A"] * 20), "column 'x': 20 of 20 values cannot be read as numbers"
        ),
        "a column is absent": OddTable(_numbers(), pl.DataFrame({"y": [1.0]}), "x"),
        "no column": OddTable(pl.DataFrame({}), pl.DataFrame({}), "at least"),
    }
