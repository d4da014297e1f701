"""The folder of a model: written whole or not at all, read as plain files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file

from oddrow.errors import ArtifactError, did_you_mean

FORMAT = 3
MANIFEST, TENSORS, CARD = "manifest.json", "tensors.safetensors", "card.md"
# Somebody may have had one written; it goes with the model that it is of.
REPORT = "report.html"
LARGEST_MANIFEST = 64 * 2**20


def check_writable(folder: Path) -> None:
    """Refuse a place in which no artifact can be written, before hours of training rather than after."""
    # Whatever else lies in the folder would be lost with the model it replaces.
    is_ours = folder.is_dir() and {path.name for path in folder.iterdir()} <= {MANIFEST, TENSORS, CARD, REPORT}
    if folder.exists() and not is_ours:
        raise ArtifactError(f"{folder}: this exists and is no saved model. Give another --out, or remove it.")
    parent = folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise ArtifactError(f"{folder}: {parent} is no folder. Give an --out inside one.")
    if not os.access(parent, os.W_OK):
        raise ArtifactError(f"{folder}: {parent} cannot be written to. Give an --out that can.")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A fresh folder beside the wanted one, which it replaces when all has been written."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        _swap(unfinished, folder, old)
    except OSError as error:
        raise ArtifactError(f"{folder}: it cannot be written ({error.strerror or error}).") from error
    except SafetensorError as error:
        raise ArtifactError(f"{folder}: it cannot be written ({error}).") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _swap(unfinished: Path, folder: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
    try:
        unfinished.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise


def read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        siblings = (
            [other.name for other in folder.absolute().parent.iterdir()] if folder.absolute().parent.exists() else []
        )
        hint = did_you_mean(folder.name, siblings) if not folder.exists() else ""
        raise ArtifactError(f"{folder}: there is no saved model here ({MANIFEST} is missing).{hint}")
    _check_plain_file(path)
    if path.stat().st_size > LARGEST_MANIFEST:
        raise ArtifactError(f"{path}: {path.stat().st_size:,} bytes are too many for a manifest.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: this is no valid manifest ({error}).") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise ArtifactError(f"{path}: format {found!r} is not {FORMAT}, the one that this version of oddrow reads.")
    return manifest


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def read_tensors(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ArtifactError(f"{path}: the weights are missing.")
    _check_plain_file(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path}: the weights cannot be read ({error}).") from error


def _check_plain_file(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path}: expected a plain file inside the model's folder.")
