"""An evaluation that refuses to flatter: which rows and thresholds it takes, what it tells beside the numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance

from oddrow.errors import EvaluationError
from oddrow.evaluate.baselines import Mahalanobis, Supervised, baselines
from oddrow.evaluate.evaluation import Evaluation
from oddrow.evaluate.result import TestSet, measure
from oddrow.outcomes import Outcomes
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.rule import Rule
from oddrow.thresholds.threshold import Cap, Threshold

Y = np.array([1.0, 0.0, 1.0, 0.0, 0.0])
SCORES = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
CUT = Threshold(3.5, "fixed:3.5")


def held_out(n: int = 5, **other: Any) -> TestSet:
    hashes, synthetic = np.arange(n, dtype=np.uint64), np.zeros(n, dtype=bool)
    rows = {name: other.pop(name, values) for name, values in {"hashes": hashes, "synthetic": synthetic}.items()}
    return TestSet(Outcomes(**{"y": np.resize(Y, n), **other}), **rows)


def test_a_measurement_by_hand() -> None:
    result = measure("it", held_out(), SCORES, CUT)
    assert result.name == "it"
    assert result.average_precision == pytest.approx(5 / 6)
    assert result.auroc == pytest.approx(5 / 6)
    assert result.precision_at == {}
    assert result.threshold == 3.5
    assert (result.confusion.precision, result.confusion.recall) == (1 / 2, 1 / 2)


def test_precision_is_told_at_every_k_that_fits() -> None:
    assert list(measure("it", held_out(150), np.arange(150.0), CUT).precision_at) == [10, 100]
    few = held_out(150, weight=np.full(150, 0.1))
    assert list(measure("it", few, np.arange(150.0), CUT).precision_at) == [10]


def test_weights_enter_every_number() -> None:
    weight = np.array([1.0, 2.0, 1.0, 3.0, 1.0])
    result = measure("it", held_out(weight=weight), SCORES, CUT)
    assert result.average_precision == pytest.approx(3 / 4)
    assert result.auroc == pytest.approx(5 / 6)
    assert result.confusion.false_alerts == 2
    told = Evaluation.of(held_out(weight=weight), CUT, (result,), {})
    assert told.rate == 2 / 8
    assert (told.n_rows, told.n_anomalies) == (5, 2)


def test_synthetic_rows_are_refused() -> None:
    synthetic = np.array([False, True, False, True, False])
    with pytest.raises(EvaluationError, match="2 of 5 test rows are synthetic"):
        measure("it", held_out(synthetic=synthetic), SCORES, CUT)


@pytest.mark.parametrize("n", [5, 3000])
def test_a_threshold_chosen_on_the_test_rows_is_refused_in_any_order(n: int) -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    cut = Threshold(1.0, "quantile:0.99", "validation", Fingerprint.of(hashes))
    for order in (np.arange(n), rng.permutation(n)):
        with pytest.raises(EvaluationError, match=f"quantile:0.99.* was chosen on these very rows, {n:,} of them"):
            measure("it", held_out(n, hashes=hashes[order]), np.arange(float(n)), cut)
    others = hashes.copy()
    others[: n // 2] += np.uint64(1)
    assert measure("it", held_out(n, hashes=others), np.arange(float(n)), cut).threshold == 1.0


def test_scores_must_be_finite() -> None:
    with pytest.raises(EvaluationError, match="it: 2 scores are not finite"):
        measure("it", held_out(), np.array([1.0, np.nan, 2.0, np.inf, 3.0]), CUT)


def test_overlap_and_duplicates_are_told() -> None:
    hashes = np.array([1, 1, 2, 3, 9], dtype=np.uint64)
    cut = Threshold(3.5, "quantile:0.99", "validation", Fingerprint.of(np.array([1, 7], dtype=np.uint64)))
    rows = held_out(hashes=hashes)
    result = measure("it", rows, SCORES, cut)
    seen = {
        "threshold": cut.fingerprint,
        "training": Fingerprint.of(np.array([2, 3, 4, 1], dtype=np.uint64)),
        "unknown": None,
    }
    told = Evaluation.of(rows, cut, (result,), seen, ("a note",))
    assert told.overlap == {"threshold": 2 / 5, "training": 4 / 5, "duplicates": pytest.approx(1 / 5)}
    assert told.notes == ("a note",)


def test_an_evaluation_is_plain_json() -> None:
    rows = held_out()
    told = Evaluation.of(rows, CUT, (measure("it", rows, SCORES, CUT),), {}, ("a note",)).to_dict()
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again == told
    assert again["results"][0]["confusion"] == {"true_alerts": 1, "false_alerts": 1, "missed": 1, "passed": 2}
    assert again["results"][0]["f1"] == 1 / 2
    assert again["threshold"]["rule"] == "fixed:3.5"


def test_permuting_test_labels_changes_no_threshold() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=200)
    cut = Rule.parse("contamination:0.1").threshold(scores)
    y = (rng.random(200) < 0.2).astype(float)
    results = [measure("it", held_out(200, y=labels), scores, cut) for labels in (y, rng.permutation(y))]
    assert results[0].threshold == results[1].threshold
    n_alerts = {result.confusion.true_alerts + result.confusion.false_alerts for result in results}
    assert n_alerts == {20}
    assert results[0].average_precision != results[1].average_precision


def test_baselines_find_what_is_far_out_and_follow_the_seed() -> None:
    rng = np.random.default_rng(0)
    train = rng.normal(size=(300, 3)).astype(np.float32)
    test = np.concatenate([rng.normal(size=(50, 3)), rng.normal(8, 1, size=(5, 3))]).astype(np.float32)
    assert list(baselines(0)) == ["IsolationForest", "Mahalanobis"]
    for one, again in zip(baselines(3).values(), baselines(3).values(), strict=True):
        scores = one.fit(train).anomaly_score(test)
        assert set(np.argsort(scores)[-5:]) == {50, 51, 52, 53, 54}
        np.testing.assert_array_equal(again.fit(train).anomaly_score(test), scores)


def test_mahalanobis_by_hand() -> None:
    train = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=np.float32)  # mean 0, covariance 1
    scores = baselines(0)["Mahalanobis"].fit(train).anomaly_score(np.array([[3, 4], [0, 0]], dtype=np.float32))
    np.testing.assert_allclose(scores, [25, 0], atol=1e-6)


def test_mahalanobis_is_scikit_learns_also_for_many_rows_and_a_singular_covariance() -> None:
    X = np.random.default_rng(0).normal(size=(20_000, 4)).astype(np.float32)
    X = np.column_stack([X, X[:, 0], np.ones(len(X), np.float32)])
    scores = Mahalanobis().fit(X).anomaly_score(X)
    as64 = X.astype(np.float64)
    np.testing.assert_allclose(scores, EmpiricalCovariance().fit(as64).mahalanobis(as64), rtol=1e-6, atol=1e-9)


# Days, amounts, cards


def test_days_and_amounts_by_hand() -> None:
    rows = held_out(time=np.array([0, 0, 86_400, 86_400, 3 * 86_400.0]), amount=np.array([10.0, 1, 30, 1, 1]))
    result = measure("it", rows, SCORES, CUT)
    assert result.value_caught == 10 / 40
    assert result.daily is not None
    assert (result.daily.n_days, result.daily.alerts, result.daily.most_alerts) == (4, 2 / 4, 2)
    assert result.daily.precision == pytest.approx((1 + 1) / 100 / 3)
    assert result.daily.ceiling == pytest.approx((1 + 1) / 100 / 3)
    assert result.daily.card_precision is None
    assert result.recall_at_false_alarm_rate == 1 / 2
    by_card = measure("it", held_out(time=rows.outcomes.time, entity=np.array([1, 2, 1, 2, 3])), SCORES, CUT)
    assert by_card.daily is not None
    assert by_card.daily.card_precision == pytest.approx(1 / 100 / 3), "a card that was found leaves the later days"


def test_a_sample_has_no_precision_of_a_days_work() -> None:
    rows = held_out(time=np.zeros(5), weight=np.full(5, 2.0))
    result = measure("it", rows, SCORES, CUT)
    assert result.daily is not None
    assert (result.daily.alerts, result.daily.precision) == (4, None)


def test_intervals_at_a_capped_cut_are_of_its_alerts() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.2).astype(float)
    rows = held_out(400, y=y, time=np.repeat([0, 86_400.0], 200))
    cut = Threshold(-9.0, "budget:20", cap=Cap(20))
    result = measure("it", rows, rng.normal(y, 1), cut, intervals=True)
    assert result.confusion.true_alerts + result.confusion.false_alerts == 40
    assert result.intervals["precision"].value == result.confusion.precision
    assert result.intervals["precision"].low < result.confusion.precision < result.intervals["precision"].high
    assert result.intervals["average_precision"].value == result.average_precision
    assert result.daily is not None
    assert result.intervals["daily_precision"].value == pytest.approx(result.daily.precision)


def test_a_threshold_chosen_on_the_normal_rows_of_the_test_is_refused() -> None:
    rows = held_out()
    cut = Threshold(1.0, "quantile:0.99", "given", Fingerprint.of(rows.hashes[rows.outcomes.y == 0]))
    with pytest.raises(EvaluationError, match="was chosen on these very rows, 3 of them"):
        measure("it", rows, SCORES, cut)


def test_the_supervised_baseline_learns_from_labels_and_caps_its_rows() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 2)).astype(np.float32)
    y = (np.abs(X[:, 0]) < 0.01).astype(float)
    scores = Supervised(0).fit(X, y).anomaly_score(X[:1000])
    assert scores.shape == (1000,)
    assert scores[y[:1000] == 1].min() > scores[y[:1000] == 0].mean()


def test_gaps_and_crowds_are_told() -> None:
    rows = held_out(time=np.array([0, 0, 86_400, 86_400, 3 * 86_400.0]), entity=np.array([1, 1, 1, 2, 3]))
    assert rows.notes == [
        "1 of 4 days have no rows; they count as days without alerts.",
        "One entity holds 60% of the rows: intervals by entity say little about the others.",
    ]
    assert held_out(time=np.arange(5) * 86_400.0, entity=np.arange(5)).notes == []


def test_hardly_fewer_or_more_rows_than_chose_are_refused_too() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 3000, dtype=np.uint64)
    cut = Threshold(1.0, "fbeta:1", "given", Fingerprint.of(hashes[:2990]))
    with pytest.raises(EvaluationError, match="was chosen on these very rows"):
        measure("it", held_out(3000, hashes=hashes), np.arange(3000.0), cut)
    unlabelled = np.where(np.arange(3000) % 10 == 0, np.nan, np.resize(Y, 3000))
    labelled = Threshold(1.0, "fbeta:1", "given", Fingerprint.of(hashes[~np.isnan(unlabelled)]))
    with pytest.raises(EvaluationError, match="was chosen on these very rows"):
        measure("it", held_out(3000, y=unlabelled, hashes=hashes), np.arange(3000.0), labelled)
    # Where rows repeat each other, others look the same: only equality tells.
    same = np.resize(hashes[:100], 3000)
    again = Threshold(1.0, "fbeta:1", "given", Fingerprint.of(same[:2000]))
    assert measure("it", held_out(3000, hashes=same), np.arange(3000.0), again).threshold == 1.0


def test_unlabelled_rows_are_decided_on_and_not_measured() -> None:
    y = np.array([1.0, np.nan, np.nan, 0.0, 1.0, 0.0])
    cut = Threshold(0.0, "budget:2", cap=Cap(2))
    rows = held_out(6, y=y, time=np.zeros(6))
    result = measure("it", rows, np.array([1.0, 9.0, 8.0, 2.0, 3.0, 0.0]), cut)
    assert result.confusion.true_alerts == result.confusion.false_alerts == 0, "the unlabelled ones take the budget"
    assert result.daily is not None
    assert result.daily.alerts == 2
    assert result.average_precision == pytest.approx((1 + 2 / 3) / 2)
    told = Evaluation.of(rows, cut, (result,), {})
    assert (told.n_rows, told.n_anomalies, told.rate) == (6, 2, 0.5)


def test_an_evaluation_shows_itself_as_text_and_as_escaped_html() -> None:
    rows = held_out(weight=np.ones(5))
    seen = {"training": Fingerprint.of(np.array([0, 1], dtype=np.uint64))}
    results = (
        measure("<mine>", rows, -SCORES, CUT, intervals=True),
        measure("untrained copy", rows, SCORES, CUT),
    )
    told = Evaluation.of(rows, CUT, results, seen, ("a <note>",))
    text, html = str(told), told._repr_html_()
    assert text.startswith("5 rows, 2 anomalies (40 %).\nAbout 40.0% of the test rows equal one of the training rows")
    for said in (
        "No guarantee.",
        "The untrained copy ranks these rows better",
        "95 % bootstrap intervals",
        "AUROC",
        "F1",
    ):
        assert said in text
        assert said in html
    assert "<mine>" in text
    assert "<mine>" not in html
    assert "&lt;mine&gt;" in html
    assert "a &lt;note&gt;" in html
    assert html.count("<table") == 2
