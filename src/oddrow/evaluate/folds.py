"""Which rows train and which test, again and again: stratified at random, or walking forward in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import RepeatedStratifiedKFold

from oddrow.errors import EvaluationError, check_number

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# So much of its span the last test has to reach, as days end before midnight.
REACHED = 0.9


@dataclass(frozen=True)
class Fold:
    """The row numbers of one training set and of the test set that goes with it."""

    train: Ints
    test: Ints


class Spans(NamedTuple):
    """How long one trains, how late labels arrive, how long one tests, in the unit of the times."""

    train: float
    delay: float
    test: float


def stratified_folds(y: Floats, n_folds: int, n_repeats: int, seed: int) -> list[Fold]:
    """Each repeat tests every row once; the share of anomalies is the same in all folds.

    Raises `EvaluationError` where a fold would have none.
    """
    check_number("folds", n_folds, 2, whole=True)
    check_number("repeats", n_repeats, 1, whole=True)
    fewest = int(min(np.bincount(y.astype(int), minlength=2)))
    if fewest < n_folds:
        raise EvaluationError(
            f"{fewest} rows of one class cannot be spread over {n_folds} folds. Expected one for each at least: "
            "ask for fewer folds, or label more rows."
        )
    splitter = RepeatedStratifiedKFold(n_splits=n_folds, n_repeats=n_repeats, random_state=seed)
    return [Fold(train, test) for train, test in splitter.split(y, y)]


def blocks_in_time(times: npt.NDArray[Any], n_folds: int) -> list[Fold]:
    """Rows in order of time in n_folds + 1 equal blocks; each but the first tests what all before it have taught.

    Of rows of one time none trains for another.

    >>> [fold.test.tolist() for fold in blocks_in_time(np.array([3, 1, 2, 2]), 1)]
    [[3, 0]]
    >>> blocks_in_time(np.array([3, 1, 2, 2]), 1)[0].train.tolist()
    [1]
    """
    check_number("folds", n_folds, 1, whole=True)
    if n_folds >= len(times):
        raise EvaluationError(f"{len(times)} rows are too few for {n_folds + 1} blocks in time. Ask for fewer folds.")
    blocks = np.array_split(np.argsort(times, kind="stable"), n_folds + 1)
    earlier = [np.concatenate(blocks[: place + 1]) for place in range(n_folds)]
    return [
        Fold(train[times[train] < times[test].min()], test) for train, test in zip(earlier, blocks[1:], strict=True)
    ]


def walk_forward(times: npt.NDArray[Any], spans: Spans, n_folds: int, *, start: float | None = None) -> list[Fold]:
    """Train a while, wait until the labels are in, test a while; then go on by as much as was tested.

    The first training rows are those from `start` on, by default the earliest time. As many of the n_folds are given
    as the rows reach for; the last ones may miss a tenth of their test span. Raises `EvaluationError` where there is
    none.

    >>> [fold.test.tolist() for fold in walk_forward(np.arange(10), Spans(2, 1, 2), 3)]
    [[3, 4], [5, 6], [7, 8]]
    """
    check_number("folds", n_folds, 1, whole=True)
    begin = float(times.min()) if start is None else start
    begins = begin + np.arange(n_folds) * spans.test
    reached = begins + spans.train + spans.delay + REACHED * spans.test <= times.max()
    folds = [_walked(times, spans, float(start)) for start in begins[reached]]
    within = [fold for fold in folds if len(fold.train)]
    if not within:
        raise EvaluationError(
            f"the rows span {times.max() - begin:g}, too little for {spans.train:g} of training, {spans.delay:g} of "
            f"delay and {spans.test:g} of test. Ask for shorter spans."
        )
    return within


def _walked(times: npt.NDArray[Any], spans: Spans, begin: float) -> Fold:
    first_test = begin + spans.train + spans.delay
    train = (times >= begin) & (times < begin + spans.train)
    test = (times >= first_test) & (times < first_test + spans.test)
    return Fold(np.flatnonzero(train), np.flatnonzero(test))


def check_folds(folds: Sequence[Fold], y: Floats, most: int | None = None) -> None:
    """Raise `EvaluationError` where a row is on both sides, a side lacks a class, or `most` rows leave one out."""
    for number, fold in enumerate(folds, 1):
        if len(np.intersect1d(fold.train, fold.test)):
            raise EvaluationError(f"fold {number}: a row trains and tests. Expected each on one side.")
        for name, rows in {"training": fold.train, "test": fold.test}.items():
            n_anomalies = int((y[rows] == 1).sum())
            if n_anomalies in (0, len(rows)):
                kind = "anomaly" if n_anomalies == 0 else "normal row"
                raise EvaluationError(
                    f"fold {number}: no {kind} is among its {len(rows):,} {name} rows. "
                    "Ask for fewer folds or longer spans."
                )
        n_rare = int(np.bincount(y[fold.train].astype(int), minlength=2).min())
        if most is not None and n_rare >= most:
            raise EvaluationError(
                f"max_rows={most:,} leaves nothing of the larger class beside {n_rare:,} rare rows in fold {number}."
            )


def capped(rows: Ints, y: Floats, most: int | None, rng: np.random.Generator) -> Ints:
    """At most so many of the rows: of the larger class a part is drawn, the rarer one stays whole.

    >>> capped(np.arange(6), np.array([0.0, 0, 0, 0, 1, 1]), 4, np.random.default_rng(0))[2:]
    array([4, 5])
    """
    if most is None or len(rows) <= most:
        return rows
    anomalous = y[rows] == 1
    rare, common = rows[anomalous], rows[~anomalous]
    if len(rare) > len(common):
        rare, common = common, rare
    return np.sort(np.concatenate([rare, rng.permutation(common)[: max(most - len(rare), 0)]]))
