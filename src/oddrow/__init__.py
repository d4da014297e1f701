"""oddrow finds the odd rows in a table.

Names are imported when first used, so that `import oddrow` is quick and brings neither JAX nor scikit-learn.
"""

from __future__ import annotations

from importlib.metadata import version

from oddrow.lazy import names_from

_HOMES = {
    "Artifact": "oddrow.artifact",
    "AutoencoderDetector": "oddrow.detectors.autoencoder",
    "CVAESampler": "oddrow.samplers.cvae",
    "DAGMMDetector": "oddrow.detectors.dagmm",
    "History": "oddrow.table.history",
    "HistoryState": "oddrow.table.history",
    "OddRowDetector": "oddrow.detectors.oddrow",
    "RowScorer": "oddrow.detectors.one_row",
    "Rule": "oddrow.thresholds.rule",
    "Schema": "oddrow.table.schema",
    "ScoredRows": "oddrow.thresholds.scored",
    "Settings": "oddrow.settings",
    "Table": "oddrow.table.table",
    "TableEncoder": "oddrow.table.encode",
    "Threshold": "oddrow.thresholds.threshold",
    "Training": "oddrow.train.training",
    "fit_together": "oddrow.detectors.together",
    "read_table": "oddrow.table.read",
}

__all__ = ["__version__", *_HOMES]
__version__ = version("oddrow")

__getattr__ = names_from(__name__, _HOMES)
