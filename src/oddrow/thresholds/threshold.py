"""`Threshold`: the score from which a row is an alert, where it came from and what it guarantees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from oddrow.display import html_table
from oddrow.errors import EvaluationError, ParameterError, check_number
from oddrow.outcomes import Outcomes, as_numbers
from oddrow.thresholds.conformal import MOST_CALIBRATION, discoveries
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.typing import Floats, Ints, Mask

BANDS = ("pass", "review", "block")


@dataclass(frozen=True)
class Cap:
    """Upper limit on the alerts of a day.

    Parameters
    ----------
    most : int
        Most alerts in a day.
    per_entity : bool, default=False
        Whether the limit holds for each entity by itself.

    Examples
    --------
    >>> print(Cap(40))
    at most 40 a day
    """

    most: int
    per_entity: bool = False

    def __str__(self) -> str:
        return f"at most {self.most:,} a day" + (" for each entity" if self.per_entity else "")


@dataclass(frozen=True)
class Threshold:
    """Score from which a row is an alert, with its origin and its guarantee.

    Parameters
    ----------
    value : float
        Rows with a score of at least this value are alerts.
    rule : str
        The rule that chose the value, such as `budget:40`.
    source : str, default="given"
        Rows whose scores chose it: `validation`, `train`, or `given` for other rows and for values set by hand.
    fingerprint : Fingerprint, optional
        Identity of the rows that chose it.
    guarantee : str, default=""
        What holds for future rows like those that chose it; empty if nothing is guaranteed.
    observed : str, default=""
        What the threshold does on the rows that chose it.
    cap : Cap, optional
        Limit on the alerts of a day; only the highest scores of the day are alerts.
    discoveries : float, optional
        Highest share of false alerts in a batch. The batch is decided by Benjamini and Hochberg's procedure.
    calibration : tuple of float, default=()
        Scores of normal rows, at most 10,000, needed with `discoveries`.

    Raises
    ------
    ParameterError
        If the value is not a number, or the parts do not fit together.

    See Also
    --------
    oddrow.Rule.threshold : Choose a threshold by a rule.

    Examples
    --------
    >>> threshold = Threshold(2.0, "fixed:2")
    >>> threshold.alerts(np.array([1.0, 2.0]))
    array([False,  True])
    >>> print(threshold)
    Rows that score 2 or more are alerts. Rule fixed:2, given. No guarantee.
    """

    value: float
    rule: str
    source: str = "given"
    fingerprint: Fingerprint | None = None
    guarantee: str = ""
    observed: str = ""
    cap: Cap | None = None
    discoveries: float | None = None
    calibration: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if np.isnan(self.value):
            raise ParameterError(f"threshold {self.rule!r} has the value nan. Expected a number.")
        if self.cap is not None:
            check_number("the cap of a threshold", self.cap.most, 1, whole=True)
        if self.discoveries is not None:
            check_number("the discoveries of a threshold", self.discoveries, 0, 1, above=True)
        is_batch, n = self.discoveries is not None, len(self.calibration)
        if is_batch == (n == 0) or n > MOST_CALIBRATION or (is_batch and self.cap is not None):
            raise ParameterError(
                f"threshold {self.rule!r} has {n:,} calibration scores. Expected 1 to {MOST_CALIBRATION:,} of them and "
                "no cap if false discoveries are limited, else none."
            )

    def alerts(self, scores: Floats, time: Floats | None = None, entity: Ints | None = None) -> Mask:
        """Return which rows are alerts.

        Parameters
        ----------
        scores : ndarray of float64, shape (n,)
            Scores of the rows. A threshold with a cap needs all rows of a day at once.
        time : ndarray of float64, shape (n,), optional
            Time of each row in seconds, needed with a cap.
        entity : ndarray of int64, shape (n,), optional
            Code of each row's entity, needed with a cap for each entity.

        Returns
        -------
        ndarray of bool, shape (n,)
            Mask of the alerts.

        Raises
        ------
        EvaluationError
            If a time or an entity is missing that the cap needs.
        """
        scores = as_numbers("scores", scores)
        reached: Mask = scores >= self.value
        if self.cap is not None:
            known = Outcomes(time=time, entity=entity, n_rows=len(scores))
            return highest_in_groups(scores, reached, self.cap.most, self._groups(known))
        if self.discoveries is not None:
            return reached & discoveries(np.array(self.calibration), scores, self.discoveries)
        return reached

    def _groups(self, known: Outcomes) -> list[Ints]:
        """Return the day of each row, and its entity if the cap is for each entity."""
        assert self.cap is not None
        groups = {"time": known.day, "entity": known.entity} if self.cap.per_entity else {"time": known.day}
        if lacking := [name for name, values in groups.items() if values is None]:
            raise EvaluationError(
                f"the threshold ({self.rule}) allows {self.cap}: it needs the {' and the '.join(lacking)} of each row."
            )
        return [values for values in groups.values() if values is not None]

    @property
    def is_by_row(self) -> bool:
        """Whether each row is decided by its own score alone, whatever the other rows are."""
        return self.cap is None and self.discoveries is None

    @property
    def in_words(self) -> str:
        """Which rows are alerts, in a sentence, and the rule that chose the value."""
        limit = "" if self.cap is None else f", {self.cap}, the highest scores first"
        if self.discoveries is not None:
            limit = f", fewer in a batch where more than {100 * self.discoveries:g} % of them would be false"
        return f"Rows that score {self.value:.6g} or more are alerts{limit}. Rule {self.chosen_by}."

    @property
    def guarantee_in_words(self) -> str:
        """The guarantee and what was observed, in one or two sentences.

        Examples
        --------
        >>> Threshold(2.0, "budget:5", guarantee="at most 5 a day", observed="4.8 a day reach it").guarantee_in_words
        'Guarantee: at most 5 a day. 4.8 a day reach it.'
        """
        if not self.guarantee:
            return f"No guarantee: {self.observed}." if self.observed else "No guarantee."
        observed = f" {self.observed[0].upper()}{self.observed[1:]}." if self.observed else ""
        return f"Guarantee: {self.guarantee}.{observed}"

    @property
    def chosen_by(self) -> str:
        """The rule, and the rows that it looked at."""
        return f"{self.rule}, {self._origin}"

    @property
    def _origin(self) -> str:
        is_given = self.source == "given" and self.fingerprint is None
        return "given" if is_given else f"chosen on {self.source} rows"

    @property
    def without_rows(self) -> Threshold:
        """A copy for the record that keeps no scores and no row hashes."""
        mark = self.fingerprint
        return replace(
            self, calibration=(), discoveries=None, fingerprint=None if mark is None else replace(mark, sketch=())
        )

    def __str__(self) -> str:
        return f"{self.in_words} {self.guarantee_in_words}"

    def _repr_html_(self) -> str:
        limit = "" if self.cap is None else str(self.cap)
        facts = {"value": f"{self.value:.6g}", "rule": self.rule, "origin": self._origin, "limit": limit}
        rows = [[name, fact] for name, fact in facts.items() if fact]
        return html_table(["threshold", ""], rows, note=self.guarantee_in_words)


def check_bands(review: Threshold, block: Threshold | None) -> None:
    """Raise `ParameterError` if the threshold to block is below the threshold to review."""
    if block is not None and block.value < review.value:
        raise ParameterError(
            f"the threshold to block ({block.rule}: {block.value:.6g}) is below the threshold to review "
            f"({review.rule}: {review.value:.6g}). Expected it at least as high."
        )


def bands(reviewed: Mask, blocked: Mask) -> Sequence[str]:
    """Return the band of each row: block, review or pass.

    >>> bands(np.array([False, True, True]), np.array([False, False, True]))
    ['pass', 'review', 'block']
    """
    return [BANDS[band] for band in np.where(blocked, 2, np.where(reviewed, 1, 0))]


def highest_in_groups(scores: Floats, reached: Mask, most: int, groups: Sequence[Ints]) -> Mask:
    """Return a mask of the `most` highest of the `reached` rows in each group; of equal scores the first rows count.

    >>> highest_in_groups(np.array([3.0, 1.0, 2.0]), np.ones(3, bool), 2, [np.zeros(3, np.int64)])
    array([ True, False,  True])
    """
    rows = np.flatnonzero(reached)
    order = np.lexsort((-scores[rows], *(group[rows] for group in groups)))
    rows = rows[order]
    differs = np.any([group[rows][1:] != group[rows][:-1] for group in groups], axis=0)
    starts = np.flatnonzero(np.append(True, differs))
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    kept = np.zeros(len(scores), bool)
    kept[rows[rank < most]] = True
    return kept
