"""`Threshold`: a cut that knows where it came from, and two of them as bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from oddrow.errors import EvaluationError, ParameterError, check_number
from oddrow.outcomes import as_codes, as_numbers, day_of
from oddrow.thresholds.conformal import MOST_CALIBRATION, discoveries
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.typing import Floats, Ints, Mask

BANDS = ("pass", "review", "block")


@dataclass(frozen=True)
class Cap:
    """No more alerts than so many in a day, or in a day of one entity."""

    most: int
    per_entity: bool = False

    def __str__(self) -> str:
        return f"at most {self.most:,} a day" + (" for each entity" if self.per_entity else "")


@dataclass(frozen=True)
class Threshold:
    """A cut: rows with score >= value are alerts. Knows its rule, the rows it was chosen on, and what it promises.

    With a `cap`, of the rows of a day that reach the value only the highest are alerts. With `calibration`, scores
    (m,) of normal rows, and `discoveries`, the highest share of false alerts wanted, a batch of rows is cut where
    Benjamini and Hochberg's procedure says.

    >>> Threshold(2.0, "fixed:2").alerts(np.array([1.0, 2.0]))
    array([False,  True])
    """

    value: float
    rule: str
    source: str = "given"
    fingerprint: Fingerprint | None = None
    promise: str = ""
    cap: Cap | None = None
    discoveries: float | None = None
    calibration: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raise `ParameterError` for parts that do not go together."""
        if self.cap is not None:
            check_number("the cap of a threshold", self.cap.most, 1, whole=True)
        if self.discoveries is not None:
            check_number("the discoveries of a threshold", self.discoveries, 0, 1, above=True)
        is_batch, n = self.discoveries is not None, len(self.calibration)
        if is_batch == (n == 0) or n > MOST_CALIBRATION or (is_batch and self.cap is not None):
            raise ParameterError(
                f"threshold {self.rule!r}: {n:,} calibration scores. Expected up to {MOST_CALIBRATION:,} of them where "
                "false discoveries are limited, and no cap then; else none."
            )

    def alerts(self, scores: Floats, time: Floats | None = None, entity: Ints | None = None) -> Mask:
        """Mask (n,): True where the score reaches the threshold.

        With a cap it needs the `time` (n,) of each row in seconds, and perhaps its `entity` (n,), and all rows of a
        day at once. Raises `EvaluationError` where these are missing.
        """
        scores = as_numbers("scores", scores)
        reached: Mask = scores >= self.value
        if self.cap is not None:
            return capped(scores, reached, self.cap.most, self._groups(time, entity, len(scores)))
        if self.discoveries is not None:
            return reached & discoveries(np.array(self.calibration), scores, self.discoveries)
        return reached

    @property
    def is_by_row(self) -> bool:
        """Whether a row is an alert by its own score alone, whatever other rows there are."""
        return self.cap is None and self.discoveries is None

    def _groups(self, time: Floats | None, entity: Ints | None, n_rows: int) -> list[Ints]:
        assert self.cap is not None
        if time is None:
            raise EvaluationError(f"the threshold ({self.rule}) allows {self.cap}: it needs the time of each row.")
        days = day_of(as_numbers("time", time))
        if not self.cap.per_entity:
            return [_of_all(days, n_rows)]
        if entity is None:
            raise EvaluationError(f"the threshold ({self.rule}) allows {self.cap}: it needs the entity of each row.")
        return [_of_all(days, n_rows), _of_all(as_codes(entity), n_rows)]

    @property
    def in_words(self) -> str:
        """Which rows are alerts.

        >>> Threshold(2.0, "fixed:2").in_words
        'Rows with a score of 2 or more are alerts: rule fixed:2, given.'
        """
        less = "" if self.cap is None else f", {self.cap}, the highest"
        less = less if self.discoveries is None else ", or of fewer, as many as can be told from false ones"
        chosen = "given" if self.source == "given" and self.fingerprint is None else f"chosen on {self.source} rows"
        return f"Rows with a score of {self.value:.6g} or more are alerts{less}: rule {self.rule}, {chosen}."

    @property
    def remembered(self) -> Threshold:
        """What is kept of a threshold that another one has replaced: no rows, only which they were."""
        mark = self.fingerprint
        return replace(
            self, calibration=(), discoveries=None, fingerprint=None if mark is None else replace(mark, sketch=())
        )


def _of_all(values: Ints, n_rows: int) -> Ints:
    if len(values) != n_rows:
        raise EvaluationError(f"{len(values):,} times or entities were given for {n_rows:,} scores.")
    return values


def check_bands(review: Threshold, block: Threshold | None) -> None:
    """Raise `ParameterError` where what is blocked would not even be reviewed."""
    if block is not None and block.value < review.value:
        raise ParameterError(
            f"the cut to block ({block.rule}: {block.value:.6g}) is below the one to review ({review.rule}: "
            f"{review.value:.6g}). Expected it at least as high."
        )


def bands(reviewed: Mask, blocked: Mask) -> Sequence[str]:
    """The band of each row (n,): block, review or pass.

    >>> bands(np.array([False, True, True]), np.array([False, False, True]))
    ['pass', 'review', 'block']
    """
    return [BANDS[place] for place in np.where(blocked, 2, np.where(reviewed, 1, 0))]


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


class Choice(NamedTuple):
    """A cut, what it promises in words, and what it takes to keep the promise."""

    value: float
    promise: str
    cap: Cap | None = None
    discoveries: float | None = None
    calibration: tuple[float, ...] = ()
