"""Write the tables of the README's four runs, from the data under $ODDROW_DATA, into a folder outside git.

python benchmarks/prepare_tables.py [FOLDER, default tables]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import polars as pl

from oddrow import read_table

NORMALS_IN_FILE, NORMALS_KEPT = 284_315, 33_477
KDD_COLUMNS = 41


def creditcard(data: Path) -> pl.DataFrame:
    """All frauds and a random sample of the normal rows, which the weights bring back to the natural share."""
    frame = pl.read_parquet(data / "creditcard_ulb" / "creditcard_union.parquet")
    is_fraud = pl.col("Class") == 1
    weight = pl.when(is_fraud).then(1.0).otherwise(NORMALS_IN_FILE / NORMALS_KEPT).alias("weight")
    features = [f"V{column}" for column in range(1, 29)]
    return frame.filter(is_fraud | pl.col("in_neg_random")).select("Time", *features, "Amount", "Class", weight)


def kdd99(data: Path) -> dict[str, pl.DataFrame]:
    """Attacks play normal: a random half of the attack rows trains; the other half and all `normal.` rows test."""
    names = (data / "kddcup99" / "kddcup.names").read_text().splitlines()[1:]
    columns = [line.split(":")[0] for line in names if ":" in line][:KDD_COLUMNS]
    frame = read_table(data / "kddcup99" / "kddcup.data_10_percent.gz", names=[*columns, "label"]).frame
    return _half_of(frame, pl.col("label") != "normal.")


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
    for name, prepare in {"creditcard": creditcard, "handbook": handbook, "kdd99": kdd99, "ecg": ecg}.items():
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
