"""Bad input to the command line: one message that says what is wrong, where and what to do, and no partial output."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

COMMAND = (sys.executable, "-c", "from oddrow.cli.app import main; main()")

Oddrow = Callable[..., Any]
Write = Callable[..., Path]
Options = tuple[str, ...]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that is empty unless a command leaves something."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def refused(oddrow: Oddrow, place: Path) -> Callable[..., str]:
    """Run a command that must fail; check that nothing was written, and return its one message."""

    def run(*arguments: object) -> str:
        ran = oddrow(*arguments)
        assert ran.code == 1
        assert "Traceback" not in ran.err
        assert list(place.iterdir()) == []
        kind, colon, message = ran.err.partition(": ")
        assert kind in ("TableError", "ParameterError", "ArtifactError", "EvaluationError", "TrainingError")
        assert colon
        assert message.endswith(".\n") or message.endswith("?\n")
        return str(message.removesuffix("\n"))

    return run


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write text or bytes, or columns as CSV, and return the path."""

    def written(content: str | bytes | dict[str, Any], name: str = "rows.csv") -> Path:
        path = tmp_path / name
        if isinstance(content, dict):
            path.write_text(pl.DataFrame(content, strict=False).write_csv())
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def table(n: int = 40, **columns: Any) -> dict[str, Any]:
    """A small table that can be fitted, with further or other columns."""
    return {"amount": [1.5 + row for row in range(n)], "fee": [row % 7 + 0.5 for row in range(n)], **columns}


# Files


def test_a_missing_file(refused: Callable[..., str], write: Write, place: Path) -> None:
    path = write(table(), "transactions.csv")
    asked = path.with_name("transaction.csv")
    expected = f"{asked}: there is no such file. Did you mean 'transactions.csv'?"
    assert refused("fit", asked, "--out", place / "m") == expected
    assert refused("inspect", asked) == expected


def test_an_empty_file(refused: Callable[..., str], write: Write, place: Path) -> None:
    path = write("")
    assert refused("fit", path, "--out", place / "m") == f"{path}: the file is empty."


def test_a_file_that_is_not_what_its_name_says(refused: Callable[..., str], write: Write, place: Path) -> None:
    for name, kind in (("a.parquet", "Parquet"), ("a.arrow", "Arrow IPC"), ("a.csv.gz", "CSV")):
        path = write(table(), name)
        assert refused("fit", path, "--out", place / "m").startswith(f"{path}: cannot be read as {kind} (")
    assert "is not an NPZ file" in refused("fit", write(table(), "a.npz"), "--out", place / "m")
    assert "cannot be read as CSV" in refused("fit", write(b"\x89PNG\r\n\x1a\n\xff\xfe", "a.csv"), "--out", place / "m")
    assert "oddrow does not read files of this ending" in refused("fit", write(table(), "a.xlsx"), "--out", place / "m")


@pytest.mark.parametrize(("line", "how"), [("1", "fewer"), ("1,2,3", "more")])
def test_ragged_csv_lines(line: str, how: str, refused: Callable[..., str], write: Write, place: Path) -> None:
    path = write("a,b\n" + "1,2\n" * 20 + f"{line}\n" + "3,4\n")
    expected = f"{path}: 1 line has {how} fields than the first line, which has 2 (line 22). "
    assert refused("fit", path, "--out", place / "m").startswith(expected + "Correct the file, or")


def test_zero_rows(refused: Callable[..., str], write: Write, model: Path, place: Path) -> None:
    path = write("a,b\n")
    for command in (["fit", path, "--out", place / "m"], ["score", path, "--model", model, "--out", place / "s.csv"]):
        assert refused(*command) == f"{path}: the table has columns but no rows."


def test_one_row(refused: Callable[..., str], write: Write, place: Path) -> None:
    path = write(table(1))
    assert refused("fit", path, "--out", place / "m") == (
        f"{path}: n_samples = 1, expected at least 2 to learn what is normal."
    )


