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
from oddrow.table.table import check_column_names, check_number_of_names

Array = npt.NDArray[Any]

# dtype kinds that no column of a table holds: objects, structs and complex numbers.
UNSUPPORTED_DTYPES = "OVc"

# Names and numbers of MATLAB's format: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
UNSUPPORTED_CLASSES = {"cell", "struct", "object", "char", "sparse", "function", "opaque", "unknown"}
NUMBER_CLASSES = range(6, 16)
NUMBER_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13}
MATRIX, COMPRESSED = 14, 15
COMPLEX = 0x800
BYTE_ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}

# MATLAB stores the values of these classes in the smallest type that holds them.
CLASS_DTYPES = {"double": np.float64, "single": np.float32, "logical": np.bool_}


def read_npz(path: Path, names: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the columns x0, x1, …, or `names`, and y of an NPZ file; raise `TableError` if it has no X."""
    if not zipfile.is_zipfile(path):
        raise TableError(f"{path}: this is not an NPZ file. np.savez(path, X=..., y=...) writes one.")
    with np.load(path, allow_pickle=False) as arrays:
        _check_has_x(path, "an NPZ file", list(arrays))
        return _as_frame(path, arrays, names)


def read_mat(path: Path, names: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the same columns of a MATLAB file up to version 7 (`save -v7`)."""
    # Importing scipy.io takes a quarter of a second.
    from scipy.io import loadmat, whosmat

    try:
        _check_elements(path)
        classes = {name: kind for name, _, kind in whosmat(path)}
        _check_has_x(path, "a MATLAB file", list(classes))
        for name in ("X", "y"):
            if classes.get(name) in UNSUPPORTED_CLASSES:
                raise TableError(f"{path}: '{name}' is of class {classes[name]}. Expected a full matrix of numbers.")
        arrays = loadmat(path, variable_names=("X", "y"))
        wanted = {name: _with_class(arrays[name], classes[name]) for name in ("X", "y") if name in arrays}
        return _as_frame(path, wanted, names)
    except TableError:
        raise
    except NotImplementedError as error:
        advice = "Save it with -v7: save('file.mat', 'X', 'y', '-v7')."
        raise TableError(
            f"{path}: this is a MATLAB file of version 7.3, which oddrow does not read. {advice}"
        ) from error
    except Exception as error:  # a damaged file raises anything, IndexError and zlib.error among them
        raise TableError(f"{path}: cannot be read as MATLAB v5 ({str(error) or type(error).__name__}).") from error


def _with_class(array: Array, kind: str) -> Array:
    """Return numbers in the type of their MATLAB class; complex numbers stay as they are, to be refused later."""
    return array if array.dtype.kind == "c" else array.astype(CLASS_DTYPES.get(kind, array.dtype), copy=False)


# X and y as a frame


def _check_has_x(path: Path, kind: str, found: list[str]) -> None:
    if "X" not in found:
        raise TableError(f"{path}: {kind} needs an array 'X'. This one has {first_names(found) or 'no arrays'}.")


def _as_frame(path: Path, arrays: Mapping[str, Any], names: Sequence[str] | None) -> pl.DataFrame:
    X = np.asarray(arrays["X"])
    if X.ndim != 2:
        raise TableError(f"{path}: 'X' has shape {X.shape}. Expected (rows, columns).")
    _check_dtype(path, "X", X)
    names = names or [f"x{column}" for column in range(X.shape[1])]
    check_number_of_names(path, names, X.shape[1])
    columns = {name: X[:, column] for column, name in enumerate(names)}
    check_column_names([*names, *(["y"] if "y" in arrays else [])], str(path))
    if "y" in arrays:
        y = np.asarray(arrays["y"])
        if y.size != len(X) or len(X) not in y.shape:
            raise TableError(f"{path}: 'y' has shape {y.shape}, but 'X' has {len(X):,} rows. Expected ({len(X)},).")
        _check_dtype(path, "y", y)
        # MATLAB has no one-dimensional arrays, only columns and rows.
        columns["y"] = y.ravel()
    return pl.DataFrame(columns)


def _check_dtype(path: Path, name: str, array: Array) -> None:
    if array.dtype.kind in UNSUPPORTED_DTYPES:
        raise TableError(f"{path}: '{name}' holds values of type {array.dtype}. Expected numbers.")


# A guard for loadmat


def _check_elements(path: Path) -> None:
    """Raise `ValueError` if a matrix of numbers does not have the parts that it should.

    loadmat looks up types unchecked: one wrong byte there crashes the process. Compressed matrices are not examined,
    because they have a checksum.
    """
    with path.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as raw:
        order = BYTE_ORDERS.get(raw[124:128], "")
        for kind, start, end in _elements(raw, 128, len(raw), order) if order else ():
            if kind == MATRIX and end - start >= 16:
                (flags,) = struct.unpack_from(f"{order}I", raw, start + 8)
                _check_matrix([part for part, _, _ in _elements(raw, start, end, order)], flags)
            elif kind != COMPRESSED:
                raise ValueError(f"an element of type {kind} where a matrix should be")


def _check_matrix(parts: list[int], flags: int) -> None:
    """Check for flags, dimensions, name and numbers, and for imaginary numbers if the flags say so."""
    n_parts = 5 if flags & COMPLEX else 4
    if flags & 0xFF in NUMBER_CLASSES and not (len(parts) >= n_parts and set(parts) <= NUMBER_TYPES):
        raise ValueError("a matrix of numbers lacks a part or has a part of another type")


def _elements(raw: mmap, place: int, end: int, order: str) -> Iterator[tuple[int, int, int]]:
    """Yield the type of each element from a place on, and where its bytes start and end."""
    while place + 8 <= end:
        kind, size = struct.unpack_from(f"{order}II", raw, place)
        if kind >> 16:  # up to four bytes are in the tag itself, next to their number
            yield kind & 0xFFFF, place + 4, place + 8
            size = 0
        else:
            yield kind, place + 8, place + 8 + size
        place += 8 + (size if kind == COMPRESSED else -(-size // 8) * 8)
