"""Reading tables: every format with its edge cases, and the messages for files that are not tables."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal
from scipy.io import savemat
from scipy.sparse import csr_array

from oddrow.errors import TableError
from oddrow.structure import build, to_plain
from oddrow.table.delimited import N_ROWS_FOR_TYPES, ReadOptions
from oddrow.table.read import consume_blocks, read_table
from oddrow.table.table import SYNTHETIC, Table, as_table

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write text or bytes to a file of that name and return its path."""

    def written(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def rows(source: Any, **options: Any) -> list[tuple[Any, ...]]:
    return read_table(source, **options).in_memory.rows()


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises(TableError) as caught:
        read_table(source, **options)
    return str(caught.value)


# Text


def test_csv_has_its_names_in_the_first_line(write: Write) -> None:
    table = read_table(write("a.csv", "amount,shop\n1.5,books\n2,food\n"))
    assert table.columns == ["amount", "shop"]
    assert table.in_memory.rows() == [(1.5, "books"), (2.0, "food")]
    assert table.source.endswith("a.csv")
    assert not table.synthetic.any()


def test_csv_without_a_header_line(write: Write) -> None:
    path = write("a.csv", "1,x\n2,y\n")
    assert read_table(path, header=False).columns == ["column_1", "column_2"]
    named = read_table(path, names=["n", "c"])
    assert named.columns == ["n", "c"]
    assert named.in_memory.rows() == [(1, "x"), (2, "y")]


def test_given_names_replace_those_of_the_header(write: Write) -> None:
    table = read_table(write("a.csv", "a,b\n1,2\n"), names=["p", "q"], header=True)
    assert table.columns == ["p", "q"]
    assert table.in_memory.rows() == [(1, 2)]


def test_the_header_may_leave_a_name_out(write: Write) -> None:
    assert read_table(write("a.csv", "a,,c\n1,2,3\n")).columns == ["a", "column_2", "c"]


def test_the_number_of_names_must_be_that_of_columns(write: Write) -> None:
    assert refusal(write("a.csv", "1,2\n"), names=["a", "b", "c"]).endswith("3 names given for 2 columns.")


def test_quoted_fields_may_contain_delimiters_quotes_and_line_breaks(write: Write) -> None:
    path = write("a.csv", 'a,b\n"x, y","he expected ""hi"""\n"one\ntwo",\n')
    assert rows(path) == [("x, y", 'he expected "hi"'), ("one\ntwo", None)]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.txt", "a.gz", "A.CSV"])
def test_text_files_of_every_ending(name: str, write: Write) -> None:
    text = b"a,b\n1,x\n"
    assert rows(write(name, gzip.compress(text) if name.endswith("gz") else text)) == [(1, "x")]


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_tsv_is_split_at_tabs(name: str, write: Write) -> None:
    text = b"a\tb\n1,5\tx\n"
    assert rows(write(name, gzip.compress(text) if name.endswith("gz") else text)) == [("1,5", "x")]


@pytest.mark.parametrize("text", ["\ufeffa,b\n1,2\n", '\ufeff"a",b\n1,2\n', "\ufeffa,b\r\n1,2\r\n"])
def test_a_byte_order_mark_is_not_part_of_a_name(text: str, write: Write) -> None:
    table = read_table(write("a.csv", text))
    assert table.columns == ["a", "b"]
    assert table.in_memory.rows() == [(1, 2)]


def test_an_empty_field_is_missing(write: Write) -> None:
    assert rows(write("a.csv", "n,c,d\n,x,\n1,,2\n")) == [(None, "x", None), (1, None, 2)]


def test_other_texts_are_missing_only_if_named(write: Write) -> None:
    path = write("a.csv", "n,c\nNA,x\n2,-\n,z\n")
    assert rows(path) == [("NA", "x"), ("2", "-"), (None, "z")]
    assert rows(path, missing=["NA", "-"]) == [(None, "x"), (2, None), (None, "z")]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize(
    ("late", "kind", "value"),
    [
        ("1.5", pl.Float64, 1.5),
        ("N/A", pl.String, "N/A"),
        ("3.x", pl.String, "3.x"),
        ("12345678901234567890", pl.String, "12345678901234567890"),
    ],
)
def test_a_late_value_changes_the_type_of_the_whole_column(
    late: str, kind: type[pl.DataType], value: object, name: str, write: Write
) -> None:
    text = ("n,m\n" + "7,1\n" * (N_ROWS_FOR_TYPES + 500) + f"{late},2\n").encode()
    frame = read_table(write(name, gzip.compress(text) if name.endswith("gz") else text)).in_memory
    assert frame.dtypes == [kind, pl.Int64]
    assert frame.height == N_ROWS_FOR_TYPES + 501
    assert frame.row(-1) == (value, 2)
    assert frame["n"][0] == (7 if kind == pl.Float64 else "7")


def test_late_values_change_the_types_of_several_named_columns(write: Write) -> None:
    path = write("a.csv", "7,1,2024-01-01\n" * (N_ROWS_FOR_TYPES + 500) + "1.5,x,soon\n")
    frame = read_table(path, names=["p", "q", "r"]).in_memory
    assert frame.schema == {"p": pl.Float64, "q": pl.String, "r": pl.String}
    assert frame.row(-1) == (1.5, "x", "soon")


def test_dates_and_booleans_are_recognised(write: Write) -> None:
    frame = read_table(write("a.csv", "d,t,b\n2024-01-31,2024-01-31T12:30:00,true\n2024-02-01,,false\n")).in_memory
    assert frame.dtypes == [pl.Date, pl.Datetime("us"), pl.Boolean]


# Ragged lines


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a,b\n1,2\n3,4,5\n", "1 line has more fields than the first line, which has 2 (line 3)"),
        ("a,b\n1,2,3\n1,2\n4,5,6\n", "2 lines have more fields than the first line, which has 2 (line 2, line 4)"),
        ("a,b,c\n1,2,3\n4,5\n6,7,8\n", "1 line has fewer fields than the first line, which has 3 (line 3)"),
        ("a,b,c\n1,2,x\n4,5\n", "1 line has fewer fields than the first line, which has 3 (line 3)"),
        ('a,b,c\n"1,1",2,x\n"4,4",5\n', "1 line has fewer fields than the first line, which has 3 (line 3)"),
        ("a,b\n1,2\n\n3,4\n", "1 line has fewer fields than the first line, which has 2 (line 3)"),
        ("a,b\n" + "1\n" * 5, "5 lines have fewer fields than the first line, which has 2 (line 2, line 3, line 4)"),
        ("a,b\n" + "1,2\n" * (N_ROWS_FOR_TYPES + 1) + "1,2,3\n", f"which has 2 (line {N_ROWS_FOR_TYPES + 3})"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_ragged_lines_are_named(text: str, where: str, name: str, write: Write) -> None:
    path = write(name, gzip.compress(text.encode()) if name.endswith("gz") else text)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert where in message
    assert "Correct the file" in message


def test_a_line_with_an_empty_last_field_is_not_short(write: Write) -> None:
    assert rows(write("a.csv", 'a,b\n1,\n"2,2",\n')) == [("1", None), ("2,2", None)]
    assert rows(write("b.csv", "a\n1\n\n3\n")) == [(1,), (None,), (3,)]


def test_names_in_a_text_file_must_differ(write: Write) -> None:
    path = write("a.csv", "a,b,a,b,c\n1,2,3,4,5\n")
    assert refusal(path).startswith(f"{path}: several columns have the name 'a', 'b'. Rename them")
    assert "several columns have the name 'p'" in refusal(write("b.csv", "1,2\n"), names=["p", "p"])


# Binary


@pytest.fixture
def frame() -> pl.DataFrame:
    return pl.DataFrame({"n": [1.5, None], "c": ["x", "y"], "b": [True, None], "d": [1, 2]})


@pytest.mark.parametrize("name", ["a.parquet", "a.pq", "a[1].parquet"])
def test_parquet(name: str, frame: pl.DataFrame, tmp_path: Path) -> None:
    frame.write_parquet(tmp_path / name)
    assert_frame_equal(read_table(tmp_path / name).in_memory, frame)


@pytest.mark.parametrize("name", ["a.arrow", "a.feather", "a.ipc", "a[1].arrow"])
def test_arrow_ipc_as_file_and_as_stream(name: str, frame: pl.DataFrame, tmp_path: Path) -> None:
    frame.write_ipc(tmp_path / name)
    assert_frame_equal(read_table(tmp_path / name).in_memory, frame)
    frame.write_ipc_stream(tmp_path / name)
    assert_frame_equal(read_table(tmp_path / name).in_memory, frame)


def test_npz_holds_x_and_perhaps_y(tmp_path: Path) -> None:
    X, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])
    np.savez(tmp_path / "a.npz", X=X, y=y)
    table = read_table(tmp_path / "a.npz")
    assert table.columns == ["x0", "x1", "y"]
    np.testing.assert_array_equal(table.in_memory.select("x0", "x1").to_numpy(), X)
    assert table.frame["y"].to_list() == [0, 1, 0]
    np.savez_compressed(tmp_path / "b.npz", X=X)
    assert read_table(tmp_path / "b.npz", names=["p", "q"]).columns == ["p", "q"]


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"Z": np.zeros((2, 2))}, "needs an array 'X'. This one has 'Z'"),
        ({"X": np.zeros(3)}, "'X' has shape (3,). Expected (rows, columns)"),
        ({"X": np.zeros((3, 2)), "y": np.zeros(2)}, "'y' has shape (2,), but 'X' has 3 rows. Expected (3,)"),
        ({"X": np.zeros((6, 2)), "y": np.zeros((2, 3))}, "'y' has shape (2, 3), but 'X' has 6 rows"),
        ({"X": np.zeros((3, 2), dtype=complex)}, "'X' holds values of type complex128. Expected numbers"),
        ({"X": np.array([[object()]])}, "allow_pickle=False"),
        ({"X": np.zeros((0, 2))}, "no rows"),
    ],
)
def test_unusable_npz_files_are_refused(arrays: dict[str, Any], expected: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    message = refusal(tmp_path / "a.npz")
    assert message.startswith(f"{tmp_path / 'a.npz'}: ")
    assert expected in message


def mat_bytes(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (3,)])
def test_a_mat_file_gives_the_columns_of_an_npz_file(shape: tuple[int, ...], write: Write, tmp_path: Path) -> None:
    X, y = np.array([[0.0, 1.0], [2.5, 3.0], [np.nan, 5.0]]), np.array([0.0, 1.0, 0.0])
    np.savez(tmp_path / "a.npz", X=X, y=y)
    path = write("a.mat", mat_bytes(X=X, y=y.reshape(shape), other="not looked at"))
    assert_frame_equal(read_table(path).in_memory, read_table(tmp_path / "a.npz").in_memory)
    assert read_table(path, names=["p", "q"]).columns == ["p", "q", "y"]
    assert read_table(write("b.mat", mat_bytes(X=X))).columns == ["x0", "x1"]