def test_duplicated_column_names(refused: Callable[..., str], write: Write, place: Path) -> None:
    path = write("a,b,a\n1,2,3\n4,5,6\n")
    assert refused("fit", path, "--out", place / "m") == (
        f"{path}: several columns have the name 'a'. "
        "Rename them, or pass the names of all columns (names=, --set table.names=)."
    )
    path = write("1,2\n3,4\n")
    assert "several columns have the name 'p'" in refused("inspect", path, "--set", "table.names=p,p")


def test_a_column_name_that_is_a_pattern(refused: Callable[..., str], write: Write) -> None:
    path = write("^a.*$,ab\n1,2\n3,4\n")
    assert "column '^a.*$' starts with ^ and ends with $, like a regular expression." in refused("inspect", path)


# Labels


def test_a_missing_label_column(refused: Callable[..., str], write: Write, model: Path, place: Path) -> None:
    path = write(table(fraud=[0, 1] * 20))
    expected = "--label: column 'frod' is not in the table. Did you mean 'fraud'?"
    assert refused("fit", path, "--out", place / "m", "--label", "frod") == expected
    message = refused("fit", path, "--out", place / "m", "--label", "frod", "--time", "when", "--drop", "fees")
    assert message.split("\n") == [
        expected,
        "--time: column 'when' is not in the table.",
        "--drop: column 'fees' is not in the table. Did you mean 'fee'?",
    ]


def test_labels_that_are_not_two_classes(refused: Callable[..., str], write: Write, place: Path) -> None:
    path = write(table(y=["normal.", "smurf.", "back.", "normal."] * 10))
    message = refused("fit", path, "--out", place / "m", "--label", "y")
    assert message == (
        "column 'y' is not a label of two classes: besides 0, 1, true and false it holds 'normal.', 'smurf.', 'back.'. "
        "Name the anomalous values (--anomaly V,V) or the normal ones (--normal V,V)."
    )
    message = refused("fit", path, "--out", place / "m", "--label", "y", "--normal", "normal")
    assert message == "column 'y' has no value 'normal'. Did you mean 'normal.'?"
    message = refused("fit", path, "--out", place / "m", "--label", "y", "--normal", "normal.", "--anomaly", "back.")
    assert "Give one; other values are the other class" in message


def test_all_rows_anomalous(refused: Callable[..., str], write: Write, place: Path) -> None:
    expected = (
        "column 'y': all 40 labelled rows are anomalous. Expected normal rows too. "
        "If the values mean the opposite, name the anomalous ones with --anomaly."
    )
    assert refused("fit", write(table(y=[1] * 40)), "--out", place / "m", "--label", "y") == expected
    path = write(table(y=["a", "b"] * 20))
    assert refused("fit", path, "--out", place / "m", "--label", "y", "--anomaly", "a,b") == expected


def test_an_evaluation_without_both_classes(
    refused: Callable[..., str], mixed: pl.DataFrame, model: Path, tmp_path: Path, place: Path
) -> None:
    path = tmp_path / "rows.parquet"
    for fraud, expected in ((0, "none of 600 rows is anomalous"), (1, "all 600 labelled rows are anomalous")):
        mixed.with_columns(fraud=pl.lit(fraud)).write_parquet(path)
        assert expected in refused("evaluate", path, "--model", model, "--json", place / "e.json")
    mixed.with_columns(fraud=pl.lit(None, dtype=pl.Int8)).write_parquet(path)
    assert "column 'fraud': every value is missing" in refused("evaluate", path, "--model", model)


def test_synthetic_test_rows(
    refused: Callable[..., str], mixed: pl.DataFrame, model: Path, tmp_path: Path, place: Path
) -> None:
    mixed.with_columns(oddrow_synthetic=pl.lit(True)).write_parquet(tmp_path / "rows.parquet")
    message = refused("evaluate", tmp_path / "rows.parquet", "--model", model, "--json", place / "e.json")
    assert message == "600 of 600 test rows are synthetic (oddrow_synthetic is true). Test on real rows only."


# Two tables


