"""Write docs/quality.md from what was measured: `cd benchmarks && python -m quality.page [--peers peers.csv]`.

The peers' runs are a file with the columns of results/quality.csv, but that `setting` is called `protocol`; by default
`$ODDROW_DATA/../quality/peers.csv`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curves import write_curves
from page import wrapped
from quality import cost, frauds
from quality.contestants import OURS
from quality.measure import read
from quality.sets import SETTINGS, SMALL
from quality.tables import Difference, Run, Table
from race import facts_line, table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
TEXT = Path(__file__).with_name("page.md")
PICTURE = "fit-by-rows.svg"
ALL, FIRST = (0, 1, 2), (0,)
# On how many tables a detector must have run to stand beside others.
MOST_TABLES, SOME_TABLES = 20, 10
# Where nobody else is named, the differences are to these.
RIVALS = ("LUNAR", "KNN", "IForest")
FULL_NAMES = {"KNN": "kNN", "IForest": "IsolationForest"}
# Names in the results, and what the page says for them.
PARTS = {
    "kept rows alone": "reference rows alone",
    "without the kept rows": "without the reference rows",
    "untrained copy": "untrained copy",
    "the nearest alone": "one neighbour instead of ten",
    "numbers not pressed together": "numbers not compressed",
    "no row held (reference_rows=0)": "no row stored (n_reference_rows=0)",
}
WITHOUT = {
    "A": (
        "kept rows alone",
        "codes alone",
        "error alone",
        "without the error",
        "without the codes",
        "without the kept rows",
        "untrained copy",
        "no row held (reference_rows=0)",
        "AutoencoderDetector",
    ),
    "B": (
        "all rows trusted",
        "the nearest alone",
        "numbers not pressed together",
        "novelty mode",
        "no row held (reference_rows=0)",
        "AutoencoderDetector",
    ),
}


class Page:
    """Everything that was measured, and the sections that show it."""

    def __init__(self, ours: Sequence[Run], peers: Sequence[Run]) -> None:
        self.ours, self.peers = ours, peers

    def sections(self) -> dict[str, str]:
        """Markdown by the name under which the text asks for it."""
        found = {}
        for setting, name in SETTINGS.items():
            found[f"{name}-three-seeds"] = self._side_by_side(setting, ALL, MOST_TABLES)
            found[f"{name}-one-seed"] = self._side_by_side(setting, FIRST, MOST_TABLES)
            found[f"{name}-some-tables"] = self._side_by_side(setting, FIRST, SOME_TABLES)
            found[f"{name}-differences"] = self._differences(setting)
            found[f"{name}-ablation"] = self._ablation(setting)
            found[f"{name}-tables"] = self._each_table(setting)
        return found

    def _runs(self, setting: str) -> list[Run]:
        return [run for run in (*self.ours, *self.peers) if run.setting == setting]

    def _side_by_side(self, setting: str, seeds: Sequence[int], least: int) -> str:
        """Ours beside all peers that have run on so many tables, on the tables that all of these have in common."""
        runs = self._runs(setting)
        names = [OURS, "AutoencoderDetector", *sorted({run.detector for run in self.peers})]
        enough = [name for name in names if len(_complete(runs, name, seeds)) >= least]
        found = Table(runs, enough, seeds)
        lines = [
            [
                f"**{name}**" if name == OURS else FULL_NAMES.get(name, name),
                *(f"{100 * found.of(name, number).mean():.2f}" for number in ("ap", "auroc", "f1")),
                f"{found.rank(name):.2f}",
            ]
            for name in found.by_rank()
        ]
        header = ["detector", "AP", "AUROC", "F1", "mean rank of AP"]
        return f"{len(found.datasets)} tables, {_said(seeds)}.\n\n{table(header, lines)}"

    def _differences(self, setting: str) -> str:
        lines = [line for rival in RIVALS for line in self._against(setting, rival)]
        header = ["against", "tables and seeds", "difference of AP", "95 %", "ahead on"]
        return table(header, lines)

    def _against(self, setting: str, rival: str) -> Iterator[list[str]]:
        """All tables, then those of some size, with as many seeds as there are."""
        runs = self._runs(setting)
        seeds = ALL if len(_complete(runs, rival, ALL)) > len(_complete(runs, rival, FIRST)) // 2 else FIRST
        for least, said in ((0, ""), (SMALL, f" of {SMALL:,} rows or more")):
            found = Table([run for run in runs if run.n_rows >= least], [OURS, rival], seeds)
            apart = Difference.of(found.of(OURS), found.of(rival))
            yield [
                FULL_NAMES.get(rival, rival),
                f"{apart.n_tables} tables{said}, {_said(seeds)}",
                f"{100 * apart.mean:+.2f}",
                f"{100 * apart.low:+.2f} to {100 * apart.high:+.2f}",
                f"{apart.share_better:.0%}",
            ]

    def _ablation(self, setting: str) -> str:
        found = Table(self._runs(setting), [OURS, *WITHOUT[setting]], ALL)
        lines = []
        for name in found.detectors:
            apart = Difference.of(found.of(name), found.of(OURS))
            compared = ["", ""] if name == OURS else [f"{100 * apart.mean:+.2f}", f"{1 - apart.share_better:.0%}"]
            numbers = [f"{100 * found.of(name, number).mean():.2f}" for number in ("ap", "auroc")]
            lines.append([f"**{name}**" if name == OURS else PARTS.get(name, name), *numbers, *compared])
        header = ["", "AP", "AUROC", "difference of AP", "worse or equal on"]
        return f"{len(found.datasets)} tables, {_said(ALL)}.\n\n{table(header, lines)}"

    def _each_table(self, setting: str) -> str:
        """Average precision on each table; with one seed, which all of them have."""
        runs = self._runs(setting)
        shown = [OURS, "LUNAR", "KNN", "IForest"]
        numbers = {name: _complete(runs, name, FIRST) for name in shown}
        lines = [
            [dataset, *(f"{100 * numbers[name][dataset]:.1f}" if dataset in numbers[name] else "" for name in shown)]
            for dataset in numbers[OURS]
        ]
        return table(["table", *(FULL_NAMES.get(name, name) for name in shown)], lines)


def _complete(runs: Sequence[Run], detector: str, seeds: Sequence[int]) -> dict[str, float]:
    """The average precision of a detector on the tables where it has a number for all seeds."""
    found = Table(runs, [detector], seeds)
    return dict(zip(found.datasets, found.of(detector).tolist(), strict=True)) if found.datasets else {}


def _said(seeds: Sequence[int]) -> str:
    return "seed 0" if len(seeds) == 1 else f"mean of seeds {seeds[0]} to {seeds[-1]}"


def _costs(results: Path) -> dict[str, str]:
    """The tables of what it costs on processors, with a picture, and with a GPU, where these were measured."""
    paths = {name: results / f"quality-{name}.json" for name in ("cost", "cost-gpu")}
    measured = {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}
    shown = {name: cost.section(measured[name]) if name in measured else "Not measured." for name in paths}
    if "cost" in measured:
        _picture(measured["cost"]["timed"], ROOT / "docs" / "pictures" / PICTURE)
        shown["cost"] += f"\n\n![Seconds to fit by the number of rows, both modes](pictures/{PICTURE})"
    return shown


def _picture(timed: Sequence[dict[str, Any]], path: Path) -> None:
    curves = {
        mode: [(one["n_rows"], one["fit_s"]) for one in timed if one["mode"] == mode] for mode in ("novelty", "outlier")
    }
    write_curves(path, curves, x="training rows of 30 columns", y="seconds to fit")


def _page(results: Path, peers: Path) -> str:
    """The text with all that was measured in its places."""
    runs = [[Run.of(line) for line in read(path)] for path in (results / "quality.csv", peers)]
    of_frauds = json.loads((results / "quality-frauds.json").read_text())
    sections = {
        **Page(*runs).sections(),
        **_costs(results),
        "frauds": f"{frauds.section(of_frauds)}\n\n{facts_line(of_frauds['facts'])}",
    }
    page = TEXT.read_text(encoding="utf-8")
    for name, section in sections.items():
        page = page.replace(f"{{{name}}}", section)
    return "\n".join(map(wrapped, page.splitlines())) + "\n"


def main() -> None:
    """Write the page and its picture, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual_peers = Path(os.environ.get("ODDROW_DATA", "."), "..", "quality", "peers.csv")
    parser.add_argument("--peers", type=Path, default=usual_peers)
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if not asked.peers.exists():
        raise SystemExit(f"{asked.peers}: no such file. Say where the peers' runs are: --peers.")
    page = _page(asked.results, asked.peers)
    (ROOT / "docs" / "quality.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