def test_arrhythmia_is_read_as_it_was_published(data: Path) -> None:
    frame = read_table(data / "arrhythmia" / "arrhythmia.mat").in_memory
    assert (frame.height, frame.columns) == (452, [*(f"x{column}" for column in range(274)), "y"])
    assert int(frame["y"].sum()) == 66
    assert set(frame.dtypes) == {pl.Float64}


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"features": np.zeros((2, 2)), "y": np.zeros(2)}, "needs an array 'X'. This one has 'features', 'y'."),
        ({}, "needs an array 'X'. This one has no arrays."),
        ({"X": np.zeros((2, 2, 2))}, "'X' has shape (2, 2, 2). Expected (rows, columns)"),
        ({"X": np.zeros((3, 2)), "y": np.zeros((2, 1))}, "'y' has shape (2, 1), but 'X' has 3 rows"),
        ({"X": np.zeros((3, 2), dtype=complex)}, "'X' holds values of type complex128. Expected numbers"),
        ({"X": np.array([["a", 1.0]], dtype=object)}, "'X' is of class cell. Expected a full matrix of numbers"),
        ({"X": np.zeros((2, 2)), "y": "no"}, "'y' is of class char. Expected a full matrix of numbers"),
        ({"X": csr_array(np.eye(3))}, "'X' is of class sparse. Expected a full matrix of numbers"),
    ],
)
def test_unusable_mat_files_are_refused(arrays: dict[str, Any], expected: str, write: Write) -> None:
    path = write("a.mat", mat_bytes(**arrays))
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert expected in message