def test_a_join_needs_a_key_and_a_key_needs_a_join(refused: Callable[..., str], write: Write, place: Path) -> None:
    path, more = write(table(id=range(40))), write({"id": [1]}, "more.csv")
    for command in (["fit", path, "--out", place / "m"], ["inspect", path]):
        assert refused(*command, "--join", more) == (
            f"--join {more} needs a key column that both tables have: --on KEY."
        )
        assert refused(*command, "--on", "id") == "--on id needs a second table: --join TABLE."


def test_a_missing_table_to_join(refused: Callable[..., str], write: Write, place: Path) -> None:
    fit = ("fit", write(table(id=range(40))), "--out", place / "m", "--on", "id", "--join")
    missing = write({"id": [1]}, "more.csv").with_name("mor.csv")
    assert refused(*fit, missing) == f"{missing}: there is no such file. Did you mean 'more.csv'?"


@pytest.mark.parametrize(
    ("columns", "on", "expected"),
    [
        ({"ident": [1, 2]}, "id", "--on: {more}: column 'id' is not in the table."),
        ({"id": [1, 2]}, "idd", "--on: {path}: column 'idd' is not in the table. Did you mean 'id'?\n"),
        ({"id": [1, 2, 2, 1], "x": [0, 1, 2, 3]}, "id", "{more}: column 'id' repeats 2 values ('1', '2'). "),
        ({"id": ["a", "b"]}, "id", "--on: column 'id': numbers in {path} cannot be compared with text in {more}. "),
        (
            {"id": [1], "fee": [2], "amount": [3]},
            "id",
            "2 columns of the same name ('fee', 'amount'). Rename or remove",
        ),
    ],
    ids=["key not there", "key nowhere", "key repeated", "other kinds", "one name twice"],
)
def test_tables_that_cannot_be_joined(
    columns: dict[str, Any], on: str, expected: str, refused: Callable[..., str], write: Write, place: Path
) -> None:
    path, more = write(table(id=range(40))), write(columns, "more.csv")
    join = ("--join", more, "--on", on)
    message = refused("fit", path, "--out", place / "m", *join)
    assert expected.format(path=path, more=more) in message
    assert refused("inspect", path, *join) == message


def test_a_model_and_the_join_it_was_fitted_with(
    refused: Callable[..., str], oddrow: Oddrow, write: Write, place: Path, tmp_path: Path, model: Path
) -> None:
    path, more = (
        write(table(id=range(40), y=[0, 1] * 20)),
        write({"id": [*range(40)], "x": [0.5] * 39 + [7]}, "more.csv"),
    )
    join, joined = ("--join", more, "--on", "id"), tmp_path / "joined"
    assert oddrow("fit", path, "--out", joined, *join, "--label", "y", "--set", "training.epochs=1").code == 0
    for command in (["score", path, "--out", place / "s.csv"], ["evaluate", path, "--json", place / "e.json"]):
        assert refused(*command, "--model", joined) == (
            f"the model was fitted with {more} joined on 'id'. Name a table: --join TABLE."
        )
        assert refused(*command, "--model", model, "--join", more) == (
            f"--join {more}: the model was fitted without a second table. Leave --join out."
        )
    before = more.read_bytes()
    score = ("score", path, "--model", joined, "--join", more, "--out", more)
    assert "this is one of the tables to read and would be overwritten" in refused(*score)
    assert more.read_bytes() == before


# Values


def test_a_numeric_column_with_text_in_three_rows(refused: Callable[..., str], write: Write, place: Path) -> None:
    amount = [f"{row}.5" for row in range(100)]
    amount[17], amount[42], amount[99] = "N/A", "-", "?"
    path = write(table(100, amount=amount))
    assert refused("fit", path, "--out", place / "m") == (
        "column 'amount': 3 of 100 values cannot be read as numbers (row 17 'N/A', row 42 '-', row 99 '?'). "
        "To read such values as missing: --set table.missing=N/A,-,? (in Python: missing=('N/A', '-', '?')). "
        "To use the column as a category: --set schema.amount=category (in Python: kinds={'amount': 'category'})."
    )


