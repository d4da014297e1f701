"""`CVAESampler`: generate rows of a rare class with a conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.utils.validation import check_is_fitted

from oddrow.encoding.check_input import check_table
from oddrow.encoding.column_encoding import ELAPSED, MISSING
from oddrow.encoding.decoder import TableDecoder
from oddrow.encoding.encoder import Encoded, TableEncoder
from oddrow.errors import TableError, check_choice, check_number, first_names
from oddrow.estimator import Estimator, OneToOneFeatureMixin
from oddrow.nets.cvae import CVAE
from oddrow.nets.layers import check_widths
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
from oddrow.train.blocks import compiled, in_blocks
from oddrow.train.checkpoint import signature_of
from oddrow.train.compilation import keep_compiled_code
from oddrow.train.loop import train
from oddrow.train.training import Training, as_training, generator
from oddrow.typing import Ints

AROUND = ("prior", "rows")
MIN_ROWS = 2

# Rows generated in one call: small, and large otherwise.
BLOCKS = (1024, 65_536, 65_536)

# A class of n rows has a weight of n to this power in training: 1 drowns the rare class, 0 makes all classes equal.
CLASS_POWER = 0.5


class CVAESampler(OneToOneFeatureMixin, Estimator):
    """Oversample by generating rows, after learning from the rows of all classes.

    Follows imbalanced-learn: `fit_resample(X, y)` returns the real rows, unchanged and first, and below them as many
    generated ones as `sampling_strategy` asks for. Whether that helps a classifier is another question; `compare`
    measures it, and often it does not.

    Parameters
    ----------
    sampling_strategy : str, float, dict or callable
        As in imbalanced-learn. "auto" raises all classes but the largest to its size; "minority", "not minority",
        "not majority" and "all" raise these classes. A float is minority / majority afterwards, a dictionary gives the
        rows of each class afterwards, and a function returns such a dictionary for y.
    around : {"rows", "prior"}
        Where `fit_resample` draws the codes of new rows: around the codes of real rows of the class, or from the
        standard normal. The first preserves spreads and correlations of a rare class far better.
    hidden : sequence of int
        Widths of the hidden layers down to the code; the way back mirrors them.
    latent : int
        Width of the code.
    warm_up : int
        Epochs over which the KL term grows to its full weight.
    training : Training or None
        How to train; None is `Training(batch_size=512, patience=10)`. Validation rows are drawn from every class.
    kinds : dict of str to str, or None
        Kinds of columns that must not be inferred, by column name. For frames.
    random_state : int, Generator, RandomState or None
        Source of all randomness. The same seed gives the same rows.

    Attributes
    ----------
    sampling_strategy_ : dict
        Rows to add, by class.
    synthetic_mask_ : ndarray of bool, shape (rows,)
        Which rows that `fit_resample` returned are generated.
    classes_ : ndarray, shape (classes,)
        The classes, sorted.
    network_ : CVAE
        The trained network.
    loss_curve_ : list of dict
        `epoch`, `loss`, `reconstruction`, `kl` and `validation_loss` of each logged epoch, in nats per row.
    schema_ : Schema
        What each column means.
    encoder_ : TableEncoder
        The encoder, fitted to the training rows.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Their names, if X was a frame.

    See Also
    --------
    compare : Measures whether resampling helps a classifier.

    References
    ----------
    - Sohn, Lee and Yan (2015), Learning structured output representation using deep conditional generative models.

    Examples
    --------
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

    def fit(self, X: Any, y: Any) -> Self:
        """Learn what rows of each class look like.

        Parameters
        ----------
        X : frame or array-like, shape (n, d)
            Training rows: a polars or pandas frame, an Arrow table, a numeric array or a list of rows.
        y : array-like, shape (n,)
            The class of each row; at least two rows in each.

        Returns
        -------
        CVAESampler
            The sampler itself, fitted.

        Raises
        ------
        TableError
            If a class is missing or too small, or a column cannot be generated, such as an identifier.
        ParameterError
            If a parameter has a value without meaning.
        TrainingError
            If training diverged.
        """
        self._fit(X.collect() if isinstance(X, pl.LazyFrame) else X, y)
        return self

    def _fit(self, X: Any, y: Any) -> tuple[Table, Labels]:
        self._check_parameters()
        keep_compiled_code()
        table, labels = check_table(self, X, reset=True, dtype="numeric"), Labels.of(y)
        labels.check_rows(table.n_rows, MIN_ROWS)
        self.sampling_strategy_ = rows_to_make(self.sampling_strategy, labels.counts(), y)
        self._rng = generator(self.random_state)
        self._labels, self._like = labels.without_rows(), without_rows(X)
        self.classes_ = labels.classes
        self.schema_ = table.fitted_schema(self.kinds)
        check_features(self.schema_)
        self._constants = self._constant_columns(table)
        frame = self.schema_.conform(table.frame)
        self._train(frame, labels.codes)
        return table, labels

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Fit, and append generated rows.

        Parameters
        ----------
        X : frame or array-like, shape (n, d)
            Training rows.
        y : array-like, shape (n,)
            The class of each row.

        Returns
        -------
        X_resampled : same type as X, shape (n + new, d)
            The given rows, unchanged, and below them the generated ones.
        y_resampled : same type as y, shape (n + new,)
            Their classes.

        Raises
        ------
        OddrowError
            In the same cases as `fit`.
        """
        X = X.collect() if isinstance(X, pl.LazyFrame) else X
        table, labels = self._fit(X, y)
        wanted = {labels.code_of(label): n_new for label, n_new in self.sampling_strategy_.items()}
        codes = np.repeat(np.array([*wanted], dtype=np.int64), [*wanted.values()])
        self.synthetic_mask_ = np.arange(table.n_rows + len(codes)) >= table.n_rows
        if not len(codes):
            return X, y
        near = self._rows_of_classes(table, labels, codes) if self.around == "rows" else None
        rows = in_form_of(X, self._generate(codes, near))
        return below(X, rows), below(y, labels_in_form_of(y, labels.values(codes)))

    def sample(self, n: int, y: Any = 1, *, near: Any = None) -> Any:
        """Generate rows of one class.

        Parameters
        ----------
        n : int
            How many rows.
        y : label
            Their class.
        near : frame or array-like, shape (m, d), or None
            Rows around whose codes to draw, each in turn; None draws from the standard normal.

        Returns
        -------
        same type as the fitted X, shape (n, d)
            The rows.

        Raises
        ------
        TableError
            If the columns or values of `near` do not fit those of the training rows.
        ParameterError
            If `n` is not a positive integer, or `y` is no class of the training rows.
        """
        check_is_fitted(self)
        check_number("n", n, 1, whole=True)
        codes = np.full(n, self._labels.code_of(y))
        if near is None:
            return in_form_of(self._like, self._generate(codes, None))
        rows = self._encode(check_table(self, near, reset=False, dtype="numeric"))
        return in_form_of(self._like, self._generate(codes, _take(rows, np.arange(n) % len(rows.numbers))))

    def latent_grid(self, n: int, y: Any = 1, *, reach: float = 3.0) -> Any:
        """Decode a grid of codes into the most likely rows of one class.

        Parameters
        ----------
        n : int
            Steps along each of the first two numbers of the code; the others are 0.
        y : label
            The class of the rows.
        reach : float
            The grid goes from -reach to reach.

        Returns
        -------
        same type as the fitted X, shape (n * n, d)
            The rows; n of them for a code of one number. Nothing is random.

        Raises
        ------
        ParameterError
            If `n` is not a positive integer, or `y` is no class of the training rows.

        References
        ----------
        - Kingma and Welling (2014), Auto-encoding variational Bayes, figure 4.
        """
        check_is_fitted(self)
        check_number("n", n, 1, whole=True)
        steps = np.linspace(-reach, reach, n)
        plane = np.array([*product(steps, repeat=min(self.latent, 2))], np.float32)
        code = np.pad(plane, ((0, 0), (0, self.latent - plane.shape[1])))
        labels = np.full(len(code), self._labels.code_of(y))
        return in_form_of(self._like, self._decode(self._in_blocks(_likeliest, labels, code)))

    def _check_parameters(self) -> None:
        check_choice("around", self.around, AROUND)
        check_widths("hidden", self.hidden)
        check_number("latent", self.latent, 1, whole=True)
        check_number("warm_up", self.warm_up, 0, whole=True)
        self._used_training._check()

    @property
    def _used_training(self) -> Training:
        return as_training(self.training, self._default_parts()["training"])

    def _default_parts(self) -> dict[str, Any]:
        return {"training": Training(batch_size=512, patience=10)}

    def _encode(self, table: Table) -> Encoded:
        return self.encoder_.transform(self.schema_.conform(table.frame))

    def _constant_columns(self, table: Table) -> dict[str, Any]:
        """Return the value of every constant column; raise `TableError` for one whose values cannot be generated."""
        unfit = [column.name for column in self.schema_.columns if column.kind in ("identifier", "dropped")]
        if unfit:
            raise TableError(
                f"{first_names(unfit)}: values of identifiers and of columns that are no features cannot be generated. "
                "Drop these columns before resampling."
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
        self.network_, self.loss_curve_ = done.network, done.loss_curve

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

    def _rows_of_classes(self, table: Table, labels: Labels, codes: Ints) -> Encoded:
        """Return for each new row a real one of its class, in turn."""
        places = np.empty(len(codes), np.int64)
        for code in np.unique(codes):
            of_class = self._rng.permutation(np.flatnonzero(labels.codes == code))
            places[codes == code] = np.resize(of_class, int((codes == code).sum()))
        return _take(self._encode(table), places)

    def _generate(self, codes: Ints, near: Encoded | None) -> pl.DataFrame:
        """Return new rows of these classes with all columns of the fitted table."""
        if near is not None:
            return self._decode(self._in_blocks(_around_rows, codes, *near))
        code = self._rng.standard_normal((len(codes), self.latent), dtype=np.float32)
        return self._decode(self._in_blocks(_from_code, codes, code))

    def _in_blocks(self, function: Any, codes: Ints, *arrays: npt.NDArray[Any]) -> Encoded:
        """Return `function(network, *arrays, classes, key)` for all rows."""

        def of_block(block: tuple[npt.NDArray[Any], ...]) -> Any:
            return compiled(function, self.network_, *block, jax.random.key(int(self._rng.integers(2**31))))

        return Encoded(*in_blocks(of_block, (*arrays, codes), BLOCKS))

    def _decode(self, encoded: Encoded) -> pl.DataFrame:
        constants = [pl.lit(value).alias(name) for name, value in self._constants.items()]
        decoded = self._decoder(encoded).with_columns(constants)
        return decoded.select([column.name for column in self.schema_.columns])

    def __sklearn_tags__(self) -> Any:
        return SamplerTags.of(super().__sklearn_tags__())


def _take(rows: Encoded, places: Ints) -> Encoded:
    return Encoded(rows.numbers[places], rows.categories[places])


def _from_code(network: CVAE, code: Any, classes: Any, key: Any) -> Any:
    return network.draw(code, classes, key)


def _around_rows(network: CVAE, numbers: Any, categories: Any, classes: Any, key: Any) -> Any:
    code_key, row_key = jax.random.split(key)
    return network.draw(network.draw_codes((numbers, categories), classes, code_key), classes, row_key)


def _likeliest(network: CVAE, code: Any, classes: Any, key: Any) -> Any:
    return network.likeliest(code, classes)
