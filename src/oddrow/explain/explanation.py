"""`Explanation`: the score of one row, its reasons and its counterfactual."""

from __future__ import annotations

from dataclasses import dataclass

from oddrow.display import html_table, text_table
from oddrow.explain.counterfactual import Change
from oddrow.explain.reason import Reason


@dataclass(frozen=True)
class Explanation:
    """Why a row has its score, and what would make it normal.

    It shows itself as text when printed and as a table in a notebook.

    Parameters
    ----------
    named : str
        The row, such as `row 7`.
    score : float
        Its anomaly score.
    cut : float
        The threshold that it is compared with.
    rule : str
        The rule that chose the threshold.
    reasons : tuple of Reason
        The columns that add most to the score, the largest share first.
    changes : tuple of Change, default=()
        What the counterfactual changes, if the score reaches the threshold.
    normal_score : float, optional
        Score of the counterfactual; None if none was found or asked for.

    See Also
    --------
    oddrow.explain.reasons : Reasons for many rows.
    oddrow.explain.counterfactuals : Counterfactuals for many rows.

    Examples
    --------
    >>> reason = Reason("amount", "HIGH", "500", "about 50", 1.0)
    >>> print(Explanation("row 7", 9.0, 3.0, "fixed:3", (reason,), (Change("amount", "500", "80"),), 2.9))
    row 7: score 9, above the threshold 3 (fixed:3).
    column  seen  expected  share of the score  code
    amount   500  about 50                100%  HIGH
    Counterfactual (score 2.9): amount 80 instead of 500.
    """

    named: str
    score: float
    cut: float
    rule: str
    reasons: tuple[Reason, ...]
    changes: tuple[Change, ...] = ()
    normal_score: float | None = None

    @property
    def is_above(self) -> bool:
        """Whether the score reaches the threshold."""
        return self.score >= self.cut

    @property
    def score_in_words(self) -> str:
        """The score and the threshold, in a sentence."""
        side = "above" if self.is_above else "below"
        return f"{self.named}: score {self.score:.6g}, {side} the threshold {self.cut:.6g} ({self.rule})."

    @property
    def nearest(self) -> str:
        """The counterfactual, in a sentence."""
        if self.normal_score is None:
            return "No row below the threshold was found that has only values as training rows had them."
        return f"Counterfactual (score {self.normal_score:.6g}): {'; '.join(map(str, self.changes))}."

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the reasons as a table of texts.

        Returns
        -------
        headings : list of str
            The headings; without usual errors if the detector does not know them.
        rows : list of list of str
            The cells of each reason.
        """
        is_known = any(reason.times is not None for reason in self.reasons)
        off = ["times its usual error"] if is_known else []
        rows = []
        for reason in self.reasons:
            times = ["" if reason.times is None else f"{reason.times:,.2g}"] if is_known else []
            rows.append([reason.column, reason.seen, reason.expected, *times, f"{reason.share:.0%}", reason.code])
        return ["column", "seen", "expected", *off, "share of the score", "code"], rows

    def __str__(self) -> str:
        return "\n".join([self.score_in_words, text_table(*self.table()), *([self.nearest] if self.is_above else [])])

    def _repr_html_(self) -> str:
        return html_table(*self.table(), caption=self.score_in_words, note=self.nearest if self.is_above else "")
