"""What stands beside a model: trivial baselines, its untrained twin, and where labels are enough one that has them."""

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
from oddrow.workflow.thresholding import STAND_IN_RULE, check_rules, rows_for


class RankedScores(NamedTuple):
    """How odd a scorer finds each row, (n,), and from where on it calls them alerts."""

    name: str
    scores: Floats
    cut: Threshold


@dataclass(frozen=True)
class Baselines:
    """The rows that a model was trained and cut on, read again, and the rule by which everybody is cut."""

    artifact: Artifact
    division: Split
    rule: Rule
    notes: list[str]

    @classmethod
    def of(cls, artifact: Artifact) -> Baselines:
        """Raises `ArtifactError` where the rows are gone or have changed."""
        division = training_rows(artifact)
        rule, notes = _rule(artifact, division)
        return cls(artifact, division, rule, list(notes))

    def ranked(self, chosen: Dataset, others: Mapping[str, TableScorer], tell: Tell) -> Iterator[RankedScores]:
        """Everybody fitted and cut like the model: same rows, same rule."""
        for name, scorer in {**self._scorers(), **others}.items():
            tell(f"Measuring {name} …")
            yield RankedScores(name, scorer(chosen.table), self._cut(name, scorer))

    def _cut(self, name: str, scorer: TableScorer) -> Threshold:
        """The threshold of a scorer; one that cannot keep the rule's guarantee gets another rule."""
        try:
            return self._by_rule(self.rule, scorer)
        except EvaluationError:
            self.notes.append(f"{name} cannot keep {self.rule} on the held-out rows: it is cut by {STAND_IN_RULE}.")
            return self._by_rule(Rule.parse(STAND_IN_RULE), scorer)

    def _by_rule(self, rule: Rule, scorer: TableScorer) -> Threshold:
        rows = rows_for(rule, self.division)
        fingerprint = Fingerprint.of(hashes_of(self.artifact.detector, self.artifact.history, rows))
        return rule.threshold(scorer(rows.table), rows.outcomes, source=rule.source, fingerprint=fingerprint)

    def _scorers(self) -> dict[str, TableScorer]:
        normal = self.division.fitting.normal.table
        numbers = NumericMatrix(normal)
        seed = self.artifact.origin.seed if self.artifact.origin is not None else 0
        scorers = {name: numbers.scorer(model.fit(numbers(normal))) for name, model in baselines(seed).items()}
        return {**scorers, **self._twin(), **self._supervised(numbers, seed)}

    def _twin(self) -> dict[str, TableScorer]:
        """The same detector untrained; a detector that trains nothing is that itself."""
        detector = self.artifact.detector
        return {"untrained twin": untrained_copy(detector, self.division).anomaly_score} if detector.loss_curve_ else {}

    def _supervised(self, numbers: NumericMatrix, seed: int) -> dict[str, TableScorer]:
        """A classifier that has the labels, where there are enough of them to learn from."""
        known = self.division.fitting.outcomes
        if known.anomalous.sum() < FEWEST_LABELLED:
            return {}
        labelled = self.division.fitting.take(known.labelled)
        forest = Supervised(seed).fit(numbers(labelled.table), labelled.outcomes.labels)
        return {"forest with labels": numbers.scorer(forest)}


def _rule(artifact: Artifact, division: Split) -> tuple[Rule, tuple[str, ...]]:
    """The rule of the model's threshold on its own held-out rows, and what is to be said of it."""
    given = artifact.threshold
    if given.fingerprint is None:
        return Rule.parse(STAND_IN_RULE), (f"The threshold was given; the others are cut by {STAND_IN_RULE}.",)
    if given.source in SOURCES:
        return Rule.parse(f"{given.rule}@{given.source}"), ()
    rule = Rule.parse(given.rule)
    try:
        check_rules([rule], division)
    except (EvaluationError, ParameterError) as error:
        return Rule.parse(STAND_IN_RULE), (f"The others are cut by {STAND_IN_RULE} on held-out rows: {error}",)
    return rule, ("The threshold was chosen on other rows; the others are cut by its rule on the held-out rows.",)
