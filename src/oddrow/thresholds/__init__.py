"""Thresholds: from which score on a row is an alert, by which rule, chosen on which rows, and what that promises."""
