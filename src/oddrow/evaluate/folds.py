"""Split rows into training and test rows several times: at random, by entity, or forward in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedGroupKFold

from oddrow.errors import EvaluationError, check_number, counted
from oddrow.typing import Floats, Ints

# The rows must cover this share of the last test span: the last row of a day comes before midnight.
REACHED = 0.9

# How far a fold's test rows and anomalies may deviate from their share; OFF_ROWS applies when there are few.
OFF_SHARE, OFF_ROWS = 0.5, 2


@dataclass(frozen=True)
class Fold:
    """The row numbers of one training set and of the test set that goes with it."""

    train: Ints
    test: Ints


class Spans(NamedTuple):
    """Length of training, delay of the labels and length of the test, in the unit of the times."""

    train: float
    delay: float
    test: float


def stratified_folds(y: Floats, n_folds: int, n_repeats: int, seed: int) -> list[Fold]:
    """Return random folds with the same share of anomalies in each.

    Parameters
    ----------
    y : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    n_folds, n_repeats : int
        Number of folds, and number of times to redraw them. Each repeat tests every row once.
    seed : int
        Random seed.

    Returns
    -------
    list of Fold
        The folds, repeat by repeat.

    Raises
    ------
    EvaluationError
        If a class has fewer rows than there are folds.

    Examples
    --------
    >>> len(stratified_folds(np.array([0.0, 0, 0, 1, 1, 1]), n_folds=3, n_repeats=2, seed=0))
    6
    """
    check_number("folds", n_folds, 2, whole=True)
    check_number("repeats", n_repeats, 1, whole=True)
    fewest = int(min(np.bincount(y.astype(int), minlength=2)))
    if fewest < n_folds:
        raise EvaluationError(
            f"{fewest} rows of one class cannot be spread over {n_folds} folds. Expected at least one for each: "
            "ask for fewer folds, or label more rows."
        )
    splitter = RepeatedStratifiedKFold(n_splits=n_folds, n_repeats=n_repeats, random_state=seed)
    return [Fold(train, test) for train, test in splitter.split(y, y)]


def entity_folds(y: Floats, entity: Ints, n_folds: int, seed: int) -> list[Fold]:
    """Return folds that test every row once and keep all rows of an entity together.

    Parameters
    ----------
    y : ndarray of float64, shape (n,)
        Labels: 1 anomaly, 0 normal.
    entity : ndarray of int64, shape (n,)
        Code of each row's entity, such as a card.
    n_folds : int
        Number of folds.
    seed : int
        Random seed.

    Returns
    -------
    list of Fold
        The folds, with classes spread evenly.

    Raises
    ------
    EvaluationError
        If large entities would leave a fold without one of the classes, or with less than 50 % or more than 150 % of
        its share of the rows or of the anomalies.

    Notes
    -----
    It takes about a second for 5,000 entities, however many rows there are.

    Examples
    --------
    >>> y, entity = np.array([1.0, 0, 1, 0, 1, 0, 1, 0]), np.array([7, 7, 7, 8, 8, 8, 9, 9])
    >>> [np.unique(entity[fold.test]).tolist() for fold in entity_folds(y, entity, 2, seed=0)]
    [[8, 9], [7]]
    """
    check_number("folds", n_folds, 2, whole=True)
    _check_entities(y, entity, n_folds)
    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    folds = [Fold(train, test) for train, test in splitter.split(y, y, entity)]
    _check_balance(folds, y, entity)
    check_folds(folds, y, entity=entity)
    return folds


def _check_entities(y: Floats, entity: Ints, n_folds: int) -> None:
    """Raise `EvaluationError` if a class has fewer entities than there are folds."""
    for kind, of in {"an anomaly": y == 1, "a normal row": y != 1}.items():
        n_entities = len(np.unique(entity[of]))
        if n_entities < n_folds:
            raise EvaluationError(
                f"{n_entities} of {len(np.unique(entity)):,} entities have {kind}: too few for {n_folds} folds. "
                "Expected at least one for each: ask for fewer folds, or split by time."
            )


def _check_balance(folds: Sequence[Fold], y: Floats, entity: Ints) -> None:
    """Raise `EvaluationError` if a fold tests far more or less than its share of the rows or of the anomalies."""
    for kind, of in {"rows": np.ones(len(y), dtype=bool), "anomalies": y == 1}.items():
        tested, fair = np.array([of[fold.test].sum() for fold in folds]), of.sum() / len(folds)
        off = np.abs(tested - fair)
        if off.max() > max(OFF_SHARE * fair, OFF_ROWS):
            codes, counts = np.unique(entity[of], return_counts=True)
            number = int(off.argmax())
            raise EvaluationError(
                f"fold {number + 1} of {len(folds)} would test {tested[number] / of.sum():.0%} of the {kind}: "
                f"entity {codes[counts.argmax()]} alone holds {counts.max() / of.sum():.0%}. Expected about "
                f"{1 / len(folds):.0%}: ask for fewer folds, or split by time."
            )


def blocks_in_time(times: npt.NDArray[Any], n_folds: int) -> list[Fold]:
    """Split rows by time into equal blocks, each tested after training on all earlier ones.

    Parameters
    ----------
    times : ndarray, shape (n,)
        Time of each row.
    n_folds : int
        Number of folds; there is one block more, the first, which only trains.

    Returns
    -------
    list of Fold
        The folds in order of time. No training row has the time of a test row.

    Raises
    ------
    EvaluationError
        If there are fewer rows than blocks.

    Examples
    --------
    >>> [fold] = blocks_in_time(np.array([3, 1, 2, 2]), 1)
    >>> fold.train.tolist(), fold.test.tolist()
    ([1], [3, 0])
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
    """Train on a span, wait for the labels, test on a span; then move on by the test span.

    Parameters
    ----------
    times : ndarray, shape (n,)
        Time of each row.
    spans : Spans
        How long to train, to wait and to test, in the unit of the times.
    n_folds : int
        Largest number of folds. There are as many as the rows allow; the last test span may lack a tenth.
    start : float, optional
        First time that trains, by default the earliest.

    Returns
    -------
    list of Fold
        The folds in order of time.

    Raises
    ------
    EvaluationError
        If the rows are too few for a single fold.

    Examples
    --------
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


def without_compromised(
    fold: Fold,
    y: Floats,
    entity: Ints,
    times: Floats,
    *,
    delay: float,
    day: float = 86_400.0,
    begin: float | None = None,
) -> Fold:
    """Return the fold without test rows of entities known to be compromised when the row's day begins.

    They are already blocked, so the detector deserves no credit for finding them (Le Borgne et al., 2022, chapter 3,
    `get_train_test_set`). An entity is known by its anomalies in training. On a day that begins at time T it is also
    known by anomalies from `begin` until just before T - delay, between training and test too. y, entity and times are
    of all rows (n,). Days are counted from `begin`, by default the earliest training time; delay and day are in the
    unit of times.

    >>> y, entity, times = np.array([1.0, 0, 0, 1, 0]), np.array([7, 8, 7, 8, 8]), np.array([0.0, 1, 3, 3, 5])
    >>> fold = Fold(np.array([0, 1]), np.array([2, 3, 4]))
    >>> without_compromised(fold, y, entity, times, delay=1, day=1).test.tolist()
    [3]
    """
    check_number("delay", delay, 0)
    check_number("day", day, 0, above=True)
    begin = float(times[fold.train].min()) if begin is None else begin
    codes, code = np.unique(entity, return_inverse=True)
    known = np.full(len(codes), np.inf)
    anomalous = np.flatnonzero((y == 1) & (times >= begin))
    np.minimum.at(known, code[anomalous], times[anomalous])
    known[code[fold.train[y[fold.train] == 1]]] = -np.inf
    day_begins = begin + np.floor((times[fold.test] - begin) / day) * day
    return Fold(fold.train, fold.test[known[code[fold.test]] >= day_begins - delay])


def check_folds(folds: Sequence[Fold], y: Floats, most: int | None = None, entity: Ints | None = None) -> None:
    """Raise `EvaluationError` if training and test rows overlap or a fold cannot be measured.

    They overlap if they share a row or an `entity` (n,). A fold cannot be measured if its training or test rows lack a
    class, or if `most` training rows leave no room for the larger class.
    """
    for number, fold in enumerate(folds, 1):
        if len(np.intersect1d(fold.train, fold.test)):
            raise EvaluationError(f"fold {number}: training and test rows overlap. Put each row in one of them.")
        if entity is not None and len(both := np.intersect1d(entity[fold.train], entity[fold.test])):
            shared = f"{counted(len(both), 'entity', 'entities')} (first: {both[0]})"
            raise EvaluationError(f"fold {number}: training and test rows share {shared}. Split by entity.")
        for name, rows in {"training": fold.train, "test": fold.test}.items():
            n_anomalies = int((y[rows] == 1).sum())
            if n_anomalies in (0, len(rows)):
                kind = "anomaly" if n_anomalies == 0 else "normal row"
                raise EvaluationError(
                    f"fold {number}: no {kind} among its {len(rows):,} {name} rows. "
                    "Ask for fewer folds or longer spans."
                )
        n_rare = int(np.bincount(y[fold.train].astype(int), minlength=2).min())
        if most is not None and n_rare >= most:
            raise EvaluationError(
                f"max_rows={most:,} must exceed the {n_rare:,} rows of the rarer class in fold {number}."
            )


def thinned(rows: Ints, y: Floats, most: int | None, rng: np.random.Generator) -> Ints:
    """Return at most `most` rows: sample the larger class and keep the rarer one whole.

    >>> thinned(np.arange(6), np.array([0.0, 0, 0, 0, 1, 1]), 4, np.random.default_rng(0))[2:]
    array([4, 5])
    """
    if most is None or len(rows) <= most:
        return rows
    anomalous = y[rows] == 1
    rare, common = rows[anomalous], rows[~anomalous]
    if len(rare) > len(common):
        rare, common = common, rare
    return np.sort(np.concatenate([rare, rng.permutation(common)[: max(most - len(rare), 0)]]))
