"""`Rule`: how to choose a threshold, as one writes it: a name, its numbers, whose scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oddrow.errors import EvaluationError, ParameterError, check_choice, check_number
from oddrow.outcomes import Outcomes, as_numbers
from oddrow.thresholds.cutoffs import (
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
from oddrow.thresholds.threshold import Choice, Threshold
from oddrow.typing import Floats, Ints, Mask

INFINITE = np.inf

# A share that is written so large was meant as a percentage.
PERCENT = 2

SOURCES = ("validation", "train")

OPTIONS = {"y": "--label C", "amount": "--amount C", "time": "--time C", "entity": "--entity C"}


@dataclass(frozen=True)
class Number:
    """A number of a rule: its range, whole or not, and what it is where nobody says; None if it must be said."""

    low: float = -INFINITE
    high: float = INFINITE
    usual: float | None = None
    whole: bool = False
    above: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Kind:
    """A rule's function, its numbers, which rows it takes (normal, labelled, all) and what it must know of them."""

    choose: Callable[..., Choice]
    numbers: tuple[Number, ...]
    rows: str = "normal"
    needs: tuple[str, ...] = ()
    # A promise for rows to come does not follow from rows that were trained on.
    held_out_only: bool = False


DEPENDENT = "; that takes rows for independent, and entities repeat here: the true confidence is lower"

_CONFIDENCE = Number(0.5, 0.9999, 0.95)

RULES = {
    "fixed": Kind(fixed, (Number(usual=1.0),)),
    "quantile": Kind(quantile, (Number(0, 1, 0.99),)),
    "mean-std": Kind(mean_std, (Number(usual=3.0),)),
    "contamination": Kind(contamination, (Number(0, 1, 0.01),)),
    "fbeta": Kind(f_beta, (Number(0, 100, 1.0, above=True),), "labelled", ("y",)),
    "recall": Kind(recall, (Number(0, 0.9999, 0.8, above=True), _CONFIDENCE), "labelled", ("y",), True),
    "precision": Kind(precision, (Number(0, 0.9999, 0.5, above=True), _CONFIDENCE), "labelled", ("y",), True),
    "cost": Kind(cost, (Number(0, above=True),), "labelled", ("y", "amount")),
    "budget": Kind(budget, (Number(1, usual=100, whole=True),), "all", ("time",)),
    "budget-per-entity": Kind(budget_per_entity, (Number(1, usual=1, whole=True),), "all", ("time", "entity")),
    "false-alarms": Kind(
        false_alarms, (Number(0, 0.9999, 0.01, above=True), Number(0.5, 0.9999, optional=True)), held_out_only=True
    ),
    "false-discoveries": Kind(false_discoveries, (Number(0, 0.9999, 0.1, above=True),), held_out_only=True),
}


