"""The 22 tables of ADBench in `$ODDROW_DATA/adbench`, and how their rows are divided: as for the runs of the peers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import StandardScaler

Floats = npt.NDArray[np.float64]

SETTINGS = {"A": "one-class", "B": "contaminated"}
MOST_NORMAL, MOST_ANOMALIES = 20_000, 4_000
# With fewer rows a table says little by itself.
SMALL = 1000


@dataclass(frozen=True)
class Divided:
    """Rows to fit, rows to score, and which of those are anomalies; in units of the spread of the rows to fit."""

    train: Floats
    test: Floats
    y: npt.NDArray[np.int64]


def folder() -> Path:
    """Where the tables are. Raises `SystemExit` where nobody says."""
    place = Path(os.environ.get("ODDROW_DATA", ""), "adbench")
    if not os.environ.get("ODDROW_DATA") or not place.is_dir():
        raise SystemExit(f"{place}: no such folder. Set ODDROW_DATA to one that has adbench/ in it.")
    return place


def names() -> list[str]:
    """All tables, those with the fewest values first."""
    sizes = {path.stem: np.load(path)["X"].size for path in folder().glob("*.npz")}
    return sorted(sizes, key=lambda name: sizes[name])


def divided(name: str, setting: str, seed: int) -> Divided:
    """One-class: half of the normal rows to fit, all others to score. Contaminated: all rows to fit, the same to score.

    Of more than 20,000 normal rows so many are drawn, and anomalies in proportion, 4,000 at most.
    """
    loaded = np.load(folder() / f"{name}.npz")
    X, y = np.asarray(loaded["X"], np.float64), np.asarray(loaded["y"]).astype(int).ravel()
    rng = np.random.default_rng(seed)
    normal, odd = (rng.permutation(np.flatnonzero(y == kind)) for kind in (0, 1))
    if len(normal) > MOST_NORMAL:
        n_odd = max(1, min(MOST_ANOMALIES, len(odd), round(len(odd) * MOST_NORMAL / len(normal))))
        normal, odd = normal[:MOST_NORMAL], odd[:n_odd]
    half = len(normal) // 2
    if setting == "A":
        train, test = normal[:half], rng.permutation(np.concatenate([normal[half:], odd]))
    else:
        train = test = rng.permutation(np.concatenate([normal, odd]))
    scaler: Any = StandardScaler().fit(X[train])
    return Divided(scaler.transform(X[train]), scaler.transform(X[test]), y[test])
