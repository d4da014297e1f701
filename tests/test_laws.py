"""The laws that every detector of laws.py keeps. Those of saved models are in artifact/test_artifact_law.py."""

from __future__ import annotations

import gc
import hashlib
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import average_precision_score

from laws import DETECTORS, FEWEST_ROWS, LEARNED, UNTRAINED, New, OddTable, normal_rows, odd_tables, planted_rows
from oddrow.artifact import Artifact
from oddrow.detectors.base import Detector
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import OddrowError, ParameterError
from oddrow.evaluate.baselines import baselines
from oddrow.thresholds.threshold import Threshold

ROWS = normal_rows()
# Without the five known anomalies there are 300 rows again: another number would be compiled anew.
LABELLED, FIVE = normal_rows(305, seed=4), np.arange(305) < 5
ARRAY = np.random.default_rng(0).normal(size=(300, 3))


@pytest.fixture(params=list(DETECTORS), scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def new(name: str) -> New:
    """How to make a detector that fits quickly."""
    return DETECTORS[name]


@pytest.fixture(scope="module")
def fitted(new: New) -> Detector:
    """A detector fitted to ROWS."""
    return new().fit(ROWS)


def same(scores: Any, others: Any) -> None:
    """Equal to the bit."""
    np.testing.assert_array_equal(scores, others)


# 1. fit returns self, changes none of its arguments and keeps no reference to them.


def test_fit_returns_self_and_changes_nothing(new: New) -> None:
    detector, frame, y = new(), LABELLED.clone(), FIVE.copy()
    before = repr(detector.get_params())
    assert detector.fit(frame, y) is detector
    assert_frame_equal(frame, normal_rows(305, seed=4))
    assert np.array_equal(y, FIVE)
    assert repr(detector.get_params()) == before
    assert detector.n_known_anomalies_ == 5


def test_an_array_is_not_written_to(new: New) -> None:
    array = ARRAY.copy()
    array.flags.writeable = False
    new(noisy=False).fit(array).anomaly_score(array)


def test_no_row_is_kept(new: New) -> None:
    array = ARRAY.copy()
    alive = weakref.ref(array)
    detector = new(noisy=False).fit(array)
    del array
    gc.collect()
    assert alive() is None
    assert np.isfinite(detector.offset_)


def test_neither_detector_nor_artifact_grows_with_the_rows(new: New, tmp_path: Path) -> None:
    shorter, longer = (new(noisy=False).fit(rows) for rows in (ROWS, normal_rows(3000)))
    assert len(pickle.dumps(longer)) < 1.02 * len(pickle.dumps(shorter))
    for detector, folder in ((shorter, "short"), (longer, "long")):
        Artifact(detector, Threshold(1.0, "fixed:1")).save(tmp_path / folder)
    sizes = [sum(path.stat().st_size for path in (tmp_path / folder).iterdir()) for folder in ("short", "long")]
    assert sizes[1] < 1.02 * sizes[0]


# 2. All randomness comes from random_state.


def test_the_same_random_state_gives_the_same_scores(new: New, fitted: Detector) -> None:
    same(new().fit(ROWS).anomaly_score(ROWS), fitted.anomaly_score(ROWS))
    assert not np.array_equal(new(random_state=1).fit(ROWS).anomaly_score(ROWS), fitted.anomaly_score(ROWS))


@pytest.mark.parametrize("generator", [np.random.default_rng, np.random.RandomState])
def test_a_generator_may_be_given(new: New, generator: Callable[[int], Any]) -> None:
    one, again, other = (new(random_state=generator(seed)).fit(ROWS).anomaly_score(ROWS) for seed in (5, 5, 6))
    same(one, again)
    assert not np.array_equal(one, other)


IN_ANOTHER_PROCESS = """
import hashlib, pickle, random, sys
import numpy as np
from laws import DETECTORS, normal_rows
def global_states():
    return random.getstate(), pickle.dumps(np.random.get_state())
new, rows, before = DETECTORS[sys.argv[1]], normal_rows(), global_states()
scores = new().fit(rows).anomaly_score(rows)
new(random_state=None).fit(rows)
print(hashlib.sha256(scores.tobytes()).hexdigest(), global_states() == before)
"""


def test_another_process_gives_the_same_scores_and_global_random_states_stay(name: str, fitted: Detector) -> None:
    """Global states are compared in the other process: beartype, which checks shapes in this one, uses Python's."""
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, name]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=120)
    digest = hashlib.sha256(fitted.anomaly_score(ROWS).tobytes()).hexdigest()
    assert done.stdout.split() == [digest, "True"]