@dataclass(frozen=True)
class Rule:
    """How to choose a threshold: a name, its numbers, and whose scores: validation (where there are any) or train."""

    name: str
    numbers: tuple[float, ...]
    source: str = "validation"

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read `name:number`, or `name:number:number`, with `@train` or `@validation` behind it, where wanted.

        >>> Rule.parse("quantile:0.99@train")
        Rule(name='quantile', numbers=(0.99,), source='train')
        >>> Rule.parse("recall:0.8")
        Rule(name='recall', numbers=(0.8, 0.95), source='validation')
        """
        rule, at, source = text.partition("@")
        name, *given = rule.split(":")
        check_choice("threshold rule", name, RULES)
        if at:
            check_choice(f"the rows of threshold rule {text!r}", source, SOURCES)
        parsed = cls(name, _numbers(text, name, given), source if at else "validation")
        if parsed.source == "train" and RULES[name].held_out_only:
            raise ParameterError(
                f"threshold rule {text!r}: what {name} promises does not follow from rows that were trained on. "
                "Leave @train out."
            )
        return parsed

    def __str__(self) -> str:
        # As many digits as it takes to read the same number back.
        return ":".join([self.name, *(f"{float(number)!r}".removesuffix(".0") for number in self.numbers)])

    @property
    def needs_labels(self) -> bool:
        """Whether it looks at known anomalies."""
        return "y" in self._kind.needs

    @property
    def is_promise(self) -> bool:
        """Whether it promises something of rows to come, which does not follow from rows that were trained on."""
        return self._kind.held_out_only

    @property
    def is_fixed(self) -> bool:
        """Whether it looks at no row at all."""
        return self.name == "fixed"

    def check(self, known: Outcomes, *, trained: bool = False) -> None:
        """Raise `ParameterError` for what the rule must know of each row and is None there: y, amount, time, entity.

        `trained` says that there are only rows that were trained on.
        """
        if lacking := [name for name in self._kind.needs if getattr(known, name) is None]:
            options = " and ".join(OPTIONS[name] for name in lacking)
            raise ParameterError(f"threshold rule {self}: it must know more of each row. Say {options}.")
        if trained and self._kind.held_out_only:
            raise ParameterError(
                f"threshold rule {self}: its promise needs held-out rows, and there are none. "
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
        """The threshold that the scores (n,) of these rows lead to, and what is known of them.

        Raises `ParameterError` as `check`, and `EvaluationError` where the rows cannot support what the rule promises.

        >>> y = np.array([0.0, 0.0, 1.0, 1.0])
        >>> Rule.parse("fbeta:1").threshold(np.array([1.0, 2.0, 3.0, 4.0]), Outcomes(y=y)).value
        3.0
        """
        scores, what = as_numbers("scores", scores), f"threshold rule {self}"
        known = Outcomes(n_rows=len(scores)) if outcomes is None else outcomes
        if len(known) != len(scores):
            raise EvaluationError(f"{what}: {len(scores):,} scores and outcomes of {len(known):,} rows.")
        if self.is_fixed:
            return Threshold(self.numbers[0], str(self), promise=fixed(scores, known, *self.numbers).promise)
        self.check(known)
        known.check(what)
        if self.needs_labels:
            check_known(known.take(known.labelled), what)
        used = self.rows(known)
        scores, known = scores[used], known.take(used)
        _check_rows(scores, known, what)
        choice = self._kind.choose(scores, known, *self.numbers)
        return Threshold(
            choice.value,
            str(self),
            source,
            fingerprint,
            choice.promise + (DEPENDENT if self.is_promise and _repeats(known.entity) else ""),
            choice.cap,
            choice.discoveries,
            choice.calibration,
        )

    def rows(self, outcomes: Outcomes) -> Mask:
        """Mask (n,) of the rows that the rule looks at: those taken for normal, those with a label, or all."""
        if self._kind.rows == "all":
            return np.ones(len(outcomes), bool)
        return outcomes.labelled if self._kind.rows == "labelled" else outcomes.normal

    @property
    def _kind(self) -> Kind:
        return RULES[self.name]


def _check_rows(scores: Floats, known: Outcomes, what: str) -> None:
    if len(scores) == 0 or not np.isfinite(scores).all():
        raise EvaluationError(f"{what}: {len(scores)} scores, all of which must be finite.")
    if not known.weights.sum() > 0:
        raise EvaluationError(f"{what}: the weights of the {len(scores)} rows add up to 0.")


def _repeats(entity: Ints | None) -> bool:
    return entity is not None and len(np.unique(entity)) < len(entity)


def _numbers(text: str, name: str, given: list[str]) -> tuple[float, ...]:
    known = RULES[name].numbers
    if len(given) > len(known):
        raise ParameterError(f"threshold rule {text!r}: {name} takes {len(known)} numbers at most.")
    numbers = [_parsed(text, number) for number in given]
    for number in known[len(given) :]:
        if number.usual is None and not number.optional:
            raise ParameterError(f"threshold rule {text!r}: say its number, such as {name}:5.")
        numbers += [] if number.usual is None else [number.usual]
    for value, of in zip(numbers, known, strict=False):
        if of.high <= 1 and value >= PERCENT:
            raise ParameterError(f"threshold rule {text!r}: {value:g} is no share. Write 0.8 for 80 %.")
        check_number(f"threshold rule {name}", value, of.low, of.high, whole=of.whole, above=of.above)
    return tuple(numbers)


def _parsed(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError as error:
        raise ParameterError(f"threshold rule {text!r}: {number!r} is not a number.") from error
    return int(value) if value.is_integer() else value
