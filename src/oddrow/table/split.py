"""Splits: training rows and validation rows, by time or at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import check_number
from oddrow.table.dataset import Dataset
from oddrow.table.roles import Roles
from oddrow.typing import Ints, Mask


def split_random(
    n_rows: int, fraction: float, rng: np.random.Generator, *, y: npt.NDArray[Any] | None = None
) -> tuple[Ints, Ints]:
    """Draw a share of the rows at random.

    Parameters
    ----------
    n_rows : int
        Number of rows n.
    fraction : float
        Share to draw, from 0 to 1. The number of rows is rounded down, so that a single row is never drawn.
    rng : numpy.random.Generator
        Source of random numbers.
    y : ndarray, shape (n,), optional
        Classes; the same share of each is drawn. Rows of unknown class (NaN) count as a class.

    Returns
    -------
    rest : ndarray of int64, shape (n - m,)
        Sorted numbers of the remaining rows.
    drawn : ndarray of int64, shape (m,)
        Sorted numbers of the drawn rows.

    Raises
    ------
    ParameterError
        If the share is not between 0 and 1.

    Examples
    --------
    >>> rest, drawn = split_random(10, 0.3, np.random.default_rng(0))
    >>> len(rest), len(drawn)
    (7, 3)
    """
    check_number("fraction", fraction, 0, 1)
    classes = np.zeros(n_rows, dtype=np.int64) if y is None else np.unique(y, return_inverse=True)[1]
    is_drawn = np.zeros(n_rows, dtype=bool)
    for each in np.unique(classes):
        rows = np.flatnonzero(classes == each)
        is_drawn[rng.permutation(rows)[: int(len(rows) * fraction)]] = True
    return np.flatnonzero(~is_drawn), np.flatnonzero(is_drawn)


def split_latest(times: pl.Series, fraction: float) -> tuple[Ints, Ints]:
    """Split off the latest rows.

    Rows of the same time stay together in the later part, so that every earlier row is before every later one.

    Parameters
    ----------
    times : polars.Series, shape (n,)
        Numbers, dates or times, none of them missing.
    fraction : float
        Share of rows to split off, from 0 to 1.

    Returns
    -------
    earlier : ndarray of int64, shape (n - m,)
        Sorted numbers of the remaining rows; all rows if they have the same time.
    latest : ndarray of int64, shape (m,)
        Sorted numbers of the latest rows.

    Raises
    ------
    ParameterError
        If the share is not between 0 and 1.

    Examples
    --------
    >>> split_latest(pl.Series([3, 1, 2, 9]), 0.25)
    (array([0, 1, 2]), array([3]))
    """
    check_number("fraction", fraction, 0, 1)
    n_latest = int(len(times) * fraction)
    if n_latest == 0 or times.min() == times.max():
        return np.arange(len(times)), np.arange(0)
    cut = times.sort()[len(times) - n_latest]
    if cut == times.min():
        cut = times.filter(times > cut).min()
    latest = (times >= cut).to_numpy()
    return np.flatnonzero(~latest), np.flatnonzero(latest)


@dataclass(frozen=True)
class Split:
    """Hold training rows and validation rows. Both may include known anomalies, which are never trained on.

    Parameters
    ----------
    training : Dataset
        Training rows.
    validation : Dataset or None
        Validation rows; None if there are too few rows to hold any out.

    Examples
    --------
    >>> from oddrow import Outcomes, Table
    >>> table = Table.from_frame(pl.DataFrame({"amount": [1.0, 2.5, 80.0]}))
    >>> whole = Dataset(table, np.arange(3), Outcomes(n_rows=3))
    >>> Split(whole.take(np.array([0, 1])), whole.take(np.array([2]))).validation.rows
    array([2])
    """

    training: Dataset
    validation: Dataset | None


def split_dataset(dataset: Dataset, roles: Roles, fraction: float, seed: int) -> Split:
    """Hold out a share of the rows: the latest ones if there is a time, else random ones of each class."""
    anomalous = dataset.outcomes.anomalous
    normal = np.flatnonzero(~anomalous)
    if roles.time is None:
        validation = _random_rows(normal, np.flatnonzero(anomalous), fraction, seed)
    else:
        validation = _latest_rows(dataset.table.frame[roles.time], normal, fraction)
    return Split(dataset.take(~validation), dataset.take(validation)) if validation.any() else Split(dataset, None)


def _random_rows(normal: Ints, anomalous: Ints, fraction: float, seed: int) -> Mask:
    rng = np.random.default_rng(seed)
    validation = np.zeros(len(normal) + len(anomalous), bool)
    for rows in (normal, anomalous):
        validation[rows[split_random(len(rows), fraction, rng)[1]]] = True
    # Without a normal row, held-out anomalies could set no threshold.
    validation &= validation[normal].any()
    return validation


def _latest_rows(times: pl.Series, normal: Ints, fraction: float) -> Mask:
    """Return the mask of the latest normal rows, and of the anomalies that are as late."""
    _, latest = split_latest(times[normal], fraction)
    if not len(latest):
        return np.zeros(len(times), bool)
    return (times >= times[normal[latest]].min()).to_numpy()
