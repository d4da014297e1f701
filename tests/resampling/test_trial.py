"""Comparing samplers: training rows alone are resampled, numbers are scikit-learn's, made up rows test nothing."""

from __future__ import annotations

import sys
from html import escape
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from imblearn.over_sampling import SMOTE, RandomOverSampler
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from oddrow import CVAESampler, Training
from oddrow.errors import EvaluationError, ParameterError
from oddrow.evaluate.folds import Fold, stratified_folds
from oddrow.evaluate.intervals import Interval
from oddrow.metrics.classification import prior_corrected
from oddrow.resampling.candidates import CLASS_WEIGHTS, NOTHING, default_classifiers, default_samplers
from oddrow.resampling.comparison import Cell, Comparison, Verdict
from oddrow.resampling.trial import compare

RNG = np.random.default_rng(0)
Y = (np.arange(400) % 10 == 0).astype(float)
X = RNG.normal(size=(400, 3)) + 1.5 * Y[:, None]
FOLDS = stratified_folds(Y, 2, 1, seed=0)
LOGISTIC = {"logistic": LogisticRegression()}


class Spy(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no type hints
    """Gives back what it is given, and remembers how many rows that were and of what type."""

    seen: ClassVar[list[tuple[str, int]]] = []

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        self.seen.append((type(X).__name__, len(X)))
        return X, y


def cell(found: Comparison, sampler: str, classifier: str) -> Cell:
    (one,) = [cell for cell in found.cells if (cell.sampler, cell.classifier) == (sampler, classifier)]
    return one


def test_nothing_is_the_classifier_as_it_is() -> None:
    found = cell(compare({NOTHING: None}, LOGISTIC, X, Y, FOLDS), NOTHING, "logistic")
    fitted = [(LogisticRegression().fit(X[fold.train], Y[fold.train]), fold.test) for fold in FOLDS]
    by_hand = [average_precision_score(Y[test], model.predict_proba(X[test])[:, 1]) for model, test in fitted]
    assert found.means["ap"] == pytest.approx(np.mean(by_hand))
    assert found.means["f1"] == pytest.approx(np.mean([f1_score(Y[test], m.predict(X[test])) for m, test in fitted]))
    assert found.ap.low < found.means["ap"] < found.ap.high
    assert found.gain is None


def test_only_training_rows_are_resampled() -> None:
    Spy.seen.clear()
    compare({NOTHING: None, "spy": Spy()}, LOGISTIC, X, Y, FOLDS)
    assert Spy.seen == [("ndarray", len(fold.train)) for fold in FOLDS]


def test_a_sampler_that_adds_nothing_gains_nothing() -> None:
    found = cell(compare({NOTHING: None, "spy": Spy()}, LOGISTIC, X, Y, FOLDS), "spy", "logistic")
    assert found.gain == Interval(0, 0, 0)


def test_what_samplers_make_is_learned_from() -> None:
    def by_hand(fold: Fold) -> float:
        X_all, y_all = RandomOverSampler(random_state=0).fit_resample(X[fold.train], Y[fold.train])
        model = LogisticRegression().fit(X_all, y_all)
        probability = prior_corrected(model.predict_proba(X[fold.test])[:, 1], learned_rate=0.5, true_rate=0.1)
        return float(np.mean((probability - Y[fold.test]) ** 2))

    samplers = {NOTHING: None, "over": RandomOverSampler(random_state=0)}
    found = cell(compare(samplers, LOGISTIC, X, Y, FOLDS), "over", "logistic")
    assert found.means["brier_corrected"] == pytest.approx(np.mean([by_hand(fold) for fold in FOLDS]))
    assert found.means["brier"] > 1.5 * found.means["brier_corrected"], (
        "half of the rows it learned from were anomalies"
    )


def test_class_weights_go_to_those_who_take_them() -> None:
    classifiers = {**LOGISTIC, "neighbours": KNeighborsClassifier(), "SVM": LinearSVC()}
    found = compare({NOTHING: None, CLASS_WEIGHTS: CLASS_WEIGHTS}, classifiers, X, Y, FOLDS)
    assert [cell.classifier for cell in found.cells if cell.sampler == CLASS_WEIGHTS] == ["logistic", "SVM"]
    weighted = LogisticRegression(class_weight="balanced")
    ours = cell(found, CLASS_WEIGHTS, "logistic").means["f1"]
    by_hand = [f1_score(Y[f.test], weighted.fit(X[f.train], Y[f.train]).predict(X[f.test])) for f in FOLDS]
    assert ours == pytest.approx(np.mean(by_hand))


def test_an_svm_has_no_probabilities_and_a_dash_for_them() -> None:
    found = compare({NOTHING: None}, {"SVM": LinearSVC()}, X, Y, FOLDS)
    assert "brier" not in found.cells[0].means
    assert found.cells[0].texts()[-2:] == ["–", "–"]
    assert found.cells[0].to_dict()["brier"] is None


def test_weights_enter_the_metrics_not_the_training() -> None:
    weight = np.where(Y == 1, 1.0, 8.5)
    found = cell(compare({NOTHING: None}, LOGISTIC, X, Y, FOLDS, weight=weight), NOTHING, "logistic")

    def by_hand(fold: Fold) -> float:
        scores = LogisticRegression().fit(X[fold.train], Y[fold.train]).predict_proba(X[fold.test])[:, 1]
        return float(average_precision_score(Y[fold.test], scores, sample_weight=weight[fold.test]))

    assert found.means["ap"] == pytest.approx(np.mean([by_hand(fold) for fold in FOLDS]))
    # 10 % of the rows are anomalies, 1.3 % by weight: to that rate probabilities are corrected.
    assert found.means["brier_corrected"] < found.means["brier"]


def test_made_up_rows_are_never_tested_on() -> None:
    synthetic = np.zeros(400, bool)
    synthetic[FOLDS[0].train[:3]] = True
    with pytest.raises(EvaluationError, match="3 test rows are synthetic"):
        compare({NOTHING: None}, LOGISTIC, X, Y, FOLDS, synthetic=synthetic)
    found = compare({NOTHING: None}, LOGISTIC, X, Y, FOLDS[:1], synthetic=synthetic)
    assert len(found.cells) == 1, "as training rows they are welcome"


def test_a_comparison_with_nothing_is_needed() -> None:
    with pytest.raises(ParameterError, match="'nothing' is missing"):
        compare({"spy": Spy()}, LOGISTIC, X, Y, FOLDS)


def test_what_is_not_possible_is_noted_and_the_rest_goes_on() -> None:
    y = np.zeros(400)
    y[:8] = 1
    found = compare({NOTHING: None, "SMOTE": SMOTE()}, LOGISTIC, X, y, stratified_folds(y, 2, 1, 0))
    assert [cell.sampler for cell in found.cells] == [NOTHING]
    assert "SMOTE in fold 1 of 2 was not possible: Expected n_neighbors <= n_samples_fit" in found.notes[0]
    assert found.notes[0] in found.to_markdown()


def test_training_rows_are_capped_alike_for_all() -> None:
    Spy.seen.clear()
    found = compare({NOTHING: None, "spy": Spy()}, LOGISTIC, X, Y, FOLDS, max_rows=100)
    assert [n_rows for _, n_rows in Spy.seen] == [100, 100]
    assert "100 training rows (at most 100, drawn from the larger class), 200 test rows" in found.to_markdown()


def test_a_sampler_of_categories_gets_rows_and_others_numbers() -> None:
    frame = pl.DataFrame({"amount": X[:, 0], "shop": np.where(Y == 1, "web", "books")})

    encoded_by: list[int] = []

    def encode(rows: pl.DataFrame) -> Any:
        encoded_by.append(rows.height)
        centre = rows["amount"].mean()
        return lambda given: np.column_stack([given["amount"].to_numpy() - centre, given["shop"] == "web"])

    Spy.seen.clear()
    cvae = CVAESampler(training=Training(epochs=1), random_state=0)
    samplers = {NOTHING: None, "spy": Spy(), "CVAE": cvae}
    found = compare(samplers, LOGISTIC, frame, Y, FOLDS, encode=encode)
    assert [kind for kind, _ in Spy.seen] == ["ndarray", "ndarray"]
    assert encoded_by == [len(fold.train) for fold in FOLDS], "scales belong to the training rows"
    assert [cell.sampler for cell in found.cells] == [NOTHING, "spy", "CVAE"]
    assert not hasattr(cvae, "network_"), "a copy was fitted, what was given is not changed"


def test_the_same_seed_gives_the_same_numbers() -> None:
    samplers, classifiers = default_samplers(0), {"tree": DecisionTreeClassifier(random_state=0)}
    one, two = (compare(samplers, classifiers, X, Y, FOLDS, seed=3, max_rows=150).to_dict() for _ in range(2))
    assert one == two


def test_a_comparison_shows_itself_as_text_and_as_html() -> None:
    samplers, classifiers = {NOTHING: None, "<spy>": Spy()}, {**LOGISTIC, "SVM": LinearSVC()}
    found = compare(samplers, classifiers, X, Y, FOLDS)
    said = [*map(str, found.verdicts), found.best]
    text, html = str(found), found._repr_html_()
    assert text.splitlines()[0].startswith("2 folds: 200 training rows, 200 test rows, 40 test anomalies.")
    assert text.splitlines()[2].split()[:3] == ["classifier", "sampler", "AP"]
    assert text.splitlines()[-2:] == said
    assert html.count("<tr>") == 5, "a heading, and four cells"
    assert html.endswith(f"<p>{escape(said[1])}</p>")
    assert "&lt;spy&gt;" in html
    assert "<spy>" not in html


def test_the_usual_classifiers_and_samplers_work_together() -> None:
    found = compare(default_samplers(0), default_classifiers(0), X, Y, FOLDS[:1])
    assert len(found.cells) == 6 * len(default_classifiers(0)) - 1, "nearest neighbours take no class weights"
    assert {"SVM", "gradient boosting"} <= {cell.classifier for cell in found.cells}


# In words


def made(sampler: str, ap: float, draws: list[float], ap_without: float = 0.5, classifier: str = "tree") -> Cell:
    return Cell(sampler, classifier, {"ap": ap}, np.array(draws), np.full(len(draws), ap_without), ap_without)


@pytest.mark.parametrize(
    ("draws", "said"),
    [
        ([0.6] * 99, "SMOTE: helps here, +0.100"),
        ([0.4] * 99, "SMOTE: hurts here, -0.100"),
        ([0.4, 0.6] * 50, "SMOTE: no difference shown here"),
        ([0.499, 0.501] * 50, "SMOTE: makes no difference here"),
    ],
)
def test_verdicts(draws: list[float], said: str) -> None:
    found = Comparison(
        (made(NOTHING, 0.5, [0.5] * len(draws)), made("SMOTE", float(np.mean(draws)), draws)), 1, (9,), (9,), 30, None
    )
    (verdict,) = found.verdicts
    assert said in str(verdict)


def test_a_p_value_is_no_smaller_than_the_draws_can_tell() -> None:
    said = str(Verdict("SMOTE", Interval(0.1, 0.05, 0.2), 1 / 401, n_classifiers=1, n_anomalies=30))
    assert said.endswith("over 1 classifier (95 % interval over test rows +0.050 to +0.200, p < 0.005).")


def test_a_few_anomalies_give_no_verdict() -> None:
    said = str(Verdict("SMOTE", Interval(0.1, 0.05, 0.2), 0.01, n_classifiers=1, n_anomalies=5))
    assert said.startswith("SMOTE: too few anomalies to tell (5), +0.100")


def test_a_verdict_is_over_all_classifiers() -> None:
    cells = (
        made(NOTHING, 0.5, [0.5] * 9),
        made(NOTHING, 0.7, [0.7] * 9, 0.7, "forest"),
        made("SMOTE", 0.6, [0.6] * 9),
        made("SMOTE", 0.6, [0.6] * 9, 0.7, "forest"),
    )
    found = Comparison(cells, 1, (9,), (9,), 30, None)
    assert found.verdicts[0].gain.value == pytest.approx(0)
    assert found.best == "Nothing beats forest without any resampling (average precision 0.700)."
    better = Comparison((*cells, made("CVAE", 0.8, [0.8] * 9)), 1, (9,), (9,), 30, None)
    assert better.best.startswith(
        "The best of 5 tries is tree with CVAE (0.800); the best without resampling is forest (0.700). The gap"
    )
    assert better.best.endswith("is 0.100 (+0.100 to +0.100).")
    unsure = Comparison((*cells, made("CVAE", 0.8, [0.6, 1.0, 0.8] * 3)), 1, (9,), (9,), 30, None)
    assert unsure.best.endswith("which may be chance among so many tries.")


# What these rows do not allow


def test_a_classifier_that_cannot_learn_from_so_few_rows_is_noted() -> None:
    y = np.zeros(400)
    y[:4] = 1
    samplers = {NOTHING: None, "under": default_samplers(0)["under-sampling"]}
    classifiers = {**LOGISTIC, "neighbours": KNeighborsClassifier()}
    found = compare(samplers, classifiers, X, y, stratified_folds(y, 2, 1, 0))
    pairs = [(cell.sampler, cell.classifier) for cell in found.cells]
    assert pairs == [(NOTHING, "logistic"), (NOTHING, "neighbours"), ("under", "logistic")]
    assert any(note.startswith("neighbours after under in fold 1 of 2 was not possible") for note in found.notes)


def test_where_nobody_can_learn_that_is_said() -> None:
    y = np.zeros(8)
    y[:2] = 1
    folds = stratified_folds(y, 2, 1, 0)
    with pytest.raises(
        EvaluationError, match=r"no classifier worked without resampling: neighbours after nothing in fold 1"
    ):
        compare({NOTHING: None}, {"neighbours": KNeighborsClassifier()}, X[:8], y, folds)


def test_a_wrong_parameter_is_no_note() -> None:
    samplers = {NOTHING: None, "CVAE": CVAESampler(training=Training(epochs=-1))}
    with pytest.raises(ParameterError, match=r"training\.epochs=-1"):
        compare(samplers, LOGISTIC, X, Y, FOLDS)


def test_a_training_that_diverges_is_noted() -> None:
    wild = CVAESampler(training=Training(epochs=3, learning_rate=1e30, clip_norm=None), random_state=0)
    found = compare({NOTHING: None, "CVAE": wild}, LOGISTIC, X, Y, FOLDS[:1])
    assert [cell.sampler for cell in found.cells] == [NOTHING]
    assert "CVAE in fold 1 of 1 was not possible: the loss stopped being finite" in found.notes[0]


def test_precision_at_100_needs_100_rows() -> None:
    found = compare({NOTHING: None}, LOGISTIC, X[:120], Y[:120], stratified_folds(Y[:120], 2, 1, 0))
    assert "precision_at_k" not in found.cells[0].means


def test_boosters_are_tried_where_they_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of that name with a classifier of that name, as XGBoost and LightGBM have them; taken out afterwards."""
    for name, classifier in (("xgboost", "XGBClassifier"), ("lightgbm", "LGBMClassifier")):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, loader=None)
        setattr(module, classifier, SimpleNamespace)
        monkeypatch.setitem(sys.modules, name, module)
    found = default_classifiers(3)
    assert vars(found["XGBoost"]) == {"random_state": 3}
    assert vars(found["LightGBM"]) == {"random_state": 3, "verbosity": -1}
