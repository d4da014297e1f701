"""A saved history state: one Parquet file with the events that the state keeps, and metadata that describe them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from oddrow.errors import ArtifactError, ParameterError, TableError
from oddrow.files import check_output_file, read_failures_as, replaced_file
from oddrow.structure import build
from oddrow.table.history.entity_events import Track
from oddrow.table.history.events import BOOLEAN, DATES, LATEST, NUMBERS, TEXT, WHOLE
from oddrow.table.history.features import LABEL, FeatureBlock
from oddrow.table.table import row_hashes
from oddrow.typing import Ints

FORMAT = 1

_METADATA, _CHECKSUM = "oddrow_history_state", "oddrow_checksum"


@dataclass(frozen=True)
class StateMetadata:
    """Blocks of the history, name and kind of the time column, kinds of the entities, time of the latest event."""

    history: tuple[FeatureBlock, ...]
    time: str
    clock: str
    kinds: dict[str, str | None]
    newest: int


def write_state(rows: pl.DataFrame, metadata: dict[str, Any], path: Path) -> None:
    """Write the file, whole or not at all; raise `TableError` if it cannot be written."""
    check_output_file(path)
    text = json.dumps({"format": FORMAT, **metadata})
    with replaced_file(path) as unfinished:
        rows.write_parquet(unfinished, metadata={_METADATA: text, _CHECKSUM: _checksum(rows, text)})


def read_state(path: Path) -> tuple[pl.DataFrame, StateMetadata]:
    """Read the file; raise `ArtifactError` if it is not as it was written."""
    if not path.is_file():
        raise ArtifactError(f"{path}: there is no such file. Name one that HistoryState.save wrote.")
    with read_failures_as(ArtifactError, f"{path}: cannot be read as a history state", "Copy the file again."):
        metadata, rows = pl.read_parquet_metadata(path), pl.read_parquet(path, glob=False)
    text = metadata.get(_METADATA, "")
    if not text:
        raise ArtifactError(f"{path}: this is a table, not a history state. Name a file that HistoryState.save wrote.")
    if metadata.get(_CHECKSUM) != _checksum(rows, text):
        raise ArtifactError(f"{path}: the events are not those that were saved. Copy the file again or save a new one.")
    return rows, _parse_metadata(text, path)


def _parse_metadata(text: str, path: Path) -> StateMetadata:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: the metadata are not JSON ({error}). Save a new state.") from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise ArtifactError(f"{path}: this version of oddrow reads history states of format {FORMAT}. Save a new one.")
    try:
        metadata: StateMetadata = build(StateMetadata, values)
    except ParameterError as error:
        raise ArtifactError(f"{path}: not a valid history state ({error}). Save a new one.") from error
    return metadata


def _checksum(rows: pl.DataFrame, text: str) -> str:
    return hashlib.sha256(text.encode() + row_hashes(rows).tobytes()).hexdigest()


def entity_column(by: str) -> str:
    """Return the file's column of an entity."""
    return f"entity {by}"


def number_column(name: str) -> str:
    """Return the file's column of an amount or of the labels."""
    return "label" if name == LABEL else f"number {name}"


def entity_text(entity: Hashable) -> str:
    """Return an entity as text."""
    return str(entity).lower() if isinstance(entity, bool) else str(entity)


def entity_texts(by: str, tracks: Iterable[tuple[Hashable, Track]], ids: Ints) -> pl.Series:
    """Return the entity of each event (n,) as text, null without one; `ids` (n,) are consecutive."""
    texts = np.full(len(ids), None, dtype=object)
    first = ids[0] if len(ids) else 0
    for entity, track in tracks:
        places = track.ids - first
        texts[places[(places >= 0) & (places < len(ids))]] = entity_text(entity)
    return pl.Series(entity_column(by), texts.tolist(), dtype=pl.String)


def parse_entities(texts: pl.Series, kind: str | None) -> pl.Series:
    """Return entities (n,) as they were before they became text."""
    if kind == WHOLE:
        values = texts.cast(pl.Int128, strict=False)
    elif kind == BOOLEAN:
        values = texts.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    else:
        values = texts if kind == TEXT else pl.Series(texts.name, [None] * len(texts))
    if values.null_count() > texts.null_count():
        raise TableError(f"column '{texts.name}' does not hold {kind}")
    return values


def check_metadata(metadata: StateMetadata, entities: Sequence[str]) -> None:
    """Raise `TableError` for metadata that no state would write."""
    if metadata.clock != NUMBERS and not metadata.clock.startswith(DATES):
        raise TableError(f"clock={metadata.clock!r} is not {NUMBERS} or {DATES}")
    if list(metadata.kinds) != list(entities) or not {None, WHOLE, TEXT, BOOLEAN} >= set(metadata.kinds.values()):
        raise TableError(f"kinds={metadata.kinds!r} do not match the entities {entities}")
    if not -LATEST <= metadata.newest < LATEST:
        raise TableError(f"newest={metadata.newest!r} is not a time")


def check_rows(rows: pl.DataFrame, entities: Sequence[str], numbers: Sequence[str], newest: int) -> None:
    """Raise `TableError` for events that no state would write."""
    columns = [number_column(name) for name in numbers]
    schema: dict[str, pl.DataType] = {"time": pl.Int64()}
    schema |= {entity_column(by): pl.String() for by in entities} | {name: pl.Float64() for name in columns}
    if dict(rows.schema) != schema:
        raise TableError(f"the columns are {dict(rows.schema)}, not {schema}")
    if rows["time"].null_count() or not rows["time"].is_between(-LATEST, newest).all():
        raise TableError("a time is missing or later than the latest")
    if any(rows[name].null_count() or rows[name].is_infinite().any() for name in columns):
        raise TableError("a number is not finite")
    if LABEL in numbers and not rows["label"].fill_nan(0.0).is_in([0.0, 1.0]).all():
        raise TableError("a label is not 0, 1 or missing")
