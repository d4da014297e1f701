"""The contract of imbalanced-learn's `fit_resample`: containers, labels, `sampling_strategy` and tags.

imbalanced-learn is an optional extra, but `CVAESampler` works in its pipelines and passes its estimator checks. What it
offers for that (`check_sampling_strategy`, its base classes and tags) is therefore defined here; the tests compare the
two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.utils import InputTags, Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from oddrow.errors import ParameterError, TableError, check_choice, check_number, counted, did_you_mean
from oddrow.typing import Ints


def in_form_of(X: Any, rows: pl.DataFrame) -> Any:
    """Return rows in the container of X, with its columns in order: a frame, an Arrow table, an array or a list."""
    if isinstance(X, pl.DataFrame):
        return rows.select(pl.col(name).cast(dtype) for name, dtype in X.schema.items())
    if _is_pandas(X):
        return rows.to_pandas().set_axis(X.columns, axis=1).astype(X.dtypes)
    if hasattr(X, "__arrow_c_stream__"):
        return rows.to_arrow().cast(X.schema)
    array = rows.to_numpy()
    return array.tolist() if isinstance(X, list) else array.astype(np.asarray(X).dtype)


def without_rows(X: Any) -> Any:
    """Return an empty X, which keeps none of its rows alive."""
    if isinstance(X, pl.DataFrame):
        return X.clear()
    if _is_pandas(X):
        return X.iloc[:0].copy()
    if hasattr(X, "__arrow_c_stream__"):
        return X.schema.empty_table()
    return [] if isinstance(X, list) else np.asarray(X)[:0].copy()


def labels_in_form_of(y: Any, values: Any) -> Any:
    """Return labels (n,) in the container of y: a series or one-column frame, an array or a list."""
    if isinstance(y, pl.Series):
        return pl.Series(y.name, values, dtype=y.dtype)
    if isinstance(y, pl.DataFrame):
        return pl.DataFrame(values, schema=y.schema)
    if _is_pandas(y):
        shaped = values if y.ndim == 1 else np.reshape(values, (len(values), -1))
        names = {"name": y.name} if y.ndim == 1 else {"columns": y.columns}
        made = type(y)(shaped, **names)
        return made.astype(y.dtype if y.ndim == 1 else y.dtypes)
    array = np.asarray(values)
    return array.tolist() if isinstance(y, list) else array.astype(np.asarray(y).dtype)


def below(first: Any, second: Any) -> Any:
    """Append rows or labels to others in the same container."""
    if isinstance(first, (pl.DataFrame, pl.Series)):
        return pl.concat([first, second])
    if _is_pandas(first):
        import pandas as pd

        return pd.concat([first, second], ignore_index=True)
    if hasattr(first, "__arrow_c_stream__"):
        return type(first).from_batches([*first.to_batches(), *second.to_batches()])
    if isinstance(first, list):
        return first + second
    second = np.reshape(second, (len(second), *np.shape(first)[1:]))
    return np.concatenate([first, second])


def _is_pandas(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "pandas"


@dataclass(frozen=True)
class Labels:
    """The sorted classes, (classes,), and the position of each row's class, (n,).

    `is_one_hot` says that labels came as a matrix (n, classes) of 0 and 1.
    """

    classes: npt.NDArray[Any]
    codes: Ints
    is_one_hot: bool

    @classmethod
    def of(cls, y: Any) -> Labels:
        """Read labels: an array, list or series (n,), a column (n, 1), or one 0/1 column for each class.

        Raises `TableError` for missing labels and for a single class, and `ValueError`, as scikit-learn does, for
        values that are no classes.
        """
        values = _values(y)
        check_classification_targets(values)
        is_one_hot = type_of_target(values) == "multilabel-indicator"
        if is_one_hot:
            if not (values.sum(axis=1) == 1).all():
                raise ValueError("Multilabel and multioutput targets are not supported.")
            values = values.argmax(axis=1)
        classes, codes = np.unique(values.ravel(), return_inverse=True)
        if len(classes) < 2:
            raise TableError(f"y has only one class ({classes[0]!r}). Expected at least two.")
        return cls(classes, codes, is_one_hot)

    def check_rows(self, n_rows: int, least: int) -> None:
        """Raise `TableError` unless there is a label for each row, and at least `least` rows in each class."""
        if len(self.codes) != n_rows:
            raise TableError(f"y has {len(self.codes):,} values for {n_rows:,} rows.")
        for label, count in self.counts().items():
            if count < least:
                raise TableError(
                    f"class {label!r} has {counted(count, 'row')}, and a sampler needs at least {least} to learn from. "
                    "Leave the class out, or give it more rows."
                )

    def without_rows(self) -> Labels:
        """Return the classes alone."""
        return replace(self, codes=self.codes[:0].copy())

    def counts(self) -> dict[Any, int]:
        """Return the number of rows of each class."""
        return dict(zip(self.classes.tolist(), np.bincount(self.codes).tolist(), strict=True))

    def code_of(self, label: Any) -> int:
        """Return the position of a class; raise `ParameterError` if no row has it."""
        found = np.flatnonzero(self.classes == label)
        if not len(found):
            raise ParameterError(
                f"y={label!r} is not one of the classes {', '.join(map(repr, self.classes.tolist()))}."
            )
        return int(found[0])

    def values(self, codes: Ints) -> npt.NDArray[Any]:
        """Return the labels of new rows in the form of the given ones: (n,), or (n, classes) of 0 and 1."""
        return np.eye(len(self.classes), dtype=int)[codes] if self.is_one_hot else self.classes[codes]


def _values(y: Any) -> npt.NDArray[Any]:
    if isinstance(y, pl.Series):
        n_missing = y.null_count() + (int(y.is_nan().sum()) if y.dtype.is_float() else 0)
    else:
        array = np.asarray(y)
        known = array == array  # not NaN
        n_missing = int((~known | (array == None)).sum()) if array.dtype.kind in "fO" else 0  # noqa: E711
    if n_missing:
        raise TableError(
            f"y: {n_missing:,} of {len(y):,} labels are missing, and a sampler needs all. Leave those rows out."
        )
    return y.to_numpy() if isinstance(y, pl.Series) else np.asarray(y)


Strategy = str | float | Mapping[Any, int] | Callable[[Any], Mapping[Any, int]]

WORDS: dict[str, Callable[[int, int, int], bool]] = {
    "auto": lambda count, least, most: count < most,
    "not majority": lambda count, least, most: count < most,
    "minority": lambda count, least, most: count == least,
    "not minority": lambda count, least, most: count > least,
    "all": lambda count, least, most: True,
}


def rows_to_make(strategy: Strategy, counts: Mapping[Any, int], y: Any) -> dict[Any, int]:
    """Return how many rows to add to each class that gets any; `counts` are the rows there are.

    A word raises the classes it names to the size of the largest, a float is minority / majority afterwards, a
    dictionary gives the rows of each class afterwards, and a function returns such a dictionary for y. Raises
    `ParameterError` for an unknown word or class, and for fewer rows than there are.

    >>> rows_to_make(0.5, {0: 100, 1: 10}, None)
    {1: 40}
    """
    if callable(strategy):
        strategy = strategy(y)
    if isinstance(strategy, str):
        check_choice("sampling_strategy", strategy, WORDS)
        least, most = min(counts.values()), max(counts.values())
        return {label: most - count for label, count in counts.items() if WORDS[strategy](count, least, most)}
    if isinstance(strategy, Mapping):
        return _by_class(strategy, counts)
    check_number("sampling_strategy", strategy, 0, 1, above=True)
    if len(counts) != 2:
        raise ParameterError(
            f"sampling_strategy={strategy:g}: a float is minority / majority, but there are {len(counts)} classes. "
            "Give a dictionary with the rows of each class afterwards."
        )
    label = min(counts, key=lambda each: counts[each])
    return _by_class({label: int(strategy * max(counts.values()))}, counts)


def _by_class(wanted: Mapping[Any, int], counts: Mapping[Any, int]) -> dict[Any, int]:
    for label, n_wanted in wanted.items():
        if label not in counts:
            hint = did_you_mean(str(label), map(str, counts))
            raise ParameterError(f"sampling_strategy: no row has class {label!r}.{hint}")
        check_number(f"sampling_strategy for class {label!r}", n_wanted, whole=True)
        if n_wanted < counts[label]:
            raise ParameterError(
                f"sampling_strategy asks for {n_wanted:,} rows of class {label!r}, but there are {counts[label]:,} "
                "already. A sampler only adds rows: ask for at least as many."
            )
    return {label: n_wanted - counts[label] for label, n_wanted in wanted.items()}


@dataclass(slots=True)
class SamplerInput(InputTags):  # type: ignore[misc]
    """The input tags of a sampler: it takes frames too."""

    dataframe: bool = True


@dataclass(slots=True)
class Sampling:
    """The sampler tags: a sampler that makes rows has no indices of chosen ones."""

    sample_indices: bool = False


@dataclass(slots=True)
class SamplerTags(Tags):  # type: ignore[misc]
    """scikit-learn's tags and those of a sampler."""

    sampler_tags: Sampling = field(default_factory=Sampling)
    _skip_test: bool = False

    @classmethod
    def of(cls, tags: Any) -> SamplerTags:
        """Turn scikit-learn's tags into those of a sampler of rows with categories and missing values."""
        given = {tag.name: getattr(tags, tag.name) for tag in fields(Tags)}
        given |= {"estimator_type": "sampler", "input_tags": SamplerInput(allow_nan=True, categorical=True)}
        made = cls(**given)
        made.target_tags.required = True
        return made
