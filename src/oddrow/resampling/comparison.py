"""What a comparison of samplers found: a cell for each sampler and classifier, and in plain words what they say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from oddrow.errors import counted
from oddrow.evaluate.intervals import N_DRAWS, Interval, interval, p_value
from oddrow.metrics.classification import LEAST_PRECISION, K
from oddrow.resampling.candidates import NOTHING
from oddrow.typing import Floats

HEADINGS = {
    "ap": "AP",
    "gain": "gain",
    "auroc": "AUROC",
    "f1": "F1",
    "recall_at_precision": f"recall at precision {LEAST_PRECISION:g}",
    "precision_at_k": f"precision at {K}",
    "brier": "Brier",
    "brier_corrected": "Brier, prior corrected",
}

METRICS = ("ap", "auroc", "f1", "recall_at_precision", "precision_at_k", "brier", "brier_corrected")

# With fewer tested anomalies, draws of them are too much alike to believe.
FEWEST_ANOMALIES = 20

# A gain within this much average precision is none.
ALIKE = 0.01

# As small as so many draws can tell.
SMALLEST_P = 2 / N_DRAWS

DECIMALS = {"brier": "{:.5f}", "brier_corrected": "{:.5f}"}


@dataclass(frozen=True)
class Cell:
    """A classifier after a sampler: means over the folds, and the average precision of every draw of the test rows.

    `without` holds the same draws of the classifier after no sampler.
    """

    sampler: str
    classifier: str
    means: dict[str, float]
    draws: Floats
    without: Floats
    ap_without: float

    @property
    def ap(self) -> Interval:
        """Average precision."""
        return interval(self.means["ap"], self.draws)

    @property
    def draws_of_gain(self) -> Floats:
        """What every draw says of it, (n_draws,)."""
        return self.draws - self.without

    @property
    def gain(self) -> Interval | None:
        """Average precision beyond that of the classifier after no sampler; None of that itself."""
        if self.sampler == NOTHING:
            return None
        return interval(self.means["ap"] - self.ap_without, self.draws_of_gain)

    def texts(self) -> list[str]:
        """The cells of a line, with a dash where a number does not exist."""
        shown = {name: DECIMALS.get(name, "{:.3f}").format(value) for name, value in self.means.items()}
        shown["ap"] = "{:.3f} ({:.3f} to {:.3f})".format(*self.ap)
        shown["gain"] = "" if self.gain is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*self.gain)
        return [self.classifier, self.sampler, *(shown.get(name, "–") for name in HEADINGS)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: self.means.get(name) for name in METRICS}
        intervals = {"ap_interval": list(self.ap[1:]), "gain": None if self.gain is None else list(self.gain)}
        return {"sampler": self.sampler, "classifier": self.classifier, **values, **intervals}


@dataclass(frozen=True)
class Verdict:
    """How much average precision a sampler adds, on average over the classifiers, and whether that may be luck."""

    sampler: str
    gain: Interval
    p: float
    n_classifiers: int
    n_anomalies: int

    @property
    def _p(self) -> str:
        return f"= {self.p:.2g}" if self.p > SMALLEST_P else f"< {SMALLEST_P:.1g}"

    def __str__(self) -> str:
        low_high = f"{self.gain.low:+.3f} to {self.gain.high:+.3f}"
        return (
            f"{self.sampler}: {self.word}, {self.gain.value:+.3f} average precision over "
            f"{counted(self.n_classifiers, 'classifier')} (95 % interval by the test rows {low_high}, p {self._p})."
        )

    @property
    def word(self) -> str:
        """What may be said of it."""
        if self.n_anomalies < FEWEST_ANOMALIES:
            return f"too few anomalies to tell ({self.n_anomalies})"
        if self.gain.low > -ALIKE and self.gain.high < ALIKE:
            return "makes no difference here"
        return "helps here" if self.gain.low > 0 else "hurts here" if self.gain.high < 0 else "no difference shown here"


@dataclass(frozen=True)
class Comparison:
    """Every cell that was possible, and how it was measured. Intervals are of the test rows, not of the training."""

    cells: tuple[Cell, ...]
    n_folds: int
    n_training: tuple[int, ...]
    n_test: tuple[int, ...]
    n_anomalies: int
    max_rows: int | None
    notes: tuple[str, ...] = ()

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each sampler but none."""
        names = dict.fromkeys(cell.sampler for cell in self.cells if cell.sampler != NOTHING)
        return tuple(self._verdict(name) for name in names)

    def _verdict(self, sampler: str) -> Verdict:
        cells = [cell for cell in self.cells if cell.sampler == sampler]
        gain = float(np.mean([cell.means["ap"] - cell.ap_without for cell in cells]))
        draws = np.mean([cell.draws_of_gain for cell in cells], axis=0)
        return Verdict(sampler, interval(gain, draws), p_value(draws), len(cells), self.n_anomalies)

    @property
    def best(self) -> str:
        """The best classifier without a sampler and the best of all, in words, and how far the gap can be trusted."""
        plain = max((cell for cell in self.cells if cell.sampler == NOTHING), key=lambda cell: cell.means["ap"])
        best = max(self.cells, key=lambda cell: cell.means["ap"])
        if best is plain:
            return (
                f"Nothing beats {plain.classifier} without any resampling (average precision {plain.means['ap']:.3f})."
            )
        gap = interval(best.means["ap"] - plain.means["ap"], best.draws - plain.draws)
        sure = "" if gap.low > 0 else ", no more than chance among so many tries may give"
        return (
            f"The best of {len(self.cells)} tries: {best.classifier} with {best.sampler} ({best.means['ap']:.3f}); the "
            f"best without: {plain.classifier} ({plain.means['ap']:.3f}). The gap is {gap.value:.3f} "
            f"({gap.low:+.3f} to {gap.high:+.3f}){sure}."
        )

    def to_markdown(self) -> str:
        """The whole table, then the verdicts in words."""
        lines = [self._measured_how, "", f"| {' | '.join(('classifier', 'sampler', *HEADINGS.values()))} |"]
        lines.append(f"|---|---{'|---' * len(HEADINGS)}|")
        by_classifier = dict.fromkeys(cell.classifier for cell in self.cells)
        ordered = [cell for name in by_classifier for cell in self.cells if cell.classifier == name]
        lines += [f"| {' | '.join(cell.texts())} |" for cell in ordered]
        words = [*map(str, self.verdicts), self.best, *self.notes]
        return "\n".join([*lines, "", *(f"- {line}" for line in words)])

    @property
    def _measured_how(self) -> str:
        training, test = (_span(numbers) for numbers in (self.n_training, self.n_test))
        capped = "" if self.max_rows is None else f" (at most {self.max_rows:,}: of the larger class a part was drawn)"
        folds = f"{self.n_folds} folds" if self.n_folds > 1 else "One fold"
        return (
            f"{folds}: {training} rows train{capped}, {test} test; {self.n_anomalies:,} anomalies are tested. "
            "Means over the folds; in brackets the middle 95 % of draws of the test rows; gain: AP beyond that of "
            "nothing."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
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