def test_one_wrong_byte_in_a_mat_file_is_a_table_error_or_harmless(write: Write, tmp_path: Path) -> None:
    """Some of these files would make loadmat crash the process."""
    whole = mat_bytes(s={"a": 1}, X=np.ones((2, 2)), y=np.zeros((2, 1)), z=np.zeros(2, dtype=complex))
    n_refused = 0
    for place in range(124, len(whole)):
        for value in (0x37, 0x08, 0xFF):
            path = write("a.mat", whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                read_table(path)
            except TableError:
                n_refused += 1
    assert n_refused > 100


def test_a_mat_file_is_read_whatever_else_it_holds_and_however_it_is_stored(write: Write) -> None:
    X = np.arange(6.0).reshape(3, 2)
    for compressed in (True, False):
        buffer = io.BytesIO()
        others = {"s": {"a": np.zeros(3)}, "c": np.array(["a", 1], dtype=object), "z": np.zeros(2, dtype=complex)}
        y = np.array([True, False, True])
        savemat(buffer, {**others, "X": X, "e": np.zeros((0, 3)), "b": True, "y": y}, do_compression=compressed)
        assert rows(write("a.mat", buffer.getvalue())) == [(0, 1, True), (2, 3, False), (4, 5, True)]


def test_numbers_have_the_type_of_their_matlab_class(write: Write) -> None:
    """MATLAB stores a double matrix of zeros and ones as bytes, with the class double."""
    whole = bytearray(mat_bytes(X=np.array([[0, 1], [1, 0]], dtype=np.uint8)))
    assert set(read_table(write("a.mat", bytes(whole))).in_memory.dtypes) == {pl.UInt8}
    whole[144] = 6
    assert set(read_table(write("a.mat", bytes(whole))).in_memory.dtypes) == {pl.Float64}


@pytest.mark.parametrize("name", ["a.npz", "a.mat"])
def test_names_for_arrays_are_checked(name: str, write: Write, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"X": np.zeros((3, 2)), "y": np.zeros(3)}
    path = write(name, mat_bytes(**arrays))
    if name == "a.npz":
        np.savez(path, **arrays)
    assert refusal(path, names=["p"]) == f"{path}: 1 name given for 2 columns."
    assert "several columns have the name 'y'" in refusal(path, names=["y", "p"])


# Files that are not what they are called


def parquet_bytes() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"a": [1, 2]}).write_parquet(buffer)
    return buffer.getvalue()


