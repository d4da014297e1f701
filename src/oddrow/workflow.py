"""The whole story, in Python and for the command line: fit, score, evaluate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.artifact import Artifact, Origin, check_writable
from oddrow.detectors.base import Detector, check_enough_rows
from oddrow.errors import (
    ArtifactError,
    OddrowError,
    ParameterError,
    TableError,
    TrainingError,
    counted,
)
from oddrow.evaluate.baselines import baselines
from oddrow.evaluate.protocol import Evaluation, HeldOut, Result, measure
from oddrow.settings import Settings
from oddrow.table.fingerprint import table_hashes
from oddrow.table.join import Join, read_joined
from oddrow.table.numbers import Numbers, Scorer
from oddrow.table.roles import Roles
from oddrow.table.schema import Schema, check_features
from oddrow.table.selection import Division, Selection, divide, read_selection, tell_columns
from oddrow.table.table import SYNTHETIC, Table
from oddrow.table.write import check_place, check_target, write_json, write_table
from oddrow.thresholds import Fingerprint, Rule, Threshold
from oddrow.train.training import Training

Floats = npt.NDArray[np.float64]
Tell = Callable[[Any], None]

# What cuts the baselines where the model's own threshold was given rather than chosen.
STAND_IN_RULE = "quantile:0.99"


def silent(message: Any) -> None:
    """Tell nobody."""


def inspect(tables: str | Sequence[str], settings: Settings, *, tell: Tell = silent) -> Schema:
    """Tell what each column of a table is taken for, and which values do not fit; nothing is refused."""
    table = read_joined(tables, settings.read, settings.join)
    settings.roles.check(table.columns)
    schema = settings.schema_of(table)
    tell(f"{table.source}: {table.n_rows:,} rows, {len(table.columns):,} columns")
    _tell_note(table, tell)
    tell(schema)
    try:
        schema.conform(table.frame)
    except TableError as error:
        tell(f"fit would refuse this table:\n{error}")
    return schema


def fit(
    tables: str | Sequence[str],
    out: str | Path,
    settings: Settings,
    *,
    tell: Tell = silent,
    command: str = "",
) -> Artifact:
    """Read tables, learn what is normal, choose a threshold, save the model in the folder `out`.

    Raises an `OddrowError` where anything is wrong; then `out` is untouched.
    """
    out = Path(out)
    check_writable(out)
    checkpoint = f"{out}.checkpoint"
    detector = settings.new_detector(checkpoint=checkpoint, progress=tell is not silent)
    chosen = read_selection(tables, settings.read, settings.roles, settings.start, settings.until, join=settings.join)
    check_enough_rows(chosen.table, 2)
    schema = settings.schema_of(chosen.table)
    tell_columns(chosen.table, schema, settings.roles.time, tell)
    check_features(schema)
    schema.check(chosen.table.frame, chosen.rows)
    needed = [*schema.feature_names, *settings.roles.columns]
    chosen = replace(chosen, table=chosen.table.keep(needed).with_schema(schema))
    division = divide(chosen, settings.roles, detector.used_training.validation_fraction, settings.seed)
    try:
        _fit_detector(detector, division)
    except KeyboardInterrupt as interrupt:
        raise TrainingError(_how_to_resume(detector.used_training.checkpoint)) from interrupt
    detector.used_training.set_params(checkpoint=None, progress=False, tensorboard=None)
    threshold = choose_threshold(settings.threshold, detector, division)
    origin = _origin(tables, settings, detector, division, command)
    artifact = Artifact(detector, threshold, settings.read, settings.roles, origin)
    done = "Replaced" if out.exists() else "Saved"
    artifact.save(out)
    n_fitted = origin.n_rows - detector.n_known_anomalies_
    n_left_out = len(chosen.rows) - n_fitted - origin.n_held_out
    tell(
        f"{len(chosen.rows):,} rows: {n_fitted:,} trained on in {counted(detector.n_epochs_, 'epoch')}, "
        f"{origin.n_held_out:,} held out, {n_left_out:,} known anomalies left out."
    )
    tell(f"Threshold {threshold.value:.6g} ({threshold.rule}, chosen on the {threshold.source} rows). {done} {out}.")
    return artifact


def score(
    tables: str | Sequence[str],
    model: str | Path,
    out: str | Path,
    *,
    time: str | None = None,
    start: str | None = None,
    until: str | None = None,
    join: str | None = None,
    tell: Tell = silent,
) -> pl.DataFrame:
    """Score the rows of tables with a saved model and write id or row, anomaly_score and alert to `out`.

    `join` is the table to put beside them, for a model that was fitted with one.
    """
    check_target(Path(out))
    if Path(out).resolve() in {Path(table).resolve() for table in (*_named(tables), *([join] if join else []))}:
        raise TableError(f"{out}: this is a table to read; its rows would be lost. Give another --out.")
    artifact = Artifact.load(model)
    joined = _join_for(artifact, join)
    roles = Roles(time=time or (artifact.roles.time if start or until else None), id=artifact.roles.id)
    chosen = read_selection(tables, artifact.read, roles, start, until, join=joined)
    _tell_note(chosen.table, tell)
    artifact.detector.schema_.check(chosen.table.frame, chosen.rows)
    scored = score_table(artifact, chosen)
    write_table(scored, out)
    tell(
        f"{int(scored['alert'].sum()):,} alerts in {scored.height:,} rows (score at least "
        f"{artifact.threshold.value:.6g}). Wrote {out}."
    )
    return scored


def score_table(artifact: Artifact, chosen: Selection) -> pl.DataFrame:
    """The scored rows: the id column under its own name, else `row` (0-based), then anomaly_score and alert."""
    scores = artifact.detector.anomaly_score(chosen.table)
    name = artifact.roles.id
    if name in ("anomaly_score", "alert"):
        raise TableError(f"the id column '{name}' has the name of a column that score writes. Rename it.")
    first = chosen.table.frame[name] if name is not None else pl.Series("row", chosen.rows)
    marks = [pl.Series(SYNTHETIC, chosen.table.synthetic)] if chosen.table.synthetic.any() else []
    alerts = pl.Series("alert", artifact.threshold.alerts(scores))
    return pl.DataFrame([first, pl.Series("anomaly_score", scores), alerts, *marks])


def evaluate(
    tables: str | Sequence[str],
    model: str | Path,
    *,
    label: str | None = None,
    anomaly: Sequence[str] = (),
    normal: Sequence[str] = (),
    weight: str | None = None,
    time: str | None = None,
    start: str | None = None,
    until: str | None = None,
    join: str | None = None,
    json_to: Path | None = None,
    tell: Tell = silent,
) -> Evaluation:
    """Measure a saved model on labelled rows beside IsolationForest, Mahalanobis and its untrained twin.

    The baselines are fitted to the model's own training rows, read again from where they were; where these are gone
    or have changed, the result says so and stands alone. `join` is as in `score`, `json_to` a file for the numbers.
    """
    if json_to is not None:
        check_place(json_to)
    artifact = Artifact.load(model)
    joined = _join_for(artifact, join)
    roles = replace(
        artifact.roles,
        label=label or artifact.roles.label,
        anomaly=tuple(anomaly) or artifact.roles.anomaly,
        normal=tuple(normal) or artifact.roles.normal,
        weight=weight,
        time=time or (artifact.roles.time if start or until else None),
        id=None,
        drop=(),
    )
    chosen = read_selection(tables, artifact.read, roles, start, until, join=joined, both=True)
    _tell_note(chosen.table, tell)
    artifact.detector.schema_.check(chosen.table.frame, chosen.rows)
    evaluation = evaluate_selection(artifact, chosen, tell=tell)
    tell(evaluation)
    if json_to is not None:
        write_json(evaluation.to_dict(), json_to)
    return evaluation


def evaluate_selection(
    artifact: Artifact, chosen: Selection, *, others: Mapping[str, Scorer] | None = None, tell: Tell = silent
) -> Evaluation:
    """Measure on rows already chosen; `others` are further rankings of a table's rows to stand beside."""
    if chosen.y is None:
        raise ParameterError("evaluate needs to know the label: --label C.")
    known = ~np.isnan(chosen.y)
    notes = [] if known.all() else [f"{int((~known).sum()):,} rows without a label were left out."]
    y, chosen = chosen.y[known], chosen.take(known)
    test = HeldOut(y, _hashes(artifact.detector, chosen), chosen.table.synthetic, chosen.weight)
    test.check(artifact.threshold)
    name = type(artifact.detector).__name__
    results = [measure(name, test, artifact.detector.anomaly_score(chosen.table), artifact.threshold)]
    try:
        results += _baseline_results(artifact, chosen, test, others or {}, tell)
    except OddrowError as error:
        notes.append(f"No baselines: {error}")
    if artifact.roles.weight is not None and chosen.weight is None:
        notes.append(f"Rows count alike here; the model was fitted with --weight {artifact.roles.weight}.")
    if artifact.threshold.fingerprint is None:
        notes.append(f"The threshold was given; the baselines are cut by {STAND_IN_RULE}.")
    seen = {"threshold": artifact.threshold.fingerprint}
    if artifact.origin is not None:
        seen["training"] = artifact.origin.fingerprint
    return Evaluation.of(test, artifact.threshold, tuple(results), seen, tuple(notes))


