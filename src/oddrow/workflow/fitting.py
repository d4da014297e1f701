"""Fitting: tables in, a saved model out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from oddrow.artifact import Artifact, Origin, check_writable
from oddrow.detectors.base import Detector
from oddrow.encoding.input import check_row_count
from oddrow.errors import ArtifactError, EvaluationError, TrainingError, counted
from oddrow.table.dataset import Split, read_dataset, split_dataset, tell_columns
from oddrow.table.parquet import MemoryBudget, ParquetFrame, memory_budget
from oddrow.table.schema import check_features
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.rule import Rule
from oddrow.thresholds.threshold import Threshold
from oddrow.train.training import Training
from oddrow.typing import Tell, silent
from oddrow.workflow.request import hashes_of, named
from oddrow.workflow.settings import Settings
from oddrow.workflow.thresholding import STAND_IN_RULE, check_rules, choose_threshold


def fit(
    tables: str | Sequence[str],
    out: str | Path,
    settings: Settings,
    *,
    memory: str | None = None,
    tell: Tell = silent,
    command: str = "",
) -> Artifact:
    """Read tables, learn what is normal, choose a threshold, save the model in the folder `out`.

    With `memory`, as "2GB", rows that do not fit into it stay on disk, encoded beside `out` while training goes on.
    Raises an `OddrowError` where anything is wrong; then `out` is untouched.
    """
    out = Path(out)
    check_writable(out)
    with memory_budget(memory, out) as budget:
        return _fit(tables, out, settings, budget, tell, command)


def _fit(
    tables: str | Sequence[str], out: Path, settings: Settings, budget: MemoryBudget | None, tell: Tell, command: str
) -> Artifact:
    checkpoint = f"{out}.checkpoint"
    detector = settings.new_detector(checkpoint=checkpoint, progress=tell is not silent)
    chosen = settings.select(tables, memory=budget)
    if isinstance(chosen.table.frame, ParquetFrame):
        tell(f"{len(chosen.rows):,} rows are too many for the memory given: they stay on disk.")
    check_row_count(chosen.table, 2)
    schema = settings.schema_of(chosen.table)
    tell_columns(chosen.table, schema, settings.roles.time, tell)
    if unseen := settings.roles.unseen_values(chosen.table.frame):
        tell(f"No row has {' or '.join(map(repr, unseen))} in '{settings.roles.label}': see --anomaly and --normal.")
    check_features(schema)
    schema.check(chosen.table.frame, chosen.rows)
    whose = [] if settings.history is None else settings.history.entities
    needed = [*schema.feature_names, *settings.roles.columns, *whose]
    chosen = replace(chosen, table=chosen.table.keep(needed).with_schema(schema))
    division = split_dataset(chosen, settings.roles, detector._used_training.validation_fraction, settings.seed)
    rules = [rule for rule in (settings.threshold, settings.block) if rule is not None]
    check_rules(rules, division)
    try:
        fit_detector(detector, division)
    except KeyboardInterrupt as interrupt:
        raise TrainingError(_how_to_resume(detector._used_training.checkpoint)) from interrupt
    detector.set_params(training__checkpoint=None, training__progress=False, training__tensorboard=None)
    threshold = _choose(settings.threshold, detector, settings, division, tell)
    block = None if settings.block is None else _choose(settings.block, detector, settings, division, tell)
    origin = _origin(tables, settings, detector, division, command)
    artifact = Artifact(detector, threshold, settings.read, settings.roles, origin, block, history=settings.history)
    done = "Replaced" if out.exists() else "Saved"
    artifact.save(out)
    tell(_trained_on(len(chosen.rows), origin, detector))
    if about := "; ".join(detector._training_notes):
        tell(f"{about[0].upper()}{about[1:]}.")
    tell(f"Threshold {threshold.value:.6g} ({threshold.rule}, chosen on the {threshold.source} rows). {done} {out}.")
    tell(threshold.guarantee_in_words)
    if block is not None:
        tell(f"Block from {block.value:.6g} on ({block.rule}). {block.guarantee_in_words}")
        if block.value < threshold.value:
            tell("That is below the threshold: whatever is an alert is blocked. Choose another cut: oddrow threshold.")
    return artifact


def _trained_on(n_rows: int, origin: Origin, detector: Detector) -> str:
    """How many rows did what."""
    n_fitted = origin.n_rows - detector.n_known_anomalies_
    n_others = n_rows - n_fitted - origin.n_held_out
    others = f"{n_others:,} known anomalies left out"
    if detector._learns_from_known:
        n_learned = detector.n_known_anomalies_
        others = f"{n_learned:,} known anomalies learned from, {n_others - n_learned:,} kept to choose cuts by"
    epochs = detector.n_epochs_
    taught = f"trained on in {counted(epochs, 'epoch')}" if epochs else "learned from"
    return f"{n_rows:,} rows: {n_fitted:,} {taught}, {origin.n_held_out:,} held out, {others}."


def _choose(rule: Rule, detector: Detector, settings: Settings, division: Split, tell: Tell) -> Threshold:
    """The threshold of a rule; where the scores cannot support it, hours of training are not thrown away."""
    try:
        return choose_threshold(rule, detector, settings.history, division)
    except EvaluationError as error:
        tell(f"{error}\nCut by {STAND_IN_RULE} instead. Choose again, without training: oddrow threshold.")
        return choose_threshold(Rule.parse(STAND_IN_RULE), detector, settings.history, division)


def fit_detector(detector: Detector, division: Split) -> None:
    """Train on the rows to fit, watched on the normal ones held out."""
    validation = None if division.held_out is None else division.held_out.normal.table
    detector.fit(division.fitting.table, division.fitting.outcomes.y, validation=validation)


def _how_to_resume(checkpoint: str | None) -> str:
    if checkpoint is not None and Path(checkpoint).exists():
        return (
            f"stopped. The state of training is kept in {checkpoint}: run the same command again to go on from there."
        )
    return "stopped; nothing was written, and there is no state of training to go on from."


def _origin(
    tables: str | Sequence[str], settings: Settings, detector: Detector, division: Split, command: str
) -> Origin:
    n_held_out = 0 if division.held_out is None else len(division.held_out.normal.rows)
    return Origin(
        named(tables),
        settings.start,
        settings.until,
        len(division.fitting.rows),
        n_held_out,
        settings.seed,
        Fingerprint.of(hashes_of(detector, settings.history, division.fitting)),
        command,
        settings.join,
        settings.roles,
    )


def training_rows(artifact: Artifact) -> Split:
    """The rows a model was trained on and those held out, read again. Raises `ArtifactError` where they changed."""
    origin = artifact.origin
    if origin is None:
        raise ArtifactError("the model was not fitted from files.")
    chosen = read_dataset(
        origin.tables,
        artifact.read,
        origin.roles,
        origin.start,
        origin.until,
        join=origin.join,
        history=artifact.history,
    )
    chosen = replace(chosen, table=chosen.table.with_schema(artifact.detector.schema_))
    division = split_dataset(chosen, origin.roles, artifact.detector._used_training.validation_fraction, origin.seed)
    if not origin.fingerprint.is_of(hashes_of(artifact.detector, artifact.history, division.fitting)):
        raise ArtifactError(
            f"{origin.named} no longer holds the rows that the model was trained on, or a recipe drew them."
        )
    return division


def untrained_copy(detector: Detector, division: Split) -> Detector:
    """The same detector with the same seed, no epoch trained."""
    training = Training(**{**detector._used_training.get_params(), "epochs": 0, "checkpoint": None})
    twin = type(detector)(**{**detector.get_params(deep=False), "training": training})
    fit_detector(twin, division)
    return twin
