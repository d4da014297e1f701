"""`Rule`: how to choose a threshold, as users write it: a name, its numbers, whose scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from oddrow.errors import EvaluationError, ParameterError, check_choice, check_number, counted
from oddrow.outcomes import Outcomes, as_numbers
from oddrow.thresholds.cutoffs import (
    Choice,
    budget,
    budget_per_entity,
    check_known,
    contamination,
    cost,
    f_beta,
    false_alarms,
    false_discoveries,
    fixed,
    mean_std,
    precision,
    quantile,
    recall,
)
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.threshold import Threshold
from oddrow.typing import Floats, Mask

# A share of at least this was meant as a percentage.
PERCENT = 2

SOURCES = ("validation", "train")

OPTIONS = {"y": "--label C", "amount": "--amount C", "time": "--time C", "entity": "--entity C"}


@dataclass(frozen=True)
class Number:
    """A number of a rule: its range and its default; required if it has none and is not optional."""

    low: float = -np.inf
    high: float = np.inf
    default: float | None = None
    whole: bool = False
    above: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Kind:
    """A rule's function, its numbers, the rows it looks at and the outcomes it needs of them."""

    choose: Callable[..., Choice]
    numbers: tuple[Number, ...]
    rows: Literal["normal", "labelled", "all"] = "normal"
    needs: tuple[str, ...] = ()
    # A guarantee for future rows does not follow from training rows.
    needs_held_out: bool = False


_CONFIDENCE = Number(0.5, 0.9999, 0.95)

RULES = {
    "fixed": Kind(fixed, (Number(default=1.0),)),
    "quantile": Kind(quantile, (Number(0, 1, 0.99),)),
    "mean-std": Kind(mean_std, (Number(default=3.0),)),
    "contamination": Kind(contamination, (Number(0, 1, 0.01),)),
    "fbeta": Kind(f_beta, (Number(0, 100, 1.0, above=True),), "labelled", ("y",)),
    "recall": Kind(recall, (Number(0, 0.9999, 0.8, above=True), _CONFIDENCE), "labelled", ("y",), True),
    "precision": Kind(precision, (Number(0, 0.9999, 0.5, above=True), _CONFIDENCE), "labelled", ("y",), True),
    "cost": Kind(cost, (Number(0, above=True),), "labelled", ("y", "amount")),
    "budget": Kind(budget, (Number(1, default=100, whole=True),), "all", ("time",)),
    "budget-per-entity": Kind(budget_per_entity, (Number(1, default=1, whole=True),), "all", ("time", "entity")),
    "false-alarms": Kind(
        false_alarms, (Number(0, 0.9999, 0.01, above=True), Number(0.5, 0.9999, optional=True)), needs_held_out=True
    ),
    "false-discoveries": Kind(false_discoveries, (Number(0, 0.9999, 0.1, above=True),), needs_held_out=True),
}

DEPENDENT = "; entities repeat among the calibration rows, so the true confidence is lower"