def choose_threshold(rule: Rule, detector: Detector, division: Division) -> Threshold:
    """Choose by the held-out rows' scores, or the training rows' where the rule says so or none are held out."""
    if rule.name == "fixed":
        return Threshold(rule.number, str(rule))
    rows = _rows_for(rule, division)
    scores = detector.anomaly_score(rows.table)
    fingerprint = Fingerprint.of(_hashes(detector, rows))
    return Threshold(rule.choose(scores, rows.weight), str(rule), _source(rule, division), fingerprint)


def _tell_note(table: Table, tell: Tell) -> None:
    if table.note:
        tell(table.note)


def _source(rule: Rule, division: Division) -> str:
    return "train" if division.held_out is None else rule.source


def _rows_for(rule: Rule, division: Division) -> Selection:
    if _source(rule, division) == "validation" and division.held_out is not None:
        return division.held_out
    return division.fitting.normal


def _fit_detector(detector: Detector, division: Division) -> None:
    validation = None if division.held_out is None else division.held_out.table
    detector.fit(division.fitting.table, division.fitting.y, validation=validation)


def _how_to_resume(checkpoint: str | None) -> str:
    if checkpoint is not None and Path(checkpoint).exists():
        return (
            f"stopped. The state of training is kept in {checkpoint}: run the same command again to go on from there."
        )
    return "stopped; nothing was written, and there is no state of training to go on from."