@pytest.mark.parametrize("advice", [["table.missing=N/A,-,?"], ["schema.amount=category"]])
def test_both_pieces_of_advice_help(advice: list[str], oddrow: Oddrow, write: Write) -> None:
    amount = [f"{row}.5" for row in range(100)]
    amount[17], amount[42], amount[99] = "N/A", "-", "?"
    sets = [argument for text in advice for argument in ("--set", text)]
    ran = oddrow("inspect", write(table(100, amount=amount)), *sets)
    assert ran.code == 0
    assert "fit would refuse" not in ran.out


def test_infinities(refused: Callable[..., str], write: Write, place: Path) -> None:
    fee = [0.5 + row for row in range(40)]
    fee[3], fee[9] = float("inf"), -float("inf")
    assert refused("fit", write(table(fee=fee)), "--out", place / "m") == (
        "column 'fee': 2 of 40 values are infinite (row 3 inf, row 9 -inf). "
        "Expected finite numbers. Leave the field empty if the value is unknown."
    )


def test_rows_are_numbered_as_in_the_file(refused: Callable[..., str], write: Write, place: Path) -> None:
    """Neither --from, nor held-out rows, nor excluded anomalies change the number of a row."""
    fee = [0.5 + row for row in range(40)]
    fee[30], fee[35] = float("inf"), -float("inf")
    path = write(table(fee=fee, t=list(range(40)), y=[0] * 35 + [1] * 5, w=[1] * 38 + [-1] * 2))
    fit = ("fit", path, "--out", place / "m", "--label", "y", "--time", "t", "--from", "20")
    assert "2 of 20 values are infinite (row 30 inf, row 35 -inf)" in refused(*fit)
    assert "2 of 20 weights are invalid (row 38 -1, row 39 -1)" in refused(*fit, "--weight", "w")


def test_missing_or_unordered_times(refused: Callable[..., str], write: Write, place: Path) -> None:
    path = write(table(t=[*range(39), None], s=["soon", "late"] * 20))
    fit = ("fit", path, "--out", place / "m")
    assert "column 't': 1 of 40 times is missing (row 39 None)" in refused(*fit, "--time", "t")
    assert "column 's': text cannot order rows by time" in refused(*fit, "--time", "s")
    assert "'noon' cannot be compared with column 'fee'" in refused(*fit, "--time", "fee", "--from", "noon")
    assert "no row has fee >= 90." in refused(*fit, "--time", "fee", "--from", "90")
    assert "need a time column: --time COLUMN" in refused(*fit, "--from", "90")


def test_invalid_weights(refused: Callable[..., str], write: Write, place: Path) -> None:
    path = write(table(w=[*range(39), -1], zero=[0] * 40))
    assert "1 of 40 weights is invalid (row 39 -1)" in refused("fit", path, "--out", place / "m", "--weight", "w")
    assert "every weight is 0" in refused("fit", path, "--out", place / "m", "--weight", "zero")


def test_a_table_without_features(refused: Callable[..., str], write: Write, place: Path) -> None:
    path = write({"row_id": range(40), "same": [2.5] * 40})
    message = refused("fit", path, "--out", place / "m")
    assert "no column can be scored" in message
    assert "'same' is constant: every value is 2.5" in message


# Tables to score that do not fit the model


def test_a_table_to_score_with_missing_columns_and_other_kinds(
    refused: Callable[..., str], mixed: pl.DataFrame, model: Path, tmp_path: Path, place: Path
) -> None:
    path = tmp_path / "rows.parquet"
    other = mixed.rename({"amount": "amuont"}).with_columns(
        age=pl.lit("old"), online=pl.lit(7), time=pl.lit(True), shop=pl.lit("new is fine"), fee=pl.lit(float("inf"))
    )
    other.write_parquet(path)
    for command in (
        ["score", path, "--model", model, "--out", place / "s.csv"],
        ["evaluate", path, "--model", model, "--json", place / "e.json"],
    ):
        lines = refused(*command).split("\n")
        assert lines[0] == "column 'amount' is not in the table. Did you mean 'amuont'?"
        assert [line.split(":")[0] for line in lines[1:]] == [f"column '{c}'" for c in ("fee", "age", "online", "time")]
        assert "600 of 600 values are infinite (row 0 inf, row 1 inf, row 2 inf)" in lines[1]
        assert "600 of 600 values cannot be read as numbers (row 0 'old'," in lines[2]
        assert "true and false cannot be read as kind 'time'" in lines[4]


