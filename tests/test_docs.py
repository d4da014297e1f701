"""The documentation does what it says: its commands and examples run, its options and files exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
sys.path.insert(0, str(DOCS))
import outputs  # noqa: E402

PAGES = sorted([*DOCS.rglob("*.md"), README])
# `make docs` writes these pages and files.
GENERATED = ("reference/api/", "reference/cli.md", "notebooks/", "gallery/")
AT_REPOSITORY = re.compile(r"(?<![\w/])(?:docs|benchmarks)/[\w/.-]*\w")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def is_generated(page: Path) -> bool:
    return page.is_relative_to(DOCS) and str(page.relative_to(DOCS)).startswith(GENERATED)


WRITTEN = [page for page in PAGES if not is_generated(page)]


def masked(text: str) -> list[str]:
    """Lines without their numbers and with single spaces, because another processor rounds otherwise."""
    return [" ".join(re.sub(r"[-+]?\d[\d,.]*", "#", line).split()) for line in text.splitlines()]


@pytest.fixture(scope="session")
def after_tutorial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[outputs.Output]]:
    """A folder where the tutorial has been through, and what it showed."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shown = list(outputs.walk(outputs.TUTORIAL.read_text(encoding="utf-8"), with_demo=False))
    return folder, shown


def check(shown: list[outputs.Output]) -> None:
    for output in shown:
        assert masked(output.shown) == masked(output.printed), f"{output.what}\nrefresh it: python docs/outputs.py"


def test_the_tutorial_runs_and_shows_what_is_printed(after_tutorial: tuple[Path, list[outputs.Output]]) -> None:
    _, shown = after_tutorial
    assert len(shown) >= 6
    check(shown)


@pytest.mark.parametrize("page", [README, *outputs.AFTER_TUTORIAL], ids=name_of)
def test_a_page_runs_and_shows_what_is_printed(
    page: Path, after_tutorial: tuple[Path, list[outputs.Output]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(after_tutorial[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    check(list(outputs.walk(page.read_text(encoding="utf-8"), with_demo=False)))


@pytest.mark.slow
def test_the_demo_prints_what_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = re.search(r"(?:^<!-- .* -->\n)?^```console\n\$ make demo\n.*?^```$", README.read_text(), re.M | re.S)
    assert block is not None
    check(list(outputs.walk(block[0])))


def test_outputs_are_rewritten_in_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Some text.\n\n```python\nprint('new', 1)\nprint('more')\n```\n\n"
        "<!-- output: [:1] -->\n```text\nold\n```\n\nEnd.\n"
    )
    assert outputs.rewrite(page, tmp_path) == 1
    assert page.read_text().endswith("```text\nnew 1\n…\n```\n\nEnd.\n")
    assert outputs.rewrite(page, tmp_path) == 0


@pytest.fixture(scope="session")
def options() -> set[str]:
    """Every option of every command."""
    done = subprocess.run([sys.executable, DOCS / "cli.py"], capture_output=True, text=True, check=True, timeout=120)
    return set(re.findall(r"`(--[a-z-]+)", done.stdout))


def own_text(page: Path) -> str:
    """A page without the commands of other programs, which have options of their own."""
    others = re.compile(r"^.*(?:benchmarks/|requirements|pip install|tensorboard).*$|`[^`]*benchmarks/[^`]*`", re.M)
    return others.sub("", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_every_option_that_a_page_names_exists(page: Path, options: set[str]) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.sub(r"<!--.*?-->", "", own_text(page))))
    assert sorted(named - options - {"--strict"}) == []


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    """Links from where the page lies, paths in docs/ and benchmarks/ from the top."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    links = [(page.parent / link).resolve() for link in re.findall(r"\]\((?!\w+:|#)([^)#]+)", text)]
    lacking = [link for link in links if not link.exists() and not is_generated(link)]
    paths = AT_REPOSITORY.findall(re.sub(r"\]\([^)]*\)", "", text))
    unknown = [path for path in paths if not list(ROOT.glob(f"{path}*")) and not is_generated(ROOT / path)]
    assert lacking + unknown == []


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_lines_of_prose_are_at_most_120_characters_long(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    prose = [line for line in text.splitlines() if not line.startswith(("|", "    ", "!["))]
    assert [line for line in prose if len(line) > 120] == []


def test_every_page_is_in_the_navigation_and_leads_on() -> None:
    listed = re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    written = {str(page.relative_to(DOCS)) for page in WRITTEN if page != README and page.parent.name != "decisions"}
    assert sorted(written - set(listed)) == []
    lacking = [page for page in [outputs.TUTORIAL, *outputs.AFTER_TUTORIAL] if page.stem != "index"]
    assert [name_of(page) for page in lacking if "## Where to go next" not in page.read_text(encoding="utf-8")] == []


def test_the_index_of_the_decisions_leads_to_all_of_them() -> None:
    folder = DOCS / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in sorted(folder.glob("0*.md")) if f"]({page.name})" not in index] == []


@pytest.mark.slow
@pytest.mark.parametrize("notebook", sorted((DOCS / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path) -> None:
    pytest.importorskip("jupytext", reason="notebooks need jupytext (extra dev)")
    pytest.importorskip("nbclient", reason="notebooks need nbclient (extra dev)")
    from notebook_pages import executed

    cells = executed(notebook).cells
    assert any(cell.get("outputs") for cell in cells)
    assert [output for cell in cells for output in cell.get("outputs", []) if output.output_type == "error"] == []
