"""Days of alerts: the vectorised numbers beside slow ones that follow the words."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.errors import EvaluationError, ParameterError
from oddrow.metrics.daily import DailyPrecision, alerts_per_day, card_precision_at_k, precision_at_k_per_day
from oddrow.metrics.ranking import precision_at_k

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def slow_card_precision(k: int, y: Floats, scores: Floats, day: Ints, entity: Ints) -> list[float]:
    """The Handbook's loop over frames of a day."""
    rows = pl.DataFrame({"y": y, "score": scores, "day": day, "entity": entity})
    found: list[int] = []
    values = []
    for number in sorted(set(day.tolist())):
        left = rows.filter(pl.col("day") == number, ~pl.col("entity").is_in(found))
        top = left.group_by("entity").max().sort("score", descending=True).head(k)
        compromised = top.filter(pl.col("y") == 1)["entity"].to_list()
        found += compromised
        values.append(len(compromised) / k)
    return values


@given(st.integers(1, 120), st.integers(1, 6), st.integers(0, 1000))
def test_cards_are_found_as_the_handbook_finds_them(n_rows: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, scores = (rng.random(n_rows) < 0.4).astype(float), rng.normal(size=n_rows)
    day, entity = rng.integers(-3, 4, n_rows), 10**12 + rng.integers(0, 12, n_rows)
    ours = card_precision_at_k(y, scores, day=day, entity=entity, k=k)
    assert ours.values.tolist() == pytest.approx(slow_card_precision(k, y, scores, day, entity))
    assert (ours.values <= 1).all()
    shuffled = rng.permutation(n_rows)
    again = card_precision_at_k(y[shuffled], scores[shuffled], day=day[shuffled], entity=entity[shuffled], k=k)
    assert again.values.tolist() == ours.values.tolist()


def test_a_card_that_is_found_leaves_the_later_days_only() -> None:
    y, scores = np.array([1.0, 0, 1, 1, 1]), np.array([0.9, 0.1, 0.9, 0.1, 0.2])
    day, entity = np.array([0, 0, 1, 1, 2]), np.array([1, 2, 1, 2, 2])
    found = card_precision_at_k(y, scores, day=day, entity=entity, k=1)
    # Day 0: card 1. Day 1: card 1 is gone, card 2. Day 2: nobody is left.
    assert found.values.tolist() == [1, 1, 0]
    assert found.ceiling.tolist() == [1, 1, 0]
    assert card_precision_at_k(y, scores, day=day, entity=entity, k=4).values.tolist() == [1 / 4, 1 / 4, 0]


def test_a_card_is_as_compromised_as_its_worst_row() -> None:
    y, scores, day = np.array([0.0, 1.0, 0.0]), np.array([0.9, 0.1, 0.5]), np.zeros(3, dtype=np.int64)
    assert card_precision_at_k(y, scores, day=day, entity=np.array([7, 7, 8]), k=1).values.tolist() == [1.0]


def test_cards_that_tie_are_taken_at_random() -> None:
    n_cards = 2000
    y = (np.arange(n_cards) < n_cards // 2).astype(float)
    found = card_precision_at_k(
        y, np.zeros(n_cards), day=np.zeros(n_cards, dtype=np.int64), entity=np.arange(n_cards), k=500
    )
    assert found.values[0] == pytest.approx(0.5, abs=0.1)
    assert found.ceiling.tolist() == [1.0]


def test_the_ceiling_is_what_labels_as_scores_get() -> None:
    rng = np.random.default_rng(0)
    y, day, entity = (rng.random(500) < 0.2).astype(float), rng.integers(0, 9, 500), rng.integers(0, 40, 500)
    found = card_precision_at_k(y, rng.normal(size=500), day=day, entity=entity, k=5)
    assert found.ceiling.tolist() == card_precision_at_k(y, y, day=day, entity=entity, k=5).values.tolist()
    assert found.mean_ceiling == found.ceiling.mean() > found.mean == found.values.mean()


@given(st.integers(1, 80), st.integers(1, 6), st.integers(0, 1000))
def test_the_precision_of_a_day_is_that_of_its_rows(n_rows: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, scores = (rng.random(n_rows) < 0.3).astype(float), rng.integers(0, 4, n_rows).astype(float)
    day = rng.integers(-2, 6, n_rows)
    found = precision_at_k_per_day(y, scores, day=day, k=k)
    for number, value, ceiling in zip(np.unique(day), found.values, found.ceiling, strict=True):
        rows = day == number
        taken = min(k, rows.sum())
        assert value == pytest.approx(precision_at_k(y[rows], scores[rows], k=taken) * taken / k)
        assert value <= ceiling + 1e-12
        assert ceiling == min(k, y[rows].sum()) / k


def test_a_budget_is_what_one_divides_by() -> None:
    day = np.array([0, 0, 0, 1, 4])
    found = precision_at_k_per_day(np.array([1.0, 1, 1, 1, 0]), np.array([3.0, 2, 1, 1, 1]), day=day, k=2)
    assert found.values.tolist() == found.ceiling.tolist() == [1, 1 / 2, 0]
    assert found.mean == found.mean_ceiling == 1 / 2


def test_rows_of_a_day_that_tie_count_by_their_expected_share() -> None:
    found = precision_at_k_per_day(np.array([1.0, 0, 0, 0]), np.ones(4), day=np.zeros(4, dtype=np.int64), k=1)
    assert found == DailyPrecision(1, found.values, found.ceiling)
    assert (found.values.tolist(), found.ceiling.tolist()) == ([1 / 4], [1.0])


def test_days_without_rows_have_no_alerts() -> None:
    alerts, day = np.array([True, False, True, True]), np.array([-2, 0, 3, 3])
    assert alerts_per_day(alerts, day=day).tolist() == [1, 0, 0, 0, 0, 2]
    assert alerts_per_day(alerts, day=day, sample_weight=np.array([2.0, 9.0, 0.5, 1.0])).tolist() == [
        2,
        0,
        0,
        0,
        0,
        1.5,
    ]


def test_no_budget_and_no_rows_are_refused() -> None:
    none, day = np.zeros(0), np.zeros(0, dtype=np.int64)
    with pytest.raises(ParameterError, match="k=0"):
        precision_at_k_per_day(np.ones(1), np.ones(1), day=np.zeros(1, dtype=np.int64), k=0)
    with pytest.raises(ParameterError, match=r"k=2\.5"):
        card_precision_at_k(none, none, day=day, entity=day, k=2.5)  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match="no rows, so no day"):
        alerts_per_day(none > 0, day=day)
