"""Evaluate: a saved model and its baselines on labelled rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Unpack

from oddrow.artifact import Artifact
from oddrow.encoding.matrix import TableScorer
from oddrow.errors import OddrowError, ParameterError, counted
from oddrow.evaluate.evaluation import Evaluation
from oddrow.evaluate.result import HeldOutSet, measure
from oddrow.files import check_output_file, write_json
from oddrow.metrics.classification import confusion
from oddrow.table.dataset import Dataset
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.typing import Floats, Tell, silent
from oddrow.workflow.baselines import Baselines, RankedScores
from oddrow.workflow.request import Request, RowOptions, check_not_input, hashes_of


def evaluate(
    tables: str | Sequence[str],
    model: str | Path,
    *,
    json_to: Path | None = None,
    tell: Tell = silent,
    **rows: Unpack[RowOptions],
) -> Evaluation:
    """Measure a saved model on labelled rows, next to its baselines.

    The baselines are IsolationForest, Mahalanobis distance, an untrained copy of the model and, if there are enough
    labels, a random forest trained on them. They are fitted to the model's own training rows, read again from the
    files. If these have changed, the evaluation says so and has no baselines.

    Parameters
    ----------
    tables : str or sequence of str
        Files or patterns.
    model : str or Path
        Folder of the model.
    json_to : Path or None, default=None
        JSON file for the results.
    tell : callable, optional
        Receives what is reported: lines of text, then the evaluation.
    **rows : RowOptions
        Which rows and columns: `label`, `anomaly`, `normal`, `weight`, `amount`, `entity`, `time`, `start`, `until`,
        `join`. What is not given is as when the model was fitted.

    Returns
    -------
    Evaluation
        Metrics of the model and of the baselines.

    Raises
    ------
    OddrowError
        If a table or the model is not as it must be, or there is nothing to measure.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from oddrow import simulate, workflow
    >>> with TemporaryDirectory() as folder:
    ...     table, model = f"{folder}/payments.parquet", f"{folder}/model"
    ...     simulate(2000, random_state=0).write_parquet(table)
    ...     settings = workflow.Settings.gather(options={"drop": "is_fraud,fraud_kind"})
    ...     _ = workflow.fit(table, model, settings)
    ...     evaluation = workflow.evaluate(table, model, label="is_fraud")
    >>> evaluation.results[0].name
    'OddRowDetector'
    """
    if json_to is not None:
        check_output_file(json_to)
        check_not_input(json_to, tables, rows.get("join"), model)
    artifact = Artifact.load(model)
    chosen = Request.of(artifact, tables, rows).read(tell, both=True)
    evaluation = evaluate_dataset(artifact, chosen, tell=tell)
    tell(evaluation)
    if json_to is not None:
        write_json(evaluation.to_dict(), json_to)
    return evaluation


def evaluate_dataset(
    artifact: Artifact, chosen: Dataset, *, others: Mapping[str, TableScorer] | None = None, tell: Tell = silent
) -> Evaluation:
    """Measure a model on labelled rows in memory, next to its baselines.

    Parameters
    ----------
    artifact : Artifact
        The model.
    chosen : Dataset
        The rows, with labels.
    others : mapping of str to callable, optional
        Further scorers to compare with: each takes a table and returns the scores of its rows, shape (n,).
    tell : callable, optional
        Receives what is reported, as text.

    Returns
    -------
    Evaluation
        Metrics of the model, the baselines and the others.

    Raises
    ------
    OddrowError
        If there are no labels, or there is nothing to measure.

    Examples
    --------
    >>> import numpy as np
    >>> from oddrow import Artifact, OddRowDetector, Threshold
    >>> from oddrow.outcomes import Outcomes
    >>> from oddrow.table.table import Table
    >>> rng = np.random.default_rng(0)
    >>> model = Artifact(OddRowDetector(random_state=0).fit(rng.normal(size=(200, 2))), Threshold(5.0, "fixed:5"))
    >>> rows = np.concatenate([rng.normal(size=(50, 2)), [[9.0, 9.0]]])
    >>> chosen = Dataset(Table.from_array(rows), np.arange(51), Outcomes(y=[0] * 50 + [1]))
    >>> evaluate_dataset(model, chosen).results[0].average_precision
    1.0
    """
    return measured(artifact, chosen, others=others, tell=tell).evaluation


class Measured(NamedTuple):
    """An evaluation, and the scores of each scorer in it, shape (n,)."""

    evaluation: Evaluation
    scores: Mapping[str, Floats]


def measured(
    artifact: Artifact, chosen: Dataset, *, others: Mapping[str, TableScorer] | None = None, tell: Tell = silent
) -> Measured:
    """Measure as `evaluate_dataset`, and keep the scores."""
    if chosen.outcomes.y is None:
        raise ParameterError("evaluate needs labels. Name the column: --label COLUMN.")
    hashes = hashes_of(artifact.detector, artifact.history, chosen)
    test = HeldOutSet(chosen.outcomes, hashes, chosen.table.synthetic)
    test.check(artifact.threshold)
    tell("Measuring the model …")
    name, scores = type(artifact.detector).__name__, artifact.detector.anomaly_score(chosen.table)
    ranked = [RankedScores(name, scores, artifact.threshold)]
    notes = [*test.notes, *_notes_on_block(artifact, test, scores)]
    try:
        baselines = Baselines.of(artifact)
        ranked += baselines.ranked(chosen, others or {}, tell)
        notes += baselines.notes
    except OddrowError as error:
        notes.append(f"No baselines: {error}")
    if artifact.roles.weight is not None and chosen.outcomes.weight is None:
        notes.append(f"All rows have weight 1 here; the model was fitted with --weight {artifact.roles.weight}.")
    return Measured(of_ranked(artifact, test, ranked, notes), {each.name: each.scores for each in ranked})


def of_ranked(
    artifact: Artifact, test: HeldOutSet, ranked: Sequence[RankedScores], notes: Sequence[str] = ()
) -> Evaluation:
    """Return the metrics of all scorers on the test rows, the model first."""
    n_unknown = int((~test.outcomes.labelled).sum())
    unknown = (
        [f"{n_unknown:,} rows have no label: they can be alerts, but the metrics leave them out."] if n_unknown else []
    )
    results = tuple(measure(each.name, test, each.scores, each.cut, intervals=True) for each in ranked)
    return Evaluation.of(test, artifact.threshold, results, seen_before(artifact), (*unknown, *notes))


def seen_before(artifact: Artifact) -> dict[str, Fingerprint | None]:
    """Return the fingerprints of the rows that set a model's threshold, and of those that trained it."""
    seen = {"threshold": artifact.threshold.fingerprint}
    return seen if artifact.origin is None else {**seen, "training": artifact.origin.fingerprint}


def _notes_on_block(artifact: Artifact, test: HeldOutSet, scores: Floats) -> list[str]:
    block = artifact.block
    if block is None:
        return []
    test.check(block)
    rows, labelled = test.outcomes, test.labelled
    blocked, alerts = (cut.alerts(scores, rows.time, rows.entity) for cut in (block, artifact.threshold))
    blocked &= alerts
    found = confusion(labelled.labels, blocked[rows.labelled], sample_weight=labelled.weight)
    return [
        f"Block at {block.value:.6g} or more ({block.rule}): {counted(int(blocked.sum()), 'alert')}, precision "
        f"{found.precision:.3f}, recall {found.recall:.3f}."
    ]
