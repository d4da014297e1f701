"""`Explanation`: the score of one row, its reasons and its counterfactual."""

from __future__ import annotations

from dataclasses import dataclass

from oddrow.display import html_table, text_table
from oddrow.explain.counterfactual import Change
from oddrow.explain.reason import Reason


@dataclass(frozen=True)
class Explanation:
    """The score of a row, its reasons and its counterfactual.

    It shows itself as text when printed and as a table in a notebook.

    Parameters
    ----------
    row_name : str
        The row, such as `row 7`.
    score : float
        Its anomaly score.
    threshold : float
        The threshold that it is compared with.
    rule : str
        The rule that chose the threshold.
    reasons : tuple of Reason
        The columns that contribute most to the score, the largest share first.
    changes : tuple of Change, default=()
        The changes that the counterfactual makes, if the score reaches the threshold.
    counterfactual_score : float, optional
        Score of the counterfactual, if one was found.

    See Also
    --------
    oddrow.explain.reasons : Reasons for many rows.
    oddrow.explain.counterfactuals : Counterfactuals for many rows.

    Examples
    --------
    >>> reason = Reason("amount", "HIGH", "500", "about 50", 1.0)
    >>> print(Explanation("row 7", 9.0, 3.0, "fixed:3", (reason,), (Change("amount", "500", "80"),), 2.9))
    row 7: score 9, at or above the threshold 3 (fixed:3).
    column  seen  expected  share  code
    amount   500  about 50   100%  HIGH
    Counterfactual (score 2.9): amount 80 instead of 500.
    """

    row_name: str
    score: float
    threshold: float
    rule: str
    reasons: tuple[Reason, ...]
    changes: tuple[Change, ...] = ()
    counterfactual_score: float | None = None

    @property
    def is_alert(self) -> bool:
        """Whether the score reaches the threshold."""
        return self.score >= self.threshold

    @property
    def score_in_words(self) -> str:
        """The score and the threshold, in a sentence."""
        side = "at or above" if self.is_alert else "below"
        return f"{self.row_name}: score {self.score:.6g}, {side} the threshold {self.threshold:.6g} ({self.rule})."

    @property
    def counterfactual_in_words(self) -> str:
        """The counterfactual, in a sentence."""
        if self.counterfactual_score is None:
            return "No counterfactual found within the values of the training rows."
        return f"Counterfactual (score {self.counterfactual_score:.6g}): {'; '.join(map(str, self.changes))}."

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the reasons as a table of texts.

        Returns
        -------
        headings : list of str
            The headings; without error ratios if the detector has none.
        rows : list of list of str
            The cells of each reason.
        """
        has_ratios = any(reason.error_ratio is not None for reason in self.reasons)
        headings = ["times its typical error"] if has_ratios else []
        rows = []
        for reason in self.reasons:
            ratio = ["" if reason.error_ratio is None else f"{reason.error_ratio:,.2g}"] if has_ratios else []
            rows.append([reason.column, reason.seen, reason.expected, *ratio, f"{reason.share:.0%}", reason.code])
        return ["column", "seen", "expected", *headings, "share", "code"], rows

    def __str__(self) -> str:
        return "\n".join([self.score_in_words, text_table(*self.table()), *self._notes])

    def _repr_html_(self) -> str:
        return html_table(*self.table(), caption=self.score_in_words, note="".join(self._notes))

    @property
    def _notes(self) -> list[str]:
        return [self.counterfactual_in_words] if self.is_alert else []
