"""`CVAESampler`: rows of a rare class, made by a conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.utils.validation import check_is_fitted

from oddrow.encoding.columns import MISSING
from oddrow.encoding.decoder import TableDecoder
from oddrow.encoding.encoder import Encoded, TableEncoder
from oddrow.encoding.input import check_table
from oddrow.encoding.times import ELAPSED
from oddrow.errors import TableError, check_choice, check_number, first_names
from oddrow.estimator import Estimator, OneToOneFeatureMixin
from oddrow.nets.cvae import CVAE
from oddrow.nets.parameters import check_widths
from oddrow.resampling.contract import (
    Labels,
    SamplerTags,
    Strategy,
    below,
    in_form_of,
    labels_in_form_of,
    rows_to_make,
    without_rows,
)
from oddrow.table.schema import check_features
from oddrow.table.split import split_random
from oddrow.table.table import Table
from oddrow.train.blocks import block_of, blocks
from oddrow.train.checkpoint import signature_of
from oddrow.train.compilation import keep_compiled_code
from oddrow.train.loop import train
from oddrow.train.training import Training, as_training, generator
from oddrow.typing import Ints

AROUND = ("prior", "rows")

FEWEST_ROWS = 2

# Rows made in one call; few are made in a small one.
BLOCKS = (1024, 65_536, 65_536)

# A class of n rows counts n to this power in training: 1 leaves the rare one unheard, 0 makes all classes equal.
CLASS_POWER = 0.5


class CVAESampler(OneToOneFeatureMixin, Estimator):
    """Makes rows of a class out of noise, after learning from the rows of all classes (Sohn et al., NeurIPS 2015).

    Keeps the contract of imbalanced-learn: `fit_resample(X, y)` gives the real rows, unchanged and first, and below
    them as many new ones as `sampling_strategy` asks for. Whether that helps a classifier is another question, which
    `compare` answers; often it does not.

    Parameters
    ----------
    sampling_strategy : str, float, dict or callable
        As in imbalanced-learn: "auto" (all classes but the largest become as large as that one), "minority",
        "not minority", "all"; a float is minority / majority afterwards; a dictionary says how many rows of each class
        there are to be afterwards; a function makes such a dictionary of y.
    around : {"rows", "prior"}
        Where `fit_resample` takes the codes of new rows from: the neighbourhoods of the real rows of the class, as the
        encoder sees them, or the standard normal. The first keeps spreads and correlations of a rare class far better.
    hidden : sequence of int
        Widths of the hidden layers down to the code; the way back mirrors them.
    latent : int
        Width of the code.
    warm_up : int
        Epochs over which the KL term grows to its full weight.
    training : Training or None
        How to train; None is `Training(batch_size=512, patience=10)`. Held out are rows of every class.
    kinds : dict or None
        Kinds of columns that are not to be inferred, by name; for frames.
    random_state : int, Generator, RandomState or None
        The same seed gives the same rows.

    Attributes
    ----------
    sampling_strategy_ : dict, rows to add by class.
    synthetic_mask_ : (rows,) bool, after `fit_resample`: which of its rows are new.
    classes_ : (classes,)
    network_ : CVAE
    loss_curve_ : list of dict, of each epoch: loss, reconstruction, kl and validation_loss, in nats for each row.
    n_features_in_, feature_names_in_, schema_, encoder_

    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(300, 2)), np.arange(300) < 30
    >>> X_all, y_all = CVAESampler(training=Training(epochs=2), random_state=0).fit_resample(X, y)
    >>> X_all.shape, int(y_all.sum())
    ((540, 2), 270)
    """

    _estimator_type = "sampler"
    _sampling_type = "over-sampling"

    def __init__(
        self,
        *,
        sampling_strategy: Strategy = "auto",
        around: str = "rows",
        hidden: Sequence[int] = (128, 64),
        latent: int = 8,
        warm_up: int = 5,
        training: Training | None = None,
        kinds: dict[str, str] | None = None,
        random_state: Any = None,
    ) -> None:
        self.sampling_strategy = sampling_strategy
        self.around = around
        self.hidden = hidden
        self.latent = latent
        self.warm_up = warm_up
        self.training = training
        self.kinds = kinds
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> CVAESampler:
        """Learn how rows of each class look. X is a frame, an Arrow table, a numeric array (n, d) or a list of rows."""
        self._fit(X.collect() if isinstance(X, pl.LazyFrame) else X, y)
        return self

    def _fit(self, X: Any, y: Any) -> tuple[Table, Labels]:
        self._check_parameters()
        keep_compiled_code()
        table, labels = check_table(self, X, reset=True, dtype="numeric"), Labels.of(y)
        self._check_rows(table, labels)
        self.sampling_strategy_ = rows_to_make(self.sampling_strategy, labels.counts(), y)
        self._rng = generator(self.random_state)
        self._labels, self._like = labels.without_rows(), without_rows(X)
        self.classes_ = labels.classes
        self.schema_ = table.fitted_schema(self.kinds)
        check_features(self.schema_)
        self._constants = self._unfit_columns(table)
        frame = self.schema_.conform(table.frame)
        self._train(frame, labels.codes)
        return table, labels

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """The rows and labels given, unchanged, and below them new ones; both as X and y are."""
        X = X.collect() if isinstance(X, pl.LazyFrame) else X
        table, labels = self._fit(X, y)
        wanted = {labels.code_of(label): n_new for label, n_new in self.sampling_strategy_.items()}
        codes = np.repeat(np.array([*wanted], dtype=np.int64), [*wanted.values()])
        self.synthetic_mask_ = np.arange(table.n_rows + len(codes)) >= table.n_rows
        if not len(codes):
            return X, y
        near = self._near(table, labels, codes) if self.around == "rows" else None
        made = in_form_of(X, self._made(codes, near))
        return below(X, made), below(y, labels_in_form_of(y, labels.values(codes)))

    def sample(self, n: int, y: Any = 1, *, near: Any = None) -> Any:
        """N new rows of class y, in the container that the fitted rows came in.

        Codes come from the standard normal; with `near`, rows (m, d), from their neighbourhoods, each in turn.
        """
        check_is_fitted(self)
        check_number("n", n, 1, whole=True)
        codes = np.full(n, self._labels.code_of(y))
        if near is None:
            return in_form_of(self._like, self._made(codes, None))
        rows = self._encode(check_table(self, near, reset=False, dtype="numeric"))
        return in_form_of(self._like, self._made(codes, _taken(rows, np.arange(n) % len(rows.numbers))))

    def latent_grid(self, n: int, y: Any = 1, *, reach: float = 3.0) -> Any:
        """Rows of class y decoded from n x n places of the plane of the first two numbers of code, -reach to reach.

        Nothing is drawn: each row is the most likely one of its place, as in the walks of Kingma and Welling (2014),
        figure 4. With a code of one number there are n rows.
        """
        check_is_fitted(self)
        check_number("n", n, 1, whole=True)
        steps = np.linspace(-reach, reach, n)
        plane = np.array([*product(steps, repeat=min(self.latent, 2))], np.float32)
        code = np.pad(plane, ((0, 0), (0, self.latent - plane.shape[1])))
        labels = np.full(len(code), self._labels.code_of(y))
        return in_form_of(self._like, self._whole(self._drawn(_likeliest, labels, code)))

    def _check_parameters(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""
        check_choice("around", self.around, AROUND)
        check_widths("hidden", self.hidden)
        check_number("latent", self.latent, 1, whole=True)
        check_number("warm_up", self.warm_up, 0, whole=True)
        self._used_training.check()

    @property
    def _used_training(self) -> Training:
        return as_training(self.training, self._default_training())

    def _default_parts(self) -> dict[str, Any]:
        return {"training": self._default_training()}

    def _default_training(self) -> Training:
        return Training(batch_size=512, patience=10)

    def _encode(self, table: Table) -> Encoded:
        return self.encoder_.transform(self.schema_.conform(table.frame))

    def _check_rows(self, table: Table, labels: Labels) -> None:
        if len(labels.codes) != table.n_rows:
            raise TableError(f"y has {len(labels.codes):,} values for {table.n_rows:,} rows.")
        few = {label: count for label, count in labels.counts().items() if count < FEWEST_ROWS}
        if few:
            label, count = next(iter(few.items()))
            raise TableError(
                f"class {label!r} has {count} row: how rows of a class differ takes {FEWEST_ROWS} at least. "
                "Leave the class out, or give it more rows."
            )

    def _unfit_columns(self, table: Table) -> dict[str, Any]:
        """The value of every constant column. Raises `TableError` for a column of which no new value can be made."""
        unfit = [column.name for column in self.schema_.columns if column.kind in ("identifier", "dropped")]
        if unfit:
            raise TableError(
                f"{first_names(unfit)}: of an identifier, or values that are no feature, no new ones can be made. "
                "Drop them before resampling."
            )
        constant = [column.name for column in self.schema_.columns if column.kind == "constant"]
        return {name: table.frame[name][0] for name in constant}

    def _train(self, frame: pl.DataFrame, codes: Ints) -> None:
        training = self._used_training
        fitting, held_out = split_random(len(codes), training.validation_fraction, self._rng, y=codes)
        self.encoder_ = TableEncoder(times=(ELAPSED,)).fit(frame[fitting], self.schema_)
        self._decoder = TableDecoder(self.encoder_, self.schema_)
        rows = self._rows(frame[fitting], codes[fitting])
        watched = self._rows(frame[held_out], codes[held_out]) if len(held_out) else None
        done = train(
            self._new_network(rows, codes[fitting], seed=int(self._rng.integers(2**31))),
            rows,
            training,
            seed=int(self._rng.integers(2**31)),
            validation=watched,
            signature=signature_of(self.get_params(), (*rows, *(watched or ()))) if training.checkpoint else "",
        )
        self.network_, self.loss_curve_ = done.network, done.history

    def _new_network(self, rows: tuple[Any, ...], codes: Ints, seed: int) -> CVAE:
        counts = np.bincount(codes, minlength=len(self.classes_)).astype(float)
        weight = counts ** (CLASS_POWER - 1)
        sources = self.encoder_.number_sources_
        return CVAE(
            len(sources),
            [n_levels for _, n_levels in self.encoder_.category_sources_],
            len(self.classes_),
            [int(width) for width in self.hidden],
            int(self.latent),
            flags=[place for place, (_, part) in enumerate(sources) if part == "missing"],
            never_missing=np.flatnonzero((np.asarray(rows[1]) != MISSING).all(axis=0)).tolist(),
            class_weight=(weight / (weight @ counts / counts.sum())).tolist(),
            warm_up=int(self.warm_up),
            key=jax.random.key(seed),
        )

    def _rows(self, frame: pl.DataFrame, codes: Ints) -> tuple[Any, ...]:
        return (*map(jnp.asarray, self.encoder_.transform(frame)), jnp.asarray(codes, jnp.int32))

    def _near(self, table: Table, labels: Labels, codes: Ints) -> Encoded:
        """For each new row a real one of its class, in turn."""
        encoded = self._encode(table)
        places = np.empty(len(codes), np.int64)
        for code in np.unique(codes):
            of_class = self._rng.permutation(np.flatnonzero(labels.codes == code))
            places[codes == code] = np.resize(of_class, int((codes == code).sum()))
        return _taken(encoded, places)

    def _made(self, codes: Ints, near: Encoded | None) -> pl.DataFrame:
        """New rows of these classes, all columns of the fitted table."""
        if near is None:
            code = self._rng.standard_normal((len(codes), self.latent), dtype=np.float32)
            return self._whole(self._drawn(_from_code, codes, code))
        return self._whole(self._drawn(_from_rows, codes, *near))

    def _drawn(self, function: Any, codes: Ints, *arrays: npt.NDArray[Any]) -> Encoded:
        """`function(network, arrays, classes, key)` in blocks of fixed size, so that nothing is compiled twice."""
        parts = []
        for start, size in blocks(len(codes), BLOCKS):
            filled = [block_of(array, start, size) for array in (*arrays, codes)]
            key = jax.random.key(int(self._rng.integers(2**31)))
            parts.append(_compiled(function, self.network_, *filled, key))
        numbers, categories = (np.concatenate([np.asarray(part[i]) for part in parts])[: len(codes)] for i in (0, 1))
        return Encoded(numbers, categories)

    def _whole(self, encoded: Encoded) -> pl.DataFrame:
        """Decoded rows with all columns of the fitted table, the constant ones among them."""
        decoded = self._decoder(encoded)
        constants = [pl.lit(value).alias(name) for name, value in self._constants.items()]
        return decoded.with_columns(constants).select([column.name for column in self.schema_.columns])

    def __sklearn_tags__(self) -> Any:
        return SamplerTags.of(super().__sklearn_tags__())


def _taken(rows: Encoded, places: Ints) -> Encoded:
    return Encoded(rows.numbers[places], rows.categories[places])


def _from_code(network: CVAE, code: Any, classes: Any, key: Any) -> Any:
    return network.draw(code, classes, key)


def _from_rows(network: CVAE, numbers: Any, categories: Any, classes: Any, key: Any) -> Any:
    code_key, row_key = jax.random.split(key)
    return network.draw(network.draw_codes((numbers, categories), classes, code_key), classes, row_key)


def _likeliest(network: CVAE, code: Any, classes: Any, key: Any) -> Any:
    return network.likeliest(code, classes)


@eqx.filter_jit
def _compiled(function: Any, network: CVAE, *arguments: Any) -> Any:
    return function(network, *arguments)
