"""Evaluate: a saved model and its baselines on labelled rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Unpack

from oddrow.artifact import Artifact
from oddrow.encoding.numeric_matrix import NumericMatrix, TableScorer
from oddrow.errors import EvaluationError, OddrowError, ParameterError, counted
from oddrow.evaluate.baselines import FEWEST_LABELLED, Supervised, baselines
from oddrow.evaluate.evaluation import FOREST_WITH_LABELS, UNTRAINED_COPY, Evaluation
from oddrow.evaluate.result import TestSet, measure
from oddrow.files import check_output_file, write_json
from oddrow.metrics.classification import confusion
from oddrow.table.dataset import Dataset
from oddrow.table.split import Split
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.rule import SOURCES, Rule
from oddrow.thresholds.threshold import Threshold
from oddrow.typing import Floats, Tell, silent
from oddrow.workflow.fitting import training_rows, untrained_copy
from oddrow.workflow.request import Request, RowOptions, check_not_input, hashes_of
from oddrow.workflow.thresholding import FALLBACK_RULE, check_rules, rows_for


class RankedScores(NamedTuple):
    """The scores of a scorer, shape (n,), and its threshold."""

    name: str
    scores: Floats
    cut: Threshold


@dataclass(frozen=True)
class Baselines:
    """The training and validation rows of a model, and the rule that sets the threshold of every baseline."""

    artifact: Artifact
    split: Split
    rule: Rule
    notes: list[str]

    @classmethod
    def of(cls, artifact: Artifact) -> Baselines:
        """Read the rows again; raise `ArtifactError` if they have changed, `TableError` if they are gone."""
        split = training_rows(artifact)
        rule, notes = _rule(artifact, split)
        return cls(artifact, split, rule, notes)

    def ranked(self, chosen: Dataset, others: Mapping[str, TableScorer], tell: Tell) -> Iterator[RankedScores]:
        """Fit every baseline to the training rows, set its threshold by the rule, and score the chosen rows."""
        for name, scorer in {**self._scorers(), **others}.items():
            tell(f"Measuring {name} …")
            yield RankedScores(name, scorer(chosen.table), self._threshold(name, scorer))

    def _threshold(self, name: str, scorer: TableScorer) -> Threshold:
        try:
            return self._by_rule(self.rule, scorer)
        except EvaluationError:
            self.notes.append(
                f"The validation scores of {name} cannot support {self.rule}; {FALLBACK_RULE} sets its threshold."
            )
            return self._by_rule(Rule.parse(FALLBACK_RULE), scorer)

    def _by_rule(self, rule: Rule, scorer: TableScorer) -> Threshold:
        rows = rows_for(rule, self.split)
        fingerprint = Fingerprint.of(hashes_of(self.artifact.detector, self.artifact.history, rows))
        return rule.threshold(scorer(rows.table), rows.outcomes, source=rule.source, fingerprint=fingerprint)

    def _scorers(self) -> dict[str, TableScorer]:
        detector, origin = self.artifact.detector, self.artifact.origin
        seed = 0 if origin is None else origin.seed
        normal = self.split.training.normal.table
        numbers = NumericMatrix(normal)
        scorers = {name: numbers.scorer(model.fit(numbers(normal))) for name, model in baselines(seed).items()}
        # Without a loss curve nothing was trained: the detector is its own untrained copy.
        if detector.loss_curve_:
            scorers[UNTRAINED_COPY] = untrained_copy(detector, self.split).anomaly_score
        known = self.split.training.outcomes
        if known.anomalous.sum() >= FEWEST_LABELLED:
            labelled = self.split.training.take(known.labelled)
            forest = Supervised(seed).fit(numbers(labelled.table), labelled.outcomes.labels)
            scorers[FOREST_WITH_LABELS] = numbers.scorer(forest)
        return scorers


def _rule(artifact: Artifact, split: Split) -> tuple[Rule, list[str]]:
    """Return the rule of the model's threshold, if the validation rows can support it, and notes about it."""
    threshold, fallback = artifact.threshold, Rule.parse(FALLBACK_RULE)
    if threshold.fingerprint is None:
        return fallback, [f"The model's threshold was fixed by hand; {FALLBACK_RULE} sets those of the baselines."]
    if threshold.source in SOURCES:
        return Rule.parse(f"{threshold.rule}@{threshold.source}"), []
    rule = Rule.parse(threshold.rule)
    try:
        check_rules([rule], split)
    except (EvaluationError, ParameterError) as error:
        return fallback, [f"{FALLBACK_RULE} on the validation rows sets the thresholds of the baselines: {error}"]
    return rule, [
        "The model's threshold was set on other rows; its rule on the validation rows sets those of the baselines."
    ]


def evaluate(
    tables: str | Path | Sequence[str | Path],
    model: str | Path,
    *,
    json_to: str | Path | None = None,
    tell: Tell = silent,
    **rows: Unpack[RowOptions],
) -> Evaluation:
    """Measure a saved model on labelled rows, next to its baselines.

    The baselines are IsolationForest, Mahalanobis distance, an untrained copy of the model and, if there are enough
    labels, a random forest trained on them. They are fitted to the model's own training rows, read again from the
    files. If these have changed, the evaluation says so and has no baselines.

    Parameters
    ----------
    tables : str, Path or sequence of those
        Files or patterns.
    model : str or Path
        Folder of the model.
    json_to : str, Path or None, default=None
        JSON file for the results.
    tell : callable, optional
        Receives what is reported: lines of text, then the evaluation.
    **rows : RowOptions
        Which rows and columns: `label`, `anomaly`, `normal`, `weight`, `amount`, `entity`, `time`, `start`, `until`,
        `join`. Options that are left out default to those used in fitting.

    Returns
    -------
    Evaluation
        Metrics of the model and of the baselines.

    Raises
    ------
    OddrowError
        If a table or the model is invalid, or there is nothing to measure.

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
        check_output_file(Path(json_to))
        check_not_input(json_to, tables, rows.get("join"), model)
    artifact = Artifact.load(model)
    chosen = Request.of(artifact, tables, rows).read(tell, both=True)
    evaluation = evaluate_dataset(artifact, chosen, tell=tell)
    tell(evaluation)
    if json_to is not None:
        write_json(evaluation.to_dict(), Path(json_to))
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
    test = TestSet(chosen.outcomes, hashes, chosen.table.synthetic)
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
    artifact: Artifact, test: TestSet, ranked: Sequence[RankedScores], notes: Sequence[str] = ()
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


def _notes_on_block(artifact: Artifact, test: TestSet, scores: Floats) -> list[str]:
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
