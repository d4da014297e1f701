"""What rules guarantee, held by simulation: 500 draws of rows to choose by, and the truth known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from oddrow.errors import EvaluationError, ParameterError
from oddrow.outcomes import DAY_S, Outcomes
from oddrow.structure import build, to_plain
from oddrow.thresholds.conformal import discoveries, fewest_rows, most_exceeding, p_values
from oddrow.thresholds.rule import Rule
from oddrow.thresholds.threshold import Cap, Threshold

N_DRAWS = 500
SHIFT = 2.0  # of anomalous scores; all scores are normally distributed with sd 1


def draws(rule: str, n_normal: int, n_anomalous: int, shift: float = SHIFT) -> np.ndarray:
    """The cut that a rule finds on each of 500 draws of rows."""
    rng = np.random.default_rng(0)
    y = np.repeat([0.0, 1.0], [n_normal, n_anomalous])
    scores = rng.normal(shift * y, 1, (N_DRAWS, len(y)))
    return np.array([Rule.parse(rule).threshold(row, Outcomes(y=y)).value for row in scores])


@pytest.mark.parametrize(("rate", "n"), [(0.01, 99), (0.05, 150), (0.05, 1000)])
def test_the_false_alarm_rate_is_at_most_what_was_guaranteed_on_average(rate: float, n: int) -> None:
    rates = norm.sf(draws(f"false-alarms:{rate}", n, 5))
    error = rates.std() / np.sqrt(N_DRAWS)
    assert rates.mean() <= rate + 3 * error
    assert rates.mean() >= rate - 1 / n - 3 * error, "no stricter than it takes"


@pytest.mark.parametrize(("rate", "n"), [(0.05, 60), (0.02, 500)])
def test_the_false_alarm_rate_holds_with_its_confidence(rate: float, n: int) -> None:
    rates = norm.sf(draws(f"false-alarms:{rate}:0.9", n, 5))
    kept = (rates <= rate).mean()
    assert kept >= 0.9 - 3 * np.sqrt(0.09 / N_DRAWS)
    assert kept < 0.995, "no stricter than it takes"


@pytest.mark.parametrize(("least", "m"), [(0.8, 14), (0.5, 40), (0.9, 200)])
def test_the_recall_holds_with_its_confidence(least: float, m: int) -> None:
    recalls = norm.sf(draws(f"recall:{least}:0.9", 50, m) - SHIFT)
    kept = (recalls >= least).mean()
    assert kept >= 0.9 - 3 * np.sqrt(0.09 / N_DRAWS)
    assert kept < 0.995, "no stricter than it takes"


@pytest.mark.parametrize("least", [0.3, 0.5])
def test_the_precision_holds_with_its_confidence(least: float) -> None:
    # Classes so much alike that whatever is guaranteed holds by chance, or so far apart that it need not be.
    for shift, always in ((0.3, False), (3.0, True)):
        kept, refused = [], 0
        for cut in _cuts_or_none(f"precision:{least}:0.9", 300, 60, shift):
            refused += cut is None
            if cut is not None:
                false, true = 300 * norm.sf(cut), 60 * norm.sf(cut - shift)
                kept.append(true / (true + false) >= least)
        broken = N_DRAWS - refused - sum(kept)
        assert broken <= 0.1 * N_DRAWS + 3 * np.sqrt(0.09 * N_DRAWS)
        assert (refused == 0) == always


def _cuts_or_none(rule: str, n_normal: int, n_anomalous: int, shift: float) -> Iterator[float | None]:
    rng = np.random.default_rng(0)
    y = np.repeat([0.0, 1.0], [n_normal, n_anomalous])
    for row in rng.normal(shift * y, 1, (N_DRAWS, len(y))):
        try:
            yield Rule.parse(rule).threshold(row, Outcomes(y=y)).value
        except EvaluationError:
            yield None


def test_a_budget_is_never_exceeded() -> None:
    rng = np.random.default_rng(0)
    for _ in range(N_DRAWS):
        times = rng.uniform(0, 9 * DAY_S, 400)
        scores = rng.integers(0, rng.integers(2, 50), 400).astype(float)
        some, entity = times < 4 * DAY_S, rng.integers(0, 5, 400)
        rows = Outcomes(time=times, entity=entity)
        chosen, to_come = rows.take(some), rows.take(~some)
        for rule, k in (("budget:7", 7), ("budget-per-entity:2", 2)):
            threshold = Rule.parse(rule).threshold(scores[some], chosen)
            alerts = threshold.alerts(scores[~some], to_come.time, to_come.entity)
            assert _most_in_a_group(to_come, alerts, per_entity="entity" in rule) <= k


def _most_in_a_group(rows: Outcomes, alerts: np.ndarray, *, per_entity: bool) -> int:
    assert rows.time is not None
    assert rows.entity is not None
    groups = np.column_stack([rows.time // DAY_S, rows.entity if per_entity else 0 * rows.entity])[alerts]
    return int(np.unique(groups, axis=0, return_counts=True)[1].max(initial=0))


def test_of_the_alerts_of_a_batch_no_more_are_false_than_guaranteed() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(N_DRAWS):
        threshold = Rule.parse("false-discoveries:0.2").threshold(rng.normal(size=500))
        is_odd = np.arange(300) < 30
        alerts = threshold.alerts(rng.normal(4.0 * is_odd))
        shares.append((alerts & ~is_odd).sum() / max(alerts.sum(), 1))
    assert np.mean(shares) <= 0.2 * 0.9 + 3 * np.std(shares) / np.sqrt(N_DRAWS)
    assert np.mean(shares) > 0.1, "no stricter than it takes"


def test_p_values_of_normal_rows_are_no_smaller_than_chance() -> None:
    rng = np.random.default_rng(0)
    p = np.concatenate([p_values(rng.normal(size=50), rng.normal(size=1)) for _ in range(4000)])
    for level in (0.02, 0.1, 0.5):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 4000)


def test_discoveries_by_hand() -> None:
    calibration = np.arange(19.0)  # p-values 1/20 and up
    assert discoveries(calibration, np.array([18.5, 17.5, 3.0, 2.0]), 0.2).tolist() == [True, True, False, False]
    assert discoveries(calibration, np.array([17.5, 3.0, 2.0, 1.0]), 0.2).tolist() == [False] * 4
    assert discoveries(calibration, np.array([]), 0.2).tolist() == []


# What rows cannot support


@pytest.mark.parametrize(("rate", "confidence"), [(0.01, None), (0.05, 0.95), (0.1, 0.99)])
def test_the_fewest_rows_are_the_fewest(rate: float, confidence: float | None) -> None:
    n = fewest_rows(rate, confidence)
    assert most_exceeding(rate, n, confidence) == 0
    assert most_exceeding(rate, n - 1, confidence) == -1


@pytest.mark.parametrize(
    ("rule", "n", "m", "said"),
    [
        (
            "recall:0.99",
            100,
            5,
            "cannot guarantee that; it takes 299. 5 guarantee a recall of 0.55 at most",
        ),
        ("recall:0.5", 100, 0, "the rule needs known anomalies, but none of the 100 labelled rows is one"),
        ("recall:0.5", 0, 9, "the rule needs known normal rows, but none of the 9 labelled rows is one"),
        ("precision:0.9", 100, 5, "5 known anomalies in 105 rows guarantee a precision of 0.* at most"),
        (
            "false-alarms:0.01",
            98,
            5,
            "98 normal rows cannot guarantee that; it takes 99",
        ),
        ("false-alarms:0.01:0.95", 200, 5, "200 normal rows cannot guarantee that with confidence 0.95; it takes 299"),
        ("false-discoveries:0.1", 8, 5, "8 normal rows are too few; it takes at least 9"),
    ],
)
def test_what_rows_cannot_support_is_refused(rule: str, n: int, m: int, said: str) -> None:
    y = np.repeat([0.0, 1.0], [n, m])
    with pytest.raises(EvaluationError, match=said):
        Rule.parse(rule).threshold(np.arange(n + m, dtype=float) % 7, Outcomes(y=y))


def test_a_budget_beyond_the_rows_is_refused() -> None:
    rows = Outcomes(time=np.linspace(0, 2 * DAY_S, 50))
    with pytest.raises(EvaluationError, match="50 rows are no more than the 200 alerts"):
        Rule.parse("budget:100").threshold(np.arange(50.0), rows)


@pytest.mark.parametrize("rule", ["recall:0.5", "precision:0.5", "false-alarms:0.1", "budget:1"])
def test_guarantees_need_rows_that_count_alike(rule: str) -> None:
    n = 100
    y = (np.arange(n) % 2).astype(float)
    weight = np.linspace(1, 2, n)
    rows = Outcomes(weight=weight, y=y, time=np.arange(n) * DAY_S / 10)
    with pytest.raises(EvaluationError, match=r"these have weights from 1 to \d|these have weights from 1.0\d* to 2"):
        Rule.parse(rule).threshold(np.arange(float(n)), rows)


# By hand


Y = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
SCORES = np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("fbeta:1", 4),  # precision 2/3, recall 2/3
        ("fbeta:0.1", 6),
        ("fbeta:10", 1),
        ("cost:1", 1),  # one missed anomaly costs 10
        ("cost:8", 4),  # three false alarms for the last one would cost 24, two more than its 10
        ("cost:15", 6),
    ],
)
def test_rules_by_labels_by_hand(rule: str, value: float) -> None:
    rows = Outcomes(y=Y, amount=np.full(6, 10.0))
    assert Rule.parse(rule).threshold(SCORES, rows).value == value


def test_where_no_alert_is_cheapest_there_is_none() -> None:
    rows = Outcomes(y=np.array([0.0, 1.0, 0, 0, 0, 0]), amount=np.full(6, 10.0))
    threshold = Rule.parse("cost:11").threshold(SCORES, rows)
    assert not threshold.alerts(SCORES).any()
    assert "a cost of 10" in threshold.observed


def test_weights_enter_costs_and_f() -> None:
    weight = np.array([1.0, 100.0, 1.0, 1.0, 1.0, 1.0])
    rows = Outcomes(weight=weight, y=Y, amount=np.full(6, 10.0))
    assert Rule.parse("cost:1").threshold(SCORES, rows).value == 6
    assert Rule.parse("fbeta:1").threshold(SCORES, rows).value == 6


def test_unknown_rows_choose_nothing() -> None:
    y = np.append(Y, np.nan)
    assert Rule.parse("fbeta:1").threshold(np.append(SCORES, 9.0), Outcomes(y=y)).value == 4


def test_a_budget_by_hand() -> None:
    # Two days with six and three rows: a cut that four rows reach is two a day; the second day fills it alone.
    time = np.array([0, 1, 2, 3, 4, 5, 86_400, 86_401, 2 * 86_400.0])
    scores = np.array([9.0, 1, 2, 3, 4, 5, 8, 7, 6])
    threshold = Rule.parse("budget:2").threshold(scores, Outcomes(time=time))
    assert threshold.value == 6
    assert "at most 2 a day" in threshold.guarantee
    assert threshold.alerts(scores, time).tolist() == [True] + [False] * 5 + [True, True, True]
    one_day = np.zeros(9)
    assert threshold.alerts(scores, one_day).sum() == 2


def test_of_rows_that_tie_at_the_border_of_a_budget_the_first_are_kept() -> None:
    threshold = Rule.parse("budget:2").threshold(np.arange(9.0), Outcomes(time=np.zeros(9)))
    assert threshold.alerts(np.full(4, 9.0), np.zeros(4)).tolist() == [True, True, False, False]


def test_a_budget_needs_to_know_the_day() -> None:
    threshold = Rule.parse("budget:2").threshold(np.arange(9.0), Outcomes(time=np.zeros(9)))
    with pytest.raises(EvaluationError, match="allows at most 2 a day: it needs the time of each row"):
        threshold.alerts(np.arange(3.0))
    per_entity = Rule.parse("budget-per-entity:1").threshold(
        np.arange(9.0), Outcomes(time=np.zeros(9), entity=np.arange(9) % 2)
    )
    with pytest.raises(EvaluationError, match="it needs the entity of each row"):
        per_entity.alerts(np.arange(3.0), np.zeros(3))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amount": np.array([1.0, np.nan, 1.0])}, "amount is nan in row 1. Expected finite values of at least 0"),
        ({"amount": np.array([1.0, -1.0, 1.0])}, "amount is -1 in row 1"),
        ({"y": np.array([0.0, 2.0, 1.0])}, "y is 2 in row 1. Expected 1, 0 or NaN"),
        ({"time": np.array([0.0, np.nan, 1.0])}, "time is nan in row 1"),
        ({"weight": np.array([1.0, -1.0, 1.0])}, "weight is -1 in row 1"),
        ({"amount": np.ones(2)}, r"the arrays differ in length \(y: 3, amount: 2, time: 3\)"),
    ],
)
def test_rows_that_mean_nothing_choose_nothing(change: dict[str, np.ndarray], said: str) -> None:
    known: dict[str, Any] = {"y": np.array([0.0, 0.0, 1.0]), "amount": np.ones(3), "time": np.zeros(3), **change}
    with pytest.raises(EvaluationError, match=said):
        Rule.parse("budget:1").threshold(np.arange(3.0), Outcomes(**known))


def test_rows_of_one_entity_are_said_to_be_dependent() -> None:
    rule, scores = Rule.parse("false-alarms:0.05"), np.arange(200.0)
    assert "entities repeat" in rule.threshold(scores, Outcomes(entity=np.arange(200) // 10)).guarantee
    assert "entities repeat" not in rule.threshold(scores, Outcomes(entity=np.arange(200))).guarantee


@pytest.mark.parametrize(
    "parts",
    [
        {"cap": Cap(-5)},
        {"discoveries": 7.0, "calibration": (1.0,)},
        {"calibration": (1.0,)},
        {"discoveries": 0.1},
        {"cap": Cap(1), "discoveries": 0.1, "calibration": (1.0,)},
    ],
)
def test_thresholds_whose_parts_do_not_go_together(parts: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        Threshold(1.0, "budget:1", **parts)


def test_dates_stand_for_whole_days() -> None:
    rows = Outcomes(time=np.repeat([0, DAY_S, 2 * DAY_S], 10))
    threshold = Rule.parse("budget:2").threshold(np.arange(30.0), rows)
    assert threshold.value == 24, "the six highest of three days"


def test_a_replaced_threshold_keeps_no_rows() -> None:
    threshold = Rule.parse("false-discoveries:0.1").threshold(np.arange(100.0))
    assert len(threshold.calibration) == 100
    assert threshold.without_rows.calibration == ()
    assert build(Threshold, to_plain(threshold)) == threshold


def test_rows_may_be_lists_and_times() -> None:
    days = np.array(["2024-01-01T05", "2024-01-01T06", "2024-01-02T07"], dtype="datetime64[h]")
    rows = Outcomes(time=days, entity=["a", "a", "b"])  # type: ignore[arg-type]
    threshold = Rule.parse("budget:1").threshold([1, 3, 2], rows)  # type: ignore[arg-type]
    assert threshold.alerts([1, 3, 2], days).tolist() == [False, True, False]  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match=r"the arrays differ in length \(n_rows: 3, time: 2\)"):
        threshold.alerts(np.arange(3.0), days[:2])
    with pytest.raises(EvaluationError, match="scores: <U1 values are not numbers"):
        Rule.parse("quantile").threshold(["x"])  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["recall:80", "quantile:99", "recall:0.8:95"])
def test_a_percentage_is_not_a_share(text: str) -> None:
    with pytest.raises(ParameterError, match=r"is not a share\. Write 0\.8 for 80 %"):
        Rule.parse(text)
