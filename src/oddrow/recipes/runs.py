"""The folder of a recipe: what has been measured, run by run, so that an interrupted one goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from oddrow.artifact import check_writable
from oddrow.errors import ArtifactError
from oddrow.table.write import write_json

Line = dict[str, Any]


class Runs:
    """Lines of numbers by run; `described` is all that shapes them, so that others are not taken for these."""

    def __init__(self, folder: Path, described: Mapping[str, Any], keys: Sequence[str]) -> None:
        text = json.dumps({"oddrow": version("oddrow"), **described}, sort_keys=True, default=str)
        self.folder, self.signature, self.keys = folder, hashlib.sha256(text.encode()).hexdigest()[:32], keys

    def make_folder(self) -> None:
        """Raises `ArtifactError` where it cannot be made or written."""
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"{self.folder}: the folder cannot be made ({error.strerror}).") from error
        check_writable(self.folder / "model")

    def read(self, file: str) -> list[Line]:
        """What has been measured in a run, nothing where it has not been run."""
        path = self.folder / "runs" / file
        if not path.exists():
            return []
        try:
            saved = json.loads(path.read_text())
            signature, lines = saved["signature"], [{key: line[key] for key in self.keys} for line in saved["lines"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: this cannot be read ({error!r}). Delete it to run it again.") from error
        if signature != self.signature:
            raise ArtifactError(f"{path}: it was written by another recipe or other data. Give another --out.")
        return lines

    def write(self, file: str, lines: Sequence[Line]) -> None:
        """Keep what has been measured in a run."""
        write_json({"signature": self.signature, "lines": list(lines)}, self.folder / "runs" / file)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a recipe's results."""
    holds = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if holds and "runs" not in holds:
        raise ArtifactError(
            f"{folder}: this exists and holds no results of a recipe. Give another --out, or remove it."
        )
