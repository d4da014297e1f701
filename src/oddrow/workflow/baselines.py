"""Scorers to compare a model with: simple baselines, its untrained copy, and a forest that has the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from oddrow.artifact import Artifact
from oddrow.encoding.matrix import NumericMatrix, TableScorer
from oddrow.errors import EvaluationError, ParameterError
from oddrow.evaluate.baselines import FEWEST_LABELLED, Supervised, baselines
from oddrow.table.dataset import Dataset, Split
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.rule import SOURCES, Rule
from oddrow.thresholds.threshold import Threshold
from oddrow.typing import Floats, Tell
from oddrow.workflow.fitting import training_rows, untrained_copy
from oddrow.workflow.request import hashes_of
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
        normal = self.split.fitting.normal.table
        numbers = NumericMatrix(normal)
        scorers = {name: numbers.scorer(model.fit(numbers(normal))) for name, model in baselines(seed).items()}
        # Without a loss curve nothing was trained: the detector is its own untrained copy.
        if detector.loss_curve_:
            scorers["untrained copy"] = untrained_copy(detector, self.split).anomaly_score
        known = self.split.fitting.outcomes
        if known.anomalous.sum() >= FEWEST_LABELLED:
            labelled = self.split.fitting.take(known.labelled)
            forest = Supervised(seed).fit(numbers(labelled.table), labelled.outcomes.labels)
            scorers["forest with labels"] = numbers.scorer(forest)
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
