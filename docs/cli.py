"""Print docs/cli.md: every command with its options, as `--help` has them (`make cli-docs`)."""

from __future__ import annotations

import html
import io
from contextlib import redirect_stdout

import typer.main
from typer.cli import get_docs_for_click

from oddrow.cli.app import app

if __name__ == "__main__":
    command = typer.main.get_command(app)
    with redirect_stdout(io.StringIO()):
        text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="oddrow")
    print(html.unescape(text).strip())
