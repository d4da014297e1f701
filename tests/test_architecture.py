"""Who may import whom, read from the source: the table of rooms, and what each room keeps out."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "oddrow"
FILES = sorted(SOURCE.rglob("*.py"))
ENGINE = {"jax", "jaxlib", "equinox", "optax"}

# What a unit may import besides `errors` and itself. A new room gets a line here, and a reason in docs/decisions.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "typing": set(),
    "structure": set(),
    "files": set(),
    "display": set(),
    "outcomes": set(),
    "estimator": set(),
    "table": {"files"},
    "simulation": {"table"},
    "encoding": {"estimator", "table"},
    "nets": set(),
    "train": {"estimator", "files"},
    "metrics": set(),
    "thresholds": set(),
    "evaluate": {"metrics", "thresholds"},
    "detectors": {"encoding", "estimator", "nets", "table", "train"},
    "resampling": {"encoding", "estimator", "evaluate", "metrics", "nets", "table", "thresholds", "train"},
    "artifact": {"detectors", "encoding", "files", "table", "thresholds", "train"},
    "explain": {"detectors", "encoding", "table"},
    "export": {"detectors", "encoding", "nets", "table"},
    "plots": {"files"},
    "report": {"artifact", "detectors", "evaluate", "explain", "metrics", "plots", "table", "thresholds"},
    "workflow": {
        "artifact",
        "detectors",
        "encoding",
        "evaluate",
        "explain",
        "export",
        "files",
        "metrics",
        "report",
        "resampling",
        "simulation",
        "table",
        "thresholds",
        "train",
    },
    "recipes": {
        "artifact",
        "detectors",
        "encoding",
        "evaluate",
        "files",
        "metrics",
        "nets",
        "plots",
        "report",
        "resampling",
        "table",
        "thresholds",
        "train",
        "workflow",
    },
    "cli": {"evaluate", "explain", "files", "recipes", "resampling", "simulation", "table", "workflow"},
}
# Packages, or modules of packages, that a unit never imports.
NEVER: dict[str, set[str]] = {
    "table": ENGINE,
    "encoding": ENGINE,
    "simulation": ENGINE | {"sklearn"},
    "nets": {"sklearn", "polars", "pandas"},
    "train": {"polars", "pandas"},
    "thresholds": ENGINE,
    "metrics": ENGINE,
    "evaluate": ENGINE,
    "cli": ENGINE,
    "plots": ENGINE | {"sklearn"},
    "report": ENGINE | {"sklearn"},
}
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def unit(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at the top or inside a function: `oddrow.table.read`, `numpy`, …"""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full, not with dots"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(path: Path) -> set[str]:
    """The units of oddrow that a file imports."""
    modules = (name.split(".") for name in imports(path))
    return {parts[1] for parts in modules if parts[0] == "oddrow" and len(parts) > 1}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = unit(path)
    if room == "__init__":
        assert not rooms(path), "importing oddrow must stay quick: names are imported when first used"
        return
    assert rooms(path) <= MAY_IMPORT[room] | {room, "errors", "typing", "display", "outcomes", "structure"}
    packages = {name.partition(".")[0] for name in imports(path)}
    assert not packages & NEVER.get(room, set())
    assert not packages & PICKLES


def test_every_room_of_the_table_stands() -> None:
    assert MAY_IMPORT.keys() == {unit(path) for path in FILES} - {"__init__"}


def test_no_room_is_reached_from_the_one_it_imports() -> None:
    reached = {room: set(others) for room, others in MAY_IMPORT.items()}
    for _ in reached:
        reached = {room: others.union(*(reached[other] for other in others)) for room, others in reached.items()}
    assert [room for room, others in reached.items() if room in others] == []


def test_no_module_imports_itself_through_others_not_even_for_types() -> None:
    modules = {".".join(("oddrow", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in FILES}
    # A package's own file imports names when they are first used.
    graph = {name: set(imports(path)) & modules.keys() for name, path in modules.items() if path.stem != "__init__"}
    assert list(TopologicalSorter(graph).static_order())


def test_tables_and_training_take_only_the_base_classes_of_scikit_learn() -> None:
    taken = {name for path in FILES if unit(path) in ("table", "train") for name in imports(path)}
    assert {name for name in taken if name.startswith("sklearn")} <= {"sklearn.base", "sklearn.base.BaseEstimator"}


def test_an_optional_package_is_imported_in_one_file_only() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    core = {re.split(r"[\s\[<>=!~;]", name)[0].replace("scikit-learn", "sklearn") for name in needed}
    files: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        for name in {name.partition(".")[0] for name in imports(path)} - core - sys.stdlib_module_names - {"oddrow"}:
            files[name].add(str(path.relative_to(SOURCE)))
    assert files["matplotlib"] == {"plots/canvas.py"}
    assert files["jinja2"] == {"report/page.py"}
    assert files["onnx"] == {"export/graph.py"}
    assert files["onnxruntime"] == {"export/parity.py"}
    assert files["tensorboardX"] == {"train/monitor.py"}
    assert {name: where for name, where in files.items() if len(where) > 1} == {}


def test_nothing_is_unpickled_by_another_name() -> None:
    assert [path.name for path in FILES if re.search(r"allow_pickle\s*=\s*True|read_pickle", path.read_text())] == []


STUBBED = sorted(".".join(path.parent.relative_to(SOURCE.parent).parts) for path in SOURCE.rglob("__init__.pyi"))


@pytest.mark.parametrize("name", STUBBED)
def test_every_name_of_a_stub_is_listed_and_imported_when_first_used(name: str) -> None:
    package = importlib.import_module(name)
    assert set(package.__all__) <= set(dir(package))
    assert [public for public in dir(package) if getattr(package, public, None) is None] == []


def test_no_file_is_longer_than_400_lines() -> None:
    assert {path.name: n for path in FILES if (n := len(path.read_text().splitlines())) > 400} == {}
