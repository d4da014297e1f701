"""Thresholds: each rule by hand values, what a threshold remembers of its rows, and that higher never means more."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddrow.errors import EvaluationError, ParameterError
from oddrow.outcomes import Outcomes
from oddrow.structure import build, to_plain
from oddrow.thresholds.conformal import discoveries
from oddrow.thresholds.fingerprint import SKETCH_SIZE, Fingerprint
from oddrow.thresholds.rule import RULES, Rule
from oddrow.thresholds.threshold import Threshold

SCORES = np.array([4.0, 1.0, 3.0, 2.0])
WEIGHT = np.array([1.0, 5.0, 2.0, 2.0])  # of the scores 4, 1, 3, 2


def cut(rule: str, scores: np.ndarray, weight: np.ndarray | None = None) -> float:
    return Rule.parse(rule).threshold(scores, Outcomes(weight=weight, n_rows=len(scores))).value


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
    assert cut(rule, SCORES) == pytest.approx(plain, rel=1e-12)
    assert cut(rule, SCORES, WEIGHT) == pytest.approx(weighted, rel=1e-12)


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
        at = cut(f"contamination:{share!r}", scores, used)
        flagged = of_row[scores >= at].sum()
        assert (scores >= at).any()
        assert flagged <= share * of_row.sum() + 1e-9 or at == scores.max()
        # It is the lowest such cut: the next lower score would flag too many.
        if (scores < at).any():
            lower = scores[scores < at].max()
            assert of_row[scores >= lower].sum() > share * of_row.sum() - 1e-9


@given(some_scores | few_levels, shares, shares)
def test_a_larger_share_never_flags_fewer(scores: np.ndarray, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert cut(f"contamination:{low!r}", scores) >= cut(f"contamination:{high!r}", scores)
    assert cut(f"quantile:{low!r}", scores) <= cut(f"quantile:{high!r}", scores)


@given(some_scores | few_levels, st.floats(-10, 10), st.floats(-10, 10))
def test_a_higher_threshold_never_adds_alerts(scores: np.ndarray, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert not (Threshold(high, "").alerts(scores) & ~Threshold(low, "").alerts(scores)).any()


@given(few_levels, shares, st.integers(1, 4))
def test_a_weight_counts_like_that_many_rows(scores: np.ndarray, share: float, times: int) -> None:
    weight = np.resize([float(times), 1.0], len(scores))
    repeated = np.repeat(scores, weight.astype(int))
    for name in ("quantile", "contamination", "mean-std"):
        weighted = cut(f"{name}:{share!r}", scores, weight)
        assert weighted == pytest.approx(cut(f"{name}:{share!r}", repeated), rel=1e-9, abs=1e-9)


WRITTEN = {name: f"{name}:5" if name == "cost" else name for name in RULES}


@pytest.mark.parametrize("name", [name for name in RULES if name != "fixed"])
def test_scores_that_choose_nothing_are_refused(name: str) -> None:
    rule = Rule.parse(WRITTEN[name])

    def rows(scores: list[float], weight: float = 1.0) -> tuple[np.ndarray, Outcomes]:
        zeros, y = np.zeros(len(scores)), np.arange(len(scores), dtype=float) % 2
        known = Outcomes(y=y, weight=zeros + weight, amount=zeros, time=zeros, entity=zeros.astype(np.int64))
        return np.array(scores), known

    with pytest.raises(EvaluationError, match=rf"threshold rule {rule}: (0 scores|the rule needs known anomalies)"):
        rule.threshold(*rows([]))
    with pytest.raises(EvaluationError, match="must be finite"):
        rule.threshold(*rows([1.0, np.nan] if rule.needs_labels else [np.nan, 1.0]))
    with pytest.raises(EvaluationError, match="add up to 0"):
        rule.threshold(*rows([1.0, 2.0, 3.0, 4.0], weight=0.0))


# How rules are written


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("fixed:2.5", Rule("fixed", (2.5,))),
        ("quantile", Rule("quantile", (0.99,))),
        ("contamination", Rule("contamination", (0.01,))),
        ("mean-std", Rule("mean-std", (3,))),
        ("mean-std:2@train", Rule("mean-std", (2,), "train")),
        ("quantile@validation", Rule("quantile", (0.99,), "validation")),
        ("fixed:-1e-5", Rule("fixed", (-1e-5,))),
        ("recall", Rule("recall", (0.8, 0.95))),
        ("recall:0.5:0.9", Rule("recall", (0.5, 0.9))),
        ("false-alarms:0.02", Rule("false-alarms", (0.02,))),
        ("false-alarms:0.02:0.9", Rule("false-alarms", (0.02, 0.9))),
        ("budget", Rule("budget", (100,))),
        ("cost:2.5", Rule("cost", (2.5,))),
    ],
)
def test_rules_are_parsed(text: str, rule: Rule) -> None:
    assert Rule.parse(text) == rule


@given(st.sampled_from(["fixed", "quantile", "mean-std", "contamination"]), st.floats(0, 1))
def test_a_rule_reads_back_as_it_was_written(name: str, number: float) -> None:
    for value in (number, np.float64(number)):
        assert Rule.parse(str(Rule(name, (value,)))) == Rule(name, (number,))
    assert str(Rule.parse("mean-std:3")) == "mean-std:3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "quantle:0.9",
            r"is not one of fixed, .*false-discoveries. Did you mean 'quantile'\?",
        ),
        ("", "is not one of"),
        ("quantile:many", "threshold rule 'quantile:many': 'many' is not a number"),
        ("quantile:", "'' is not a number"),
        ("quantile:1.1", "threshold rule quantile=1.1 is not a finite number of at least 0 and at most 1"),
        ("contamination:-0.1", "threshold rule contamination=-0.1 is not"),
        ("quantile:nan", "threshold rule quantile=nan is not"),
        ("fixed:inf", "threshold rule fixed=inf is not a finite number"),
        ("quantile:0.9@test", "is not one of validation, train"),
        ("quantile:0.9@trian", r"Did you mean 'train'\?"),
        ("quantile:0.9:0.8", "quantile takes at most 1 number"),
        ("cost", "cost needs a number, as in cost:5"),
        ("budget:2.5", "threshold rule budget=2.5 is not a whole number of at least 1"),
        ("budget:0", "is not a whole number of at least 1"),
        ("recall:0.8:1", "threshold rule recall=1 is not a finite number of at least 0.5"),
        ("recall:1", "threshold rule recall=1 is not a finite number above 0 and at most 0.9999"),
        ("recall:0.5@train", "does not follow from training rows"),
        ("false-alarms@train", "does not follow from training rows"),
    ],
)
def test_other_rules_are_refused(text: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Rule.parse(text)


# What a threshold remembers


def hashes(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.uint64)


def many(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def test_thresholds_and_fingerprints_round_trip_through_json() -> None:
    for fingerprint in (None, Fingerprint.of(hashes(3, 1, 2**64 - 1)), Fingerprint.of(many(3000))):
        threshold = Threshold(0.1 + 0.2, "quantile:0.99", "validation", fingerprint)
        assert build(Threshold, json.loads(json.dumps(to_plain(threshold)))) == threshold


@pytest.mark.parametrize("n", [1, 5, SKETCH_SIZE, 5000])
def test_a_fingerprint_knows_its_rows_in_any_order(n: int) -> None:
    some = many(n)
    mark = Fingerprint.of(some)
    assert mark.n_rows == n
    assert mark.sketch == tuple(sorted(some.tolist())[:SKETCH_SIZE])
    assert mark.is_of(some)
    assert mark.is_of(some[::-1])
    assert not mark.is_of(some[1:])
    assert not mark.is_of(np.append(some, hashes(1)))
    assert not mark.is_of(many(n, seed=1))


def test_the_sketch_holds_every_hash_once() -> None:
    repeated = np.tile(many(SKETCH_SIZE + 100), 9)
    assert Fingerprint.of(repeated).sketch == tuple(np.unique(repeated)[:SKETCH_SIZE].tolist())
    assert Fingerprint.of(hashes(7, 7, 3)).sketch == (3, 7)


def test_small_overlaps_are_exact() -> None:
    mark = Fingerprint.of(hashes(1, 2, 3, 4))
    assert mark.overlap(hashes(3, 4, 5, 6, 6)) == 0.4
    assert mark.overlap(hashes(9)) == 0
    assert mark.overlap(hashes()) == 0
    assert Fingerprint.of(hashes()).overlap(hashes(1)) == 0


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_large_overlaps_are_estimated(share: float) -> None:
    seen, new = many(20_000), many(20_000, seed=1)
    n_seen = int(share * 20_000)
    test = np.concatenate([seen[:n_seen], new[n_seen:]])
    # About 1,024 rows are compared: three standard deviations are 0.05 at most.
    assert Fingerprint.of(seen).overlap(test) == pytest.approx(share, abs=0.05)


def test_a_threshold_shows_itself_as_a_sentence_and_as_escaped_html() -> None:
    given = Threshold(2.0, "fixed:2")
    assert str(given) == "Rows that score 2 or more are alerts. Rule fixed:2, given. No guarantee."
    capped = Rule.parse("budget:2").threshold(np.arange(30.0), Outcomes(time=np.zeros(30)), source="<b>")
    assert "at most 2 a day, the highest scores first. Rule budget:2, chosen on <b> rows." in str(capped)
    assert str(capped).endswith("Guarantee: at most 2 a day. 2 alerts a day on the calibration rows.")
    html = capped._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "Guarantee: at most 2 a day." in html
    batch = Rule.parse("false-discoveries:0.1").threshold(np.arange(100.0))
    assert "fewer in a batch where more than 10 % of them would be false" in batch.in_words


def test_a_threshold_is_a_number() -> None:
    with pytest.raises(ParameterError, match="has the value nan"):
        Threshold(float("nan"), "fixed:1")


def test_discoveries_need_calibration_scores() -> None:
    with pytest.raises(EvaluationError, match="there are no calibration scores"):
        discoveries(np.array([]), np.array([1.0]), 0.1)


@pytest.mark.parametrize(
    ("name", "numbers", "source", "said"),
    [
        ("nope", (1.0,), "validation", "is not one of fixed"),
        ("quantile", (), "validation", "quantile needs a number"),
        ("quantile", (0.5, 0.5), "validation", "quantile takes at most 1 number, not 2"),
        ("quantile", (2.0,), "validation", "2 is not a share"),
        ("quantile", ("0.5",), "validation", "threshold rule quantile='0.5' is not a finite number"),
        ("quantile", (0.5,), "test", "is not one of validation, train"),
        ("recall", (0.8, 0.9), "train", "does not follow from training rows"),
    ],
)
def test_a_rule_made_by_hand_is_checked_too(name: str, numbers: tuple[Any, ...], source: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        Rule(name, numbers, source)
