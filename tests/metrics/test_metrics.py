"""The numbers of an evaluation: by hand, and as scikit-learn counts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    brier_score_loss,
    f1_score,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
    roc_curve,
)

from oddrow import metrics
from oddrow.errors import EvaluationError, ParameterError
from oddrow.metrics.classification import (
    Confusion,
    brier,
    calibration_error,
    confusion,
    cost,
    prior_corrected,
    value_caught,
)
from oddrow.metrics.ranking import (
    auroc,
    average_precision,
    precision_at_k,
    recall_at_false_alarm_rate,
    recall_at_precision,
)

Y = np.array([1.0, 0.0, 1.0, 0.0, 0.0])
SCORES = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
WEIGHT = np.array([1.0, 2.0, 1.0, 3.0, 1.0])


def test_average_precision_is_the_step_sum() -> None:
    # Half of the anomalies at precision 1, the other half at precision 2/3; weighted, the latter is 2/4.
    assert average_precision(Y, SCORES) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(Y, SCORES, sample_weight=WEIGHT) == pytest.approx((1 + 2 / 4) / 2)
    assert average_precision(Y, np.zeros(5)) == pytest.approx(2 / 5)


def test_auroc_is_the_chance_that_an_anomaly_scores_above_a_normal_row() -> None:
    # Of six pairs the anomaly is above in five; weighted, the lower anomaly is above 4 of 6.
    assert auroc(Y, SCORES) == pytest.approx(5 / 6)
    assert auroc(Y, SCORES, sample_weight=WEIGHT) == pytest.approx((6 / 6 + 4 / 6) / 2)
    assert auroc(Y, np.zeros(5)) == pytest.approx(1 / 2)


def test_a_confusion_counts_weights() -> None:
    alerts = np.array([True, True, False, False, True])
    assert confusion(Y, alerts) == Confusion(true_alerts=1, false_alerts=2, missed=1, passed=1)
    counted = confusion(Y, alerts, sample_weight=WEIGHT)
    assert counted == Confusion(true_alerts=1, false_alerts=3, missed=1, passed=3)
    assert (counted.precision, counted.recall, counted.f1) == (1 / 4, 1 / 2, 2 / 6)


def test_where_there_is_nothing_to_share_the_share_is_zero() -> None:
    none = confusion(Y, np.zeros(5, dtype=bool))
    assert (none.precision, none.recall, none.f1) == (0, 0, 0)
    assert confusion(np.zeros(5), np.zeros(5, dtype=bool)).recall == 0


rows = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.booleans(), st.sampled_from([0.5, 1.0, 4.0])), min_size=1, max_size=40
)


@settings(max_examples=30)
@given(rows)
def test_shares_at_a_cut_agree_with_scikit_learn(rows: list[tuple[float, bool, float]]) -> None:
    y, alerts, weight = (np.array(part) for part in zip(*rows, strict=True))
    for used in (None, weight):
        ours = confusion(y, alerts, sample_weight=used)
        assert ours.precision == pytest.approx(precision_score(y, alerts, sample_weight=used, zero_division=0))
        assert ours.recall == pytest.approx(recall_score(y, alerts, sample_weight=used, zero_division=0))
        assert ours.f1 == pytest.approx(f1_score(y, alerts, sample_weight=used, zero_division=0))
        everything = ours.true_alerts + ours.false_alerts + ours.missed + ours.passed
        assert everything == pytest.approx(len(y) if used is None else used.sum())


def test_precision_at_counts_the_highest_scores() -> None:
    assert [precision_at_k(Y, SCORES, k=k) for k in (1, 2, 3, 4, 5)] == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4, 2 / 5])
    assert precision_at_k(Y[::-1], SCORES[::-1], k=2) == 1 / 2


def test_precision_at_counts_weighted_rows() -> None:
    # Places 1, 2-3, 4, 5-7, 8. A row that only partly fits counts by the part that does.
    found = [precision_at_k(Y, SCORES, k=k, sample_weight=WEIGHT) for k in (1, 2, 3, 4, 8)]
    assert found == pytest.approx([1, 1 / 2, 1 / 3, 2 / 4, 2 / 8])
    assert precision_at_k(Y, SCORES, k=3.5, sample_weight=WEIGHT) == pytest.approx(1.5 / 3.5)


def test_tied_rows_count_by_their_expected_share() -> None:
    scores = np.array([5.0, 3.0, 3.0, 3.0, 1.0])
    # Of three rows at 3 one is anomalous: two places among them hold 2/3 of an anomaly.
    assert precision_at_k(Y, scores, k=3) == pytest.approx((1 + 2 / 3) / 3)
    # Weighted, a fifth more of places 2 to 7 holds a fifth of the anomaly's weight 1.
    assert precision_at_k(Y, scores, k=1 + 6 / 5, sample_weight=WEIGHT) == pytest.approx((1 + 1 / 5) / (1 + 6 / 5))
    for k in (1, 2, 3, 4, 5):
        assert precision_at_k(Y, np.zeros(5), k=k) == pytest.approx(2 / 5)


@given(rows, st.permutations(range(40)), st.integers(1, 5))
def test_precision_at_does_not_depend_on_the_order_of_rows(
    rows: list[tuple[float, bool, float]], order: list[int], k: int
) -> None:
    y, tied, weight = (np.array(part, dtype=float) for part in zip(*rows, strict=True))
    order = [place for place in order if place < len(rows)]
    if k <= weight.sum():
        expected = precision_at_k(y, tied, k=k, sample_weight=weight)
        assert precision_at_k(y[order], tied[order], k=k, sample_weight=weight[order]) == pytest.approx(expected)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=30), st.integers(1, 30))
def test_without_ties_precision_at_is_that_of_a_cut(labels: list[float], k: int) -> None:
    y, scores = np.array(labels), np.arange(len(labels), dtype=float)
    if k <= len(y):
        cut = precision_recall_fscore_support(y, scores >= len(y) - k, average="binary", zero_division=0)[0]
        assert precision_at_k(y, scores, k=k) == pytest.approx(cut)


@pytest.mark.parametrize("k", [0, -1, 5.1, float("nan")])
def test_precision_at_more_rows_than_there_are_is_refused(k: float) -> None:
    with pytest.raises(EvaluationError, match="expected more than 0 and at most 5 weighted rows"):
        precision_at_k(Y, SCORES, k=k)


def test_recall_at_a_precision_by_hand() -> None:
    y, scores = np.array([1.0, 0.0, 1.0, 0.0, 0.0]), np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    assert recall_at_precision(y, scores, precision=0.6) == 1.0
    assert recall_at_precision(y, scores, precision=0.9) == 0.5
    assert recall_at_precision(1 - y, -y, precision=1.0) == 1.0
    assert recall_at_precision(y, scores, precision=0.5, sample_weight=np.array([1.0, 9.0, 1.0, 1.0, 1.0])) == 0.5


def test_brier_is_scikit_learns_and_weighted() -> None:
    rng = np.random.default_rng(0)
    y, probability, weight = (rng.random(50) < 0.3).astype(float), rng.random(50), rng.uniform(1, 9, 50)
    assert brier(y, probability) == pytest.approx(brier_score_loss(y, probability))
    assert brier(y, probability, sample_weight=weight) == pytest.approx(
        brier_score_loss(y, probability, sample_weight=weight)
    )


def test_a_probability_learned_at_another_rate_is_taken_back_to_the_true_one() -> None:
    # Normal with mean 0 or 1: the odds are exp(x - 1/2), times the odds of the classes.
    x = np.linspace(-3, 3, 7)
    at_half, at_hundredth = (1 / (1 + (1 - rate) / rate * np.exp(0.5 - x)) for rate in (0.5, 0.01))
    np.testing.assert_allclose(prior_corrected(at_half, learned_rate=0.5, true_rate=0.01), at_hundredth)
    np.testing.assert_allclose(prior_corrected(at_half, learned_rate=0.5, true_rate=0.5), at_half)


# What a fraud team looks at

tied = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 5), st.sampled_from([0.5, 1.0, 4.0])), min_size=2, max_size=40
)


@given(tied, st.floats(0, 1))
def test_recall_at_a_false_alarm_rate_is_that_of_the_lowest_cut_allowed(
    rows: list[tuple[float, float, float]], rate: float
) -> None:
    y, scores, weight = (np.array(part, dtype=float) for part in zip(*rows, strict=True))
    if 0 < y.sum() < len(y):
        at_cuts = [confusion(y, scores >= cut, sample_weight=weight) for cut in np.unique(scores)]
        n_normal = weight[y == 0].sum()
        allowed = [at_cut.recall for at_cut in at_cuts if at_cut.false_alerts / n_normal <= rate]
        found = recall_at_false_alarm_rate(y, scores, rate=rate, sample_weight=weight)
        assert found == pytest.approx(max(allowed, default=0.0))


def test_recall_at_a_false_alarm_rate_reads_scikit_learns_curve() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.1).astype(float)
    scores = np.round(rng.normal(size=2000) + y, 2)
    false_alarms, recall, _ = roc_curve(y, scores, drop_intermediate=False)
    for rate in (0, 0.01, 0.05, 1):
        expected = recall[false_alarms <= rate].max()
        assert recall_at_false_alarm_rate(y, scores, rate=rate) == expected


def test_recall_at_a_false_alarm_rate_needs_a_rate_and_both_classes() -> None:
    with pytest.raises(ParameterError, match=r"rate=1\.5 is not a finite number"):
        recall_at_false_alarm_rate(Y, SCORES, rate=1.5)
    with pytest.raises(EvaluationError, match="no normal row among the 5 rows"):
        recall_at_false_alarm_rate(np.ones(5), SCORES, rate=0.1)
    with pytest.raises(EvaluationError, match="no anomaly among the 5 rows"):
        recall_at_false_alarm_rate(np.zeros(5), SCORES, rate=0.1)


AMOUNT = np.array([30.0, 7.0, 10.0, 100.0, 0.0])
ALERTS = np.array([True, True, False, True, False])


def test_value_caught_is_the_share_of_the_anomalies_amount() -> None:
    assert value_caught(Y, ALERTS, amount=AMOUNT) == 30 / 40
    assert value_caught(Y, ALERTS, amount=AMOUNT, sample_weight=np.array([1.0, 9.0, 3.0, 9.0, 9.0])) == 30 / 60
    assert value_caught(Y, ALERTS, amount=np.zeros(5)) == 0
    assert value_caught(Y, ALERTS, amount=np.ones(5)) == confusion(Y, ALERTS).recall


def test_cost_is_false_alarms_and_missed_amounts() -> None:
    assert cost(Y, ALERTS, amount=AMOUNT, per_false_alarm=2.5) == 2 * 2.5 + 10
    assert cost(Y, ALERTS, amount=AMOUNT, per_false_alarm=2.5, sample_weight=WEIGHT) == (2 + 3) * 2.5 + 10
    assert cost(Y, ALERTS, amount=AMOUNT, per_false_alarm=2.5, sample_weight=np.full(5, 3.0)) == 3 * (2 * 2.5 + 10)
    assert cost(Y, Y == 1, amount=AMOUNT, per_false_alarm=2.5) == 0


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_amounts_are_finite_and_not_negative(wrong: float) -> None:
    amount = np.array([1.0, wrong, 1.0, wrong, 1.0])
    with pytest.raises(EvaluationError, match=r"amount: 2 of 5 values are negative or not finite \(row 1 .*, row 3 "):
        value_caught(Y, ALERTS, amount=amount)
    with pytest.raises(EvaluationError, match="amount: 2 of 5"):
        cost(Y, ALERTS, amount=amount, per_false_alarm=1.0)
    with pytest.raises(ParameterError, match="per_false_alarm"):
        cost(Y, ALERTS, amount=AMOUNT, per_false_alarm=wrong)


def test_calibration_error_by_hand() -> None:
    y, probability = np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.12, 0.18, 0.95, 1.0])
    # Two rows in the bin from 0.1: one of two came true of 0.15; two in the last: all, of 0.975.
    assert calibration_error(y, probability) == pytest.approx((0.35 + 0.025) / 2)
    assert calibration_error(y, probability, n_bins=1) == pytest.approx(3 / 4 - probability.mean())
    # Weighted, one of three came true of (0.12 + 2 × 0.18) / 3.
    weighted = calibration_error(y, probability, sample_weight=np.array([1.0, 2.0, 1.0, 1.0]))
    assert weighted == pytest.approx((1 - 0.48 + 0.05) / 5)


def test_true_probabilities_are_calibrated_and_sharper_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(50_000)
    y = (rng.random(50_000) < probability).astype(float)
    assert calibration_error(y, probability) < 0.01
    assert calibration_error(y, np.round(probability)) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_scores_are_no_probabilities(wrong: float) -> None:
    with pytest.raises(EvaluationError, match=r"y_proba: 1 of 2 values are outside \[0, 1\] \(row 1 "):
        calibration_error(np.array([0.0, 1.0]), np.array([0.5, wrong]))


def test_no_bins_are_refused() -> None:
    with pytest.raises(ParameterError, match="n_bins"):
        calibration_error(Y, Y, n_bins=0)


@pytest.mark.parametrize("alerts", [np.array([1, 0, 1, 0]), [1, 0, 1, 0], [True, False, True, False], [1.0, 0, 1.0, 0]])
def test_alerts_may_be_zeros_and_ones_in_any_sequence(alerts: Any) -> None:
    y: Any = [1, 1, 0, 0]
    amount: Any = [3.0, 1.0, 2.0, 2.0]
    day: Any = [0, 0, 1, 1]
    assert confusion(y, alerts) == Confusion(1, 1, 1, 1)
    assert metrics.value_caught(y, alerts, amount=amount) == 0.75
    assert metrics.cost(y, alerts, amount=amount, per_false_alarm=2) == 3
    assert metrics.alerts_per_day(alerts, day=day).tolist() == [1, 1]


@pytest.mark.parametrize("alerts", [np.array([-1, 1, -1, 1]), [0.2, 0.9, 0.4, 0.1], [2, 0, 1, 0]])
def test_predictions_and_scores_are_not_alerts(alerts: Any) -> None:
    y: Any = [1, 1, 0, 0]
    day: Any = [0, 0, 1, 1]
    with pytest.raises(EvaluationError, match=r"y_pred holds .*\. Pass scores >= threshold, or predict\(X\) == -1"):
        confusion(y, alerts)
    with pytest.raises(EvaluationError, match="y_pred holds"):
        metrics.alerts_per_day(alerts, day=day)


@pytest.mark.parametrize("y", [[0, 0, 0], [1, 1, 1]])
@pytest.mark.parametrize("name", ["auroc", "average_precision", "recall_at_precision", "recall_at_false_alarm_rate"])
def test_a_ranking_needs_both_classes(name: str, y: list[int]) -> None:
    with pytest.raises(EvaluationError, match="Expected both classes"):
        getattr(metrics, name)(y, [3.0, 2.0, 1.0])


def test_lists_are_measured_like_arrays() -> None:
    y: Any = [1, 0, 1, 0]
    scores: Any = [4.0, 3.0, 2.0, 1.0]
    day: Any = [0, 0, 1, 1]
    entity: Any = [5, 6, 7, 8]
    probability: Any = [0.5]
    assert metrics.precision_at_k_per_day(y, scores, day=day, k=1).values.tolist() == [1, 1]
    assert metrics.card_precision_at_k(y, scores, day=day, entity=entity, k=1).values.tolist() == [1, 1]
    assert metrics.prior_corrected(probability, learned_rate=0.5, true_rate=0.25).tolist() == [0.25]


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_rates_to_correct_between_are_above_0_and_below_1(rate: float) -> None:
    with pytest.raises(ParameterError, match=r"learned_rate=.* above 0 and below 1"):
        metrics.prior_corrected(np.array([0.5]), learned_rate=rate, true_rate=0.1)
    with pytest.raises(ParameterError, match=r"true_rate=.* above 0 and below 1"):
        metrics.prior_corrected(np.array([0.5]), learned_rate=0.1, true_rate=rate)


def test_the_brier_score_takes_probabilities_only() -> None:
    with pytest.raises(EvaluationError, match=r"y_proba: 1 of 2 values are outside \[0, 1\]"):
        metrics.brier(np.array([1.0, 0.0]), np.array([3.5, 0.5]))
