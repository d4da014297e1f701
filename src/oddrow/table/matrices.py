"""Files of arrays, `X` (n, d) and perhaps `y` (n,): NumPy's NPZ and MATLAB's MAT."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from oddrow.errors import TableError, first_names
from oddrow.table.table import check_column_names

Array = npt.NDArray[Any]

# What MATLAB's format calls them: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
BYTE_ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}

MATRIX, COMPRESSED = 14, 15

NUMBER_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}

NUMBER_CLASSES = range(6, 16)

COMPLEX = 0x800

STORED_SMALLER = {"double": np.float64, "single": np.float32, "logical": np.bool_}

NO_MATRIX = {"cell", "struct", "object", "char", "sparse", "function", "opaque", "unknown"}

# Objects, structs and complex numbers: what no column of a table can hold.
NOT_IN_A_TABLE = "OVc"


def read_npz(path: Path, names: Sequence[str] | None = None) -> pl.DataFrame:
    """The columns x0, x1, … (or `names`) and y of an NPZ file. Raises `TableError` where it is none or has no X."""
    if not zipfile.is_zipfile(path):
        raise TableError(f"{path}: this is no NPZ file. np.savez(path, X=..., y=...) writes one.")
    with np.load(path, allow_pickle=False) as arrays:
        _check_has_x(path, "an NPZ file", list(arrays))
        return _as_frame(path, arrays, names)


def read_mat(path: Path, names: Sequence[str] | None = None) -> pl.DataFrame:
    """The same columns of a MATLAB file up to version 7 (`save -v7`). Raises `TableError` as `read_npz` does."""
    # A quarter of a second that only readers of such files wait for.
    from scipy.io import loadmat, whosmat

    try:
        _check_elements(path)
        kinds = {name: kind for name, _, kind in whosmat(path)}
        _check_has_x(path, "a MATLAB file", list(kinds))
        _check_kinds(path, kinds)
        arrays = loadmat(path, variable_names=("X", "y"))
        seen = {name: _as_matlab_saw(arrays[name], kinds[name]) for name in ("X", "y") if name in arrays}
        return _as_frame(path, seen, names)
    except TableError:
        raise
    except NotImplementedError as error:
        advice = "Save it with -v7: save('file.mat', 'X', 'y', '-v7')."
        raise TableError(
            f"{path}: this is a MATLAB file of version 7.3, which oddrow does not read. {advice}"
        ) from error
    except Exception as error:  # a damaged file raises anything there, IndexError and zlib.error among them
        raise TableError(f"{path}: this cannot be read as MATLAB v5 ({str(error) or type(error).__name__}).") from error


def _as_matlab_saw(array: Array, kind: str) -> Array:
    """The numbers of their own type, not of the smallest one that could store them; complex ones as they are."""
    return array if array.dtype.kind == "c" else array.astype(STORED_SMALLER.get(kind, array.dtype), copy=False)


def _check_kinds(path: Path, kinds: Mapping[str, str]) -> None:
    for name in ("X", "y"):
        if kinds.get(name, "double") in NO_MATRIX:
            raise TableError(f"{path}: '{name}' is of class {kinds[name]}; expected a full matrix of numbers.")


def _check_elements(path: Path) -> None:
    """Raise `ValueError` for matrices of numbers with other parts than they should have.

    loadmat looks types up unchecked, and a file with one wrong byte there ends the whole process. Only matrices that
    are not compressed are looked at: the others have a checksum.
    """
    with path.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as raw:
        if order := BYTE_ORDERS.get(raw[124:128]):
            _check_matrices(raw, order)


def _check_matrices(raw: mmap, order: str) -> None:
    for kind, start, end in _elements(raw, 128, len(raw), order):
        if kind == MATRIX and end - start >= 16:
            _check_matrix([kind for kind, _, _ in _elements(raw, start, end, order)], _flags(raw, start, order))
        elif kind != COMPRESSED:
            raise ValueError(f"an element of type {kind} where a matrix should be")


def _check_matrix(parts: list[int], flags: int) -> None:
    """The parts of a matrix: flags, dimensions, name, numbers, and imaginary numbers where the flags say so."""
    n_parts = 5 if flags & COMPLEX else 4
    if flags & 0xFF in NUMBER_CLASSES and not (len(parts) >= n_parts and set(parts) <= NUMBER_TYPES):
        raise ValueError("a matrix of numbers has other parts than it should")


def _elements(raw: mmap, place: int, end: int, order: str) -> Iterator[tuple[int, int, int]]:
    """The type of each element from a place on, and where its bytes start and end."""
    while place + 8 <= end:
        kind, size = struct.unpack_from(f"{order}II", raw, place)
        if kind >> 16:  # up to four bytes lie in the tag itself, beside their number
            yield kind & 0xFFFF, place + 4, place + 8
            size = 0
        else:
            yield kind, place + 8, place + 8 + size
        place += 8 + (size if kind == COMPRESSED else -(-size // 8) * 8)


def _flags(raw: mmap, start: int, order: str) -> int:
    return int(struct.unpack_from(f"{order}I", raw, start + 8)[0])


def _check_has_x(path: Path, kind: str, found: list[str]) -> None:
    if "X" not in found:
        raise TableError(f"{path}: {kind} needs an array 'X'; this one has {first_names(found) or 'none'}.")


def _as_frame(path: Path, arrays: Mapping[str, Any], names: Sequence[str] | None) -> pl.DataFrame:
    X = np.asarray(arrays["X"])
    _check_x(path, X)
    names = names or [f"x{column}" for column in range(X.shape[1])]
    if len(names) != X.shape[1]:
        raise TableError(f"{path}: {len(names)} names were given for {X.shape[1]} columns.")
    columns = {name: X[:, column] for column, name in enumerate(names)}
    check_column_names([*names, *(["y"] if "y" in arrays else [])], str(path))
    if "y" in arrays:
        columns["y"] = _flat(path, np.asarray(arrays["y"]), len(X))
    return pl.DataFrame(columns)


def _check_x(path: Path, X: Array) -> None:
    if X.ndim != 2:
        raise TableError(f"{path}: 'X' has shape {X.shape}; expected (rows, columns).")
    if X.dtype.kind in NOT_IN_A_TABLE:
        raise TableError(f"{path}: 'X' holds values of type {X.dtype}; expected numbers.")


def _flat(path: Path, y: Array, n_rows: int) -> Array:
    """`y` as (n,); MATLAB has no arrays of one dimension, only columns and rows."""
    if y.size != n_rows or n_rows not in y.shape:
        raise TableError(f"{path}: 'y' has shape {y.shape} beside an 'X' of {n_rows:,} rows; expected ({n_rows},).")
    if y.dtype.kind in NOT_IN_A_TABLE:
        raise TableError(f"{path}: 'y' holds values of type {y.dtype}; expected numbers.")
    return y.ravel()