def _hashes(detector: Detector, chosen: Selection) -> npt.NDArray[np.uint64]:
    return table_hashes(chosen.table.frame, detector.schema_)


def _named(tables: str | Sequence[str]) -> tuple[str, ...]:
    return (tables,) if isinstance(tables, str) else tuple(str(table) for table in tables)


def _join_for(artifact: Artifact, table: str | None) -> Join | None:
    """The table given now, by the key that the model was fitted with."""
    fitted = artifact.origin.join if artifact.origin is not None else None
    if fitted is None and table:
        raise ParameterError(f"--join {table}: the model was fitted without a joined table. Leave --join out.")
    if fitted is not None and not table:
        raise ParameterError(
            f"the model was fitted with {fitted.table} joined on '{fitted.on}': say which table to join here, "
            "that one or one like it: --join TABLE."
        )
    return Join(table, fitted.on) if fitted is not None and table else None


def _origin(
    tables: str | Sequence[str], settings: Settings, detector: Detector, division: Division, command: str
) -> Origin:
    n_held_out = 0 if division.held_out is None else len(division.held_out.rows)
    return Origin(
        _named(tables),
        settings.start,
        settings.until,
        len(division.fitting.rows),
        n_held_out,
        settings.seed,
        Fingerprint.of(_hashes(detector, division.fitting)),
        command,
        settings.join,
    )


def training_rows(artifact: Artifact) -> Division:
    """The rows a model was trained on and those held out, read again. Raises `ArtifactError` where they changed."""
    origin = artifact.origin
    if origin is None:
        raise ArtifactError("the model was not fitted from files.")
    chosen = read_selection(origin.tables, artifact.read, artifact.roles, origin.start, origin.until, join=origin.join)
    chosen = replace(chosen, table=chosen.table.with_schema(artifact.detector.schema_))
    division = divide(chosen, artifact.roles, artifact.detector.used_training.validation_fraction, origin.seed)
    if not origin.fingerprint.is_of(_hashes(artifact.detector, division.fitting)):
        raise ArtifactError(
            f"{origin.named} no longer holds the rows that the model was trained on, or a recipe drew them."
        )
    return division


def _baseline_results(
    artifact: Artifact, chosen: Selection, test: HeldOut, others: Mapping[str, Scorer], tell: Tell
) -> list[Result]:
    """Baselines and the untrained twin, fitted and cut like the model: same rows, same rule."""
    division = training_rows(artifact)
    given = artifact.threshold
    rule = Rule.parse(f"{given.rule}@{given.source}" if given.fingerprint is not None else STAND_IN_RULE)
    cut_rows = _rows_for(rule, division)
    results = []
    for name, scorer in {**_scorers(artifact, division), **others}.items():
        tell(f"Measuring {name} …")
        value = rule.choose(scorer(cut_rows.table), cut_rows.weight)
        cut = Threshold(value, str(rule), rule.source, Fingerprint.of(_hashes(artifact.detector, cut_rows)))
        results.append(measure(name, test, scorer(chosen.table), cut))
    return results


def _scorers(artifact: Artifact, division: Division) -> dict[str, Scorer]:
    normal = division.fitting.normal.table
    numbers = Numbers(normal)
    seed = artifact.origin.seed if artifact.origin is not None else 0
    scorers = {name: numbers.scorer(model.fit(numbers(normal))) for name, model in baselines(seed).items()}
    return {**scorers, "untrained twin": _untrained_twin(artifact.detector, division).anomaly_score}


def _untrained_twin(detector: Detector, division: Division) -> Detector:
    """The same detector with the same seed, no epoch trained."""
    training = Training(**{**detector.used_training.get_params(), "epochs": 0, "checkpoint": None})
    twin = type(detector)(**{**detector.get_params(deep=False), "training": training})
    _fit_detector(twin, division)
    return twin