def test_a_table_to_score_without_its_id_or_time(
    refused: Callable[..., str], mixed: pl.DataFrame, model: Path, tmp_path: Path, place: Path
) -> None:
    path = tmp_path / "rows.parquet"
    mixed.rename({"row_id": "rowid"}).write_parquet(path)
    score = ("score", path, "--model", model, "--out", place / "s.csv")
    assert refused(*score) == "--id: column 'row_id' is not in the table. Did you mean 'rowid'?"


# Names of settings, rules and models


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "trainig.epochs=5"], "unknown key 'trainig'. Did you mean 'training'?"),
        (["--set", "training.epoch=5"], "unknown key 'training.epoch'. Did you mean 'epochs'?"),
        (["--set", "training.epochs=many"], "training.epochs='many' is not a whole number of at least 0."),
        (["--detector", "autoencoder", "--set", "detector.hidden=8"], "hidden=8 is not a list of widths, such as [8]."),
        (["--set", "encoder.numbers=robst"], "Did you mean 'robust'?"),
        (["--set", "encoder.times=5"], "times=5 is not a list. Choose from hour, weekday, elapsed."),
        (["--set", "schema.amount=numbers"], "the kind of column 'amount'='numbers' is not one of numeric,"),
        (["--set", "schema.amont=category"], "column 'amont' is not in the table. Did you mean 'amount'?"),
        (["--threshold", "quantil:0.9"], "threshold rule='quantil' is not one of fixed, quantile, mean-std,"),
        (
            ["--threshold", "quantile:1.5"],
            "threshold rule quantile=1.5 is not a finite number of at least 0 and at most 1.",
        ),
        (["--threshold", "fixed:inf"], "threshold rule fixed=inf is not a finite number."),
        (["--detector", "autoencodr"], "Did you mean 'autoencoder'?"),
        (["--config", "nothing.toml"], "nothing.toml: there is no such file."),
        (["--seed", "-1"], "seed=-1 is not a whole number of at least 0 and at most 4,294,967,295."),
    ],
)
def test_unknown_keys_and_rules(
    arguments: list[str], expected: str, refused: Callable[..., str], write: Write, place: Path
) -> None:
    assert expected in refused("fit", write(table()), "--out", place / "m", *arguments)


def test_a_missing_model(refused: Callable[..., str], write: Write, model: Path, place: Path) -> None:
    asked = model.with_name("modl")
    assert refused("score", write(table()), "--model", asked, "--out", place / "s.csv") == (
        f"{asked}: there is no saved model here (manifest.json is missing). Did you mean 'model'?"
    )


# Output that cannot be written


def test_impossible_output_paths(
    refused: Callable[..., str], write: Write, mixed_csv: Path, model: Path, place: Path, tmp_path: Path
) -> None:
    file = write(table())
    before = file.read_bytes()
    assert f"{file} is not a folder. Choose another place." in refused("fit", mixed_csv, "--out", file / "m")
    evaluate = ("evaluate", mixed_csv, "--model", model, "--json")
    assert f"there is no folder {place / 'no'}" in refused(*evaluate, place / "no" / "e.json")
    assert "this is a folder" in refused(*evaluate, place)
    assert "this exists and is not a saved model" in refused("fit", mixed_csv, "--out", file)
    score = ("score", mixed_csv, "--model", model, "--out")
    assert "oddrow does not write files of this ending" in refused(*score, place / "s.txt")
    assert f"there is no folder {file}" in refused(*score, file / "s.csv")
    assert "the folder cannot be created" in refused("demo", "--rows", 100, "--out", file)
    assert "there is no folder" in refused("simulate", "--rows", 10, "--out", place / "no" / "a.csv")
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["place", "rows.csv"]


