"""`ParquetFrame` behaves like the polars frame of the same rows, and memory budgets are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ParameterError, TableError
from oddrow.table.delimited import ReadOptions
from oddrow.table.parquet import MemoryBudget, ParquetFrame, parse_bytes
from oddrow.table.read import read_table, read_within_memory
from oddrow.table.schema import Schema
from oddrow.table.table import SYNTHETIC, table_hashes


@pytest.fixture
def memory(tmp_path: Path) -> MemoryBudget:
    """Too little for `mixed`, which has 600 rows and 8 columns, but enough for any one column."""
    folder = tmp_path / "memory"
    folder.mkdir()
    return MemoryBudget(90_000, folder)


@pytest.fixture
def paths(mixed: pl.DataFrame, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    mixed[:250].write_parquet(paths[0], row_group_size=60)
    mixed[250:].write_parquet(paths[1])
    return paths


def whole(frame: ParquetFrame, n_rows: int) -> pl.DataFrame:
    return pl.concat(list(frame.iter_slices(n_rows)))


@pytest.mark.parametrize("n_rows", [1, 7, 100, 1000])
def test_rows_columns_and_slices_are_those_of_the_frame(
    n_rows: int, mixed: pl.DataFrame, paths: list[Path], memory: MemoryBudget
) -> None:
    stored, rng = ParquetFrame(paths, memory), np.random.default_rng(n_rows)
    assert (stored.columns, stored.height, stored.width) == (mixed.columns, *mixed.shape)
    first = np.flatnonzero(rng.random(600) < 0.5)
    second = np.flatnonzero(rng.random(len(first)) < 0.5)
    for part, expected in (
        (stored, mixed),
        (stored[first], mixed[first]),
        (stored[first][second], mixed[first][second]),
        (stored[first].select(["shop", "fee"]), mixed[first].select("shop", "fee")),
        (stored[first].drop("time"), mixed[first].drop("time")),
    ):
        assert part.height == expected.height
        assert_frame_equal(whole(part, n_rows), expected)
        assert max(block.height for block in part.iter_slices(n_rows)) <= n_rows
        assert_frame_equal(part.gather_every(7), expected.gather_every(7))
        for name in part.columns:
            assert_series_equal(part[name], expected[name])


def test_an_empty_selection_has_no_rows(paths: list[Path], memory: MemoryBudget) -> None:
    none = ParquetFrame(paths, memory)[np.arange(0)]
    assert (none.height, none.collect().height, none.collect().width) == (0, 0, 8)


def test_rows_must_be_taken_in_order(paths: list[Path], memory: MemoryBudget) -> None:
    with pytest.raises(TableError, match="can only be taken in their order, each once"):
        ParquetFrame(paths, memory)[np.array([3, 1])]


def test_schema_encoder_and_hashes_are_those_of_the_frame_in_memory(
    mixed: pl.DataFrame, paths: list[Path], memory: MemoryBudget
) -> None:
    rows = np.flatnonzero(np.random.default_rng(0).random(600) < 0.7)
    stored, frame = ParquetFrame(paths, memory)[rows], mixed[rows]
    schema = Schema.infer(stored)
    assert schema == Schema.infer(frame)
    encoder = TableEncoder().fit(stored, schema)
    assert encoder.learned == TableEncoder().fit(frame, schema).learned
    assert (table_hashes(stored, schema) == table_hashes(frame, schema)).all()


# Files in


def test_parquet_files_stay_where_they_are(paths: list[Path], memory: MemoryBudget) -> None:
    table = read_within_memory(paths, ReadOptions(), memory)
    assert isinstance(table.frame, ParquetFrame)
    assert table.frame.paths == paths
    assert list(memory.folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["csv", "two orders", "two types", "no values yet", "both"])
def test_files_of_different_formats_orders_and_types_are_one_table(
    kind: str, mixed: pl.DataFrame, paths: list[Path], memory: MemoryBudget
) -> None:
    first, rest = mixed[:250], mixed[250:]
    if kind == "no values yet":
        mixed = pl.concat([first.with_columns(amount=pl.lit(None, pl.Float64)), rest])
        first.with_columns(amount=pl.lit(None)).write_parquet(paths[0])
    elif kind == "two types":
        mixed = mixed.with_columns(fee=pl.concat([first["fee"].round().cast(pl.Int64).cast(pl.Float64), rest["fee"]]))
        first.with_columns(fee=pl.col("fee").round().cast(pl.Int64)).write_parquet(paths[0])
    elif kind == "two orders":
        rest.select(reversed(mixed.columns)).write_parquet(paths[1])
    else:
        paths = [paths[0].with_suffix(".csv"), paths[1].with_suffix(".csv") if kind == "csv" else paths[1]]
        first.write_csv(paths[0])
        if kind == "csv":
            rest.write_csv(paths[1])
    table = read_within_memory(paths, ReadOptions(), memory)
    assert isinstance(table.frame, ParquetFrame)
    assert_frame_equal(table.in_memory, mixed, check_dtypes=False)
    for name in mixed.columns:
        assert_series_equal(table.frame[name], mixed[name], check_dtypes=False)
    copies = {"csv": ["table-0.parquet", "table-1.parquet"], "both": ["table-0.parquet"]}
    assert sorted(path.name for path in memory.folder.iterdir()) == copies.get(kind, [])


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_damage_is_reported_under_the_name_of_the_file(
    ending: str, mixed: pl.DataFrame, paths: list[Path], memory: MemoryBudget
) -> None:
    damaged = paths[0].with_name(f"damaged.{ending}")
    if ending == "parquet":
        mixed.write_parquet(damaged)
    else:
        mixed.write_ipc(damaged, compression="zstd")
    content = bytearray(damaged.read_bytes())
    content[200 : len(content) // 2] = b"\xff" * (len(content) // 2 - 200)
    damaged.write_bytes(content)
    with pytest.raises(TableError, match=rf"damaged\.{ending}.* cannot be read") as refused:
        read_within_memory(damaged, ReadOptions(), memory).in_memory  # noqa: B018
    assert str(memory.folder) not in str(refused.value)


def test_levels_are_as_wide_as_their_text(memory: MemoryBudget, tmp_path: Path) -> None:
    level = pl.Enum(["x" * 300])
    pl.DataFrame({"level": pl.Series(["x" * 300] * 50, dtype=level), "n": range(50)}).write_parquet(
        tmp_path / "t.parquet"
    )
    assert ParquetFrame([tmp_path / "t.parquet"], memory).widths == {"level": 316.0, "n": 8.0}


def test_incompatible_types_are_refused_on_disk_as_in_memory(
    mixed: pl.DataFrame, paths: list[Path], memory: MemoryBudget
) -> None:
    mixed[250:].with_columns(time=pl.struct("amount")).write_parquet(paths[1])
    refused = r"the files from .* on (hold different types|cannot be read as one table)"
    with pytest.raises(TableError, match=refused):
        read_table(paths)
    with pytest.raises(TableError, match=refused):
        read_within_memory(paths, ReadOptions(), memory)


def test_a_file_without_rows_adds_none(mixed: pl.DataFrame, paths: list[Path], memory: MemoryBudget) -> None:
    empty = paths[0].with_name("empty.csv")
    mixed.clear().write_csv(empty)
    assert read_within_memory([*paths, empty], ReadOptions(), memory).n_rows == 600
    with pytest.raises(TableError, match="the table has columns but no rows"):
        read_within_memory(empty, ReadOptions(), memory)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_synthetic_rows_on_disk_are_marked(
    ending: str, mixed: pl.DataFrame, memory: MemoryBudget, tmp_path: Path
) -> None:
    marks = np.arange(600) % 3 == 0
    marked = mixed.with_columns(pl.Series(SYNTHETIC, marks))
    path = tmp_path / f"t.{ending}"
    (marked.write_csv if ending == "csv" else marked.write_parquet)(path)
    table = read_within_memory(path, ReadOptions(), memory)
    assert (table.synthetic == marks).all()
    assert table.columns == mixed.columns


def test_what_fits_is_read_into_memory(mixed: pl.DataFrame, paths: list[Path], memory: MemoryBudget) -> None:
    table = read_within_memory(paths, ReadOptions(), MemoryBudget(1e6, memory.folder))
    assert isinstance(table.frame, pl.DataFrame)
    assert_frame_equal(table.frame, mixed)


def test_too_little_for_one_column_is_refused(paths: list[Path], memory: MemoryBudget) -> None:
    with pytest.raises(
        ParameterError, match=r"memory 40KB: 600 rows need 57.8KB for the column 'shop' .* Allow more memory"
    ):
        read_within_memory(paths, ReadOptions(), MemoryBudget(40_000, memory.folder))


def test_the_width_of_text_is_measured_all_over_the_file(memory: MemoryBudget, tmp_path: Path) -> None:
    notes = pl.DataFrame({"note": ["x"] * 2000 + ["x" * 3000] * 8000})
    notes.write_parquet(tmp_path / "t.parquet", row_group_size=1000)
    assert ParquetFrame([tmp_path / "t.parquet"], memory).widths["note"] == pytest.approx(2400, rel=0.1)


def test_long_text_needs_memory(memory: MemoryBudget, tmp_path: Path) -> None:
    notes = pl.DataFrame({"n": range(600), "note": [f"{row:04d}" * 500 for row in range(600)]})
    notes.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(ParameterError, match=r"600 rows need 2.45MB for the column 'note'"):
        read_within_memory(tmp_path / "t.parquet", ReadOptions(), memory)
    on_disk = read_within_memory(tmp_path / "t.parquet", ReadOptions(), MemoryBudget(4e6, memory.folder))
    assert isinstance(on_disk.frame, ParquetFrame)
    assert max(part.height for part in on_disk.frame.iter_slices(600)) == 15
    assert isinstance(
        read_within_memory(tmp_path / "t.parquet", ReadOptions(), MemoryBudget(5e6, memory.folder)).frame, pl.DataFrame
    )


@pytest.mark.parametrize("text", ["", "2", "GB", "-1GB", "0GB", "2 pounds", "1e9"])
def test_an_amount_of_memory_has_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(ParameterError, match="expected a number followed by KB, MB, GB or TB, such as 2GB"):
        parse_bytes(text)


def test_a_file_that_is_not_parquet_is_refused(memory: MemoryBudget, tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(TableError, match=r"t\.parquet: cannot be read as Parquet"):
        read_within_memory(tmp_path / "t.parquet", ReadOptions(), memory)


def test_gathering_a_few_rows_does_not_read_all(paths: list[Path], memory: MemoryBudget) -> None:
    def refused(*_: object) -> pl.DataFrame:
        raise AssertionError("all rows were read")

    stored = ParquetFrame(paths, memory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pl.LazyFrame, "collect", refused)
        assert stored.gather_every(100).height == 6


def test_a_table_on_disk_shows_its_first_rows(paths: list[Path], memory: MemoryBudget) -> None:
    lines = repr(read_within_memory(paths, ReadOptions(), memory)).splitlines()
    assert len(lines) == 7
    assert lines[-1] == f"{paths[0]} and 1 more: 600 rows, 8 columns"
