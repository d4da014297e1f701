"""Class labels: as codes for the network, and back in the form that the caller has them in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from oddrow.errors import ParameterError, TableError

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """The classes in order, (classes,), and the place of each row's among them, (n,).

    `is_one_hot` says that they came as a matrix (n, classes) of 0 and 1.
    """

    classes: npt.NDArray[Any]
    codes: Codes
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

    def values(self, codes: Codes) -> npt.NDArray[Any]:
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
