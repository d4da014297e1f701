"""Thresholds: each rule by hand values, what a threshold remembers of its rows, and that higher never means more."""

from __future__ import annotations

import json
import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.errors import EvaluationError, ParameterError
from oddrow.thresholds import RULES, SKETCH_SIZE, Fingerprint, Rule, Threshold

SCORES = np.array([4.0, 1.0, 3.0, 2.0])
WEIGHT = np.array([1.0, 5.0, 2.0, 2.0])  # of the scores 4, 1, 3, 2


@pytest.mark.parametrize(
    ("rule", "plain", "weighted"),
    [
        ("fixed:2.5", 2.5, 2.5),
        ("quantile:0", 1, 1),
        ("quantile:0.5", 2, 1),
        ("quantile:0.51", 3, 2),
        ("quantile:0.75", 3, 3),
        ("quantile:1", 4, 4),
        ("mean-std:0", 2.5, 1.9),
        ("mean-std:2", 2.5 + 2 * math.sqrt(1.25), 1.9 + 2 * math.sqrt(1.09)),
        ("mean-std:-1", 2.5 - math.sqrt(1.25), 1.9 - math.sqrt(1.09)),
        ("contamination:0", 4, 4),
        ("contamination:0.25", 4, 4),
        ("contamination:0.3", 4, 3),
        ("contamination:0.5", 3, 2),
        ("contamination:0.99", 2, 2),
        ("contamination:1", 1, 1),
    ],
)
def test_each_rule_by_hand(rule: str, plain: float, weighted: float) -> None:
    assert Rule.parse(rule).choose(SCORES) == pytest.approx(plain, rel=1e-12)
    assert Rule.parse(rule).choose(SCORES, WEIGHT) == pytest.approx(weighted, rel=1e-12)


def test_a_score_at_the_threshold_is_an_alert() -> None:
    assert Threshold(2.0, "fixed:2").alerts(np.array([1.9, 2.0, 2.1])).tolist() == [False, True, True]


some_scores = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50).map(np.array)
few_levels = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=50).map(np.array)
shares = st.floats(0, 1)


@given(some_scores | few_levels, shares, st.randoms(use_true_random=False))
def test_contamination_flags_at_most_the_share_but_at_least_one_row(
    scores: np.ndarray, share: float, random: Random
) -> None:
    weight = np.array([random.choice([0.5, 1.0, 3.0]) for _ in scores])
    for used in (None, weight):
        of_row = np.ones(len(scores)) if used is None else used
        cut = Rule("contamination", share).choose(scores, used)
        flagged = of_row[scores >= cut].sum()
        assert (scores >= cut).any()
        assert flagged <= share * of_row.sum() + 1e-9 or cut == scores.max()
        # It is the lowest such cut: the next lower score would flag too many.
        if (scores < cut).any():
            lower = scores[scores < cut].max()
            assert of_row[scores >= lower].sum() > share * of_row.sum() - 1e-9


@given(some_scores | few_levels, shares, shares)
def test_a_larger_share_never_flags_fewer(scores: np.ndarray, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert Rule("contamination", low).choose(scores) >= Rule("contamination", high).choose(scores)
    assert Rule("quantile", low).choose(scores) <= Rule("quantile", high).choose(scores)


@given(some_scores | few_levels, st.floats(-10, 10), st.floats(-10, 10))
def test_a_higher_threshold_never_adds_alerts(scores: np.ndarray, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert not (Threshold(high, "").alerts(scores) & ~Threshold(low, "").alerts(scores)).any()


@given(few_levels, shares, st.integers(1, 4))
def test_a_weight_counts_like_that_many_rows(scores: np.ndarray, share: float, times: int) -> None:
    weight = np.resize([float(times), 1.0], len(scores))
    repeated = np.repeat(scores, weight.astype(int))
    for name in ("quantile", "contamination", "mean-std"):
        cut = Rule(name, share).choose(scores, weight)
        assert cut == pytest.approx(Rule(name, share).choose(repeated), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in RULES if name != "fixed"])
def test_scores_that_choose_nothing_are_refused(name: str) -> None:
    rule = Rule.parse(name)
    with pytest.raises(EvaluationError, match=f"threshold rule {rule}: 0 scores"):
        rule.choose(np.array([]))
    with pytest.raises(EvaluationError, match="must be finite"):
        rule.choose(np.array([1.0, np.nan]))
    with pytest.raises(EvaluationError, match="add up to 0"):
        rule.choose(SCORES, np.zeros(4))


# How rules are written


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("fixed:2.5", Rule("fixed", 2.5)),
        ("quantile", Rule("quantile", 0.99)),
        ("contamination", Rule("contamination", 0.01)),
        ("mean-std", Rule("mean-std", 3)),
        ("mean-std:2@train", Rule("mean-std", 2, "train")),
        ("quantile@validation", Rule("quantile", 0.99, "validation")),
        ("fixed:-1e-5", Rule("fixed", -1e-5)),
    ],
)
def test_rules_are_parsed(text: str, rule: Rule) -> None:
    assert Rule.parse(text) == rule


