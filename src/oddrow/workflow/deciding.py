"""Deciding: which cuts a model has, chosen at first on held-out rows, and later again on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oddrow.artifact import Artifact
from oddrow.detectors.base import Detector
from oddrow.errors import EvaluationError
from oddrow.table.selection import Division, Selection
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.rule import Rule
from oddrow.thresholds.scored import ScoredRows
from oddrow.thresholds.threshold import Threshold, check_bands
from oddrow.workflow.tables import Tell, hashes_of, roles_given, select_for, silent

Floats = npt.NDArray[np.float64]


def decide(
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

    Nothing is trained. `rule` is as for `fit`, `block` the rule of a second, higher cut. Raises an `OddrowError` where
    the rows cannot support a rule; then the model is untouched.
    """
    artifact = Artifact.load(model)
    given = {"label": label, "anomaly": tuple(anomaly), "normal": tuple(normal), "weight": weight, "time": time}
    roles, absent = roles_given(artifact, {**given, "amount": amount, "entity": entity})
    absent += [] if label else ["label"]
    chosen = select_for(artifact, tables, roles, start, until, join, tell=tell, absent=absent)
    if chosen.table.synthetic.any():
        raise EvaluationError(
            f"{int(chosen.table.synthetic.sum()):,} of {len(chosen.rows):,} rows are synthetic (oddrow_synthetic is "
            "true). Choose a threshold on real rows only."
        )
    rules = [Rule.parse(text) for text in (rule, block) if text is not None]
    for one in rules:
        one.check(chosen)
    scores = artifact.detector.anomaly_score(chosen.table)
    cuts = [_threshold(one, artifact.detector, chosen, scores, "given") for one in rules]
    known = replace(roles, weight=artifact.roles.weight, id=artifact.roles.id, drop=artifact.roles.drop)
    changed = replace(with_cuts(artifact, cuts[0], cuts[1] if block is not None else None), roles=known)
    changed.save(model)
    _tell_change(artifact, changed, tell)
    return changed


def with_cuts(artifact: Artifact, threshold: Threshold, block: Threshold | None) -> Artifact:
    """The same model cut elsewhere; it remembers the cuts that it had."""
    check_bands(threshold, block)
    had = [cut.remembered for cut in (artifact.threshold, artifact.block) if cut is not None]
    return replace(artifact, threshold=threshold, block=block, earlier=(*artifact.earlier, *had))


def check_rules(rules: Sequence[Rule], division: Division) -> None:
    """Refuse, before hours of training, what even a detector that ranks all anomalies first could not support."""
    for rule in rules:
        rows = rows_for(rule, division)
        rule.check(rows, trained=source_of(rule, division) == "train")
        ideal = np.zeros(len(rows.rows)) if rows.y is None else np.nan_to_num(rows.y)
        rule.threshold(scored(rows, ideal + np.linspace(0, 0.5, len(rows.rows))))


def choose_threshold(rule: Rule, detector: Detector, division: Division) -> Threshold:
    """Choose by the held-out rows' scores, or the training rows' where the rule says so or none are held out."""
    rows = rows_for(rule, division)
    scores = np.zeros(len(rows.rows)) if rule.is_fixed else detector.anomaly_score(rows.table)
    return _threshold(rule, detector, rows, scores, source_of(rule, division))


def scored(chosen: Selection, scores: Floats) -> ScoredRows:
    """Chosen rows as those that a rule looks at."""
    return ScoredRows(scores, chosen.weight, chosen.y, chosen.amount, chosen.time, chosen.entity)


def source_of(rule: Rule, division: Division) -> str:
    """Whose scores choose: those of the validation rows, where there are any and the rule does not say otherwise."""
    return "train" if division.held_out is None else rule.source


def rows_for(rule: Rule, division: Division) -> Selection:
    """The rows to choose by, those that the rule looks at."""
    is_held_out = source_of(rule, division) == "validation" and division.held_out is not None
    rows = division.held_out if is_held_out and division.held_out is not None else division.fitting
    looked_at: Selection = rule.of(rows)
    return looked_at


def _threshold(rule: Rule, detector: Detector, rows: Selection, scores: Floats, source: str) -> Threshold:
    if rule.is_fixed:
        return rule.threshold(scored(rows, scores))
    return rule.threshold(scored(rows, scores), source=source, fingerprint=Fingerprint.of(hashes_of(detector, rows)))


def _tell_change(before: Artifact, after: Artifact, tell: Tell) -> None:
    old, new = before.threshold, after.threshold
    tell(f"Threshold {new.value:.6g} ({new.rule}) in place of {old.value:.6g} ({old.rule}).")
    tell(f"It promises: {new.promise}.")
    if after.block is not None:
        tell(f"Block from {after.block.value:.6g} on ({after.block.rule}). It promises: {after.block.promise}.")
