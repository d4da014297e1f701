"""The highest rows of each day, or of each entity and day."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def capped(scores: Floats, reached: Mask, most: int, groups: Sequence[Ints]) -> Mask:
    """Mask (n,): the `most` highest of the rows that are `reached`, in each group; of rows that tie, those above.

    >>> capped(np.array([3.0, 1.0, 2.0]), np.ones(3, bool), 2, [np.zeros(3, np.int64)])
    array([ True, False,  True])
    """
    rows = np.flatnonzero(reached)
    order = np.lexsort((-scores[rows], *(group[rows] for group in groups)))
    ordered = [group[rows][order] for group in groups]
    begins = np.flatnonzero(np.append(True, _differ(ordered))) if len(rows) else np.arange(0)
    place = np.arange(len(rows)) - np.repeat(begins, np.diff(np.append(begins, len(rows))))
    kept = np.zeros(len(scores), bool)
    kept[rows[order[place < most]]] = True
    return kept


def _differ(ordered: Sequence[Ints]) -> Mask:
    """Whether each row but the first is of another group than the one before."""
    differs: Mask = np.any([group[1:] != group[:-1] for group in ordered], axis=0)
    return differs
