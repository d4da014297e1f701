"""Rules that look at the labels of the rows a threshold is chosen on: best F, least recall or precision, least cost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from oddrow.errors import EvaluationError
from oddrow.thresholds.choice import Choice
from oddrow.thresholds.scored import ScoredRows

Floats = npt.NDArray[np.float64]

# So many numbers of alerts are tried for a precision, each a factor apart; every try costs some of the confidence.
N_TRIES = 20


class _Levels(NamedTuple):
    """What each cut (levels,) would do, from the highest score to the lowest."""

    cut: Floats
    found: Floats
    false: Floats


def f_beta(rows: ScoredRows, b: float) -> Choice:
    """The cut with the best F-beta: recall counts `b` times as much as precision (van Rijsbergen, 1979)."""
    at = _levels(rows, rows.weights)
    total = rows.weights[rows.anomalous].sum()
    scores = (1 + b**2) * at.found / (at.found + at.false + b**2 * total)
    best = int(scores.argmax())
    precision, recall = at.found[best] / (at.found[best] + at.false[best]), at.found[best] / total
    promise = f"nothing; F{b:g} {scores[best]:.3f} (precision {precision:.3f}, recall {recall:.3f}) {_on(rows)}"
    return Choice(float(at.cut[best]), promise)


def cost(rows: ScoredRows, per_false_alarm: float) -> Choice:
    """The cut with the least cost: so much for each false alarm, its amount for each missed anomaly."""
    assert rows.amount is not None
    lost = rows.weights * np.where(rows.anomalous, rows.amount, 0.0)
    at = _levels(rows, lost)
    costs = per_false_alarm * at.false + lost.sum() - at.found
    nothing = float(lost.sum())
    best = int(costs.argmin())
    promise = (
        f"nothing; a cost of {min(costs[best], nothing):,.6g} {_on(rows)}, where no alert at all costs {nothing:,.6g}"
    )
    if costs[best] >= nothing:
        return Choice(float(np.nextafter(at.cut[0], np.inf)), promise)
    return Choice(float(at.cut[best]), promise)


def recall(rows: ScoredRows, least: float, confidence: float) -> Choice:
    """The highest cut that finds at least this share of anomalies to come, with this confidence.

    The share that a cut at the k-th lowest of m anomalies misses is Beta(k, m - k + 1) distributed (David and Nagaraja,
    2003, section 2.3), as long as anomalies to come are drawn like the known ones.
    """
    said = f"threshold rule recall:{least:g}:{confidence:g}"
    anomalies = rows.take(rows.anomalous)
    anomalies.check_alike(said)
    m = len(anomalies.scores)
    ranks = np.arange(1, m + 1)
    n_ranks = int((beta.cdf(1 - least, ranks, m - ranks + 1) >= confidence).sum())
    if n_ranks == 0:
        fewest = int(np.ceil(np.log(1 - confidence) / np.log(least)))
        raise EvaluationError(
            f"{said}: {m:,} known anomalies cannot promise that; it takes {fewest:,}. With {m:,} the most is a recall "
            f"of {(1 - confidence) ** (1 / m):.2f}. Ask for less, label more, or use fbeta, which promises nothing."
        )
    value = float(np.sort(anomalies.scores)[n_ranks - 1])
    found = float((anomalies.scores >= value).mean())
    promise = f"at least {least:.1%} of anomalies like the {m:,} known ones are alerts, with confidence {confidence:g}"
    return Choice(value, f"{promise}; {found:.1%} of these are")


def precision(rows: ScoredRows, least: float, confidence: float) -> Choice:
    """The lowest cut of whose alerts at least this share is anomalous, with this confidence.

    Numbers of alerts a factor apart are tried; Clopper and Pearson's (1934) bound for each, at a confidence that allows
    for all the tries (Bonferroni). Raises `EvaluationError` where none is high enough.
    """
    said = f"threshold rule precision:{least:g}:{confidence:g}"
    rows.check_alike(said)
    order = np.argsort(-rows.scores, kind="stable")
    scores, found = rows.scores[order], np.cumsum(rows.anomalous[order])
    tries = np.unique(np.geomspace(1, max(len(scores) - 1, 1), N_TRIES).astype(int))
    # Given a row's score, the rows above it are as many independent draws of what lies above.
    n_above = np.array([int((scores > scores[n]).sum()) for n in tries if n < len(scores)])
    n_above = np.unique(n_above[n_above > 0])
    k = found[n_above - 1]
    bounds = np.where(k > 0, beta.ppf((1 - confidence) / N_TRIES, np.maximum(k, 1), n_above - k + 1), 0.0)
    held = np.flatnonzero(bounds >= least)
    if not len(held):
        best = f"{bounds.max():.2f}" if len(bounds) else "nothing"
        raise EvaluationError(
            f"{said}: {int(rows.anomalous.sum()):,} known anomalies in {len(scores):,} rows promise {best} at most. "
            "Ask for less, label more, or use fbeta, which promises nothing."
        )
    n = int(n_above[held[-1]])
    value = float(np.nextafter(scores[n], np.inf))
    promise = f"at least {least:.1%} of the alerts are anomalies, with confidence {confidence:g}"
    return Choice(value, f"{promise}; of the {n:,} alerts among the rows it was chosen on {found[n - 1] / n:.1%} are")


def check_known(rows: ScoredRows, said: str) -> None:
    """Raise `EvaluationError` where the rows to choose by hold no known anomaly, or nothing else."""
    n_known = int(rows.anomalous.sum())
    if n_known in (0, len(rows.scores)):
        lacking = "known anomaly" if n_known == 0 else "known normal row"
        raise EvaluationError(
            f"{said}: no {lacking} is among the {len(rows.scores):,} labelled rows to choose by. Hold out more rows "
            "(training.validation_fraction), or choose by labelled rows: oddrow threshold TABLE."
        )


def _levels(rows: ScoredRows, worth: Floats) -> _Levels:
    """Every distinct score as a cut, with the `worth` (n,) of the anomalies it finds, and its false alarms."""
    order = np.argsort(-rows.scores, kind="stable")
    scores, anomalous = rows.scores[order], rows.anomalous[order]
    ends = np.flatnonzero(np.append(np.diff(scores) != 0, True))
    found = np.cumsum(np.where(anomalous, worth[order], 0.0))[ends]
    false = np.cumsum(np.where(anomalous, 0.0, rows.weights[order]))[ends]
    return _Levels(scores[ends], found, false)


def _on(rows: ScoredRows) -> str:
    return f"on the {len(rows.scores):,} rows that chose it, {int(rows.anomalous.sum()):,} of them anomalies"