def npy_bytes() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 2)))
    return buffer.getvalue()


MAT = mat_bytes(X=np.random.default_rng(0).random((50, 4)), y=np.zeros((50, 1)))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", parquet_bytes(), "cannot be read as CSV"),
        ("a.csv", "a,b\n1,caf\xe9\n".encode("latin-1"), "cannot be read as CSV (invalid utf-8 sequence)"),
        ("a.csv", b"\n\n", "cannot be read as CSV"),
        ("a.csv", b'a,b\n1,"x\n', "cannot be read as CSV"),
        ("a.csv.gz", b"a,b\n1,2\n", "cannot be read as CSV (Not a gzipped file"),
        (
            "a.csv.gz",
            gzip.compress(np.random.default_rng(0).bytes(3000).hex().encode(), mtime=0)[:900],
            "cannot be read as CSV",
        ),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "cannot be read as CSV"),
        ("a.parquet", b"a,b\n1,2\n", "cannot be read as Parquet"),
        ("a.parquet", parquet_bytes()[:-9], "cannot be read as Parquet"),
        ("a.arrow", b"a,b\n1,2\n", "cannot be read as Arrow IPC"),
        ("a.arrow", b"ARROW1\0\0and no more", "cannot be read as Arrow IPC"),
        ("a.npz", b"a,b\n1,2\n", "is not an NPZ file"),
        ("a.npz", npy_bytes(), "is not an NPZ file"),
        ("a.mat", b"a,b\n1,2\n", "cannot be read as MATLAB v5"),
        ("a.mat", b"x" * 2000, "cannot be read as MATLAB v5"),
        ("a.mat", MAT[:60], "cannot be read as MATLAB v5"),
        ("a.mat", MAT[:-200], "cannot be read as MATLAB v5 (could not read bytes)"),
        ("a.mat", b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400), "Save it with -v7: save("),
        ("a.xlsx", b"a,b\n1,2\n", "oddrow does not read files of this ending. Expected .csv, "),
        ("a.csv", b"", "the file is empty"),
        ("a.parquet", b"", "the file is empty"),
        ("a.csv", b"a,b\n", "the table has columns but no rows"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(name: str, content: bytes, expected: str, write: Write) -> None:
    path = write(name, content)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "\n" not in message


def test_names_in_parquet_and_ipc_must_differ(tmp_path: Path) -> None:
    table = pa.table([[1, 2], [3, 4]], names=["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert "'a'" in refusal(tmp_path / "a.parquet")
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as opened:
        opened.write(table)
    assert "cannot be read as Arrow IPC" in refusal(tmp_path / "a.arrow")


# Several files, and none


def test_a_missing_file_is_reported_with_a_similar_name(write: Write, tmp_path: Path) -> None:
    write("transactions.csv", "a\n1\n")
    message = refusal(tmp_path / "transaction.csv")
    assert message == f"{tmp_path / 'transaction.csv'}: there is no such file. Did you mean 'transactions.csv'?"
    assert "Did you mean" not in refusal(tmp_path / "other.parquet")
    assert refusal(tmp_path / "nowhere" / "a.csv").endswith("a.csv: there is no such file.")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "this is a folder" in refusal(tmp_path)


def test_a_name_with_brackets_is_a_pattern_only_if_no_file_has_it(write: Write, tmp_path: Path) -> None:
    write("a1.csv", "a\n1\n")
    assert rows(tmp_path / "a[1].csv") == [(1,)]
    write("a[1].csv", "a\n2\n")
    assert rows(tmp_path / "a[1].csv") == [(2,)]


def test_lists_and_globs_stack_files_in_order(write: Write, tmp_path: Path) -> None:
    write("b1.csv", "a,b\n1,x\n2,y\n")
    write("b2.csv", "b,a\nz,2.5\n")
    table = read_table(str(tmp_path / "b*.csv"))
    assert table.in_memory.rows() == [(1.0, "x"), (2.0, "y"), (2.5, "z")]
    assert table.source == f"{tmp_path / 'b1.csv'} and 1 more"
    assert rows([tmp_path / "b2.csv", str(tmp_path / "b1.csv")]) == [("z", 2.5), ("x", 1.0), ("y", 2.0)]


def test_files_of_several_formats_stack(write: Write, tmp_path: Path) -> None:
    pl.DataFrame({"a": [3]}).write_parquet(tmp_path / "b.parquet")
    assert rows([write("a.csv", "a\n1\n"), tmp_path / "b.parquet"]) == [(1,), (3,)]


def test_files_with_other_columns_do_not_stack(write: Write, tmp_path: Path) -> None:
    message = refusal([write("a.csv", "a,b\n1,2\n"), write("b.csv", "a,c\n1,2\n")])
    assert message.startswith(f"{tmp_path / 'b.csv'}: its columns are not those of {tmp_path / 'a.csv'}")
    assert "'b', 'c'" in message


def test_files_with_other_types_do_not_stack(tmp_path: Path) -> None:
    pl.DataFrame({"a": [[1]]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"a": ["x"]}).write_parquet(tmp_path / "b.parquet")
    assert "hold different types" in refusal([tmp_path / "a.parquet", tmp_path / "b.parquet"])


def test_a_pattern_without_a_match(tmp_path: Path) -> None:
    assert refusal(str(tmp_path / "*.csv")).endswith("*.csv: no file matches this pattern.")


# In memory


def test_polars_pandas_arrow_and_numpy_become_the_same_table() -> None:
    expected = pl.DataFrame({"x0": [1.0, 2.0], "x1": [3.0, 4.0]})
    sources = [
        expected,
        expected.lazy(),
        expected.to_pandas(),
        expected.to_arrow(),
        expected.to_numpy(),
        as_table(expected),
    ]
    for source in sources:
        assert_frame_equal(read_table(source).in_memory, expected)


def test_a_pandas_frame_keeps_missing_values_categories_and_times() -> None:
    frame = pd.DataFrame(
        {
            "n": [1.5, None],
            "c": pd.Categorical(["x", None]),
            "t": pd.to_datetime(["2024-01-01", None]),
            7: [True, False],
        }
    )
    table = as_table(frame)
    assert table.columns == ["n", "c", "t", "7"]
    assert table.in_memory.null_count().row(0) == (1, 1, 1, 0)
    assert isinstance(table.in_memory["t"].dtype, pl.Datetime)


@pytest.mark.parametrize(
    "twice",
    [pd.DataFrame([[1, 2]], columns=["a", "a"]), pa.table([[1], [2]], names=["a", "a"])],
    ids=["pandas", "arrow"],
)
def test_names_in_memory_must_differ(twice: Any) -> None:
    assert "several columns have the name 'a'" in refusal(twice)


@pytest.mark.parametrize("source", [[], {"a": [1]}, np.zeros(3), np.array([["x"]]), 7, None, [1, 2]])
def test_anything_else_is_refused(source: Any) -> None:
    assert "is not a table. Pass a polars or pandas frame" in refusal(source)


def test_an_array_is_numeric_whatever_its_values() -> None:
    schema = as_table(np.array([[0, 1], [0, 2]])).fitted_schema()
    assert [(column.name, column.kind) for column in schema.columns] == [("x0", "numeric"), ("x1", "numeric")]


# Synthetic rows, selections, options


@pytest.mark.parametrize("marks", ["true\nfalse\n\n", "1\n0\n0\n", "True\nFalse\nFalse\n"])
def test_the_column_of_synthetic_marks_becomes_a_mask(marks: str, write: Write) -> None:
    lines = [f"{number},{mark}" for number, mark in enumerate(marks.split("\n")[:3])]
    table = read_table(write("a.csv", "\n".join([f"a,{SYNTHETIC}", *lines]) + "\n"))
    assert table.columns == ["a"]
    assert table.synthetic.tolist() == [True, False, False]
    assert table.take(np.array([1, 0])).synthetic.tolist() == [False, True]


def test_other_synthetic_marks_are_refused(write: Write) -> None:
    assert SYNTHETIC in refusal(write("a.csv", f"a,{SYNTHETIC}\n1,true\n2,perhaps\n"))


def test_taking_rows_by_number_and_by_mask() -> None:
    table = Table.from_frame(pl.DataFrame({"a": [1, 2, 3]}))
    assert table.take(np.array([2, 0])).frame["a"].to_list() == [3, 1]
    assert table.take(np.array([False, True, True])).frame["a"].to_list() == [2, 3]


def test_a_table_shows_its_first_rows_and_its_size() -> None:
    frame = pl.DataFrame(
        {"<b>": ["x" * 40, "two\nlines", None, "d", "e", "f"], **{f"n{c}": range(6) for c in range(9)}}
    )
    table = Table.from_frame(frame, "a&b.csv")
    lines = repr(table).splitlines()
    assert len(lines) == 7
    assert lines[0].split() == ["<b>", "n0", "n1", "n2", "n3", "n4", "n5", "n6"]
    assert lines[1].split()[0] == "x" * 29 + "…"
    assert lines[2].split()[:3] == ["two", "lines", "1"]
    assert lines[3].split()[0] == "2"
    assert lines[-1] == "a&b.csv: 6 rows, 10 columns"
    html = table._repr_html_()
    assert html.count("<tr>") == 6
    assert "&lt;b&gt;" in html
    assert "<p>a&amp;b.csv: 6 rows, 10 columns</p>" in html
    assert "<b>" not in html
    assert repr(table.take(np.arange(0))).endswith("0 rows, 10 columns")


def test_options_are_plain_values() -> None:
    options = ReadOptions(names=("a", "b"), missing=("-",))
    assert build(ReadOptions, to_plain(options)) == options
    assert not options.has_header
    assert ReadOptions().has_header


@pytest.mark.parametrize("end", ["\n", "\n\n\n", "\n\r\n", ""])
def test_blank_lines_at_the_end_are_ignored(tmp_path: Path, end: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n1,2\n3,\n" + end)
    assert read_table(path).in_memory.rows() == [(1, 2), (3, None)]


def test_a_last_row_of_empty_fields_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n1,2\n,\n")
    assert read_table(path).in_memory.rows() == [(1, 2), (None, None)]


@pytest.mark.parametrize(("delimiter", "name"), [(";", "a.csv"), ("\t", "a.csv"), (";", "a.csv.gz"), ("\t", "a.tsv")])
def test_fields_may_be_delimited_by_semicolons_and_tabs(tmp_path: Path, delimiter: str, name: str) -> None:
    lines = ["amount;shop;n", '12.5;"books; new, old";1', "3.25;food;2"]
    text = "\n".join(lines).replace(";", delimiter, -1).replace(f"books{delimiter} new", "books; new") + "\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    frame = read_table(path).in_memory
    assert frame.columns == ["amount", "shop", "n"]
    assert frame.rows() == [(12.5, "books; new, old", 1), (3.25, "food", 2)]


# Block by block


def in_blocks(source: object) -> list[Table]:
    return consume_blocks(source, ReadOptions(), list)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oddrow.table.read.MAX_BLOCK_ROWS", 100)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.arrow", "a.npz"])
def test_blocks_are_the_rows_of_the_table_in_order(name: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"x0": np.arange(1030.0), "x1": np.arange(1030.0) ** 2})
    writers: dict[str, Callable[[Path], object]] = {
        ".csv": frame.write_csv,
        ".gz": lambda path: path.write_bytes(gzip.compress(frame.write_csv().encode())),
        ".parquet": frame.write_parquet,
        ".arrow": frame.write_ipc,
        ".npz": lambda path: np.savez(path, X=frame.to_numpy()),
    }
    writers[Path(name).suffix](tmp_path / name)
    blocks = in_blocks(tmp_path / name)
    assert max(block.n_rows for block in blocks) <= 100
    assert pl.concat([block.in_memory for block in blocks]).equals(frame)
    assert {block.source for block in blocks} == {str(tmp_path / name)}


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_several_files_have_the_columns_in_the_order_of_the_first(write: Write) -> None:
    paths = [write("a.csv", "p,q\n1,2\n"), write("b.csv", "q,p\n4,3\n")]
    assert [block.in_memory.rows() for block in in_blocks(paths)] == [[(1, 2)], [(3, 4)]]
    with pytest.raises(TableError, match=r"c.csv: its columns are not those of .*a.csv \(they differ in 'q', 'r'\)"):
        in_blocks([paths[0], write("c.csv", "p,r\n1,2\n")])


@pytest.mark.usefixtures("small_blocks")
def test_after_a_late_change_of_type_the_blocks_start_again(write: Write) -> None:
    path = write("a.csv", "n,m\n" + "07,1\n" * (N_ROWS_FOR_TYPES + 500) + "x,2\n")
    calls: list[int] = []

    def consume(blocks: Iterator[Table]) -> list[str]:
        calls.append(1)
        return [value for block in blocks for value in block.frame["n"]]

    assert consume_blocks(path, ReadOptions(), consume) == ["07"] * (N_ROWS_FOR_TYPES + 500) + ["x"]
    assert len(calls) == 2


@pytest.mark.usefixtures("small_blocks")
def test_blocks_end_before_the_blank_lines_and_short_lines_are_found(write: Write) -> None:
    rows = "1,2\n" * 205
    assert sum(block.n_rows for block in in_blocks(write("a.csv", "p,q\n" + rows + "\n\n"))) == 205
    for late in ("3\n", "1,2,3\n"):
        with pytest.raises(TableError, match=r"1 line has (fewer|more) fields .* \(line 207\)"):
            in_blocks(write("b.csv", "p,q\n" + rows + late + rows))


def test_a_table_without_rows_has_no_blocks(write: Write) -> None:
    with pytest.raises(TableError, match="the table has columns but no rows"):
        in_blocks(write("a.csv", "p,q\n"))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n_rows", [98, 99, 100, 101, 199])
@pytest.mark.parametrize("n_blank", [1, 3, 250])
def test_blank_lines_at_the_end_are_ignored_wherever_a_block_ends(n_rows: int, n_blank: int, write: Write) -> None:
    path = write("a.csv", "p,q\n" + "1,2\n" * (n_rows - 1) + ",\n" + "\n" * n_blank)
    assert sum(block.n_rows for block in in_blocks(path)) == n_rows
    assert read_table(path).n_rows == n_rows
