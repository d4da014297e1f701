"""Pictures: each a function of arrays to Axes that computes nothing else; needs matplotlib (extra `report`)."""

from oddrow.plots.canvas import ANOMALY, NORMAL, UNKNOWN, as_svg, new_plane, save
from oddrow.plots.classes import (
    amount_by_row,
    class_counts,
    column_by_class,
    contributions,
    levels_by_class,
    marginals,
    reconstruction,
)
from oddrow.plots.ranking import (
    at_k,
    by_threshold,
    calibration,
    confusion_matrix,
    cost_curve,
    losses,
    precision_recall,
    roc,
    score_histogram,
    scores_by_row,
)
from oddrow.plots.space import LATENT_NAMES, latent_plane, latent_space

__all__ = [
    "ANOMALY",
    "LATENT_NAMES",
    "NORMAL",
    "UNKNOWN",
    "amount_by_row",
    "as_svg",
    "at_k",
    "by_threshold",
    "calibration",
    "class_counts",
    "column_by_class",
    "confusion_matrix",
    "contributions",
    "cost_curve",
    "latent_plane",
    "latent_space",
    "levels_by_class",
    "losses",
    "marginals",
    "new_plane",
    "precision_recall",
    "reconstruction",
    "roc",
    "save",
    "score_histogram",
    "scores_by_row",
]
