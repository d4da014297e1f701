"""`Comparison`: average precision and more of each sampler with each classifier, and what they prove."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from oddrow.display import html_table, text_table
from oddrow.errors import counted
from oddrow.evaluate.intervals import N_DRAWS, Interval, interval, p_value
from oddrow.resampling.candidates import NOTHING
from oddrow.typing import Floats

# What rankings are compared by besides average precision.
MIN_PRECISION, K = 0.5, 100

HEADINGS = {
    "ap": "AP",
    "gain": "gain",
    "auroc": "AUROC",
    "f1": "F1",
    "recall_at_precision": f"recall at precision {MIN_PRECISION:g}",
    "precision_at_k": f"precision at {K}",
    "brier": "Brier",
    "brier_corrected": "Brier, prior corrected",
}

METRICS = tuple(name for name in HEADINGS if name != "gain")

DECIMALS = {"brier": 5, "brier_corrected": 5}

# With fewer test anomalies, resampled test rows are too alike to show the uncertainty.
MIN_ANOMALIES = 20

# A smaller gain in average precision does not matter.
NEGLIGIBLE = 0.01

# The smallest p value that the draws can show.
SMALLEST_P = 2 / N_DRAWS


@dataclass(frozen=True)
class Cell:
    """Results of one classifier after one sampler.

    Parameters
    ----------
    sampler, classifier : str
        Their names.
    means : dict of str to float
        Each metric, averaged over the folds.
    draws : ndarray of float64, shape (n_draws,)
        Average precisions over resampled test rows.
    draws_without : ndarray of float64, shape (n_draws,)
        The same of the classifier without a sampler, for the same draws.
    ap_without : float
        Average precision of the classifier without a sampler.

    Examples
    --------
    >>> cell = Cell("SMOTE", "tree", {"ap": 0.6}, np.array([0.5, 0.7]), np.array([0.4, 0.4]), 0.4)
    >>> round(cell.gain.value, 3)
    0.2
    """

    sampler: str
    classifier: str
    means: dict[str, float]
    draws: Floats
    draws_without: Floats
    ap_without: float

    @property
    def ap(self) -> Interval:
        """Average precision."""
        return interval(self.means["ap"], self.draws)

    @property
    def gain_draws(self) -> Floats:
        """The gain in each draw, (n_draws,)."""
        return self.draws - self.draws_without

    @property
    def gain(self) -> Interval | None:
        """Average precision above that without a sampler; None if there is none."""
        if self.sampler == NOTHING:
            return None
        return interval(self.means["ap"] - self.ap_without, self.gain_draws)

    def texts(self) -> list[str]:
        """Return the cells of a table's row.

        Returns
        -------
        list of str
            Classifier, sampler and metrics, with a dash for metrics that do not exist.
        """
        shown = {name: f"{value:.{DECIMALS.get(name, 3)}f}" for name, value in self.means.items()}
        shown["ap"] = "{:.3f} ({:.3f} to {:.3f})".format(*self.ap)
        shown["gain"] = "" if self.gain is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*self.gain)
        return [self.classifier, self.sampler, *(shown.get(name, "–") for name in HEADINGS)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON.

        Returns
        -------
        dict
            Names, metrics and intervals.
        """
        values = {name: self.means.get(name) for name in METRICS}
        intervals = {"ap_interval": list(self.ap[1:]), "gain": None if self.gain is None else list(self.gain)}
        return {"sampler": self.sampler, "classifier": self.classifier, **values, **intervals}


@dataclass(frozen=True)
class Verdict:
    """Conclusion about a sampler: the average precision it adds, and whether that may be chance.

    Parameters
    ----------
    sampler : str
        Its name.
    gain : Interval
        Average precision added, averaged over the classifiers, with its 95 % interval.
    p : float
        Probability of such a gain, or loss, by chance.
    n_classifiers, n_anomalies : int
        Classifiers and test anomalies behind it.

    Examples
    --------
    >>> Verdict("SMOTE", Interval(0.1, 0.05, 0.2), p=0.01, n_classifiers=6, n_anomalies=300).word
    'helps here'
    """

    sampler: str
    gain: Interval
    p: float
    n_classifiers: int
    n_anomalies: int

    def __str__(self) -> str:
        p = f"= {self.p:.2g}" if self.p > SMALLEST_P else f"< {SMALLEST_P:.1g}"
        return (
            f"{self.sampler}: {self.word}, {self.gain.value:+.3f} average precision over "
            f"{counted(self.n_classifiers, 'classifier')} (95 % interval over test rows {self.gain.low:+.3f} to "
            f"{self.gain.high:+.3f}, p {p})."
        )

    @property
    def word(self) -> str:
        """The conclusion in a few words."""
        if self.n_anomalies < MIN_ANOMALIES:
            return f"too few anomalies to tell ({self.n_anomalies})"
        if self.gain.low > -NEGLIGIBLE and self.gain.high < NEGLIGIBLE:
            return "makes no difference here"
        return "helps here" if self.gain.low > 0 else "hurts here" if self.gain.high < 0 else "no difference shown here"


