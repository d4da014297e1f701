"""Rules that need no label: of the scores of rows taken for normal, or of all rows for a budget."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from oddrow.errors import EvaluationError
from oddrow.thresholds.choice import Choice
from oddrow.thresholds.conformal import MOST_CALIBRATION, cut_above, fewest_for, rank_for
from oddrow.thresholds.scored import DAY_S, ScoredRows, day_of
from oddrow.thresholds.threshold import Cap

Floats = npt.NDArray[np.float64]


def fixed(rows: ScoredRows, value: float) -> Choice:
    """The value as it is."""
    return Choice(value, "nothing: it was given")


def quantile(rows: ScoredRows, share: float) -> Choice:
    """The smallest score that at least this share of the rows does not exceed."""
    value = float(np.quantile(rows.scores, share, weights=rows.weights, method="inverted_cdf"))
    return Choice(value, _reached(rows, value))


def mean_std(rows: ScoredRows, k: float) -> Choice:
    """The mean score and k standard deviations."""
    mean = np.average(rows.scores, weights=rows.weights)
    sd = np.sqrt(np.average((rows.scores - mean) ** 2, weights=rows.weights))
    value = float(mean + k * sd)
    return Choice(value, _reached(rows, value))


def contamination(rows: ScoredRows, share: float) -> Choice:
    """The lowest cut that flags at most this share of the rows, but at least one row."""
    highest_first = np.argsort(-rows.scores, kind="stable")
    ordered, flagged = rows.scores[highest_first], np.cumsum(rows.weights[highest_first])
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    within = ends[flagged[ends] <= share * flagged[-1] * (1 + 1e-12)]
    value = float(ordered[within[-1]] if len(within) else ordered[0])
    return Choice(value, _reached(rows, value))


def budget(rows: ScoredRows, most: float) -> Choice:
    """The lowest cut that no more than `most` rows a day reach on average; and never more, in any day."""
    return _budget(rows, Cap(int(most)))


def budget_per_entity(rows: ScoredRows, most: float) -> Choice:
    """The same for the rows of each entity: `most` a day for each that has rows that day."""
    return _budget(rows, Cap(int(most), per_entity=True))


def false_alarms(rows: ScoredRows, rate: float, confidence: float | None = None) -> Choice:
    """The lowest cut whose false alarm rate on normal rows to come is at most `rate`, by conformal p-values."""
    n, said = len(rows.scores), f"threshold rule false-alarms:{rate:g}"
    rows.check_alike(said)
    n_above = rank_for(rate, n, confidence)
    if n_above < 0:
        sure = "" if confidence is None else f" with confidence {confidence:g}"
        raise EvaluationError(
            f"{said}: {n:,} normal rows cannot promise that{sure}; it takes {fewest_for(rate, confidence):,}. "
            "Hold out more rows (training.validation_fraction), or allow more false alarms."
        )
    value = cut_above(rows.scores, n_above)
    how = "on average over such rows to choose by" if confidence is None else f"with confidence {confidence:g}"
    return Choice(value, f"at most {rate:.3%} of normal rows like the {n:,} it was chosen on are alerts, {how}")


def false_discoveries(rows: ScoredRows, rate: float) -> Choice:
    """Of the alerts of a batch at most this share is false on average: Benjamini and Hochberg's procedure.

    The value is the lowest cut that a batch may have; a batch with few odd rows is cut higher.
    """
    said = f"threshold rule false-discoveries:{rate:g}"
    rows.check_alike(said)
    if rank_for(rate, min(len(rows.scores), MOST_CALIBRATION)) < 0:
        raise EvaluationError(
            f"{said}: {len(rows.scores):,} normal rows are too few; it takes {fewest_for(rate):,} at least, and "
            f"{MOST_CALIBRATION:,} are looked at. Hold out more rows (training.validation_fraction), or ask for a "
            "larger share."
        )
    drawn = np.random.default_rng(0).permutation(rows.scores)[:MOST_CALIBRATION]
    return Choice(
        cut_above(drawn, rank_for(rate, len(drawn))),
        f"at most {rate:.1%} of the alerts of a batch are false, on average over batches and over rows to choose by",
        discoveries=rate,
        calibration=tuple(np.sort(drawn).tolist()),
    )


def _budget(rows: ScoredRows, cap: Cap) -> Choice:
    assert rows.time is not None
    said = f"threshold rule budget of {cap}"
    rows.check_alike(said)
    groups = _groups_of(rows, cap)
    room = cap.most * groups
    if len(rows.scores) <= room:
        raise EvaluationError(
            f"{said}: {len(rows.scores):,} rows to choose by are no more than the {room:,.0f} alerts that it allows on "
            "them. Give more rows, or a smaller budget."
        )
    highest_first = np.sort(rows.scores)[::-1]
    # The lowest score above the first row too many: rows that tie there would be too many together.
    too_many = highest_first[int(room)]
    above = highest_first[highest_first > too_many]
    value = float(above[-1]) if len(above) else float(np.nextafter(too_many, np.inf))
    each = "a day of an entity" if cap.per_entity else "a day"
    reached = int((rows.scores >= value).sum()) / groups
    promise = f"{cap}, the highest; {reached:.3g} reached it in {each} of the rows it was chosen on"
    return Choice(value, promise, cap=cap)


def _groups_of(rows: ScoredRows, cap: Cap) -> float:
    """How many days the rows span, or how many pairs of entity and day they have."""
    assert rows.time is not None
    if not cap.per_entity:
        span = float(np.ptp(rows.time)) / DAY_S
        # Dates, and rows of one moment, stand for whole days.
        return span + 1 if span == 0 or (rows.time % DAY_S == 0).all() else span
    assert rows.entity is not None
    return float(len(np.unique(np.column_stack([day_of(rows.time), rows.entity]), axis=0)))


def _reached(rows: ScoredRows, value: float) -> str:
    share = float(np.average(rows.scores >= value, weights=rows.weights))
    return f"nothing; {share:.3%} of the rows it was chosen on reach it"
