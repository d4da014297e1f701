"""Files and folders are written whole or not at all, and a failure is one sentence."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from oddrow.errors import ArtifactError, TableError
from oddrow.files import (
    check_output_file,
    read_failures_as,
    reason,
    replaced_file,
    replaced_folder,
)

FAILURES = [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("no")]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_while_writing_a_file_leaves_nothing_behind(failure: BaseException, tmp_path: Path) -> None:
    def half() -> None:
        with replaced_file(tmp_path / "a.json") as unfinished:
            unfinished.write_text("half")
            raise failure

    with pytest.raises(TableError if isinstance(failure, OSError) else type(failure)):
        half()
    assert os.listdir(tmp_path) == []


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.json", tmp_path / "nowhere" / "a.json"):
        with pytest.raises(TableError, match=r"a.json: cannot be written \("), replaced_file(path) as unfinished:
            unfinished.write_text("whole")


def test_only_a_regular_file_is_ever_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(TableError, match="this is not a regular file"):
        check_output_file(tmp_path / "pipe.csv")


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for text in ("old", "new"):
        with replaced_folder(folder) as unfinished:
            (unfinished / f"{text}.txt").write_text(text)
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(folder) == ["new.txt"]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_while_writing_a_folder_leaves_the_old_one(failure: BaseException, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old.txt").write_text("old")

    def half() -> None:
        with replaced_folder(folder, ArtifactError) as unfinished:
            (unfinished / "new.txt").write_text("half")
            raise failure

    with pytest.raises(ArtifactError if isinstance(failure, OSError) else type(failure)):
        half()
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(folder) == ["old.txt"]


def test_a_failure_to_read_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(b"not compressed")
    with pytest.raises(ArtifactError) as caught, read_failures_as(ArtifactError, "a.gz: broken", "Copy it again."):
        gzip.decompress((tmp_path / "a.gz").read_bytes())
    assert str(caught.value) == "a.gz: broken (Not a gzipped file (b'no')). Copy it again."
    with pytest.raises(TableError, match="row 7 is odd"), read_failures_as(ArtifactError, "a.gz: broken"):
        raise TableError("row 7 is odd")


def test_the_reason_is_the_first_line_or_the_kind_of_failure() -> None:
    assert reason(OSError(28, "No space left on device", "a.csv")) == "No space left on device"
    assert reason(ValueError("first\nsecond")) == "first"
    assert reason(EOFError()) == "EOFError"
