"""Rules that need no label: of the scores of rows taken for normal, or of all rows for a budget."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from oddrow.errors import EvaluationError
from oddrow.outcomes import DAY_S, Outcomes, day_of
from oddrow.thresholds.conformal import MOST_CALIBRATION, cut_above, fewest_for, rank_for
from oddrow.thresholds.threshold import Cap, Choice
from oddrow.typing import Floats

# So many numbers of alerts are tried for a precision, each a factor apart; every try costs some of the confidence.
N_TRIES = 20


class _Levels(NamedTuple):
    """What each cut (levels,) would do, from the highest score to the lowest."""

    cut: Floats
    found: Floats
    false: Floats


def f_beta(scores: Floats, known: Outcomes, b: float) -> Choice:
    """The cut with the best F-beta: recall counts `b` times as much as precision (van Rijsbergen, 1979)."""
    at = _levels(scores, known, known.weights)
    total = known.weights[known.anomalous].sum()
    f_scores = (1 + b**2) * at.found / (at.found + at.false + b**2 * total)
    best = int(f_scores.argmax())
    precision, recall = at.found[best] / (at.found[best] + at.false[best]), at.found[best] / total
    promise = f"nothing; F{b:g} {f_scores[best]:.3f} (precision {precision:.3f}, recall {recall:.3f}) {_on(known)}"
    return Choice(float(at.cut[best]), promise)


def cost(scores: Floats, known: Outcomes, per_false_alarm: float) -> Choice:
    """The cut with the least cost: so much for each false alarm, its amount for each missed anomaly."""
    assert known.amount is not None
    lost = known.weights * np.where(known.anomalous, known.amount, 0.0)
    at = _levels(scores, known, lost)
    costs = per_false_alarm * at.false + lost.sum() - at.found
    nothing = float(lost.sum())
    best = int(costs.argmin())
    promise = (
        f"nothing; a cost of {min(costs[best], nothing):,.6g} {_on(known)}, where no alert at all costs {nothing:,.6g}"
    )
    if costs[best] >= nothing:
        return Choice(float(np.nextafter(at.cut[0], np.inf)), promise)
    return Choice(float(at.cut[best]), promise)


def recall(scores: Floats, known: Outcomes, least: float, confidence: float) -> Choice:
    """The highest cut that finds at least this share of anomalies to come, with this confidence.

    The share that a cut at the k-th lowest of m anomalies misses is Beta(k, m - k + 1) distributed (David and Nagaraja,
    2003, section 2.3), as long as anomalies to come are drawn like the known ones.
    """
    said = f"threshold rule recall:{least:g}:{confidence:g}"
    scores, known = scores[known.anomalous], known.take(known.anomalous)
    _check_equal_weights(known, said)
    m = len(scores)
    ranks = np.arange(1, m + 1)
    n_ranks = int((beta.cdf(1 - least, ranks, m - ranks + 1) >= confidence).sum())
    if n_ranks == 0:
        fewest = int(np.ceil(np.log(1 - confidence) / np.log(least)))
        raise EvaluationError(
            f"{said}: {m:,} known anomalies cannot promise that; it takes {fewest:,}. With {m:,} the most is a recall "
            f"of {(1 - confidence) ** (1 / m):.2f}. Ask for less, label more, or use fbeta, which promises nothing."
        )
    value = float(np.sort(scores)[n_ranks - 1])
    found = float((scores >= value).mean())
    promise = f"at least {least:.1%} of anomalies like the {m:,} known ones are alerts, with confidence {confidence:g}"
    return Choice(value, f"{promise}; {found:.1%} of these are")


def precision(scores: Floats, known: Outcomes, least: float, confidence: float) -> Choice:
    """The lowest cut of whose alerts at least this share is anomalous, with this confidence.

    Numbers of alerts a factor apart are tried; Clopper and Pearson's (1934) bound for each, at a confidence that allows
    for all the tries (Bonferroni). Raises `EvaluationError` where none is high enough.
    """
    said = f"threshold rule precision:{least:g}:{confidence:g}"
    _check_equal_weights(known, said)
    order = np.argsort(-scores, kind="stable")
    scores, found = scores[order], np.cumsum(known.anomalous[order])
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
            f"{said}: {int(known.anomalous.sum()):,} known anomalies in {len(scores):,} rows promise {best} at most. "
            "Ask for less, label more, or use fbeta, which promises nothing."
        )
    n = int(n_above[held[-1]])
    value = float(np.nextafter(scores[n], np.inf))
    promise = f"at least {least:.1%} of the alerts are anomalies, with confidence {confidence:g}"
    return Choice(value, f"{promise}; of the {n:,} alerts among the rows it was chosen on {found[n - 1] / n:.1%} are")


def check_known(known: Outcomes, said: str) -> None:
    """Raise `EvaluationError` where the rows to choose by hold no known anomaly, or nothing else."""
    n_known = int(known.anomalous.sum())
    if n_known in (0, len(known)):
        lacking = "known anomaly" if n_known == 0 else "known normal row"
        raise EvaluationError(
            f"{said}: no {lacking} is among the {len(known):,} labelled rows to choose by. Hold out more rows "
            "(training.validation_fraction), or choose by labelled rows: oddrow threshold TABLE."
        )


def _check_equal_weights(known: Outcomes, said: str) -> None:
    """Raise `EvaluationError` where rows stand for unequal numbers of rows: no bound is known for such."""
    if len(np.unique(known.weights)) > 1:
        raise EvaluationError(
            f"{said}: its promise holds for rows that count alike, and these have weights from "
            f"{known.weights.min():g} to {known.weights.max():g}. Use a rule without a promise, such as quantile."
        )


def _levels(scores: Floats, known: Outcomes, worth: Floats) -> _Levels:
    """Every distinct score as a cut, with the `worth` (n,) of the anomalies it finds, and its false alarms."""
    order = np.argsort(-scores, kind="stable")
    scores, anomalous = scores[order], known.anomalous[order]
    ends = np.flatnonzero(np.append(np.diff(scores) != 0, True))
    found = np.cumsum(np.where(anomalous, worth[order], 0.0))[ends]
    false = np.cumsum(np.where(anomalous, 0.0, known.weights[order]))[ends]
    return _Levels(scores[ends], found, false)


def _on(known: Outcomes) -> str:
    return f"on the {len(known):,} rows that chose it, {int(known.anomalous.sum()):,} of them anomalies"


def fixed(scores: Floats, known: Outcomes, value: float) -> Choice:
    """The value as it is."""
    return Choice(value, "nothing: it was given")


def quantile(scores: Floats, known: Outcomes, share: float) -> Choice:
    """The smallest score that at least this share of the rows does not exceed."""
    value = float(np.quantile(scores, share, weights=known.weights, method="inverted_cdf"))
    return Choice(value, _reached(scores, known, value))


def mean_std(scores: Floats, known: Outcomes, k: float) -> Choice:
    """The mean score and k standard deviations."""
    mean = np.average(scores, weights=known.weights)
    sd = np.sqrt(np.average((scores - mean) ** 2, weights=known.weights))
    value = float(mean + k * sd)
    return Choice(value, _reached(scores, known, value))


def contamination(scores: Floats, known: Outcomes, share: float) -> Choice:
    """The lowest cut that flags at most this share of the rows, but at least one row."""
    highest_first = np.argsort(-scores, kind="stable")
    ordered, flagged = scores[highest_first], np.cumsum(known.weights[highest_first])
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    within = ends[flagged[ends] <= share * flagged[-1] * (1 + 1e-12)]
    value = float(ordered[within[-1]] if len(within) else ordered[0])
    return Choice(value, _reached(scores, known, value))


def budget(scores: Floats, known: Outcomes, most: float) -> Choice:
    """The lowest cut that no more than `most` rows a day reach on average; and never more, in any day."""
    return _budget(scores, known, Cap(int(most)))


def budget_per_entity(scores: Floats, known: Outcomes, most: float) -> Choice:
    """The same for the rows of each entity: `most` a day for each that has rows that day."""
    return _budget(scores, known, Cap(int(most), per_entity=True))


def false_alarms(scores: Floats, known: Outcomes, rate: float, confidence: float | None = None) -> Choice:
    """The lowest cut whose false alarm rate on normal rows to come is at most `rate`, by conformal p-values."""
    n, said = len(scores), f"threshold rule false-alarms:{rate:g}"
    _check_equal_weights(known, said)
    n_above = rank_for(rate, n, confidence)
    if n_above < 0:
        sure = "" if confidence is None else f" with confidence {confidence:g}"
        raise EvaluationError(
            f"{said}: {n:,} normal rows cannot promise that{sure}; it takes {fewest_for(rate, confidence):,}. "
            "Hold out more rows (training.validation_fraction), or allow more false alarms."
        )
    value = cut_above(scores, n_above)
    how = "on average over such rows to choose by" if confidence is None else f"with confidence {confidence:g}"
    return Choice(value, f"at most {rate:.3%} of normal rows like the {n:,} it was chosen on are alerts, {how}")


def false_discoveries(scores: Floats, known: Outcomes, rate: float) -> Choice:
    """Of the alerts of a batch at most this share is false on average: Benjamini and Hochberg's procedure.

    The value is the lowest cut that a batch may have; a batch with few odd rows is cut higher.
    """
    said = f"threshold rule false-discoveries:{rate:g}"
    _check_equal_weights(known, said)
    if rank_for(rate, min(len(scores), MOST_CALIBRATION)) < 0:
        raise EvaluationError(
            f"{said}: {len(scores):,} normal rows are too few; it takes {fewest_for(rate):,} at least, and "
            f"{MOST_CALIBRATION:,} are looked at. Hold out more rows (training.validation_fraction), or ask for a "
            "larger share."
        )
    drawn = np.random.default_rng(0).permutation(scores)[:MOST_CALIBRATION]
    return Choice(
        cut_above(drawn, rank_for(rate, len(drawn))),
        f"at most {rate:.1%} of the alerts of a batch are false, on average over batches and over rows to choose by",
        discoveries=rate,
        calibration=tuple(np.sort(drawn).tolist()),
    )


def _budget(scores: Floats, known: Outcomes, cap: Cap) -> Choice:
    assert known.time is not None
    said = f"threshold rule budget of {cap}"
    _check_equal_weights(known, said)
    groups = _groups_of(known, cap)
    room = cap.most * groups
    if len(scores) <= room:
        raise EvaluationError(
            f"{said}: {len(scores):,} rows to choose by are no more than the {room:,.0f} alerts that it allows on "
            "them. Give more rows, or a smaller budget."
        )
    highest_first = np.sort(scores)[::-1]
    # The lowest score above the first row too many: rows that tie there would be too many together.
    too_many = highest_first[int(room)]
    above = highest_first[highest_first > too_many]
    value = float(above[-1]) if len(above) else float(np.nextafter(too_many, np.inf))
    each = "a day of an entity" if cap.per_entity else "a day"
    reached = int((scores >= value).sum()) / groups
    promise = f"{cap}, the highest; {reached:.3g} reached it in {each} of the rows it was chosen on"
    return Choice(value, promise, cap=cap)


def _groups_of(known: Outcomes, cap: Cap) -> float:
    """How many days the rows span, or how many pairs of entity and day they have."""
    assert known.time is not None
    if not cap.per_entity:
        span = float(np.ptp(known.time)) / DAY_S
        # Dates, and rows of one moment, stand for whole days.
        return span + 1 if span == 0 or (known.time % DAY_S == 0).all() else span
    assert known.entity is not None
    return float(len(np.unique(np.column_stack([day_of(known.time), known.entity]), axis=0)))


def _reached(scores: Floats, known: Outcomes, value: float) -> str:
    share = float(np.average(scores >= value, weights=known.weights))
    return f"nothing; {share:.3%} of the rows it was chosen on reach it"
