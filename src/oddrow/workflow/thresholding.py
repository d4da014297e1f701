"""Set thresholds: at first on the validation rows, later again on other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from oddrow.artifact import Artifact
from oddrow.detectors.base import Detector
from oddrow.errors import EvaluationError, ParameterError
from oddrow.table.dataset import Dataset
from oddrow.table.history import History
from oddrow.table.split import Split
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.rule import Rule
from oddrow.thresholds.threshold import Threshold, check_bands
from oddrow.typing import Floats, Tell, silent
from oddrow.workflow.request import Request, RowOptions, hashes_of

# Sets the threshold if the scores cannot support the rule that was asked for.
FALLBACK_RULE = "quantile:0.99"

NO_BLOCK = "none"

# How many earlier thresholds a model remembers.
MOST_EARLIER = 10

# Some rows equal training rows by chance; up to this share a guarantee still holds.
MOST_SEEN = 0.1


def threshold(
    tables: str | Path | Sequence[str | Path],
    model: str | Path,
    rule: Rule | str,
    *,
    block: Rule | str | None = None,
    tell: Tell = silent,
    **rows: Unpack[RowOptions],
) -> Artifact:
    """Set the threshold of a saved model again, on the rows of tables.

    Nothing is trained. The model keeps a record of the threshold that it had.

    Parameters
    ----------
    tables : str, Path or sequence of those
        Files or patterns.
    model : str or Path
        Folder of the model; it is replaced.
    rule : Rule or str
        Rule such as "budget:100".
    block : Rule, str or None, default=None
        Rule of a second, higher threshold; "none" removes it, None leaves it as it is.
    tell : callable, optional
        Receives what is reported, as text.
    **rows : RowOptions
        Which rows and columns: `label`, `anomaly`, `normal`, `weight`, `amount`, `entity`, `time`, `start`, `until`,
        `join`. Options that are left out default to those used in fitting.

    Returns
    -------
    Artifact
        The model with its new threshold.

    Raises
    ------
    OddrowError
        If the rows cannot support the rule, or equal training rows and the rule gives a guarantee. The model is then
        unchanged.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from oddrow import simulate, workflow
    >>> with TemporaryDirectory() as folder:
    ...     table, model = f"{folder}/payments.csv", f"{folder}/model"
    ...     simulate(400, random_state=0).write_csv(table)
    ...     settings = workflow.Settings.gather(options={"drop": "is_fraud,fraud_kind"})
    ...     _ = workflow.fit(table, model, settings)
    ...     changed = workflow.threshold(table, model, "quantile:0.9")
    >>> changed.threshold.rule, changed.earlier[0].rule
    ('quantile:0.9', 'quantile:0.99')
    """
    artifact = Artifact.load(model)
    request = Request.of(artifact, tables, rows, optional=("time", "amount", "entity", "label"))
    chosen = request.read(tell)
    _check_real(chosen)
    scores = artifact.detector.anomaly_score(chosen.table)
    first, second = _set_again(artifact, rule, chosen, scores), artifact.block
    if block is not None:
        second = None if block == NO_BLOCK else _set_again(artifact, block, chosen, scores)
        check_bands(first, second)
    roles = request.roles
    known = replace(artifact.roles, time=roles.time, amount=roles.amount, entity=roles.entity)
    changed = replace(_with_thresholds(artifact, first, second), roles=known)
    changed.save(model)
    _tell_change(artifact, changed, tell)
    return changed


def _check_real(chosen: Dataset) -> None:
    if chosen.table.synthetic.any():
        raise EvaluationError(
            f"{int(chosen.table.synthetic.sum()):,} of {len(chosen.rows):,} rows are synthetic (oddrow_synthetic is "
            "true). Set the threshold on real rows only."
        )


def _set_again(artifact: Artifact, asked: Rule | str, chosen: Dataset, scores: Floats) -> Threshold:
    text = str(asked)
    if "@" in text:
        raise ParameterError(
            f"threshold rule {text!r}: the rule looks at the rows of the table. Leave out @ and the rest."
        )
    rule = Rule.parse(text)
    rule.check(chosen.outcomes)
    mark = None if artifact.origin is None else artifact.origin.fingerprint
    seen = 0.0 if mark is None else mark.overlap(hashes_of(artifact.detector, artifact.history, chosen))
    if rule.needs_held_out and seen > MOST_SEEN:
        raise EvaluationError(
            f"threshold rule {rule}: about {seen:.0%} of these rows equal training rows, so the guarantee would not "
            "hold. Use other rows, or a rule without a guarantee, such as quantile."
        )
    looked_at = chosen.take(rule.rows(chosen.outcomes))
    hashes = hashes_of(artifact.detector, artifact.history, looked_at)
    return rule.threshold(scores, chosen.outcomes, source="given", fingerprint=Fingerprint.of(hashes))


def _with_thresholds(artifact: Artifact, first: Threshold, second: Threshold | None) -> Artifact:
    replaced = [artifact.threshold]
    if artifact.block is not None and artifact.block != second:
        replaced.append(artifact.block)
    earlier = (*artifact.earlier, *(cut.without_rows for cut in replaced))[-MOST_EARLIER:]
    return replace(artifact, threshold=first, block=second, earlier=earlier)


def _tell_change(before: Artifact, after: Artifact, tell: Tell) -> None:
    old, new, block = before.threshold, after.threshold, after.block
    tell(f"Threshold {new.value:.6g} ({new.rule}); it was {old.value:.6g} ({old.rule}).")
    tell(new.guarantee_in_words)
    if block is not None:
        change = "Unchanged." if block == before.block else block.guarantee_in_words
        tell(f"Block at {block.value:.6g} or more ({block.rule}). {change}")
        if block.value < new.value:
            tell("That is below the threshold, so every alert is blocked. To change it: --block RULE, or --block none.")


def check_rules(rules: Sequence[Rule], split: Split) -> None:
    """Refuse, before hours of training, a rule that even perfect scores could not support."""
    for rule in rules:
        rows = rows_for(rule, split)
        rule.check(rows.outcomes, trained=source_of(rule, split) == "train")
        perfect = np.nan_to_num(rows.outcomes.labels) + np.linspace(0, 0.5, len(rows.rows))
        rule.threshold(perfect, rows.outcomes)


def choose_threshold(rule: Rule, detector: Detector, history: History | None, split: Split) -> Threshold:
    """Set a threshold on the validation rows, or on the training rows if the rule says so or there are no others."""
    rows = rows_for(rule, split)
    if rule.is_fixed:
        return rule.threshold(np.zeros(0))
    scores = detector.anomaly_score(rows.table)
    fingerprint = Fingerprint.of(hashes_of(detector, history, rows))
    return rule.threshold(scores, rows.outcomes, source=source_of(rule, split), fingerprint=fingerprint)


def source_of(rule: Rule, split: Split) -> str:
    """Return which rows set the threshold: "validation" or "train"."""
    return "train" if split.validation is None else rule.source


def rows_for(rule: Rule, split: Split) -> Dataset:
    """Return the rows that a rule looks at."""
    validation = split.validation if source_of(rule, split) == "validation" else None
    rows = split.training if validation is None else validation
    return rows.take(rule.rows(rows.outcomes))