@given(st.sampled_from(sorted(RULES)), st.floats(0, 1))
def test_a_rule_reads_back_as_it_was_written(name: str, number: float) -> None:
    for value in (number, np.float64(number)):
        assert Rule.parse(str(Rule(name, value))) == Rule(name, number)
    assert str(Rule.parse("mean-std:3")) == "mean-std:3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("quantle:0.9", r"is not one of fixed, quantile, mean-std, contamination. Did you mean 'quantile'\?"),
        ("", "is not one of"),
        ("quantile:many", "threshold rule 'quantile:many': 'many' is not a number"),
        ("quantile:", "'' is not a number"),
        ("quantile:1.1", "threshold rule quantile=1.1 is not a finite number at least 0 and at most 1"),
        ("contamination:-0.1", "threshold rule contamination=-0.1 is not"),
        ("quantile:nan", "threshold rule quantile=nan is not"),
        ("fixed:inf", "threshold rule fixed=inf is not a finite number"),
        ("quantile:0.9@test", "is not one of validation, train"),
        ("quantile:0.9@trian", r"Did you mean 'train'\?"),
    ],
)
def test_other_rules_are_refused(text: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Rule.parse(text)


# What a threshold remembers


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.uint64)


def many(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def test_thresholds_and_fingerprints_round_trip_through_json() -> None:
    for fingerprint in (None, Fingerprint.of(rows(3, 1, 2**64 - 1)), Fingerprint.of(many(3000))):
        threshold = Threshold(0.1 + 0.2, "quantile:0.99", "validation", fingerprint)
        assert Threshold.from_dict(json.loads(json.dumps(threshold.to_dict()))) == threshold


@pytest.mark.parametrize("n", [1, 5, SKETCH_SIZE, 5000])
def test_a_fingerprint_knows_its_rows_in_any_order(n: int) -> None:
    hashes = many(n)
    mark = Fingerprint.of(hashes)
    assert mark.n_rows == n
    assert mark.sketch == tuple(sorted(hashes.tolist())[:SKETCH_SIZE])
    assert mark.is_of(hashes)
    assert mark.is_of(hashes[::-1])
    assert not mark.is_of(hashes[1:])
    assert not mark.is_of(np.append(hashes, rows(1)))
    assert not mark.is_of(many(n, seed=1))


def test_the_sketch_holds_every_hash_once() -> None:
    repeated = np.tile(many(SKETCH_SIZE + 100), 9)
    assert Fingerprint.of(repeated).sketch == tuple(np.unique(repeated)[:SKETCH_SIZE].tolist())
    assert Fingerprint.of(rows(7, 7, 3)).sketch == (3, 7)


def test_small_overlaps_are_exact() -> None:
    mark = Fingerprint.of(rows(1, 2, 3, 4))
    assert mark.overlap(rows(3, 4, 5, 6, 6)) == 0.4
    assert mark.overlap(rows(9)) == 0
    assert mark.overlap(rows()) == 0
    assert Fingerprint.of(rows()).overlap(rows(1)) == 0


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_large_overlaps_are_estimated(share: float) -> None:
    seen, new = many(20_000), many(20_000, seed=1)
    n_seen = int(share * 20_000)
    test = np.concatenate([seen[:n_seen], new[n_seen:]])
    # About 1,024 rows are compared: three standard deviations are 0.05 at most.
    assert Fingerprint.of(seen).overlap(test) == pytest.approx(share, abs=0.05)