@pytest.fixture
def read_only(place: Path) -> Path:
    """A folder that nobody can write to, root included."""
    if os.geteuid() != 0:
        place.chmod(0o555)
        return place
    if Path("/proc").is_dir():
        return Path("/proc")
    pytest.skip("root may write anywhere, and there is no /proc")


def test_a_read_only_output_folder(
    read_only: Path,
    refused: Callable[..., str],
    oddrow: Oddrow,
    mixed_csv: Path,
    fit_options: Options,
    model: Path,
) -> None:
    expected = "cannot be written"
    assert expected in refused("score", mixed_csv, "--model", model, "--out", read_only / "oddrow.csv")
    assert expected in refused("evaluate", mixed_csv, "--model", model, "--json", read_only / "oddrow.json")
    assert expected in refused("simulate", "--rows", 10, "--out", read_only / "oddrow.parquet")
    # Root can learn only at the end that the folder is closed, so epochs are reported too.
    ran = oddrow("fit", mixed_csv, "--out", read_only / "oddrow", *fit_options)
    told = [line for line in ran.err.splitlines() if not line.startswith("epoch ")]
    assert ran.code == 1
    assert len(told) == 1
    assert expected in told[0]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_full_disk(mixed_csv: Path, fit_options: Options, model: Path, place: Path, tmp_path: Path) -> None:
    shutil.copytree(model, place / "m")
    (place / "s.csv").write_text("the scores of yesterday")
    before = snapshot(place)
    commands = [
        ["fit", str(mixed_csv), "--out", str(place / "m"), *fit_options],
        ["fit", str(mixed_csv), "--out", str(place / "new"), *fit_options],
        ["score", str(mixed_csv), "--model", str(model), "--out", str(place / "s.csv")],
        ["score", str(mixed_csv), "--model", str(model), "--out", str(place / "s.parquet")],
        ["evaluate", str(mixed_csv), "--model", str(model), "--json", str(place / "e.json")],
        ["simulate", "--rows", "2000", "--out", str(place / "a.parquet")],
    ]
    # Like a full disk, the limit makes writing fail in the middle of a file.
    code = f"""
import resource, signal, sys
from oddrow.cli.app import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
for arguments in {commands!r}:
    try:
        main(arguments)
    except SystemExit as exit:
        print("CODE", exit.code, file=sys.stderr)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    told = [line for line in ran.stderr.splitlines() if not line.startswith("epoch ")]
    assert told[1::2] == ["CODE 1"] * len(commands), ran.stderr
    for line, arguments in zip(told[::2], commands, strict=True):
        assert str(place) in line, arguments
        assert "cannot be written (" in line
        assert "File too large" in line
    assert snapshot(place) == before


# Ctrl-C


@pytest.mark.parametrize("memory", [(), ("--memory", "60KB")], ids=["in memory", "on disk"])
def test_ctrl_c_saves_a_checkpoint_and_the_same_command_resumes(
    memory: Options, mixed_csv: Path, fit_options: Options, oddrow: Oddrow, place: Path, tmp_path: Path
) -> None:
    long = (*fit_options, *memory, "--set", "training.epochs=500", "--set", "training.patience=none")
    fit = ["fit", str(mixed_csv), "--out", str(place / "m"), *long]
    with subprocess.Popen([*COMMAND, *fit], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 1/500: "):
                process.send_signal(signal.SIGINT)
                break
        told = [line for line in process.stderr.read().splitlines() if not line.startswith("epoch ")]
    assert process.returncode == 1
    assert told == [f"TrainingError: stopped. Run the same command again to go on from {place / 'm'}.checkpoint."]
    assert list(snapshot(place)) == ["m.checkpoint/checkpoint.safetensors"]

    resumed = oddrow(*fit)
    assert resumed.code == 0, resumed.err
    first = int(resumed.err.removeprefix("epoch ").split("/")[0])
    assert 1 < first <= 500
    assert sorted(path.name for path in place.iterdir()) == ["m"]
    whole = oddrow("fit", mixed_csv, "--out", tmp_path / "whole", *long)
    assert whole.err.startswith("epoch 1/500: ")
    assert whole.err.endswith(resumed.err)
    tensors = [(folder / "tensors.safetensors").read_bytes() for folder in (place / "m", tmp_path / "whole")]
    assert tensors[0] == tensors[1]


# compare


@pytest.fixture
def labelled(write: Write) -> Path:
    """100 rows, 10 of them anomalous, with a day for each ten rows."""
    days = [f"2024-01-{1 + row // 10:02d}" for row in range(100)]
    return write(table(100, fraud=[int(row % 10 == 0) for row in range(100)], day=days))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--label", "frauds"], "--label: column 'frauds' is not in the table. Did you mean 'fraud'?"),
        (["--label", "fraud", "--spans", "7d,7d,7d"], "--spans needs a time column. Name it: --time COLUMN."),
        (
            ["--label", "fraud", "--time", "day", "--repeats", "2"],
            "--repeats draws random folds, but with --time rows keep their order",
        ),
        (["--label", "fraud", "--time", "day", "--spans", "7d,7d"], "--spans 7d,7d: expected three"),
        (["--label", "fraud", "--time", "day", "--spans", "7d,7d,7"], "'7' is not a span of column 'day' (Date)"),
        (["--label", "fraud", "--time", "day", "--spans", "7d,7d,7d"], "too little for 604800 of training"),
        (["--label", "fraud", "--folds", "11"], "10 rows of one class cannot be spread over 11 folds"),
        (["--label", "fraud", "--folds", "1"], "folds=1 is not"),
        (["--label", "fraud", "--max-rows", "8"], "max_rows=8 must exceed the "),
        (["--label", "amount"], "column 'amount' is not a label of two classes"),
        (["--label", "fraud", "--ratio", "0.05"], "--ratio 0.05: the ratio of rare to common rows is already 0.111"),
        (
            ["--label", "fraud", "--ratio", "0.2", "--max-rows", "20"],
            "the ratio of rare to common rows is already 0.667",
        ),
        (["--label", "fraud", "--ratio", "5"], "ratio=5.0 is not"),
        (["--label", "fraud", "--ratio", "-1"], "ratio=-1.0 is not"),
        (["--label", "fraud", "--set", "training.epochs=-1"], "training.epochs=-1 is not"),
        (["--label", "fraud", "--set", "training.checkpoint=c"], "all folds would share it"),
        (
            ["--label", "fraud", "--set", "detector.latent=3"],
            "detector.latent: the detector oddrow has no such parameter",
        ),
        (["--label", "fraud", "--set", "encoder.numbers=range"], "[encoder] has no effect here"),
    ],
)
def test_invalid_comparisons(
    options: list[str], expected: str, refused: Callable[..., str], labelled: Path, place: Path
) -> None:
    assert expected in refused("compare", labelled, *options, "--json", place / "c.json")


def test_a_comparison_needs_both_classes(refused: Callable[..., str], write: Write) -> None:
    assert "none of 40 rows is anomalous" in refused("compare", write(table(fraud=[0] * 40)), "--label", "fraud")
    assert "all 40 labelled rows are anomalous" in refused("compare", write(table(fraud=[1] * 40)), "--label", "fraud")


def test_synthetic_rows_are_never_compared_on(refused: Callable[..., str], write: Write) -> None:
    marks: dict[str, Any] = {"oddrow_synthetic": [row == 3 for row in range(40)]}
    path = write(table(fraud=[int(row < 10) for row in range(40)], **marks))
    assert "1 test row is synthetic" in refused("compare", path, "--label", "fraud", "--folds", "2")


def test_comparing_needs_imbalanced_learn(
    refused: Callable[..., str], labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    expected = "comparing samplers needs imbalanced-learn. Install it with pip install 'oddrow[compare]'."
    assert refused("compare", labelled, "--label", "fraud") == expected
