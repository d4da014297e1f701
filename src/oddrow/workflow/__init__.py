"""The whole story, in Python and for the command line: from inspect and fit to report and export.

Names are imported when first used: who scores a table does not wait for what evaluates and draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oddrow.lazy import names_from

if TYPE_CHECKING:
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

_HOMES = {
    "Tell": "oddrow.workflow.tables",
    "decide": "oddrow.workflow.deciding",
    "evaluate": "oddrow.workflow.evaluating",
    "evaluate_selection": "oddrow.workflow.evaluating",
    "explain": "oddrow.workflow.explaining",
    "export": "oddrow.workflow.exporting",
    "fit": "oddrow.workflow.fitting",
    "inspect": "oddrow.workflow.tables",
    "report": "oddrow.workflow.reporting",
    "score": "oddrow.workflow.scoring",
    "score_table": "oddrow.workflow.scoring",
    "silent": "oddrow.workflow.tables",
    "training_rows": "oddrow.workflow.fitting",
}
__getattr__ = names_from(__name__, _HOMES)