# 3. A row's score does not depend on other rows.


@pytest.mark.parametrize("n_rows", [200, 1000], ids=["small block", "large block"])
def test_the_order_of_rows_permutes_the_scores(fitted: Detector, n_rows: int) -> None:
    frame, order = normal_rows(n_rows, seed=5), np.random.default_rng(0).permutation(n_rows)
    same(fitted.anomaly_score(frame[order]), fitted.anomaly_score(frame)[order])


def test_row_by_row_equals_all_at_once_to_the_bit(fitted: Detector) -> None:
    together = fitted.anomaly_score(ROWS[:256])
    same([fitted.anomaly_score(ROWS[row])[0] for row in range(256)], together)


def test_blocks_of_other_sizes_agree_to_a_hundred_thousandth(fitted: Detector) -> None:
    many = normal_rows(4096 + 300, seed=5)
    together = fitted.anomaly_score(many)
    alone = np.concatenate([fitted.anomaly_score(part) for part in many.iter_slices(256)])
    # Some scores are logarithms and may be near 0.
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-5)


def test_companions_do_not_matter(fitted: Detector) -> None:
    wild = pl.concat([ROWS[:9], ROWS[:200].with_columns(amount=pl.lit(1e30), shop=pl.lit("never seen"))])
    same(fitted.anomaly_score(wild)[:9], fitted.anomaly_score(ROWS[:9]))


def test_equal_rows_have_equal_scores(fitted: Detector) -> None:
    assert len(np.unique(fitted.anomaly_score(pl.concat([ROWS[:1]] * 700)))) == 1


# 4. Unusual tables get finite scores or one of oddrow's errors.


@pytest.mark.parametrize("table", odd_tables().values(), ids=odd_tables())
def test_odd_tables_get_a_finite_score_or_a_named_error(name: str, new: New, table: OddTable) -> None:
    if table.refused is not None:
        with pytest.raises((OddrowError, ValueError), match=table.refused):
            new(epochs=1, noisy=False).fit(table.fitted).anomaly_score(table.scored)
        return
    if len(table.fitted) < FEWEST_ROWS[name]:
        with pytest.raises(ParameterError, match="too many for 2 training rows"):
            new(epochs=1, noisy=False).fit(table.fitted)
        return
    scores = new(epochs=1, noisy=False).fit(table.fitted).anomaly_score(table.scored)
    assert scores.shape == (len(table.scored),)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


def test_a_diverged_network_is_reported(name: str, new: New) -> None:
    if name in UNTRAINED:
        pytest.skip("no network is trained")
    training = new()._used_training.set_params(learning_rate=1e38, clip_norm=None, validation_fraction=0.0, epochs=1)
    with pytest.raises(OddrowError, match=r"training.learning_rate \(now 1e\+38\)"):
        new(training=training, noisy=False).fit(ARRAY)


@pytest.mark.parametrize("value", [1e6, -1e6, 1e30])
def test_a_value_far_out_is_odder_than_any_near(fitted: Detector, value: float) -> None:
    far = ROWS[:20].with_columns(amount=pl.lit(value))
    assert fitted.anomaly_score(far).min() > fitted.anomaly_score(ROWS).max()


# 5. Rows that break a rule are found.