@dataclass(frozen=True)
class Rule:
    """How to choose a threshold.

    Parameters
    ----------
    name : str
        One of fixed, quantile, mean-std, contamination, fbeta, recall, precision, cost, budget, budget-per-entity,
        false-alarms and false-discoveries.
    numbers : tuple of float
        The numbers of the rule, such as a quantile, or a recall and its confidence.
    source : {"validation", "train"}, default="validation"
        Whose scores choose when a model is fitted: validation rows, if there are any, or training rows.

    Raises
    ------
    ParameterError
        If there is no such rule, or its numbers do not fit it.

    See Also
    --------
    Threshold : What a rule chooses.

    Examples
    --------
    >>> Rule.parse("quantile:0.5").threshold(np.array([1.0, 2.0, 3.0])).value
    2.0
    """

    name: str
    numbers: tuple[float, ...]
    source: str = "validation"

    def __post_init__(self) -> None:
        check_choice("threshold rule", self.name, RULES)
        self._check_numbers()
        check_choice(f"the rows of threshold rule {str(self)!r}", self.source, SOURCES)
        if self.source == "train" and self.needs_held_out:
            raise ParameterError(
                f"threshold rule '{self}@train': the guarantee of {self.name} does not follow from training rows. "
                "Leave @train out."
            )

    def _check_numbers(self) -> None:
        known, n = self._kind.numbers, len(self.numbers)
        if n > len(known):
            raise ParameterError(f"threshold rule {self.name} takes at most {counted(len(known), 'number')}, not {n}.")
        if n < sum(not number.optional for number in known):
            raise ParameterError(f"threshold rule {self.name} needs a number, as in {self.name}:5.")
        for value, of in zip(self.numbers, known, strict=False):
            if of.high <= 1 and isinstance(value, (int, float)) and value >= PERCENT:
                raise ParameterError(f"threshold rule {str(self)!r}: {value:g} is not a share. Write 0.8 for 80 %.")
            check_number(f"threshold rule {self.name}", value, of.low, of.high, whole=of.whole, above=of.above)

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read a rule as users write it.

        Parameters
        ----------
        text : str
            `name`, `name:number` or `name:number:number`, followed by `@train` or `@validation` if wanted.

        Returns
        -------
        Rule
            The rule, with defaults for the numbers that are left out.

        Raises
        ------
        ParameterError
            If the rule is unknown, or a number is missing or out of range.

        Examples
        --------
        >>> Rule.parse("quantile:0.99@train")
        Rule(name='quantile', numbers=(0.99,), source='train')
        >>> Rule.parse("recall:0.8")
        Rule(name='recall', numbers=(0.8, 0.95), source='validation')
        """
        rule, at, source = text.partition("@")
        name, *given = rule.split(":")
        check_choice("threshold rule", name, RULES)
        numbers = [_parsed(text, number) for number in given]
        defaults = [number.default for number in RULES[name].numbers[len(given) :] if number.default is not None]
        return cls(name, (*numbers, *defaults), source if at else "validation")

    def __str__(self) -> str:
        # As many digits as it takes to read the same number back.
        return ":".join([self.name, *(f"{float(number)!r}".removesuffix(".0") for number in self.numbers)])

    @property
    def needs_labels(self) -> bool:
        """Whether the rule looks at known anomalies."""
        return "y" in self._kind.needs

    @property
    def needs_held_out(self) -> bool:
        """Whether the rule guarantees something that does not follow from training rows."""
        return self._kind.needs_held_out

    @property
    def is_fixed(self) -> bool:
        """Whether the rule looks at no rows."""
        return self.name == "fixed"

    def check(self, outcomes: Outcomes, *, trained: bool = False) -> None:
        """Check that everything the rule needs is known of the rows.

        Parameters
        ----------
        outcomes : Outcomes
            What is known of the rows that will choose the threshold.
        trained : bool, default=False
            Whether these are training rows.

        Raises
        ------
        ParameterError
            If labels, amounts, times or entities are missing, or a guarantee needs other rows.
        """
        if lacking := [name for name in self._kind.needs if getattr(outcomes, name) is None]:
            options = " and ".join(OPTIONS[name] for name in lacking)
            raise ParameterError(f"threshold rule {self} needs to know more of each row: {options}.")
        if trained and self.needs_held_out:
            raise ParameterError(
                f"threshold rule {self}: its guarantee needs held-out rows, and there are none. "
                "Raise training.validation_fraction."
            )

    def threshold(
        self,
        scores: Floats,
        outcomes: Outcomes | None = None,
        *,
        source: str = "given",
        fingerprint: Fingerprint | None = None,
    ) -> Threshold:
        """Choose a threshold.

        Parameters
        ----------
        scores : ndarray of float64, shape (n,)
            Scores of the rows.
        outcomes : Outcomes, optional
            What else is known of the rows.
        source : str, default="given"
            What the rows are, for the record.
        fingerprint : Fingerprint, optional
            Identity of the rows, for the record.

        Returns
        -------
        Threshold
            The chosen threshold.

        Raises
        ------
        ParameterError
            If the rule needs outcomes that are not known.
        EvaluationError
            If the rows cannot support what the rule guarantees, or a value makes no sense.

        Examples
        --------
        >>> outcomes = Outcomes(y=np.array([0.0, 0.0, 1.0, 1.0]))
        >>> threshold = Rule.parse("fbeta:1").threshold(np.array([1.0, 2.0, 3.0, 4.0]), outcomes)
        >>> threshold.value
        3.0
        >>> threshold.guarantee_in_words
        'No guarantee: F1 1.000 (precision 1.000, recall 1.000) on the 4 calibration rows, 2 of them anomalies.'
        """
        scores = as_numbers("scores", scores)
        known = Outcomes(n_rows=len(scores)) if outcomes is None else outcomes
        self.check(known)
        try:
            choice = self._choose(scores, known)
        except EvaluationError as error:
            raise EvaluationError(f"threshold rule {self}: {error}") from error
        if self.is_fixed:
            source, fingerprint = "given", None
        return Threshold(rule=str(self), source=source, fingerprint=fingerprint, **choice._asdict())

    def _choose(self, scores: Floats, known: Outcomes) -> Choice:
        if self.is_fixed:
            return fixed(scores, known, *self.numbers)
        if len(known) != len(scores):
            raise EvaluationError(f"{len(scores):,} scores, but outcomes of {len(known):,} rows.")
        known.check()
        if self.needs_labels:
            check_known(known)
        used = self.rows(known)
        scores, known = scores[used], known.take(used)
        if len(scores) == 0 or not np.isfinite(scores).all():
            raise EvaluationError(f"{counted(len(scores), 'score')}, all of which must be finite.")
        if not known.weights.sum() > 0:
            raise EvaluationError(f"the weights of the {len(scores):,} rows add up to 0.")
        choice = self._kind.choose(scores, known, *self.numbers)
        repeats = known.entity is not None and len(np.unique(known.entity)) < len(known)
        return choice._replace(guarantee=choice.guarantee + DEPENDENT) if self.needs_held_out and repeats else choice

    def rows(self, outcomes: Outcomes) -> Mask:
        """Return which rows the rule looks at.

        Parameters
        ----------
        outcomes : Outcomes
            What is known of the rows.

        Returns
        -------
        ndarray of bool, shape (n,)
            Mask of the rows treated as normal, of the labelled rows, or of all rows.
        """
        if self._kind.rows == "all":
            return np.ones(len(outcomes), bool)
        return outcomes.labelled if self._kind.rows == "labelled" else outcomes.normal

    @property
    def _kind(self) -> Kind:
        return RULES[self.name]


def _parsed(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError as error:
        raise ParameterError(f"threshold rule {text!r}: {number!r} is not a number.") from error
    return int(value) if value.is_integer() else value
