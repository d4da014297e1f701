"""Fit: from tables to a saved model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from oddrow.artifact import Artifact, Origin
from oddrow.artifact.saved_folder import check_writable
from oddrow.detectors.base import Detector
from oddrow.encoding.check_input import check_row_count
from oddrow.errors import ArtifactError, EvaluationError, TrainingError, counted
from oddrow.table.dataset import Dataset, read_dataset, tell_columns
from oddrow.table.parquet import MemoryBudget, ParquetFrame, memory_budget
from oddrow.table.schema import check_features
from oddrow.table.split import Split, split_dataset
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.rule import Rule
from oddrow.thresholds.threshold import Threshold
from oddrow.typing import Tell, silent
from oddrow.workflow.request import as_tuple, hashes_of
from oddrow.workflow.settings import Settings
from oddrow.workflow.thresholding import FALLBACK_RULE, check_rules, choose_threshold


def fit(
    tables: str | Path | Sequence[str | Path],
    out: str | Path,
    settings: Settings,
    *,
    memory: str | None = None,
    progress: bool = False,
    tell: Tell = silent,
    command: str = "",
) -> Artifact:
    """Fit a detector to tables, set a threshold, and save both.

    Known anomalies are excluded from training. A share of the rows (`training.validation_fraction`, the latest if
    there is a time column) is held out: these validation rows stop the training and set the threshold.

    Parameters
    ----------
    tables : str, Path or sequence of those
        Files or patterns.
    out : str or Path
        Folder for the model. An older model there is replaced, and only if all went well.
    settings : Settings
        The detector, the roles of the columns, the rule of the threshold and so on.
    memory : str or None, default=None
        Memory limit such as "2GB": rows that do not fit stay on disk.
    progress : bool, default=False
        Whether to show a progress bar.
    tell : callable, optional
        Receives what `fit` reports: lines of text, and the schema.
    command : str, default=""
        The command line, for the model card.

    Returns
    -------
    Artifact
        The saved model.

    Raises
    ------
    OddrowError
        If a table, a setting or the folder is invalid.

    See Also
    --------
    score : Score rows with the model.
    threshold : Set another threshold without training.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from oddrow import simulate, workflow
    >>> with TemporaryDirectory() as folder:
    ...     simulate(400, random_state=0).write_csv(f"{folder}/payments.csv")
    ...     settings = workflow.Settings.gather(
    ...         options={"time": "time", "drop": "is_fraud,fraud_kind", "threshold": "quantile:0.9"}
    ...     )
    ...     model = workflow.fit(f"{folder}/payments.csv", f"{folder}/model", settings)
    >>> model.threshold.rule
    'quantile:0.9'
    """
    out = Path(out)
    check_writable(out)
    with memory_budget(memory, out) as budget:
        detector = settings.new_detector(checkpoint=f"{out}.checkpoint", progress=progress)
        chosen = _read(tables, settings, budget, tell)
        split = split_dataset(chosen, settings.roles, detector._used_training.validation_fraction, settings.seed)
        check_rules([rule for rule in (settings.threshold, settings.block) if rule is not None], split)
        _train(detector, split)
        artifact = Artifact(
            detector=detector,
            threshold=_set_threshold(settings.threshold, detector, settings, split, tell),
            read=settings.read,
            roles=settings.roles,
            origin=_origin(tables, settings, detector, split, command),
            block=None if settings.block is None else _set_threshold(settings.block, detector, settings, split, tell),
            history=settings.history,
        )
        is_new = not out.exists()
        artifact.save(out)
    for line in _summary(artifact, len(chosen.rows)):
        tell(line)
    tell(f"{'Saved' if is_new else 'Replaced'} {out}.")
    return artifact


def _read(
    tables: str | Path | Sequence[str | Path], settings: Settings, budget: MemoryBudget | None, tell: Tell
) -> Dataset:
    """Read the rows, with the schema and the columns that fitting needs."""
    chosen = settings.select(tables, memory=budget)
    if isinstance(chosen.table.frame, ParquetFrame):
        tell(f"{len(chosen.rows):,} rows do not fit into the memory limit and stay on disk.")
    check_row_count(chosen.table, 2)
    schema = settings.schema_of(chosen.table)
    tell_columns(chosen.table, schema, settings.roles.time, tell)
    if unseen := settings.roles.unseen_values(chosen.table.frame):
        values = " or ".join(map(repr, unseen))
        tell(f"No row has {values} in column '{settings.roles.label}'. Check --anomaly and --normal.")
    check_features(schema)
    schema.check(chosen.table.frame, chosen.rows)
    entities = [] if settings.history is None else settings.history.entities
    needed = [*schema.feature_names, *settings.roles.columns, *entities]
    return replace(chosen, table=chosen.table.keep(needed).with_schema(schema))


def _train(detector: Detector, split: Split) -> None:
    checkpoint = detector._used_training.checkpoint
    try:
        fit_detector(detector, split)
    except KeyboardInterrupt as interrupt:
        if checkpoint is not None and Path(checkpoint).exists():
            raise TrainingError(f"stopped. Run the same command again to go on from {checkpoint}.") from interrupt
        raise TrainingError("stopped before anything was saved.") from interrupt
    detector.set_params(training__checkpoint=None, training__progress=False, training__tensorboard=None)


def fit_detector(detector: Detector, split: Split) -> None:
    """Fit to the training rows, with the normal validation rows to stop by."""
    validation = None if split.validation is None else split.validation.normal.table
    detector.fit(split.training.table, split.training.outcomes.y, validation=validation)


def _set_threshold(rule: Rule, detector: Detector, settings: Settings, split: Split, tell: Tell) -> Threshold:
    """Set a threshold; if the scores cannot support the rule, use another rather than lose hours of training."""
    try:
        return choose_threshold(rule, detector, settings.history, split)
    except EvaluationError as error:
        tell(f"{error}\n{FALLBACK_RULE} sets the threshold instead. To change it without training: oddrow threshold.")
        return choose_threshold(Rule.parse(FALLBACK_RULE), detector, settings.history, split)


def _origin(
    tables: str | Path | Sequence[str | Path], settings: Settings, detector: Detector, split: Split, command: str
) -> Origin:
    return Origin(
        tables=as_tuple(tables),
        start=settings.start,
        until=settings.until,
        n_rows=len(split.training.rows),
        n_validation=0 if split.validation is None else len(split.validation.normal.rows),
        seed=settings.seed,
        fingerprint=Fingerprint.of(hashes_of(detector, settings.history, split.training)),
        command=command,
        join=settings.join,
        roles=settings.roles,
    )


def _summary(artifact: Artifact, n_rows: int) -> Iterator[str]:
    detector, origin, threshold, block = artifact.detector, artifact.origin, artifact.threshold, artifact.block
    assert origin is not None
    n_known = detector.n_known_anomalies_
    n_fitted = origin.n_rows - n_known
    n_others = n_rows - n_fitted - origin.n_validation
    known = f"{counted(n_others, 'known anomaly', 'known anomalies')} excluded"
    if detector._learns_from_known:
        known = f"{n_known:,} known anomalies learned, {n_others - n_known:,} kept to set the threshold"
    epochs = f" in {counted(detector.n_epochs_, 'epoch')}" if detector.n_epochs_ else ""
    yield f"Fitted to {n_fitted:,} of {n_rows:,} rows{epochs}; {origin.n_validation:,} held out, {known}."
    if notes := "; ".join(detector._training_notes):
        yield f"{notes[0].upper()}{notes[1:]}."
    yield f"Threshold {threshold.value:.6g} ({threshold.chosen_by})."
    yield threshold.guarantee_in_words
    if block is not None:
        yield f"Block at {block.value:.6g} or more ({block.rule}). {block.guarantee_in_words}"
        if block.value < threshold.value:
            yield "That is below the threshold, so every alert is blocked. To change it: oddrow threshold --block RULE."


def training_rows(artifact: Artifact) -> Split:
    """Read the training and validation rows of a model again.

    Parameters
    ----------
    artifact : Artifact
        A model that was fitted from files.

    Returns
    -------
    Split
        The training rows and the validation rows.

    Raises
    ------
    ArtifactError
        If the model was not fitted from files, or the rows have changed.
    TableError
        If a file is missing.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from oddrow import simulate, workflow
    >>> with TemporaryDirectory() as folder:
    ...     simulate(400, random_state=0).write_csv(f"{folder}/payments.csv")
    ...     settings = workflow.Settings.gather(options={"drop": "is_fraud,fraud_kind"})
    ...     model = workflow.fit(f"{folder}/payments.csv", f"{folder}/model", settings)
    ...     split = training_rows(model)
    >>> len(split.training.rows) + len(split.validation.rows)
    400
    """
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
    split = split_dataset(chosen, origin.roles, artifact.detector._used_training.validation_fraction, origin.seed)
    if not origin.fingerprint.is_of(hashes_of(artifact.detector, artifact.history, split.training)):
        raise ArtifactError(
            f"{origin.named} no longer holds the rows that the model was trained on, or a recipe drew them at random."
        )
    return split


def untrained_copy(detector: Detector, split: Split) -> Detector:
    """Return the same detector with the same seed, fitted without training its network."""
    copy = detector._copy(training=detector._used_training._copy(epochs=0, checkpoint=None))
    fit_detector(copy, split)
    return copy
