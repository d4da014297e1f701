"""Curves on logarithmic axes, as SVG for a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
INCHES = (7.0, 4.2)


def write_curves(path: Path, curves: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str) -> None:
    """One line of points for every name, both axes logarithmic; the same curves give the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Names stay text, in whatever face the reader has.
    with rc_context({"svg.hashsalt": "oddrow", "svg.fonttype": "none"}):
        figure = Figure(figsize=INCHES, layout="constrained")
        _draw(figure.add_subplot(), curves, x, y)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Creator": None}, facecolor="white")


def _draw(axes: Any, curves: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str) -> None:
    for place, (name, points) in enumerate(curves.items()):
        axes.plot(*zip(*points, strict=True), marker="o", label=name, color=COLOURS[place % len(COLOURS)])
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
