"""How training went."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from oddrow.errors import ParameterError
from oddrow.plots.canvas import labelled, new_plane

# The first is wider, so that it is seen behind one that it equals.
LINES = (("#BBBBBB", "-", 5.0), ("#0072B2", "-", 1.5), ("#D55E00", "-", 1.5), ("#000000", "--", 1.5))


def losses(
    parts: Mapping[str, npt.ArrayLike],
    *,
    epochs: npt.ArrayLike | None = None,
    unit: str = "nats for each row",
    axes: Any = None,
) -> Any:
    """Draw what training lost, by name: the total and its parts, (epochs,) each, in `unit`, in each epoch or in those
    whose numbers `epochs` (epochs,) has.

    Raises `ParameterError` where the parts have not one number for each epoch.
    """
    curves = {name: np.asarray(values, dtype=np.float64) for name, values in parts.items()}
    shapes = {curve.shape for curve in curves.values()}
    if len(shapes) != 1 or len(shapes.pop()) != 1:
        raise ParameterError("losses: each part needs one number for each epoch, and all as many.")
    axes = new_plane(axes)
    for (name, curve), (colour, style, width) in zip(curves.items(), cycle(LINES)):
        x = np.arange(1, len(curve) + 1) if epochs is None else np.asarray(epochs)
        axes.plot(x, curve, color=colour, linestyle=style, linewidth=width, label=name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return labelled(axes, "epoch", unit)
