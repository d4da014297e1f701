"""Tags by which imbalanced-learn knows a sampler; its own classes are not needed for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.utils import InputTags, Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from oddrow.errors import ParameterError, TableError, check_choice, check_number, did_you_mean
from oddrow.typing import Ints


def in_form_of(X: Any, rows: pl.DataFrame) -> Any:
    """Rows, with the columns of X in order, as X is: a polars or pandas frame, an Arrow table, an array or a list."""
    if isinstance(X, pl.DataFrame):
        return rows.select(pl.col(name).cast(dtype) for name, dtype in X.schema.items())
    if _is_pandas(X):
        return rows.to_pandas().set_axis(X.columns, axis=1).astype(X.dtypes)
    if hasattr(X, "__arrow_c_stream__"):
        return rows.to_arrow().cast(X.schema)
    array = rows.to_numpy()
    return array.tolist() if isinstance(X, list) else array.astype(np.asarray(X).dtype)


def without_rows(X: Any) -> Any:
    """X's form alone, which keeps none of its rows alive."""
    if isinstance(X, pl.DataFrame):
        return X.clear()
    if _is_pandas(X):
        return X.iloc[:0].copy()
    if hasattr(X, "__arrow_c_stream__"):
        return X.schema.empty_table()
    return [] if isinstance(X, list) else np.asarray(X)[:0].copy()


def labels_in_form_of(y: Any, values: Any) -> Any:
    """Labels (n,) as y is: a series or one-column frame of polars or pandas, an array or a list."""
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
    """Rows or labels below others of the same container."""
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
    """The classes in order, (classes,), and the place of each row's among them, (n,).

    `is_one_hot` says that they came as a matrix (n, classes) of 0 and 1.
    """

    classes: npt.NDArray[Any]
    codes: Ints
    is_one_hot: bool

    @classmethod
    def of(cls, y: Any) -> Labels:
        """Read labels: an array, list or series (n,), a column (n, 1), or one 0/1 column for each class.

        Raises `TableError` where one is missing or there is but one class, `ValueError`, as scikit-learn does, where
        they are no classes.
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
            raise TableError(f"y holds one class only ({classes[0]!r}): expected at least two classes to tell apart.")
        return cls(classes, codes, is_one_hot)

    def without_rows(self) -> Labels:
        """The classes alone."""
        return replace(self, codes=self.codes[:0].copy())

    def counts(self) -> dict[Any, int]:
        """How many rows each class has."""
        return dict(zip(self.classes.tolist(), np.bincount(self.codes).tolist(), strict=True))

    def code_of(self, label: Any) -> int:
        """The place of a class. Raises `ParameterError` for one that no row has."""
        found = np.flatnonzero(self.classes == label)
        if not len(found):
            raise ParameterError(f"y={label!r} is none of the classes {', '.join(map(repr, self.classes.tolist()))}.")
        return int(found[0])

    def values(self, codes: Ints) -> npt.NDArray[Any]:
        """Labels of new rows, in the form they came in: (n,), or (n, classes) of 0 and 1."""
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
            f"y lacks {n_missing:,} of {len(y):,} labels: a sampler conditions on them. Leave those rows out."
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
    """How many rows to add to each class, of those that get any; `counts` says how many there are.

    A word levels the classes it names with the largest one, a float is minority / majority afterwards, a dictionary
    says how many rows of each class there are to be afterwards, and a function makes one of y.

    >>> rows_to_make(0.5, {0: 100, 1: 10}, None)
    {1: 40}

    Raises `ParameterError` for a word or class that is unknown, and where there are more rows already than asked for.
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
            f"sampling_strategy={strategy:g}: a float is minority / majority, and there are {len(counts)} classes. "
            "Give a dictionary of the rows that each class is to have."
        )
    label = min(counts, key=lambda each: counts[each])
    return _by_class({label: int(strategy * max(counts.values()))}, counts)


def _by_class(wanted: Mapping[Any, int], counts: Mapping[Any, int]) -> dict[Any, int]:
    for label, n_wanted in wanted.items():
        if label not in counts:
            hint = did_you_mean(str(label), map(str, counts))
            raise ParameterError(f"sampling_strategy: no row is of class {label!r}.{hint}")
        check_number(f"sampling_strategy for class {label!r}", n_wanted, whole=True)
        if n_wanted < counts[label]:
            raise ParameterError(
                f"sampling_strategy asks for {n_wanted:,} rows of class {label!r}, and there are {counts[label]:,} "
                "already. A sampler only adds rows: ask for as many at least."
            )
    return {label: n_wanted - counts[label] for label, n_wanted in wanted.items()}


@dataclass(slots=True)
class SamplerInput(InputTags):  # type: ignore[misc]
    """What a sampler takes: frames too."""

    dataframe: bool = True


@dataclass(slots=True)
class Sampling:
    """Whether a sampler tells which rows it chose; one that makes rows does not."""

    sample_indices: bool = False


@dataclass(slots=True)
class SamplerTags(Tags):  # type: ignore[misc]
    """scikit-learn's tags of an estimator, and that it is a sampler."""

    sampler_tags: Sampling = field(default_factory=Sampling)
    _skip_test: bool = False

    @classmethod
    def of(cls, tags: Any) -> SamplerTags:
        """The tags that scikit-learn gives, as a sampler's whose rows may have categories and missing values."""
        given = {tag.name: getattr(tags, tag.name) for tag in fields(Tags)}
        given |= {"estimator_type": "sampler", "input_tags": SamplerInput(allow_nan=True, categorical=True)}
        made = cls(**given)
        made.target_tags.required = True
        return made
