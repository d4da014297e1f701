"""Explanations: which columns make a row odd, and the smallest change that would make it normal."""

from oddrow.explain.counterfactual import Change, Counterfactuals, counterfactuals
from oddrow.explain.explanation import Explanation
from oddrow.explain.reason import Reason, reasons

__all__ = ["Change", "Counterfactuals", "Explanation", "Reason", "counterfactuals", "reasons"]
