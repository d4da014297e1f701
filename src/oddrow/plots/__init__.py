"""Plots of tables, rankings, thresholds and latent codes.

Every function draws given arrays on matplotlib axes and returns the axes. Needs matplotlib: `pip install
'oddrow[report]'`.
"""

from oddrow.plots.by_class import (
    amount_by_row,
    class_counts,
    column_by_class,
    contributions,
    levels_by_class,
    marginals,
    reconstruction,
)
from oddrow.plots.canvas import ANOMALY, NORMAL, UNKNOWN, as_svg, new_axes, save
from oddrow.plots.curves import (
    calibration,
    confusion_matrix,
    cost_curve,
    loss_curve,
    precision_at_k,
    precision_recall,
    roc,
    score_histogram,
    scores_by_row,
    threshold_curve,
)
from oddrow.plots.latent import LATENT_NAMES, latent_plane, latent_space

__all__ = [
    "ANOMALY",
    "LATENT_NAMES",
    "NORMAL",
    "UNKNOWN",
    "amount_by_row",
    "as_svg",
    "calibration",
    "class_counts",
    "column_by_class",
    "confusion_matrix",
    "contributions",
    "cost_curve",
    "latent_plane",
    "latent_space",
    "levels_by_class",
    "loss_curve",
    "marginals",
    "new_axes",
    "precision_at_k",
    "precision_recall",
    "reconstruction",
    "roc",
    "save",
    "score_histogram",
    "scores_by_row",
    "threshold_curve",
]
