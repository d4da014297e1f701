"""Writing tables, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from oddrow.errors import TableError
from oddrow.table.read import read_table
from oddrow.table.write import check_output_table, write_blocks, write_table

FRAME = pl.DataFrame({"a": [1, 2], "b": ["x", None]})


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    write_table(FRAME, tmp_path / name)
    assert_frame_equal(read_table(tmp_path / name).in_memory, FRAME)
    assert os.listdir(tmp_path) == [name]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    write_table(FRAME, tmp_path / "a.csv")
    write_table(FRAME[:1], str(tmp_path / "a.csv"))
    assert (tmp_path / "a.csv").read_text() == "a,b\n1,x\n"


def test_a_frame_that_cannot_be_written_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    write_table(FRAME, tmp_path / "a.csv")
    with pytest.raises(TableError, match=r"a.csv: cannot be written \(.*nested"):
        write_table(pl.DataFrame({"a": [[1]]}), tmp_path / "a.csv")
    assert os.listdir(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "a,b\n1,x\n2,\n"


def test_the_output_path_is_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("")
    (tmp_path / "folder.csv").mkdir()
    check_output_table(tmp_path / "new.csv")
    check_output_table(tmp_path / "file.csv")
    for path, expected in [
        (tmp_path / "a.json", r"oddrow does not write files of this ending. Expected \.parquet or \.csv"),
        (tmp_path / "folder.csv", "this is a folder"),
        (tmp_path / "nowhere" / "a.csv", "there is no folder .*nowhere"),
        (tmp_path / "file.csv" / "a.csv", "there is no folder"),
    ]:
        with pytest.raises(TableError, match=expected):
            check_output_table(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(TableError, match="is read-only"):
        write_table(FRAME, tmp_path / "a.csv")


# Block by block


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_blocks_are_written_one_below_the_other(name: str, tmp_path: Path) -> None:
    write_blocks((FRAME for _ in range(3)), tmp_path / name)
    assert_frame_equal(read_table(tmp_path / name).in_memory, pl.concat([FRAME] * 3))
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
@pytest.mark.parametrize("failure", [TableError("row 7 is odd"), KeyboardInterrupt(), RuntimeError("no")])
def test_a_failure_between_blocks_is_raised_as_it_is_and_leaves_nothing(
    failure: BaseException, name: str, tmp_path: Path
) -> None:
    def blocks() -> Iterator[pl.DataFrame]:
        yield FRAME
        raise failure

    with pytest.raises(type(failure)):
        write_blocks(blocks(), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_later_block_takes_the_types_of_the_first_or_is_refused(tmp_path: Path) -> None:
    whole, text = pl.DataFrame({"id": [1]}), pl.DataFrame({"id": ["2"]})
    write_blocks([text, whole], tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "id\n2\n1\n"
    with pytest.raises(TableError, match="column 'id': values of type String in a later file, but of type Int64"):
        write_blocks([whole, pl.DataFrame({"id": ["x"]})], tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "id\n2\n1\n"


@pytest.mark.parametrize("late", [pl.Series("id", [2.75]), pl.Series("id", ["007"]), pl.Series("id", [2**53 + 1.0])])
def test_a_value_is_never_changed_to_fit_the_first_block(late: pl.Series, tmp_path: Path) -> None:
    first = pl.DataFrame({"id": [1]}, schema={"id": pl.Int32})
    with pytest.raises(TableError, match="Write the column with the same type in all files"):
        write_blocks([first, late.to_frame()], tmp_path / "a.csv")
    assert os.listdir(tmp_path) == []
