"""The whole story, in Python and for the command line: from inspect and fit to report and export."""

from oddrow.workflow.deciding import decide
from oddrow.workflow.evaluating import evaluate, evaluate_selection
from oddrow.workflow.explaining import explain
from oddrow.workflow.exporting import export
from oddrow.workflow.fitting import fit, training_rows
from oddrow.workflow.reporting import report
from oddrow.workflow.scoring import score, score_table
from oddrow.workflow.tables import Tell, inspect, silent

__all__ = [
    "Tell",
    "decide",
    "evaluate",
    "evaluate_selection",
    "explain",
    "export",
    "fit",
    "inspect",
    "report",
    "score",
    "score_table",
    "silent",
    "training_rows",
]
