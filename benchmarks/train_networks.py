"""The networks whose training is timed: their layers, where their weights start, and rows for them to learn."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Weights = list[tuple[Floats, Floats]]

# What DAGMM's estimation network sees beside the code of a row: relative distance and cosine.
N_FEATURES = 2
# DAGMM as published for KDD'99, but for the floor: with one the factors of the covariances always exist.
MIXTURE: dict[str, Any] = {"dropout": 0.5, "lambda_energy": 0.1, "lambda_covariance": 0.005, "covariance_floor": 1e-2}
NOISE = 0.1


@dataclass(frozen=True)
class Network:
    """An autoencoder, or with `estimation` a DAGMM around it, and how it is trained.

    `activations` has one for every layer, the last included, `dropout` a share for every hidden one. `n_rows` are what
    the default run trains on, `n_full_rows` what is published; the race to a loss has `n_to_learn` and lasts `epochs`.
    """

    name: str
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    batch_size: int
    n_rows: int
    n_full_rows: int
    n_to_learn: int
    epochs: int
    n_factors: int
    dropout: tuple[float, ...] = ()
    learning_rate: float = 1e-3
    in_unit_range: bool = False
    estimation: tuple[int, ...] = ()
    note: str = ""

    @property
    def title(self) -> str:
        """The widths from left to right."""
        whole = "-".join(map(str, self.widths))
        return f"DAGMM {whole}, estimation {'-'.join(map(str, self.estimation))}" if self.is_dagmm else whole

    @property
    def is_dagmm(self) -> bool:
        """Whether a mixture is estimated too."""
        return bool(self.estimation)

    @property
    def hidden(self) -> tuple[int, ...]:
        """The widths between the first and the last."""
        return self.widths[1:-1]

    @property
    def n_code(self) -> int:
        """The narrowest width."""
        return min(self.widths)

    @property
    def stacks(self) -> list[tuple[int, ...]]:
        """The widths of every stack of layers: one, or DAGMM's encoder, decoder and estimator."""
        if not self.is_dagmm:
            return [self.widths]
        code = self.widths.index(self.n_code)
        return [self.widths[: code + 1], self.widths[code:], (self.n_code + N_FEATURES, *self.estimation)]

    @property
    def flops_per_row(self) -> int:
        """Operations of the matrix products of a training step, for each row."""
        return training_flops(self.stacks)

    def start(self) -> Weights:
        """Weight (d_in, d_out) and bias of every layer, Glorot uniform: everybody starts from the same."""
        rng = np.random.default_rng(1)
        return [glorot(rng, shape) for widths in self.stacks for shape in pairwise(widths)]

    def rows(self, n_rows: int, n_held_out: int = 0) -> tuple[Floats, Floats]:
        """Rows to train on, and others like them: few factors, bent, behind many columns, and some noise."""
        rng = np.random.default_rng(0)
        n_bent, n_columns = 4 * self.n_factors, self.widths[0]
        into = rng.standard_normal((self.n_factors, n_bent), dtype=np.float32) * np.float32(2 / self.n_factors**0.5)
        out = rng.standard_normal((n_bent, n_columns), dtype=np.float32)
        factors = rng.standard_normal((n_rows + n_held_out, self.n_factors), dtype=np.float32)
        values = _standardised(np.tanh(factors @ into + into[0]) @ out)
        values += NOISE * rng.standard_normal(values.shape, dtype=np.float32)
        scaled = _in_unit_range(values) if self.in_unit_range else _standardised(values)
        return scaled[:n_rows], scaled[n_rows:]


def training_flops(stacks: Sequence[Sequence[int]]) -> int:
    """Two for each weight forward, four backward; the first layer passes no slope on to the rows."""
    layers = [prod(shape) for widths in stacks for shape in pairwise(widths)]
    return 6 * sum(layers) - 2 * layers[0]


def glorot(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """A layer's first weights: uniform, as in Keras, and biases of 0."""
    bound = (6 / sum(shape)) ** 0.5
    return rng.uniform(-bound, bound, shape).astype(np.float32), np.zeros(shape[1], np.float32)


def _standardised(values: Floats) -> Floats:
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def _in_unit_range(values: Floats) -> Floats:
    low, high = values.min(axis=0), values.max(axis=0)
    return np.asarray((values - low) / (high - low))


def published(recipe: str) -> dict[str, Any]:
    """The layers of a recipe's detector, and how they are trained."""
    described = tomllib.loads((files("oddrow.recipes") / f"{recipe}.toml").read_text(encoding="utf-8"))
    detector, training = described["detector"], described["training"]
    n_columns = len(set(described["data"]["columns"]) - {described["label"]})
    return {
        "widths": (n_columns, *detector["hidden"], n_columns),
        "activations": (*detector["activations"], detector["output"]),
        "dropout": tuple(detector["dropout"]),
        "batch_size": training["batch_size"],
        "learning_rate": training["learning_rate"],
        "in_unit_range": detector["output"] == "tanh",
    }


NETWORKS = {
    network.name: network
    for network in (
        # The network of the Keras fraud tutorial.
        Network(
            "keras",
            (29, 14, 7, 7, 29),
            ("tanh", "relu", "tanh", "linear"),
            batch_size=32,
            n_rows=40_000,
            n_full_rows=226_381,
            n_to_learn=20_000,
            epochs=8,
            n_factors=5,
        ),
        # The notebook trains on four fifths of the 284,315 legitimate payments.
        Network(
            "dropout",
            **published("creditcard-autoencoder-dropout"),
            n_rows=40_000,
            n_full_rows=227_452,
            n_to_learn=20_000,
            epochs=8,
            n_factors=3,
            note=" The published penalty on the first layer's activity, 1e-7, is left out for everybody.",
        ),
        # The network of Zong et al. (ICLR 2018) for KDD'99.
        Network(
            "dagmm",
            (120, 60, 30, 10, 1, 10, 30, 60, 120),
            ("tanh", "tanh", "tanh", "linear", "tanh", "tanh", "tanh", "linear"),
            batch_size=1024,
            n_rows=60_000,
            n_full_rows=198_371,
            n_to_learn=40_000,
            epochs=8,
            n_factors=5,
            learning_rate=1e-4,
            in_unit_range=True,
            estimation=(10, 4),
        ),
        # As many columns as the transactions of IEEE-CIS, and a tenth of the rows of their file.
        Network(
            "wide",
            (433, 256, 64, 16, 64, 256, 433),
            ("gelu", "gelu", "gelu", "gelu", "gelu", "linear"),
            batch_size=256,
            n_rows=20_000,
            n_full_rows=59_054,
            n_to_learn=20_000,
            epochs=5,
            n_factors=12,
        ),
    )
}
