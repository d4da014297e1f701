"""Evaluating: labelled tables and a saved model in, its numbers beside the baselines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from oddrow.artifact import Artifact
from oddrow.encoding.matrix import TableScorer
from oddrow.errors import OddrowError, ParameterError
from oddrow.evaluate.evaluation import Evaluation, HeldOutSet, measure
from oddrow.files import check_output_file, write_json
from oddrow.metrics.classification import confusion
from oddrow.table.dataset import Dataset
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.typing import Floats, Tell, silent
from oddrow.workflow.baselines import Baselines, RankedScores
from oddrow.workflow.request import check_out, hashes_of, roles_given, select_for


def evaluate(
    tables: str | Sequence[str],
    model: str | Path,
    *,
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
    json_to: Path | None = None,
    tell: Tell = silent,
) -> Evaluation:
    """Measure a saved model on labelled rows beside IsolationForest, Mahalanobis and its untrained twin.

    The baselines are fitted to the model's own training rows, read again from where they were; where these are gone
    or have changed, the result says so and stands alone. `join` is as in `score`, `json_to` a file for the numbers.
    """
    if json_to is not None:
        check_output_file(json_to)
        check_out(json_to, tables, join, model)
    artifact = Artifact.load(model)
    given = {"label": label, "anomaly": tuple(anomaly), "normal": tuple(normal), "weight": weight, "time": time}
    roles, absent = roles_given(artifact, {**given, "amount": amount, "entity": entity})
    chosen = select_for(artifact, tables, roles, start, until, join, tell=tell, both=True, absent=absent)
    evaluation = evaluate_dataset(artifact, chosen, tell=tell)
    tell(evaluation)
    if json_to is not None:
        write_json(evaluation.to_dict(), json_to)
    return evaluation


def evaluate_dataset(
    artifact: Artifact, chosen: Dataset, *, others: Mapping[str, TableScorer] | None = None, tell: Tell = silent
) -> Evaluation:
    """Measure on rows already chosen; `others` are further rankings of a table's rows to stand beside."""
    return measured(artifact, chosen, others=others, tell=tell).evaluation


class Measured(NamedTuple):
    """An evaluation, and the scores (n,) of everybody in it by name."""

    evaluation: Evaluation
    scores: Mapping[str, Floats]


def measured(
    artifact: Artifact, chosen: Dataset, *, others: Mapping[str, TableScorer] | None = None, tell: Tell = silent
) -> Measured:
    """As `evaluate_dataset`, with the scores behind the numbers."""
    if chosen.outcomes.y is None:
        raise ParameterError("evaluate needs to know the label: --label C.")
    hashes = hashes_of(artifact.detector, artifact.history, chosen)
    test = HeldOutSet(chosen.outcomes, hashes, chosen.table.synthetic)
    test.check(artifact.threshold)
    tell("Measuring the model …")
    name, scores = type(artifact.detector).__name__, artifact.detector.anomaly_score(chosen.table)
    ranked, notes = [RankedScores(name, scores, artifact.threshold)], [*test.notes, *_of_block(artifact, test, scores)]
    try:
        beside = Baselines.of(artifact)
        ranked += beside.ranked(chosen, others or {}, tell)
        notes += beside.notes
    except OddrowError as error:
        notes.append(f"No baselines: {error}")
    if artifact.roles.weight is not None and chosen.outcomes.weight is None:
        notes.append(f"Rows count alike here; the model was fitted with --weight {artifact.roles.weight}.")
    return Measured(of_ranked(artifact, test, ranked, notes), {each.name: each.scores for each in ranked})


def of_ranked(
    artifact: Artifact, test: HeldOutSet, ranked: Sequence[RankedScores], notes: Sequence[str] = ()
) -> Evaluation:
    """The numbers of everybody on the test rows, the model first, and how many of these it has seen before."""
    n_unknown = int((~test.outcomes.labelled).sum())
    unknown = [f"{n_unknown:,} rows without a label are decided on and not measured."] if n_unknown else []
    results = tuple(measure(each.name, test, each.scores, each.cut, intervals=True) for each in ranked)
    return Evaluation.of(test, artifact.threshold, results, seen_before(artifact), (*unknown, *notes))


def seen_before(artifact: Artifact) -> dict[str, Fingerprint | None]:
    """The rows that a model has seen: those that chose its threshold, and those that it learned from."""
    seen = {"threshold": artifact.threshold.fingerprint}
    return seen if artifact.origin is None else {**seen, "training": artifact.origin.fingerprint}


def _of_block(artifact: Artifact, test: HeldOutSet, scores: Floats) -> list[str]:
    """What the second cut does, where there is one: of the alerts, those that reach it too."""
    block = artifact.block
    if block is None:
        return []
    test.check(block)
    rows, labelled = test.outcomes, test.labelled
    blocked, alerts = (cut.alerts(scores, rows.time, rows.entity) for cut in (block, artifact.threshold))
    blocked &= alerts
    found = confusion(labelled.labels, blocked[rows.labelled], sample_weight=labelled.weight)
    return [
        f"Block from {block.value:.6g} on ({block.rule}): {int(blocked.sum()):,} of the alerts, precision "
        f"{found.precision:.3f}, recall {found.recall:.3f}."
    ]