@dataclass(frozen=True)
class Comparison:
    """Results of all samplers with all classifiers, as `compare` returns them.

    It shows itself as a table in a notebook and when printed. Intervals are over test rows; they do not say how much
    other training rows would change.

    Parameters
    ----------
    cells : tuple of Cell
        A result for each sampler and classifier that worked in every fold.
    n_folds : int
        Folds.
    n_training, n_test : tuple of int
        Training and test rows of each fold.
    n_anomalies : int
        Anomalies tested at least once.
    max_rows : int or None
        Limit for the training rows of a fold.
    notes : tuple of str
        What did not work, and warnings of the classifiers.

    Attributes
    ----------
    verdicts : tuple of Verdict
        The mean gain of each sampler and what may be concluded.
    best : str
        Sentence that compares the best classifier without a sampler with the best of all.

    See Also
    --------
    compare : Makes a comparison.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from oddrow.evaluate.folds import stratified_folds
    >>> from oddrow.resampling import compare
    >>> X, y = np.arange(200.0)[:, None], np.arange(200) >= 180
    >>> folds = stratified_folds(y, n_folds=2, n_repeats=1, seed=0)
    >>> comparison = compare({"nothing": None}, {"logistic": LogisticRegression()}, X, y, folds)
    >>> comparison.best
    'Nothing beats logistic without any resampling (average precision 1.000).'
    """

    cells: tuple[Cell, ...]
    n_folds: int
    n_training: tuple[int, ...]
    n_test: tuple[int, ...]
    n_anomalies: int
    max_rows: int | None
    notes: tuple[str, ...] = ()

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The mean gain of each sampler and what may be concluded."""
        names = dict.fromkeys(cell.sampler for cell in self.cells if cell.sampler != NOTHING)
        return tuple(self._verdict(name) for name in names)

    def _verdict(self, sampler: str) -> Verdict:
        cells = [cell for cell in self.cells if cell.sampler == sampler]
        gain = float(np.mean([cell.means["ap"] - cell.ap_without for cell in cells]))
        draws = np.mean([cell.gain_draws for cell in cells], axis=0)
        return Verdict(sampler, interval(gain, draws), p_value(draws), len(cells), self.n_anomalies)

    @property
    def best(self) -> str:
        """Sentence that compares the best classifier without a sampler with the best of all."""
        plain = max((cell for cell in self.cells if cell.sampler == NOTHING), key=lambda cell: cell.means["ap"])
        best = max(self.cells, key=lambda cell: cell.means["ap"])
        if best is plain:
            return (
                f"Nothing beats {plain.classifier} without any resampling (average precision {plain.means['ap']:.3f})."
            )
        gap = interval(best.means["ap"] - plain.means["ap"], best.draws - plain.draws)
        unsure = "" if gap.low > 0 else ", which may be chance among so many tries"
        return (
            f"The best of {len(self.cells)} tries is {best.classifier} with {best.sampler} ({best.means['ap']:.3f}); "
            f"the best without resampling is {plain.classifier} ({plain.means['ap']:.3f}). The gap is {gap.value:.3f} "
            f"({gap.low:+.3f} to {gap.high:+.3f}){unsure}."
        )

    def to_markdown(self) -> str:
        """Return the table and the conclusions as Markdown.

        Returns
        -------
        str
            How it was measured, a table with a row for each cell, and a list of conclusions and notes.
        """
        table = [self._headings, ["---"] * len(self._headings), *self._rows]
        lines = [self._method, "", *(f"| {' | '.join(row)} |" for row in table)]
        return "\n".join([*lines, "", *(f"- {line}" for line in self._conclusions)])

    def __str__(self) -> str:
        return "\n".join([self._method, "", text_table(self._headings, self._rows), "", *self._conclusions])

    def _repr_html_(self) -> str:
        return html_table(self._headings, self._rows, caption=self._method, note="\n".join(self._conclusions))

    @property
    def _headings(self) -> list[str]:
        return ["classifier", "sampler", *HEADINGS.values()]

    @property
    def _rows(self) -> list[list[str]]:
        by_classifier = dict.fromkeys(cell.classifier for cell in self.cells)
        return [cell.texts() for name in by_classifier for cell in self.cells if cell.classifier == name]

    @property
    def _conclusions(self) -> list[str]:
        return [*map(str, self.verdicts), self.best, *self.notes]

    @property
    def _method(self) -> str:
        training, test = _span(self.n_training), _span(self.n_test)
        capped = "" if self.max_rows is None else f" (at most {self.max_rows:,}, drawn from the larger class)"
        return (
            f"{counted(self.n_folds, 'fold')}: {training} training rows{capped}, {test} test rows, "
            f"{self.n_anomalies:,} test anomalies. Means over folds, in parentheses 95 % intervals over test rows; "
            "gain: AP above that without resampling."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON.

        Returns
        -------
        dict
            The fields, the cells and the verdicts.
        """
        return {
            "n_folds": self.n_folds,
            "n_training": list(self.n_training),
            "n_test": list(self.n_test),
            "n_anomalies": self.n_anomalies,
            "max_rows": self.max_rows,
            "cells": [cell.to_dict() for cell in self.cells],
            "verdicts": [{"sampler": v.sampler, "word": v.word, "gain": list(v.gain), "p": v.p} for v in self.verdicts],
            "notes": list(self.notes),
        }


def _span(numbers: tuple[int, ...]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
