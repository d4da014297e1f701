"""Intervals of a ranking and of a cut: metrics to the digit, draws as a plain bootstrap has them, honest coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from oddrow.errors import EvaluationError, ParameterError
from oddrow.evaluate import intervals
from oddrow.evaluate.intervals import Ranking, daily_interval, ranking_intervals
from oddrow.metrics.classification import confusion, value_caught
from oddrow.metrics.ranking import auroc, average_precision, recall_at_false_alarm_rate

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Ints = np.ndarray[tuple[int], np.dtype[np.int64]]

NAMES = {"average_precision", "auroc", "precision", "recall", "f1", "recall_at_false_alarm_rate", "value_caught"}


def ranked(n_anomalies: int, n_normal: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Anomalies that score two standard deviations higher, in a random order."""
    y = rng.permutation(np.repeat([1.0, 0.0], [n_anomalies, n_normal]))
    return y, rng.normal(size=len(y)) + 2 * y


def numbers(
    y: Floats, scores: Floats, cut: float, weight: Floats | None = None, amount: Floats | None = None
) -> dict[str, float]:
    """The metrics, one by one."""
    at_cut = confusion(y, scores >= cut, sample_weight=weight)
    return {
        "average_precision": average_precision(y, scores, sample_weight=weight),
        "auroc": auroc(y, scores, sample_weight=weight),
        "precision": at_cut.precision,
        "recall": at_cut.recall,
        "f1": at_cut.f1,
        "recall_at_false_alarm_rate": recall_at_false_alarm_rate(y, scores, rate=0.01, sample_weight=weight),
    } | (
        {} if amount is None else {"value_caught": value_caught(y, scores >= cut, amount=amount, sample_weight=weight)}
    )


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_values_are_those_of_the_metrics(tied: bool, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    y, scores = ranked(40, 960, rng)
    scores = np.round(scores) if tied else scores
    weight = rng.uniform(0.5, 9, 1000) if weighted else None
    amount = rng.lognormal(3, 1, 1000)
    for cut in (1.0, scores[y == 1][0], -99.0, 99.0, np.inf):
        found = ranking_intervals(y, scores, threshold=cut, weight=weight, amount=amount, n_draws=20)
        assert found.keys() == NAMES
        assert {name: one.value for name, one in found.items()} == numbers(y, scores, cut, weight, amount)
    assert "value_caught" not in ranking_intervals(y, scores, threshold=1, n_draws=2)
    assert found["auroc"].value == roc_auc_score(y, scores, sample_weight=weight)


@given(st.lists(st.integers(0, 6), min_size=4, max_size=60), st.integers(-1, 7), st.integers(0, 1000))
def test_a_draw_has_the_numbers_of_rows_that_weigh_so_much_more(scores: list[int], cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, at = (np.arange(len(scores)) % 3 == 0).astype(float), np.array(scores, float)
    weight, amount = rng.uniform(0.5, 9, len(y)), rng.lognormal(3, 1, len(y))
    times = rng.poisson(1, len(y))
    times[:2] += 1
    ranking = Ranking.of(y, at, cut, weight, amount)
    draw = times[ranking.anomalous.row], ranking.normal.per_level(times[ranking.normal.row])
    expected = numbers(y, at, cut, weight * times, amount)
    assert ranking.measure(draw) == pytest.approx(expected, rel=1e-12)


def drawn_plainly(y: Floats, scores: Floats, cut: float, amount: Floats, groups: list[list[Ints]]) -> Floats:
    """The middle 95 % of every number, (numbers, 2): of each list of groups, as many are drawn 400 times."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        drawn = [of[place] for of in groups for place in rng.integers(0, len(of), len(of))]
        rows = np.concatenate(drawn)
        found.append(list(numbers(y[rows], scores[rows], cut, None, amount[rows]).values()))
    return np.quantile(found, [0.025, 0.975], axis=0).T


def assert_alike(ours: dict[str, intervals.Interval], theirs: Floats, names: list[str]) -> None:
    """Both ends within a fifth of the width, give or take what as many draws tell."""
    for name, low, high in zip(names, theirs[:, 0], theirs[:, 1], strict=True):
        assert ours[name].low == pytest.approx(low, abs=(high - low) / 5), name
        assert ours[name].high == pytest.approx(high, abs=(high - low) / 5), name


@pytest.mark.parametrize("tied", [False, True])
def test_intervals_by_rows_are_those_of_a_plain_bootstrap(tied: bool) -> None:
    rng = np.random.default_rng(0)
    y, scores = ranked(60, 1140, rng)
    scores, amount = np.round(scores, 1) if tied else scores, rng.lognormal(3, 1, len(y))
    rows = [list(np.flatnonzero(y == label)[:, None]) for label in (0, 1)]
    expected = drawn_plainly(y, scores, 2.0, amount, rows)
    names = list(numbers(y, scores, 2.0, None, amount))
    assert_alike(ranking_intervals(y, scores, threshold=2.0, amount=amount, n_draws=2000), expected, names)
    # The same numbers by the other way of drawing, which rows take that do not weigh alike.
    weight = np.ones(len(y))
    weight[y == 0] += 1e-9 * rng.random(1140)
    assert_alike(
        ranking_intervals(y, scores, threshold=2.0, amount=amount, weight=weight, n_draws=2000), expected, names
    )


def test_intervals_by_entity_are_those_of_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(0)
    y, scores = ranked(60, 1140, rng)
    amount, entity = rng.lognormal(3, 1, len(y)), 500 - rng.integers(0, 80, len(y))
    expected = drawn_plainly(y, scores, 2.0, amount, [[np.flatnonzero(entity == code) for code in np.unique(entity)]])
    ours = ranking_intervals(y, scores, threshold=2.0, amount=amount, entity=entity, n_draws=2000)
    assert_alike(ours, expected, list(numbers(y, scores, 2.0, None, amount)))


def covered(n_sets: int, cards: bool) -> dict[str, float]:
    """How often intervals by rows, or by cards of five rows that share most of their luck, hold the truth."""
    rng = np.random.default_rng(0)

    def sample(n_cards: int) -> tuple[Floats, Floats, Ints]:
        entity = np.repeat(np.arange(n_cards), 5)
        # By cards the share of anomalies is drawn too, by rows it stays.
        compromised = rng.random(n_cards) < 0.1 if cards else np.arange(n_cards) % 10 == 0
        y = np.repeat(compromised.astype(float), 5)
        shared = rng.normal(size=n_cards)[entity] if cards else rng.normal(size=len(y))
        return y, 0.9 * shared + 0.44 * rng.normal(size=len(y)) + 2 * y, entity

    y, scores, _ = sample(100_000)
    truth = numbers(y, scores, 1.5)
    hits = dict.fromkeys(truth, 0)
    for seed in range(n_sets):
        y, scores, entity = sample(500)
        found = ranking_intervals(y, scores, threshold=1.5, entity=entity if cards else None, seed=seed)
        for name, value in truth.items():
            hits[name] += found[name].low <= value <= found[name].high
    return {name: hit / n_sets for name, hit in hits.items()}


@pytest.mark.parametrize("cards", [False, True])
def test_intervals_cover_the_truth_about_as_often_as_they_say(cards: bool) -> None:
    shares = covered(200, cards)
    # 95 of 100, give or take what 200 sets of few anomalies tell.
    assert all(0.88 <= share <= 0.99 for share in shares.values()), shares


def test_rows_of_one_card_tell_less_than_rows_of_many() -> None:
    rng = np.random.default_rng(0)
    entity = np.repeat(np.arange(100), 20)
    y = (entity % 5 == 0).astype(float)
    scores = rng.normal(size=100)[entity] + 2 * y + 0.1 * rng.normal(size=2000)
    by_rows, by_card = (ranking_intervals(y, scores, threshold=1.5, entity=of) for of in (None, entity))
    for name, one in by_card.items():
        assert one.high - one.low > 2 * (by_rows[name].high - by_rows[name].low), name
        assert one.value == by_rows[name].value


@pytest.mark.parametrize("by", ["rows", "weighted rows", "entities"])
def test_the_seed_decides(by: str) -> None:
    rng = np.random.default_rng(0)
    y, scores = ranked(30, 300, rng)
    weight = rng.uniform(1, 2, 330) if by == "weighted rows" else None
    entity = rng.integers(0, 50, 330) if by == "entities" else None
    one, same, other = (
        ranking_intervals(y, scores, threshold=1, weight=weight, entity=entity, seed=seed, n_draws=50)
        for seed in (3, 3, 4)
    )
    assert one == same != other
    order = np.argsort(-scores)
    entity = None if entity is None else entity[order]
    weight = None if weight is None else weight[order]
    sorted_rows = ranking_intervals(
        y[order], scores[order], threshold=1, weight=weight, entity=entity, seed=3, n_draws=50
    )
    assert {name: pytest.approx(tuple(value)) for name, value in sorted_rows.items()} == one


def test_weights_that_are_alike_change_nothing() -> None:
    y, scores = ranked(30, 300, np.random.default_rng(0))
    plain, heavy = (ranking_intervals(y, scores, threshold=1, weight=of) for of in (None, np.full(330, 4.0)))
    assert {name: pytest.approx(tuple(one)) for name, one in heavy.items()} == plain


def test_a_class_in_one_entity_is_drawn_again_where_it_is_missing() -> None:
    y, entity = np.array([1.0, 1, 0, 0, 0, 0]), np.array([0, 0, 1, 1, 2, 2])
    found = ranking_intervals(y, np.array([5.0, 2, 4, 3, 1, 1]), threshold=2, entity=entity, n_draws=50)
    assert tuple(found["recall"]) == (1, 1, 1)
    assert 1 / 3 <= found["precision"].low <= found["precision"].value <= found["precision"].high <= 1


def test_many_anomalies_are_thinned_to_levels_and_stay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    y, scores = ranked(3000, 2000, np.random.default_rng(0))
    # Heavy ties side by side, of anomalies and of normal rows, must not become one level.
    scores[np.flatnonzero(y == 1)[:900]], scores[np.flatnonzero(y == 0)[:900]] = 0.5, 0.4999
    exact = ranking_intervals(y, scores, threshold=1, n_draws=50)
    monkeypatch.setattr(intervals, "MOST_LEVELS", 100)
    ranking = Ranking.of(y, scores, 1, None, None)
    assert ranking.normal.n_levels <= 2 * 101 + 1
    as_they_are = np.ones(3000, np.int64), ranking.normal.per_level(np.ones(2000, np.int64))
    thinned, exactly = ranking.measure(as_they_are), numbers(y, scores, 1)
    assert {name: thinned[name] for name in ("precision", "recall", "f1")} == pytest.approx(
        {name: exactly[name] for name in ("precision", "recall", "f1")}
    )
    assert thinned == pytest.approx(exactly, abs=1 / 100)
    assert (
        ranking_intervals(y, scores, threshold=1, n_draws=50)["average_precision"].value
        == exact["average_precision"].value
    )


@pytest.mark.parametrize(
    ("y", "scores", "amount", "entity", "said"),
    [
        ([0, 0], [1, 2], None, None, "no anomaly among the 2 rows"),
        ([1, 1], [1, 2], None, None, "no normal row among the 2 rows"),
        ([1, 0], [1, np.nan], None, None, "1 of 2 scores are not finite"),
        ([1, 0], [1, 2], [-1, 1], None, "amount: 1 of 2 values are negative or not finite"),
        ([1, 0], [1, 2], None, [7, 7], "all 2 rows are of entity 7"),
    ],
)
def test_rows_that_say_nothing(
    y: list[float], scores: list[float], amount: list[float] | None, entity: list[int] | None, said: str
) -> None:
    given_amount = None if amount is None else np.array(amount, float)
    codes = None if entity is None else np.array(entity)
    with pytest.raises(EvaluationError, match=said):
        ranking_intervals(np.array(y, float), np.array(scores, float), threshold=1, amount=given_amount, entity=codes)


def test_no_draws_are_refused() -> None:
    with pytest.raises(ParameterError, match="n_draws=0"):
        ranking_intervals(np.array([1.0, 0.0]), np.array([1.0, 0.0]), threshold=1, n_draws=0)


def test_a_daily_mean_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [daily_interval(rng.beta(2, 5, 30), seed) for seed in range(200)]
    share = np.mean([one.low <= 2 / 7 <= one.high for one in found])
    assert 0.9 <= share <= 0.99
    values = rng.beta(2, 5, 30)
    assert daily_interval(values, 1) == daily_interval(values, 1) != daily_interval(values, 2)
    assert daily_interval(values).value == values.mean()


@pytest.mark.parametrize("n_days", [0, 1])
def test_a_single_day_tells_nothing_about_others(n_days: int) -> None:
    with pytest.raises(EvaluationError, match=f"{n_days} days? cannot show how days differ"):
        daily_interval(np.ones(n_days))


def test_average_precision_is_scikit_learns() -> None:
    y, scores = ranked(30, 300, np.random.default_rng(0))
    expected = average_precision_score(y, scores)
    assert ranking_intervals(y, scores, threshold=1, n_draws=2)["average_precision"].value == expected
