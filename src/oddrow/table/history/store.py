"""A history state as a file: one Parquet table of the rows it remembers, and in its metadata what they are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from oddrow.errors import ArtifactError, TableError
from oddrow.files import check_output_file, replaced_file
from oddrow.table.fingerprint import row_hashes
from oddrow.table.history.events import BOOLEAN, DATES, LATEST, NUMBERS, TEXT, WHOLE
from oddrow.table.history.features import LABEL
from oddrow.table.history.tracks import Track
from oddrow.typing import Ints

FORMAT = 1

_SAID, _CHECKSUM = "oddrow_history_state", "oddrow_checksum"


def write_state(rows: pl.DataFrame, said: dict[str, Any], path: Path) -> None:
    """Write whole or not at all; raises `TableError` where nothing can be written."""
    check_output_file(path)
    text = json.dumps({"format": FORMAT, **said})
    with replaced_file(path) as unfinished:
        rows.write_parquet(unfinished, metadata={_SAID: text, _CHECKSUM: _checksum(rows, text)})


def read_state(path: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The rows and what was said of them; raises `ArtifactError` where the file is not as it was written."""
    if not path.is_file():
        raise ArtifactError(f"{path}: there is no such file. Name one that HistoryState.save wrote.")
    metadata, rows = _read_parquet(path)
    text = metadata.get(_SAID, "")
    if not text:
        raise ArtifactError(f"{path}: this is a table, not a history state. Name a file that HistoryState.save wrote.")
    if metadata.get(_CHECKSUM) != _checksum(rows, text):
        raise ArtifactError(f"{path}: its rows are not those that were saved. Copy the file again, or save a new one.")
    return rows, _parsed(text, path)


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: its metadata are no JSON ({error}). Save a new state.") from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise ArtifactError(f"{path}: this is not format {FORMAT}, which this oddrow reads. Save a new state.")
    return said


def _read_parquet(path: Path) -> tuple[dict[str, str], pl.DataFrame]:
    # A damaged file can make the reader panic, which is no Exception.
    try:
        return pl.read_parquet_metadata(path), pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).strip().split("\n")[0]
        raise ArtifactError(f"{path}: this cannot be read as a history state ({reason}). Copy it again.") from error


def _checksum(rows: pl.DataFrame, text: str) -> str:
    return hashlib.sha256(text.encode() + row_hashes(rows).tobytes()).hexdigest()


def column_of(name: str, *, entity: bool = False) -> str:
    """The file's column of the times, of an entity column, of a totalled column or of the labels."""
    return "label" if name == LABEL else f"{'entity' if entity else 'number'} {name}"


def spoken(entity: Hashable) -> str:
    """An entity as text."""
    return str(entity).lower() if isinstance(entity, bool) else str(entity)


def to_text(by: str, tracks: Iterable[tuple[Hashable, Track]], ids: Ints) -> pl.Series:
    """The entity of each row (n,) as text, null where it has none; the rows' numbers `ids` count upwards by one."""
    texts = np.full(len(ids), None, dtype=object)
    first = ids[0] if len(ids) else 0
    for entity, track in tracks:
        places = track.ids - first
        texts[places[(places >= 0) & (places < len(ids))]] = spoken(entity)
    return pl.Series(column_of(by, entity=True), texts.tolist(), dtype=pl.String)


def entities_of(rows: pl.DataFrame, kinds: Mapping[str, str | None]) -> dict[str, pl.Series]:
    """The entity columns as they were before they became text."""
    return {by: _of_text(rows[column_of(by, entity=True)], kind) for by, kind in kinds.items()}


def _of_text(texts: pl.Series, kind: str | None) -> pl.Series:
    if kind == WHOLE:
        values = texts.cast(pl.Int128, strict=False)
    elif kind == BOOLEAN:
        values = texts.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    else:
        values = texts if kind == TEXT else pl.Series(texts.name, [None] * len(texts))
    if values.null_count() > texts.null_count():
        raise TableError(f"column '{texts.name}' does not hold {kind}")
    return values


def check_said(said: Mapping[str, Any], entities: Sequence[str]) -> None:
    """Refuse metadata that no state would write."""
    time, clock, kinds, newest = (said[name] for name in ("time", "clock", "kinds", "newest"))
    if not isinstance(time, str) or not isinstance(clock, str) or not (clock == NUMBERS or clock.startswith(DATES)):
        raise TableError(f"time={time!r} is no column of {NUMBERS} or {DATES}, but of {clock!r}")
    if list(kinds) != list(entities) or not {None, WHOLE, TEXT, BOOLEAN} >= set(kinds.values()):
        raise TableError(f"kinds={kinds!r} are not those of {entities}")
    if not isinstance(newest, int) or isinstance(newest, bool) or not -LATEST <= newest < LATEST:
        raise TableError(f"newest={newest!r} is no moment")


def check_table(rows: pl.DataFrame, entities: Sequence[str], numbers: Sequence[str], newest: int) -> None:
    """Refuse rows that no state would write."""
    schema: dict[str, pl.DataType] = {"time": pl.Int64()}
    schema |= {column_of(by, entity=True): pl.String() for by in entities}
    schema |= {column_of(name): pl.Float64() for name in numbers}
    if dict(rows.schema) != schema:
        raise TableError(f"its columns are {dict(rows.schema)}, not {schema}")
    if rows["time"].null_count() or not rows["time"].is_between(-LATEST, newest).all():
        raise TableError("its times are not all known and at most the latest")
    if any(rows[column_of(name)].null_count() or rows[column_of(name)].is_infinite().any() for name in numbers):
        raise TableError("its numbers are not all finite")
    if LABEL in numbers and not rows["label"].fill_nan(0.0).is_in([0.0, 1.0]).all():
        raise TableError("its labels are not all 0, 1 or missing")
