"""Compute the threshold each rule asks for.

Every rule takes scores (n,), the outcomes of the same rows and its own numbers. Without labels: `fixed`, `quantile`,
`mean_std`, `contamination`. By alerts a day: `budget`, `budget_per_entity`. With a guarantee from normal rows:
`false_alarms`, `false_discoveries`. From labels: `f_beta`, `cost`, `recall`, `precision`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from oddrow.errors import EvaluationError
from oddrow.outcomes import DAY_S, Outcomes, day_of
from oddrow.thresholds.conformal import MOST_CALIBRATION, fewest_rows, most_exceeding, value_exceeded_by
from oddrow.thresholds.threshold import Cap
from oddrow.typing import Floats

# How many numbers of alerts are tried for a precision, a constant factor apart; every try costs some confidence.
N_TRIES = 20


class Choice(NamedTuple):
    """The fields of a `Threshold` that a rule decides."""

    value: float
    guarantee: str = ""
    observed: str = ""
    cap: Cap | None = None
    discoveries: float | None = None
    calibration: tuple[float, ...] = ()


# Rules without labels


def fixed(scores: Floats, known: Outcomes, value: float) -> Choice:
    """Return the given value; no row is looked at."""
    return Choice(value, observed="the value was given")


def quantile(scores: Floats, known: Outcomes, share: float) -> Choice:
    """Return the smallest score that at least this share of the rows does not exceed."""
    value = float(np.quantile(scores, share, weights=known.weights, method="inverted_cdf"))
    return Choice(value, observed=_share_reaching(scores, known, value))


def mean_std(scores: Floats, known: Outcomes, k: float) -> Choice:
    """Return the mean score plus k standard deviations."""
    mean = np.average(scores, weights=known.weights)
    sd = np.sqrt(np.average((scores - mean) ** 2, weights=known.weights))
    value = float(mean + k * sd)
    return Choice(value, observed=_share_reaching(scores, known, value))


def contamination(scores: Floats, known: Outcomes, share: float) -> Choice:
    """Return the lowest value that at most this share of the rows reaches, but at least one row."""
    highest_first = np.argsort(-scores, kind="stable")
    ordered, flagged = scores[highest_first], np.cumsum(known.weights[highest_first])
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    within = ends[flagged[ends] <= share * flagged[-1] * (1 + 1e-12)]
    value = float(ordered[within[-1]] if len(within) else ordered[0])
    return Choice(value, observed=_share_reaching(scores, known, value))


def _share_reaching(scores: Floats, known: Outcomes, value: float) -> str:
    share = float(np.average(scores >= value, weights=known.weights))
    return f"{_percent(share)} of the calibration rows are alerts"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share == 0 or share >= 0.001 else f"{100 * share:.2g} %"


# A number of alerts a day


def budget(scores: Floats, known: Outcomes, most: float) -> Choice:
    """Return the lowest value that at most `most` rows a day reach on average, with a cap on every single day."""
    return _budget(scores, known, Cap(int(most)))


def budget_per_entity(scores: Floats, known: Outcomes, most: float) -> Choice:
    """Return the same for the rows of each entity: `most` a day for each one with rows on that day."""
    return _budget(scores, known, Cap(int(most), per_entity=True))


def _budget(scores: Floats, known: Outcomes, cap: Cap) -> Choice:
    _check_equal_weights(known)
    n_days = _n_entity_days(known) if cap.per_entity else _n_days(known)
    allowed = cap.most * n_days
    if len(scores) <= allowed:
        raise EvaluationError(
            f"{len(scores):,} rows are no more than the {allowed:,.0f} alerts that the budget allows on them ({cap}). "
            "Give more rows, or a smaller budget."
        )
    highest_first = np.sort(scores)[::-1]
    # Rows that tie with the first row beyond the budget would be too many together.
    beyond = highest_first[int(allowed)]
    above = highest_first[highest_first > beyond]
    value = float(above[-1]) if len(above) else float(np.nextafter(beyond, np.inf))
    reached = int((scores >= value).sum()) / n_days
    each = "alerts a day for each entity" if cap.per_entity else "alerts a day"
    return Choice(value, str(cap), f"{reached:.3g} {each} on the calibration rows", cap)


def _n_days(known: Outcomes) -> float:
    assert known.time is not None
    span = float(np.ptp(known.time)) / DAY_S
    # Dates without a time of day, and rows of a single moment, stand for whole days.
    return span + 1 if span == 0 or (known.time % DAY_S == 0).all() else span


def _n_entity_days(known: Outcomes) -> float:
    assert known.time is not None
    assert known.entity is not None
    return float(len(np.unique(np.column_stack([day_of(known.time), known.entity]), axis=0)))


# Guarantees from normal rows


def false_alarms(scores: Floats, known: Outcomes, rate: float, confidence: float | None = None) -> Choice:
    """Return the lowest value whose false-alarm rate on future normal rows is at most `rate`."""
    n = len(scores)
    _check_equal_weights(known)
    n_above = most_exceeding(rate, n, confidence)
    if n_above < 0:
        sure = "" if confidence is None else f" with confidence {confidence:g}"
        raise EvaluationError(
            f"{n:,} normal rows cannot guarantee that{sure}; it takes {fewest_rows(rate, confidence):,}. "
            "Hold out more rows (training.validation_fraction), or allow more false alarms."
        )
    held = "on average over calibration sets" if confidence is None else f"with confidence {confidence:g}"
    guarantee = f"at most {100 * rate:g} % of normal rows are alerts, {held}"
    return Choice(value_exceeded_by(scores, n_above), guarantee, f"{n:,} normal rows chose it")


def false_discoveries(scores: Floats, known: Outcomes, rate: float) -> Choice:
    """Return the lowest value at which, on average, at most the share `rate` of a batch's alerts is false.

    A batch with few odd rows gets a higher threshold, by Benjamini and Hochberg's procedure.
    """
    _check_equal_weights(known)
    if most_exceeding(rate, min(len(scores), MOST_CALIBRATION)) < 0:
        raise EvaluationError(
            f"{len(scores):,} normal rows are too few; it takes at least {fewest_rows(rate):,}, and at most "
            f"{MOST_CALIBRATION:,} are used. Hold out more rows (training.validation_fraction), or allow more false "
            "alerts."
        )
    sample = np.random.default_rng(0).permutation(scores)[:MOST_CALIBRATION]
    return Choice(
        value_exceeded_by(sample, most_exceeding(rate, len(sample))),
        f"at most {100 * rate:g} % of the alerts of a batch are false, on average over batches and calibration sets",
        f"{len(sample):,} normal rows calibrate it",
        discoveries=rate,
        calibration=tuple(np.sort(sample).tolist()),
    )


def _check_equal_weights(known: Outcomes) -> None:
    """Raise `EvaluationError` for unequal weights: no bound is known for them."""
    if len(np.unique(known.weights)) > 1:
        raise EvaluationError(
            f"a guarantee needs rows of equal weight; these have weights from {known.weights.min():g} to "
            f"{known.weights.max():g}. Use a rule without a guarantee, such as quantile."
        )


# Rules from labels


class _Alternatives(NamedTuple):
    """What each distinct score would do as a threshold (levels,), from the highest score to the lowest."""

    value: Floats
    found: Floats
    false: Floats


def _alternatives(scores: Floats, known: Outcomes, worth: Floats) -> _Alternatives:
    """Return each distinct score with the `worth` (n,) of the anomalies it finds and its false alarms."""
    order = np.argsort(-scores, kind="stable")
    scores, anomalous = scores[order], known.anomalous[order]
    ends = np.flatnonzero(np.append(np.diff(scores) != 0, True))
    found = np.cumsum(np.where(anomalous, worth[order], 0.0))[ends]
    false = np.cumsum(np.where(anomalous, 0.0, known.weights[order]))[ends]
    return _Alternatives(scores[ends], found, false)


def f_beta(scores: Floats, known: Outcomes, b: float) -> Choice:
    """Return the value with the best F-beta: recall counts `b` times as much as precision (van Rijsbergen, 1979)."""
    each = _alternatives(scores, known, known.weights)
    total = known.weights[known.anomalous].sum()
    f_scores = (1 + b**2) * each.found / (each.found + each.false + b**2 * total)
    best = int(f_scores.argmax())
    precision, recall = each.found[best] / (each.found[best] + each.false[best]), each.found[best] / total
    reached = f"F{b:g} {f_scores[best]:.3f} (precision {precision:.3f}, recall {recall:.3f})"
    return Choice(float(each.value[best]), observed=f"{reached} on {_size(known)}")


def cost(scores: Floats, known: Outcomes, per_false_alarm: float) -> Choice:
    """Return the value with the least cost: a price for each false alarm, its amount for each missed anomaly."""
    assert known.amount is not None
    lost = known.weights * np.where(known.anomalous, known.amount, 0.0)
    each = _alternatives(scores, known, lost)
    costs = per_false_alarm * each.false + lost.sum() - each.found
    without_alerts, best = float(lost.sum()), int(costs.argmin())
    is_worth_it = costs[best] < without_alerts
    value = each.value[best] if is_worth_it else np.nextafter(each.value[0], np.inf)
    least = min(costs[best], without_alerts)
    compared = f"a cost of {least:,.6g} on {_size(known)}; without any alert {without_alerts:,.6g}"
    return Choice(float(value), observed=compared)


def recall(scores: Floats, known: Outcomes, least: float, confidence: float) -> Choice:
    """Return the highest value that finds at least this share of future anomalies, with this confidence.

    The share that the k-th lowest of m anomalies misses as a threshold is Beta(k, m - k + 1) distributed (David and
    Nagaraja, 2003, section 2.3), if future anomalies are drawn like the known ones.
    """
    scores, known = scores[known.anomalous], known.take(known.anomalous)
    _check_equal_weights(known)
    m = len(scores)
    ranks = np.arange(1, m + 1)
    n_ranks = int((beta.cdf(1 - least, ranks, m - ranks + 1) >= confidence).sum())
    if n_ranks == 0:
        fewest = int(np.ceil(np.log(1 - confidence) / np.log(least)))
        raise EvaluationError(
            f"{m:,} known anomalies cannot guarantee that; it takes {fewest:,}. {m:,} guarantee a recall of "
            f"{(1 - confidence) ** (1 / m):.2f} at most. Ask for less, label more rows, or use fbeta, which guarantees "
            "nothing."
        )
    value = float(np.sort(scores)[n_ranks - 1])
    guarantee = f"at least {100 * least:g} % of anomalies are alerts, with confidence {confidence:g}"
    return Choice(value, guarantee, f"it finds {_percent((scores >= value).mean())} of the {m:,} known anomalies")


def precision(scores: Floats, known: Outcomes, least: float, confidence: float) -> Choice:
    """Return the lowest value of whose alerts at least this share is anomalous, with this confidence.

    Several numbers of alerts are tried, each with Clopper and Pearson's (1934) bound at a confidence that allows for
    all the tries (Bonferroni).
    """
    _check_equal_weights(known)
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
        raise EvaluationError(
            f"{int(known.anomalous.sum()):,} known anomalies in {len(scores):,} rows guarantee a precision of "
            f"{bounds.max(initial=0):.2f} at most. Ask for less, label more rows, or use fbeta, which guarantees "
            "nothing."
        )
    n = int(n_above[held[-1]])
    return Choice(
        float(np.nextafter(scores[n], np.inf)),
        f"at least {100 * least:g} % of the alerts are anomalies, with confidence {confidence:g}",
        f"{_percent(found[n - 1] / n)} of its {n:,} alerts on the calibration rows are anomalies",
    )


def check_known(known: Outcomes) -> None:
    """Raise `EvaluationError` if the labelled rows hold no anomaly, or nothing else."""
    n_anomalies, n = int(known.anomalous.sum()), int(known.labelled.sum())
    if n_anomalies in (0, n):
        lacking = "anomalies" if n_anomalies == 0 else "normal rows"
        raise EvaluationError(
            f"the rule needs known {lacking}, but none of the {n:,} labelled rows is one. Hold out more rows "
            "(training.validation_fraction), or choose the threshold on labelled rows: oddrow threshold TABLE."
        )


def _size(known: Outcomes) -> str:
    return f"the {len(known):,} calibration rows, {int(known.anomalous.sum()):,} of them anomalies"
