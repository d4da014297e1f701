"""Deciding: which cuts a model has, chosen at first on held-out rows, and later again on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from oddrow.artifact import Artifact
from oddrow.detectors.base import Detector
from oddrow.errors import EvaluationError, ParameterError
from oddrow.table.dataset import Dataset, Split
from oddrow.table.history import History
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.rule import Rule
from oddrow.thresholds.threshold import Threshold, check_bands
from oddrow.typing import Floats, Tell, silent
from oddrow.workflow.request import hashes_of, roles_given, select_for

# What cuts where the scores cannot support the rule that was asked for.
STAND_IN_RULE = "quantile:0.99"

NO_BLOCK = "none"

# The model's card says so many of the cuts that it had before.
MOST_EARLIER = 10

# Rows that happen to equal training rows are let pass up to this share.
MOST_SEEN = 0.1


def threshold(
    tables: str | Sequence[str],
    model: str | Path,
    rule: str,
    *,
    block: str | None = None,
    label: str | None = None,
    anomaly: Sequence[str] = (),
    normal: Sequence[str] = (),
    weight: str | None = None,
    amount: str | None = None,
    entity: str | None = None,
    time: str | None = None,
    start: str | None = None,
    until: str | None = None,
    join: str | None = None,
    tell: Tell = silent,
) -> Artifact:
    """Choose the cut of a saved model again, on the rows of these tables, and keep which cut it had before.

    Nothing is trained. `rule` is as for `fit`, `block` the rule of a second, higher cut, "none" to have none; a cut of
    that kind stays where nothing is said. Raises an `OddrowError` where the rows cannot support a rule, or where they
    are training rows, from which no guarantee follows; then the model is untouched.
    """
    artifact = Artifact.load(model)
    given = {"label": label, "anomaly": tuple(anomaly), "normal": tuple(normal), "weight": weight, "time": time}
    roles, absent = roles_given(artifact, {**given, "amount": amount, "entity": entity})
    absent += [] if label else ["label"]
    chosen = select_for(artifact, tables, roles, start, until, join, tell=tell, absent=absent)
    _check_real(chosen)
    scores = artifact.detector.anomaly_score(chosen.table)
    cut = _cut_again(artifact, rule, chosen, scores)
    second = (
        artifact.block if block is None else None if block == NO_BLOCK else _cut_again(artifact, block, chosen, scores)
    )
    if block is not None:
        check_bands(cut, second)
    known = replace(artifact.roles, time=roles.time, amount=roles.amount, entity=roles.entity)
    changed = replace(with_cuts(artifact, cut, second), roles=known)
    changed.save(model)
    _tell_change(artifact, changed, tell)
    return changed


def _check_real(chosen: Dataset) -> None:
    if chosen.table.synthetic.any():
        raise EvaluationError(
            f"{int(chosen.table.synthetic.sum()):,} of {len(chosen.rows):,} rows are synthetic (oddrow_synthetic is "
            "true). Choose a threshold on real rows only."
        )


def _cut_again(artifact: Artifact, text: str, chosen: Dataset, scores: Floats) -> Threshold:
    """The threshold of a rule on other rows; a guarantee does not follow from training rows."""
    if "@" in text:
        raise ParameterError(f"threshold rule {text!r}: the rows of the table choose. Leave what follows @ out.")
    rule = Rule.parse(text)
    rule.check(chosen.outcomes)
    mark = None if artifact.origin is None else artifact.origin.fingerprint
    seen = 0.0 if mark is None else mark.overlap(hashes_of(artifact.detector, artifact.history, chosen))
    if rule.needs_held_out and seen > MOST_SEEN:
        raise EvaluationError(
            f"threshold rule {rule}: about {seen:.0%} of these rows equal training rows, from which no guarantee "
            "follows. Give other rows, or use a rule without a guarantee, such as quantile."
        )
    return _threshold(rule, artifact, chosen, scores)


def with_cuts(artifact: Artifact, threshold: Threshold, block: Threshold | None) -> Artifact:
    """The same model cut elsewhere; it remembers the last cuts that it had."""
    had = [artifact.threshold] + ([artifact.block] if artifact.block is not None and artifact.block != block else [])
    earlier = (*artifact.earlier, *(cut.without_rows for cut in had))[-MOST_EARLIER:]
    return replace(artifact, threshold=threshold, block=block, earlier=earlier)


def check_rules(rules: Sequence[Rule], division: Split) -> None:
    """Refuse, before hours of training, what even a detector that ranks all anomalies first could not support."""
    for rule in rules:
        rows = rows_for(rule, division)
        rule.check(rows.outcomes, trained=source_of(rule, division) == "train")
        ideal = np.nan_to_num(rows.outcomes.labels) + np.linspace(0, 0.5, len(rows.rows))
        rule.threshold(ideal, rows.outcomes)


def choose_threshold(rule: Rule, detector: Detector, history: History | None, division: Split) -> Threshold:
    """Choose by the held-out rows' scores, or the training rows' where the rule says so or none are held out."""
    rows = rows_for(rule, division)
    if rule.is_fixed:
        return rule.threshold(np.zeros(0))
    scores = detector.anomaly_score(rows.table)
    fingerprint = Fingerprint.of(hashes_of(detector, history, rows))
    return rule.threshold(scores, rows.outcomes, source=source_of(rule, division), fingerprint=fingerprint)


def source_of(rule: Rule, division: Split) -> str:
    """Whose scores choose: those of the validation rows, where there are any and the rule does not say otherwise."""
    return "train" if division.held_out is None else rule.source


def rows_for(rule: Rule, division: Split) -> Dataset:
    """The rows to choose by, those that the rule looks at."""
    held_out = division.held_out if source_of(rule, division) == "validation" else None
    rows = division.fitting if held_out is None else held_out
    return rows.take(rule.rows(rows.outcomes))


def _threshold(rule: Rule, artifact: Artifact, chosen: Dataset, scores: Floats) -> Threshold:
    looked_at = chosen.take(rule.rows(chosen.outcomes))
    hashes = hashes_of(artifact.detector, artifact.history, looked_at)
    return rule.threshold(scores, chosen.outcomes, source="given", fingerprint=Fingerprint.of(hashes))


def _tell_change(before: Artifact, after: Artifact, tell: Tell) -> None:
    old, new = before.threshold, after.threshold
    tell(f"Threshold {new.value:.6g} ({new.rule}) in place of {old.value:.6g} ({old.rule}).")
    tell(new.guarantee_in_words)
    if after.block is not None:
        kept = "As before." if after.block == before.block else after.block.guarantee_in_words
        tell(f"Block from {after.block.value:.6g} on ({after.block.rule}). {kept}")
    if after.block is not None and after.block.value < new.value:
        tell("That is below the threshold: whatever is an alert is blocked. Say --block RULE, or --block none.")
