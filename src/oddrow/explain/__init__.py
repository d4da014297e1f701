"""Explaining: what in a row is odd, and what would be normal."""

from oddrow.explain.explanation import Explanation
from oddrow.explain.nearest import Change, NearestNormal, nearest_normal
from oddrow.explain.reasons import Reason, reasons

__all__ = ["Change", "Explanation", "NearestNormal", "Reason", "nearest_normal", "reasons"]
