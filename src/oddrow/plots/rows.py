"""Single rows, and generated ones beside real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.plots.canvas import ANOMALY, NORMAL, labelled, name_rows, new_plane

N_BINS = 40


def reconstruction(original: npt.ArrayLike, rebuilt: npt.ArrayLike, *, title: str = "", axes: Any = None) -> Any:
    """A row (columns,) of samples in time, such as a heartbeat, and what is rebuilt of it, their difference shaded."""
    axes, seen, expected = new_plane(axes), np.asarray(original), np.asarray(rebuilt)
    axes.plot(seen, color=NORMAL, label="original")
    axes.plot(expected, color=ANOMALY, label="rebuilt")
    axes.fill_between(np.arange(len(seen)), seen, expected, color=ANOMALY, alpha=0.2, label="error")
    return labelled(axes, "sample", "value", title or "Original and rebuilt")


def contributions(names: Sequence[str], shares: npt.ArrayLike, *, title: str = "", axes: Any = None) -> Any:
    """The share of a row's score (columns,) that each column adds, the largest on top."""
    axes, values = new_plane(axes), np.asarray(shares, dtype=np.float64)
    order = np.argsort(values)
    axes.barh(np.arange(len(values)), values[order], color=ANOMALY)
    name_rows(axes, [names[place] for place in order])
    return labelled(axes, "share of the score", "", title or "What makes the row odd")


def marginals(real: npt.ArrayLike, generated: npt.ArrayLike, *, name: str, axes: Any = None) -> Any:
    """The density of a column among real (n,) and generated (m,) rows."""
    axes, parts = (
        new_plane(axes),
        {"real": np.asarray(real, np.float64), "generated": np.asarray(generated, np.float64)},
    )
    bins = np.histogram_bin_edges(np.concatenate(list(parts.values())), N_BINS)
    for (label, values), colour in zip(parts.items(), (NORMAL, ANOMALY), strict=True):
        share = np.full(len(values), 1 / max(len(values), 1))
        axes.hist(values, bins=bins, weights=share, histtype="stepfilled", alpha=0.4, color=colour, label=label)
    return labelled(axes, name, "share of the rows", f"{name}, real and generated")