def average_precisions(name: str) -> dict[str, float]:
    """How well the planted rows are found by the detector, its untrained copy and the baselines."""
    (train, _), (test, anomalous) = planted_rows(2000, 0, seed=0), planted_rows()
    new = DETECTORS[name]
    detectors = {"detector": new(**LEARNED[name]), "untrained copy": new(**{**LEARNED[name], "epochs": 0})}
    scores = {name: detector.fit(train).anomaly_score(test) for name, detector in detectors.items()}
    encoder = TableEncoder(one_hot_up_to=2).fit(train, detectors["detector"].schema_)
    numbers = [encoder.transform(frame).numbers for frame in (train, test)]
    scores |= {name: model.fit(numbers[0]).anomaly_score(numbers[1]) for name, model in baselines(0).items()}
    return {name: float(average_precision_score(anomalous, found)) for name, found in scores.items()}


def test_planted_anomalies_are_found(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = average_precisions(name)
    with capsys.disabled():
        shown = ", ".join(f"{other} {precision:.3f}" for other, precision in found.items())
        print(f"\naverage precision of {name} on planted rows (chance 0.100): {shown}")
    if name in UNTRAINED:
        # Without training no rule is known: such rows are merely far from most others.
        assert found["detector"] > 0.2, "chance is 0.1"
        return
    assert found["detector"] > 0.5, "chance is 0.1"
    assert found["detector"] > found["untrained copy"]


# 6. Nothing leaks from scored, held-out or anomalous rows.


def test_no_statistic_of_a_scored_row_reaches_the_encoder(fitted: Detector) -> None:
    before = fitted.encoder_.learned
    scores = fitted.anomaly_score(ROWS)
    fitted.anomaly_score(ROWS.with_columns(amount=pl.col("amount") * 1e3, shop=pl.lit("new")))
    assert fitted.encoder_.learned == before
    same(fitted.anomaly_score(ROWS), scores)


def test_no_statistic_of_a_held_out_row_reaches_the_encoder(name: str, new: New) -> None:
    held_out = normal_rows(60, seed=9)
    wild = held_out.with_columns(amount=pl.col("amount") * 1e3, shop=pl.lit("new"))
    one, other = (new(noisy=False).fit(ROWS, validation=rows) for rows in (held_out, wild))
    assert one.encoder_.learned == other.encoder_.learned
    assert name in UNTRAINED or one.loss_curve_ != other.loss_curve_, "the held-out rows were looked at"


def test_rows_held_out_by_the_detector_itself_do_not_reach_the_encoder(new: New) -> None:
    """The encoder's mean is that of all rows only if none are held out."""
    encoder = new(encoder=TableEncoder()).fit(ROWS).encoder_
    means = {column.source: column.center for column in encoder.number_columns_}
    assert means["amount"] != pytest.approx(ROWS["amount"].mean(), rel=1e-9)
    training = new(epochs=0)._used_training.set_params(validation_fraction=0.0)
    everything = new(training=training, encoder=TableEncoder()).fit(ROWS).encoder_
    means = {column.source: column.center for column in everything.number_columns_}
    assert means["amount"] == pytest.approx(ROWS["amount"].mean(), rel=1e-9)


def test_known_anomalies_do_not_train(new: New) -> None:
    wild = LABELLED.with_columns(amount=pl.when(pl.Series(FIVE)).then(1e6).otherwise("amount"))
    one, other = (new().fit(rows, FIVE) for rows in (LABELLED, wild))
    same(one.anomaly_score(ROWS), other.anomaly_score(ROWS))
    assert (one.offset_, one.n_known_anomalies_) == (other.offset_, 5)


def labels(kind: str) -> Any:
    """The same labels, rows 0 to 4 anomalous and 5 to 9 unknown, in different containers."""
    values = [1] * 5 + [None] * 5 + [0] * 295
    numbers = np.array([np.nan if value is None else value for value in values])
    return {
        "floats": numbers,
        "list": values,
        "objects": np.array(values, dtype=object),
        "polars": pl.Series(values),
        "polars booleans": pl.Series(values).cast(pl.Boolean),
        "pandas": pl.Series(values).to_pandas(),
        "pandas nullable": pl.Series(values).to_pandas().astype("Int64"),
        "column": numbers.reshape(-1, 1),
    }[kind]


KINDS = ["floats", "list", "objects", "polars", "polars booleans", "pandas", "pandas nullable", "column"]


def test_a_missing_label_is_unknown_and_trains(new: New) -> None:
    reference = new().fit(LABELLED[5:])
    detectors = {kind: new().fit(LABELLED, labels(kind)) for kind in KINDS}
    assert {kind: detector.n_known_anomalies_ for kind, detector in detectors.items()} == dict.fromkeys(KINDS, 5)
    for detector in detectors.values():
        same(detector.anomaly_score(ROWS), reference.anomaly_score(ROWS))


@pytest.mark.parametrize(
    "y",
    [np.arange(300), np.where(np.arange(300) < 9, -1, 1), np.array(["fraud", "normal"] * 150), np.full(300, 0.5)],
    ids=["numbers", "scikit-learn's own", "text", "halves"],
)
def test_a_y_that_is_no_anomaly_label_is_ignored(new: New, fitted: Detector, y: Any) -> None:
    detector = new().fit(ROWS, y)
    assert detector.n_known_anomalies_ == 0
    same(detector.anomaly_score(ROWS), fitted.anomaly_score(ROWS))


def test_a_y_that_cannot_be_is_refused(new: New) -> None:
    with pytest.raises(OddrowError, match="y has 7 values for 300 rows"):
        new().fit(ROWS, np.zeros(7))
    with pytest.raises(OddrowError, match="all 300 rows are anomalous"):
        new().fit(ROWS, np.ones(300))


def test_validation_rows_come_in_every_form_or_are_refused(new: New) -> None:
    one, other = (new(noisy=False).fit(ARRAY, validation=rows) for rows in (ARRAY[:9], ARRAY[:9].tolist()))
    assert one.loss_curve_ == other.loss_curve_
    with pytest.raises((OddrowError, ValueError), match=r"n_samples = 0|0 sample"):
        new().fit(ARRAY, validation=ARRAY[:0])
    with pytest.raises(OddrowError, match="n_samples = 0"):
        new().fit(ROWS, validation=ROWS[:0])
    with pytest.raises((OddrowError, ValueError), match="2 features"):
        new().fit(ARRAY, validation=ARRAY[:, :2])


# 7. A tie with the cut is an alert.


def test_a_tie_with_the_cut_is_flagged(fitted: Detector) -> None:
    scores = fitted.anomaly_score(ROWS)
    cut = np.quantile(scores, 1 - fitted.contamination, method="higher")
    assert (scores == cut).any()
    same(fitted.predict(ROWS) == -1, scores >= cut)
    same(fitted.predict(ROWS) == -1, Threshold(float(cut), "fixed").alerts(scores))


def test_at_least_one_training_row_is_flagged_and_about_as_many_as_asked(new: New) -> None:
    """With numpy's `higher` quantile, 1 % of 300 distinct rows are 3, and of 20 rows it is 1."""
    assert (new().fit(ROWS).predict(ROWS) == -1).sum() == 3
    assert (new(contamination=0.1).fit(ROWS).predict(ROWS) == -1).sum() == 30
    assert (new(noisy=False).fit(ROWS[:20]).predict(ROWS[:20]) == -1).sum() == 1


def test_scikit_learns_scores_are_minus_the_anomaly_score(fitted: Detector) -> None:
    scores = fitted.anomaly_score(ROWS)
    same(fitted.score_samples(ROWS), -scores)
    same(fitted.decision_function(ROWS), -scores - fitted.offset_)
    same(fitted.predict(ROWS), np.where(fitted.decision_function(ROWS) < 0, -1, 1))


@pytest.mark.parametrize("contamination", [0, 0.51, "auto", np.nan])
def test_an_invalid_contamination_is_refused(new: New, contamination: Any) -> None:
    with pytest.raises(OddrowError, match="contamination="):
        new(contamination=contamination).fit(ROWS)
