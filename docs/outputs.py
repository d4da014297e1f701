"""Run the commands and Python blocks of the documentation and rewrite the outputs that the pages show.

    python docs/outputs.py                      # every executed page and README.md
    python docs/outputs.py README.md docs/tutorial.md

A page's blocks run from top to bottom in one temporary folder. `csv` and `toml` blocks with a title are written to
files, `python` blocks run, and so do the `oddrow` commands of `console` and `bash` blocks. A command that shows
output in a `console` block gets the new one; a `text` block right below a `python` block gets what that printed. A
comment above a block says more about its last command:

    <!-- output: [:5] [-2:] -->     show these slices of the output's lines, with … between them
    <!-- fails -->                  the command ends with exit code 1, and its message is shown
    <!-- not run -->                leave the block alone
"""

from __future__ import annotations

import io
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"
# Pages that run in a folder where the tutorial has been through: rows.csv, model and scores.csv are there.
AFTER_TUTORIAL = [
    DOCS / "index.md",
    *sorted([*(DOCS / "how-to").glob("*.md"), *(DOCS / "explanation").glob("*.md")]),
]
EXECUTED = [ROOT / "README.md", TUTORIAL, *AFTER_TUTORIAL]

BLOCK = re.compile(
    r"(?:^<!-- (?P<note>(?:output|fails|not run)[^>]*?) -->\n)?"
    r'^```(?P<language>console|bash|python|text|toml|csv)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n(?P<shown>(?:(?!\$ ).*\n)*)", re.MULTILINE)
SLICE = re.compile(r"\[(-?\d*):(-?\d*)\]")


class Ran(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


class Output(NamedTuple):
    """An output that a page shows, the one that was printed now, and where the page shows it."""

    what: str
    shown: str
    printed: str
    start: int
    end: int


def run_here(*arguments: str) -> Ran:
    """Run `oddrow` in this process, which keeps what it has compiled."""
    from oddrow.cli.app import main as oddrow

    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            oddrow(list(arguments))
        except SystemExit as exit:
            return Ran(int(exit.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("a command ends with an exit code")


def walk(text: str, run: Run = run_here, with_demo: bool = True) -> Iterator[Output]:
    """Do what a page says in the current folder, and yield every output that it shows."""
    names: dict[str, object] = {"__name__": "__page__"}
    printed, end = "", -1
    for block in BLOCK.finditer(text):
        language, body, note = block["language"], block["body"], block["note"] or ""
        if language == "text" and block.start() - end <= 2:
            yield Output("python", body, _chosen(printed, note), block.start("body"), block.end("body"))
        elif language == "python" and not note.startswith("not run"):
            with redirect_stdout(io.StringIO()) as stream:
                exec(compile(body, "page", "exec"), names)
            printed, end = stream.getvalue(), block.end()
        elif not note.startswith("not run"):
            yield from _command_or_file(block, note, run, with_demo)


def _command_or_file(block: re.Match[str], note: str, run: Run, with_demo: bool) -> Iterator[Output]:
    """Write a file that a page shows, or run the commands of a block."""
    language, body = block["language"], block["body"]
    if language in ("csv", "toml") and block["title"]:
        Path(block["title"]).write_text(body, encoding="utf-8")
    elif language == "bash":
        for command in body.replace("\\\n", " ").splitlines():
            _run(command, run, fails=False)
    elif language == "console":
        yield from _console(block, note, run, with_demo)


def _console(block: re.Match[str], note: str, run: Run, with_demo: bool) -> Iterator[Output]:
    """Run the commands of a block; a note is about the last one, and asks for its output."""
    steps = list(COMMAND.finditer(block["body"]))
    for step in steps:
        command = step["command"].replace("\\\n", " ")
        if command == "make demo":
            if not with_demo:
                continue
            command = "oddrow demo"
        own_note = note if step is steps[-1] else ""
        fails = own_note.startswith("fails")
        ran = _run(command, run, fails)
        if ran and (step["shown"] or own_note):
            printed = _chosen(ran.err if fails else ran.out, own_note)
            at = block.start("body")
            yield Output(command, step["shown"], printed, at + step.start("shown"), at + step.end("shown"))


def _run(command: str, run: Run, fails: bool) -> Ran | None:
    """Run an `oddrow` command; leave those of other programs."""
    words = shlex.split(command, comments=True)
    if words[:1] != ["oddrow"]:
        return None
    ran = run(*words[1:])
    if ran.code != int(fails):
        raise RuntimeError(f"exit code {ran.code}: {command}\n{ran.err}")
    return ran


def _chosen(printed: str, note: str) -> str:
    """Return the lines that a note chooses, without trailing spaces."""
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    slices = SLICE.findall(note)
    if not slices:
        return "".join(f"{line}\n" for line in lines)
    kept: list[int] = []
    for start, stop in slices:
        kept += range(len(lines))[slice(int(start) if start else None, int(stop) if stop else None)]
    shown: list[str] = []
    for before, index in zip([-1, *kept], kept, strict=False):
        shown += ["…"] if index != before + 1 else []
        shown.append(lines[index])
    if kept and kept[-1] != len(lines) - 1:
        shown.append("…")
    return "".join(f"{line}\n" for line in shown)


def rewrite(page: Path, folder: Path) -> int:
    """Run a page in a folder, write its outputs anew, and return how many changed."""
    text = page.read_text(encoding="utf-8")
    with chdir(folder):
        outputs = list(walk(text))
    for output in reversed(outputs):
        text = text[: output.start] + output.printed + text[output.end :]
    page.write_text(text, encoding="utf-8")
    return sum(output.shown != output.printed for output in outputs)


def main(pages: list[Path]) -> None:
    """Rewrite pages, after the tutorial has made the files that they start from."""
    with tempfile.TemporaryDirectory() as temporary:
        done = Path(temporary, "tutorial")
        done.mkdir()
        if TUTORIAL in pages or set(pages) & set(AFTER_TUTORIAL):
            report(TUTORIAL, done)
        for page in pages:
            if page == TUTORIAL:
                continue
            folder = Path(temporary, "page")
            shutil.copytree(done, folder) if page in AFTER_TUTORIAL else folder.mkdir()
            report(page, folder)
            shutil.rmtree(folder)


def report(page: Path, folder: Path) -> None:
    """Rewrite one page and say what came of it."""
    print(f"{page.relative_to(ROOT)}: ", end="", flush=True)
    try:
        print(f"{rewrite(page, folder)} outputs changed")
    except Exception as error:
        print(f"left as it is\n{error}")


if __name__ == "__main__":
    main([Path(name).resolve() for name in sys.argv[1:]] or EXECUTED)
