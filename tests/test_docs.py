"""The guide in docs/ does what it says: its files, commands and examples run from top to bottom, its names exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from oddrow.simulation import simulate

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
GUIDE = ("start", "tables", "detectors", "deciding", "recipes")
PAGES = sorted([*DOCS.glob("*.md"), README])

FILE = r"`(?P<name>[\w.]+\.(?:csv|toml))`:\n\n(?P<content>(?: {4}.*\n|\n(?= {4}))+)"
PYTHON = r"```python\n(?P<python>.*?)```"
COMMAND = r"^ {4}(?:\$ )?oddrow (?P<command>(?:.*\\\n)*.*)\n(?P<shown>(?: {4}(?!(?:\$ )?oddrow ).*\n)*)"
REFUSED = r"`oddrow (?P<refused>[^`]+)` says:\n\n +(?P<error>.*)\n"
STEP = re.compile(f"{FILE}|(?s:{PYTHON})|{COMMAND}|{REFUSED}", re.MULTILINE)

# `oddrow("fit", …)` of conftest; what it returns has code, out and err.
Run = Callable[..., "Ran"]


class Ran(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


def text_of(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def words(command: str) -> list[str]:
    return shlex.split(command.replace("\\\n", " "))


def lines(text: str) -> list[str]:
    """Lines with single spaces between their words, so that columns may be as wide as they like."""
    return [" ".join(line.split()) for line in text.splitlines()]


def check_shown(command: str, shown: str, ran: Ran) -> None:
    """What a page shows of a command that computes nothing is what the command prints, but for `…`."""
    if command.startswith(("inspect", "recipe --list")):
        printed = lines(ran.out)
        assert [line for line in lines(shown) if line not in [*printed, "…"]] == []


def walk(text: str, oddrow: Run) -> Iterator[str]:
    """Do what a page says, in order, in the current folder; yield what was done."""
    names: dict[str, object] = {}
    for step in STEP.finditer(text):
        found = step.groupdict()
        if found["name"]:
            Path(found["name"]).write_text(re.sub("^ {4}", "", found["content"], flags=re.MULTILINE), encoding="utf-8")
        elif found["python"]:
            exec(found["python"], names)
        elif found["command"]:
            ran = oddrow(*words(found["command"]))
            assert ran.code == 0, f"oddrow {found['command']}\n{ran.err}"
            check_shown(found["command"], found["shown"], ran)
        else:
            ran = oddrow(*words(found["refused"]))
            assert (ran.code, ran.err.strip()) == (1, found["error"])
        yield step.lastgroup or ""


@pytest.mark.parametrize(("page", "n_steps"), [("start", 9), ("tables", 9), ("detectors", 6), ("export", 3)])
def test_a_page_runs_from_top_to_bottom(
    page: str, n_steps: int, oddrow: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one folder, where the pages after the first find the table that the first one makes."""
    monkeypatch.chdir(tmp_path)
    if page != "start":
        simulate(20_000).write_csv("rows.csv")
    assert len(list(walk(text_of(page), oddrow))) == n_steps


def test_the_list_of_recipes_is_the_one_that_is_printed(oddrow: Run) -> None:
    shown = re.search(r"\$ oddrow recipe --list\n((?: {4}.*\n)+)", text_of("recipes"))
    assert shown is not None
    assert lines(shown[1]) == lines(oddrow("recipe", "--list").out)


@pytest.fixture
def own_tables(tmp_path: Path, mixed: pl.DataFrame) -> Path:
    """A folder with the files that the README's own table stands for."""
    rows = mixed.rename({"fraud": "is_fraud", "time": "when"}).with_columns(pl.col("when").dt.offset_by("4mo20d"))
    rows.write_csv(tmp_path / "rows.csv")
    rows.drop("is_fraud").write_csv(tmp_path / "new.csv")
    payments = mixed.select(TransactionID="row_id", amount="amount", shop="shop", isFraud="fraud")
    devices = pl.DataFrame({"TransactionID": np.arange(0, 600, 2), "device": ["phone", "desktop", "phone"] * 100})
    payments.write_csv(tmp_path / "transactions.csv")
    payments.drop("isFraud").write_csv(tmp_path / "new_transactions.csv")
    for name in ("identity", "new_identity"):
        devices.write_csv(tmp_path / f"{name}.csv")
    return tmp_path


def test_the_commands_on_your_own_table_run(own_tables: Path, oddrow: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_tables)
    commands = re.findall(r"^ {4}\.venv/bin/oddrow (.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        quick = ["--set", "training.epochs=2"] if command.startswith("fit") else []
        ran = oddrow(*words(command), *quick)
        assert ran.code == 0, f"oddrow {command}\n{ran.err}"


def test_the_settings_of_the_readme_can_be_read(tmp_path: Path) -> None:
    from oddrow import Settings

    (block,) = re.findall(r"^ {4}label = (?:.*\n)(?: {4}.*\n)+", README.read_text(encoding="utf-8"), re.MULTILINE)
    (tmp_path / "settings.toml").write_text(block, encoding="utf-8")
    settings = Settings.gather(tmp_path / "settings.toml")
    assert (settings.roles.label, settings.kinds, settings.training) == (
        "is_fraud",
        {"zip": "category"},
        {"epochs": 20},
    )


def own_text(page: Path) -> str:
    """A page without the commands of other programs, which have options of their own."""
    others = re.compile(r"^.*(?:benchmarks/|requirements|pip install).*$|`[^`]*benchmarks/[^`]*`", re.MULTILINE)
    return others.sub("", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_option_that_a_page_names_exists(page: Path) -> None:
    known = set(re.findall(r"`(--[a-z-]+)", (DOCS / "cli.md").read_text(encoding="utf-8")))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", own_text(page)))
    assert sorted(named - known) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    """Links from where the page lies, paths in docs/ and benchmarks/ from the top; a decision may go by its number."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!\w+:|#)([^)#]+)", text)
    paths = re.findall(r"(?<![\w/])(?:docs|benchmarks)/[\w/.-]*\w", text)
    lacking = [link for link in links if not (page.parent / link).exists()]
    assert lacking + [path for path in paths if not list(ROOT.glob(f"{path}*"))] == []


@pytest.mark.parametrize("page", GUIDE)
def test_every_page_of_the_guide_leads_to_the_others(page: str) -> None:
    way = f"The guide: {' · '.join(f'[{name}]({name}.md)' for name in GUIDE)}"
    assert text_of(page).splitlines()[2] == way
