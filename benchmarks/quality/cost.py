"""What the default detector costs: seconds to fit and to score by the rows, bytes to save.

cd benchmarks && python -m quality.cost [--json results/quality-cost.json]

Tables of 30 columns that few factors rule. Each is fitted and scored in this process, once before the clock starts, so
that compiling is not counted; what it takes is shown beside. About nine minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np

from oddrow import Artifact, OddRowDetector, Threshold
from race import facts_line, machine, table, versions, write_json
from structured_rows import structured

N_COLUMNS = 30
ROWS = (1_000, 5_000, 20_000, 100_000, 300_000, 1_000_000)
MOST_SCORED = 200_000
MODES = ("novelty", "outlier")
# A fit that takes longer than this is not done twice.
LONG_S = 20
WIDTHS = (10, 30, 100, 400, 1_600)


def measured(mode: str, n_rows: int) -> dict[str, Any]:
    """A table of so many rows, fitted and scored."""
    rows = structured(n_rows, N_COLUMNS, seed=1)
    first_s, _ = _fitted(mode, rows)
    fit_s, detector = _fitted(mode, rows) if first_s < LONG_S else (first_s, _)
    scored = rows[:MOST_SCORED]
    detector.anomaly_score(scored)
    start = time.perf_counter()
    detector.anomaly_score(scored)
    per_s = len(scored) / (time.perf_counter() - start)
    return {"mode": mode, "n_rows": n_rows, "first_s": first_s, "fit_s": fit_s, "scored_per_s": per_s}


def _fitted(mode: str, rows: np.ndarray[Any, Any]) -> tuple[float, OddRowDetector]:
    start = time.perf_counter()
    detector = OddRowDetector(mode=mode, random_state=0).fit(rows)
    return time.perf_counter() - start, detector


def saved(mode: str, n_columns: int) -> dict[str, Any]:
    """What a model of 12,000 rows of so many columns takes on disk, and how many rows it holds."""
    detector = _fitted(mode, structured(12_000 if n_columns < 1000 else 4_000, n_columns, seed=1))[1]
    with TemporaryDirectory() as folder:
        Artifact(detector, Threshold(1.0, "fixed:1")).save(Path(folder, "model"))
        n_bytes = sum(path.stat().st_size for path in Path(folder, "model").iterdir())
    return {"mode": mode, "n_columns": n_columns, "n_kept": detector.n_reference_rows_, "megabytes": n_bytes / 1e6}


def section(results: dict[str, Any]) -> str:
    """The tables of the page."""
    timed = [
        [
            f"{one['n_rows']:,}",
            one["mode"],
            f"{one['fit_s']:.1f}",
            f"{one['first_s']:.1f}",
            f"{one['scored_per_s']:,.0f}",
        ]
        for one in results["timed"]
    ]
    sizes = [
        [f"{one['n_columns']:,}", one["mode"], f"{one['n_kept']:,}", f"{one['megabytes']:.1f}"]
        for one in results["saved"]
    ]
    return "\n\n".join(
        [
            facts_line(results["facts"]),
            table(["rows", "mode", "fit, s", "first fit, s", "rows scored in a second"], timed),
            table(["columns", "mode", "rows held", "MB saved"], sizes),
        ]
    )


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("results", "quality-cost.json"))
    asked = parser.parse_args()
    facts = {**machine(), **versions("oddrow", "jax"), "device": jax.devices()[0].device_kind}
    results: dict[str, Any] = {"facts": facts, "timed": [], "saved": []}
    for part, measure, sizes in (("timed", measured, ROWS), ("saved", saved, WIDTHS)):
        for size, mode in product(sizes, MODES):
            results[part].append(measure(mode, size))
            print(results[part][-1], flush=True)
    print(section(results))
    write_json(asked.json, results)


if __name__ == "__main__":
    main()
