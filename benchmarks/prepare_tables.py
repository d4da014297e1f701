"""Write the tables of the README and of docs/compare.md, from the data under $ODDROW_DATA, into a folder outside git.

python benchmarks/prepare_tables.py [FOLDER, default tables]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

from oddrow import read_table

NORMALS_IN_FILE, NORMALS_KEPT = 284_315, 33_477
KDD_COLUMNS = 41
Prepare = Callable[[Path], "pl.DataFrame | dict[str, pl.DataFrame]"]
USER_TO_ROOT = ("buffer_overflow.", "loadmodule.", "perl.", "rootkit.")


def creditcard(data: Path) -> pl.DataFrame:
    """All frauds and a random sample of the normal rows, which the weights bring back to the natural share."""
    frame = pl.read_parquet(data / "creditcard_ulb" / "creditcard_union.parquet")
    is_fraud = pl.col("Class") == 1
    weight = pl.when(is_fraud).then(1.0).otherwise(NORMALS_IN_FILE / NORMALS_KEPT).alias("weight")
    features = [f"V{column}" for column in range(1, 29)]
    return frame.filter(is_fraud | pl.col("in_neg_random")).select("Time", *features, "Amount", "Class", weight)


def kdd99(data: Path) -> dict[str, pl.DataFrame]:
    """Attacks play normal: a random half of the attack rows trains; the other half and all `normal.` rows test."""
    return _half_of(_connections(data), pl.col("label") != "normal.")


def kdd99_u2r(data: Path) -> pl.DataFrame:
    """Normal connections, and the 52 by which a user made himself root."""
    return _connections(data).filter(pl.col("label").is_in(["normal.", *USER_TO_ROOT]))


def _connections(data: Path) -> pl.DataFrame:
    names = (data / "kddcup99" / "kddcup.names").read_text().splitlines()[1:]
    columns = [line.split(":")[0] for line in names if ":" in line][:KDD_COLUMNS]
    return read_table(data / "kddcup99" / "kddcup.data_10_percent.gz", names=[*columns, "label"]).in_memory


def ecg(data: Path) -> dict[str, pl.DataFrame]:
    """A random half of the normal heartbeats trains; all other beats test."""
    frame = pl.read_parquet(data / "ecg5000" / "ecg.parquet")
    return _half_of(frame, pl.col("140") == 1)


def handbook(data: Path) -> pl.DataFrame:
    """The transactions as they are."""
    return pl.read_parquet(data / "fraud_detection_handbook" / "fdh_transformed.parquet")


def _half_of(frame: pl.DataFrame, plays_normal: pl.Expr) -> dict[str, pl.DataFrame]:
    shuffled = frame.sample(fraction=1, shuffle=True, seed=0).with_row_index("_place")
    normal = shuffled.filter(plays_normal)
    train = normal.head(normal.height // 2)
    test = shuffled.join(train.select("_place"), on="_place", how="anti")
    return {"train": train.drop("_place"), "test": test.drop("_place")}


def main() -> None:
    """Write every table whose data is there, and say which is not."""
    data = Path(os.environ.get("ODDROW_DATA", ""))
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tables")
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, Prepare] = {"creditcard": creditcard, "handbook": handbook, "kdd99": kdd99, "ecg": ecg}
    for name, prepare in {**tables, "kdd99-u2r": kdd99_u2r}.items():
        try:
            prepared = prepare(data)
        except FileNotFoundError as error:
            print(f"{name}: left out, $ODDROW_DATA lacks its file ({error})")
            continue
        parts = {"": prepared} if isinstance(prepared, pl.DataFrame) else prepared
        for part, frame in parts.items():
            path = folder / f"{name}{'-' if part else ''}{part}.parquet"
            frame.write_parquet(path)
            print(f"{path}: {frame.height:,} rows x {frame.width} columns")


if __name__ == "__main__":
    main()
