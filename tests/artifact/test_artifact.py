"""Saving: whole or not at all, over nothing but an older model; and the card beside it."""

from __future__ import annotations

import json
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddrow.artifact import Artifact, Origin
from oddrow.artifact.saved_folder import CARD, MANIFEST, TENSORS, check_writable
from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ArtifactError
from oddrow.table.delimited import ReadOptions
from oddrow.table.history import History
from oddrow.table.join import Join
from oddrow.table.roles import Roles
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.threshold import Cap, Threshold
from oddrow.train.training import Training

FILES = sorted([MANIFEST, TENSORS, CARD])


def rows() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {"row_id": np.arange(60), "amount": rng.normal(size=60), "shop": rng.choice(["a", "b"], 60), "same": [1.0] * 60}
    )


def detector(**parameters: Any) -> AutoencoderDetector:
    usual = {"hidden": [4], "noise": 0, "training": Training(epochs=2), "random_state": 0}
    return AutoencoderDetector(**{**usual, **parameters}).fit(rows(), [1, 1] + [0] * 58)


@pytest.fixture(scope="module")
def fitted() -> AutoencoderDetector:
    return detector()


@pytest.fixture(scope="module")
def artifact(fitted: AutoencoderDetector) -> Artifact:
    return Artifact(fitted, Threshold(2.5, "quantile:0.99", "validation"))


@pytest.fixture(scope="module")
def other(fitted: AutoencoderDetector) -> Artifact:
    """The same detector with another threshold."""
    return Artifact(fitted, Threshold(7.0, "fixed:7"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 512 bytes: what a full disk looks like to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_three_files_in_a_folder_that_is_made(artifact: Artifact, tmp_path: Path) -> None:
    artifact.save(tmp_path / "models" / "cards")
    assert names(tmp_path / "models") == ["cards"]
    assert names(tmp_path / "models" / "cards") == FILES
    modes = {stat.S_IMODE((tmp_path / "models" / "cards" / name).stat().st_mode) for name in FILES}
    assert len(modes) == 1, "who may read one may read all"


def test_a_name_relative_to_here_will_do(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    artifact.save("model")
    assert Artifact.load("model").threshold == artifact.threshold


def test_an_empty_folder_is_filled(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    artifact.save(tmp_path / "model")
    assert names(tmp_path / "model") == FILES


def test_an_older_model_is_replaced_whole(artifact: Artifact, other: Artifact, tmp_path: Path) -> None:
    artifact.save(tmp_path / "model")
    other.save(tmp_path / "model")
    assert Artifact.load(tmp_path / "model").threshold.value == 7.0
    assert names(tmp_path / "model") == FILES
    assert names(tmp_path) == ["model"], "nothing is left beside it"


def test_a_model_with_something_else_beside_it_is_not_replaced(artifact: Artifact, tmp_path: Path) -> None:
    artifact.save(tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="is not a saved model"):
        artifact.save(tmp_path / "model")
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"


def test_what_is_no_model_is_not_overwritten(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("mine")
    for place in ("thesis", "file"):
        with pytest.raises(
            ArtifactError, match=f"{place}: this exists and is not a saved model. Choose another folder"
        ):
            artifact.save(tmp_path / place)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_the_older_model_as_it_was(artifact: Artifact, other: Artifact, tmp_path: Path) -> None:
    artifact.save(tmp_path / "model")
    with full_disk(), pytest.raises(ArtifactError, match="model: cannot be written"):
        other.save(tmp_path / "model")
    assert Artifact.load(tmp_path / "model").threshold.value == 2.5
    assert names(tmp_path) == ["model"]


def test_a_full_disk_leaves_nothing_half_written(artifact: Artifact, tmp_path: Path) -> None:
    with full_disk(), pytest.raises(ArtifactError, match="model: cannot be written"):
        artifact.save(tmp_path / "model")
    assert names(tmp_path) == []


def test_a_place_inside_a_file_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="file is not a folder"):
        check_writable(tmp_path / "file" / "model")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_place_is_refused_before_training(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ArtifactError, match="is read-only"):
        check_writable(tmp_path / "models" / "cards")


def test_the_manifest_says_it_all_in_plain_json(artifact: Artifact, tmp_path: Path) -> None:
    artifact.save(tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / MANIFEST).read_text())
    assert manifest["format"] == 4
    assert manifest["detector"]["name"] == "AutoencoderDetector"
    assert manifest["detector"]["parameters"]["training"]["parameters"]["epochs"] == 2
    assert [column["kind"] for column in manifest["detector"]["state"]["schema"]["columns"]] == [
        "identifier",
        "numeric",
        "category",
        "constant",
    ]
    assert len(manifest["detector"]["state"]["loss_curve"]) == 2
    assert manifest["detector"]["state"]["n_known_anomalies"] == 2
    assert {"python", "oddrow", "jax", "numpy", "polars"} <= manifest["versions"].keys()


def test_all_that_travels_with_a_model_comes_back(fitted: AutoencoderDetector, tmp_path: Path) -> None:
    fingerprint = Fingerprint.of(np.arange(3000, dtype=np.uint64))
    saved = Artifact(
        fitted,
        Threshold(2.5, "mean-std:3", "train", fingerprint),
        ReadOptions(header=False, names=("row_id", "amount", "shop", "same"), missing=("N/A",)),
        Roles(label="fraud", anomaly=("1", "2"), time="when", id="row_id", drop=("same",)),
        Origin(
            ("a.csv", "b.csv"),
            None,
            "2024-02-01",
            54,
            6,
            9,
            fingerprint,
            "oddrow fit a.csv b.csv",
            Join("c.csv", "row_id"),
            Roles(label="fraud", entity="card"),
        ),
        Threshold(9.0, "false-discoveries:0.1", "given", discoveries=0.1, calibration=(1.0, 2.5)),
        (Threshold(1.0, "budget:5", guarantee="a lot", cap=Cap(5, per_entity=True)), Threshold(0.5, "fixed:0.5")),
        History.of([{"by": "card", "windows": ["1d"], "features": ["count"]}, {"features": ["night"]}]),
    )
    saved.save(tmp_path / "model")
    loaded = Artifact.load(tmp_path / "model")
    for part in ("threshold", "read", "roles", "origin", "block", "earlier", "history"):
        assert getattr(loaded, part) == getattr(saved, part)
    card = (tmp_path / "model" / CARD).read_text()
    assert "Block: at a score of 9 or more (false-discoveries:0.1, given)" in card
    assert "Earlier threshold: 1 (budget:5, given)" in card


def test_parameters_that_json_does_not_hold_are_not_in_the_way(tmp_path: Path) -> None:
    """A generator has no value to keep; numbers of NumPy are numbers."""
    odd = detector(random_state=np.random.default_rng(0), noise=np.float32(0.25), hidden=(np.int64(4),))
    Artifact(odd, Threshold(1.0, "fixed:1")).save(tmp_path / "model")
    loaded = Artifact.load(tmp_path / "model").detector
    assert isinstance(loaded, AutoencoderDetector)
    assert (loaded.random_state, loaded.noise, loaded.hidden) == (None, 0.25, (4,))
    np.testing.assert_array_equal(loaded.anomaly_score(rows()), odd.anomaly_score(rows()))


def test_given_kinds_come_back_and_a_loaded_detector_can_be_fitted_again(tmp_path: Path) -> None:
    first = detector(kinds={"row_id": "numeric", "shop": "dropped"}, encoder=TableEncoder(numbers="robust"))
    Artifact(first, Threshold(1.0, "fixed:1")).save(tmp_path / "model")
    loaded = Artifact.load(tmp_path / "model").detector
    again = loaded.fit(rows(), [1, 1] + [0] * 58)
    assert [column.name for column in again.schema_.features] == ["row_id", "amount"]
    np.testing.assert_array_equal(again.anomaly_score(rows()), first.anomaly_score(rows()))


@settings(max_examples=15, deadline=None)
@given(
    names=st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True),
    levels=st.lists(st.text(), min_size=3, max_size=3, unique=True),
    scale=st.floats(1e-30, 1e30),
    threshold=st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_names_levels_and_numbers_come_back(
    names: list[str], levels: list[str], scale: float, threshold: float
) -> None:
    frame = pl.DataFrame({names[0]: scale * np.arange(1.0, 31.0), names[1]: levels * 10})
    kinds = dict(zip(names, ("numeric", "category"), strict=True))
    untrained = AutoencoderDetector(hidden=(4,), training=Training(epochs=0), kinds=kinds, random_state=0).fit(frame)
    with TemporaryDirectory() as folder:
        Artifact(untrained, Threshold(threshold, "fixed")).save(f"{folder}/model")
        loaded = Artifact.load(f"{folder}/model")
    assert loaded.threshold.value == threshold
    assert loaded.detector.schema_ == untrained.schema_
    np.testing.assert_array_equal(loaded.detector.anomaly_score(frame), untrained.anomaly_score(frame))


def test_a_missing_model_is_named_with_a_neighbour(artifact: Artifact, tmp_path: Path) -> None:
    artifact.save(tmp_path / "cards")
    with pytest.raises(ArtifactError, match=r"card: there is no saved model here .*Did you mean 'cards'\?"):
        Artifact.load(tmp_path / "card")
    with pytest.raises(ArtifactError, match="there is no saved model here"):
        Artifact.load(tmp_path / "nowhere" / "card")


def test_the_card_says_what_a_reader_must_know(fitted: AutoencoderDetector) -> None:
    origin = Origin(("a.csv",), "2024-01-01", None, 54, 6, 9, Fingerprint(54, "abc123", ()), "oddrow fit a.csv")
    card = Artifact(
        fitted, Threshold(2.5, "quantile:0.99", "validation"), roles=Roles(time="when"), origin=origin
    ).card()
    for said in (
        "# oddrow model card\n",
        "- Detector: AutoencoderDetector, ",
        "hidden=[4]",
        "- Trained on: 52 rows of a.csv with when >= 2024-01-01; 2 known anomalies were excluded\n",
        "- Held out: 6 rows to set the threshold\n",
        "- Epochs: 2\n",
        "- Threshold: alert at a score of 2.5 or more (quantile:0.99, chosen on validation rows). No guarantee.\n",
        "- Fingerprint of the training rows: abc123\n",
        "- Command: `oddrow fit a.csv`\n",
        "It is not a probability of fraud",
        "| amount | numeric | values of type Float64 |\n",
        "| shop | category | text with 2 different values |\n",
        "- row_id: identifier, ",
        "- same: constant, every value is 1.0\n",
    ):
        assert said in card
    assert "\n- same: " in card.partition("## Columns not used")[2]


def test_the_card_takes_names_for_text_and_says_only_what_is_unusual() -> None:
    frame = pl.DataFrame({"a|b": np.arange(60.0) % 7, "<b>": np.arange(60.0) % 5})
    card = Artifact(
        AutoencoderDetector(noise=0.1, training=Training(epochs=1), random_state=0).fit(frame), Threshold(2.5, "fixed")
    ).card()
    assert "| a\\|b | numeric |" in card
    assert "| \\<b\\> | numeric |" in card
    assert "- Detector: AutoencoderDetector, noise=0.1, random_state=0, training=Training(epochs=1)\n" in card


def test_the_card_names_the_joined_table(fitted: AutoencoderDetector) -> None:
    origin = Origin(("a.csv",), None, None, 54, 6, 9, Fingerprint(54, "", ()), "", Join("b.csv", "row_id"))
    card = Artifact(fitted, Threshold(2.5, "fixed:2.5"), origin=origin).card()
    assert "- Trained on: 52 rows of a.csv joined with b.csv on 'row_id'; 2 known anomalies were excluded\n" in card


def test_the_card_of_a_model_fitted_in_memory(artifact: Artifact) -> None:
    assert "- Trained on: rows in memory; 2 known anomalies" in artifact.card()
    assert "Command" not in artifact.card()


def test_a_number_is_no_threshold(fitted: AutoencoderDetector, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"threshold=2.5 is not a Threshold. Pass Threshold\(2.5, \"fixed:2.5\"\)"):
        Artifact(fitted, 2.5).save(tmp_path / "model")  # type: ignore[arg-type]


def test_the_card_counts_epochs_and_not_entries_of_the_history() -> None:
    watched = detector(training=Training(epochs=5, log_every=2))
    assert "- Epochs: 5\n" in Artifact(watched, Threshold(1.0, "fixed:1")).card()


@pytest.mark.parametrize("names", [("class",), ("class", "parameters")])
def test_columns_may_have_the_names_of_keys_in_the_manifest(tmp_path: Path, names: tuple[str, ...]) -> None:
    frame = pl.DataFrame({name: ["x", "y"] * 10 for name in names})
    encoder = TableEncoder(levels={name: ["x", "y", "z"] for name in names}, one_hot_up_to=5)
    fitted = AutoencoderDetector(hidden=[4], training=Training(epochs=1), encoder=encoder, random_state=0).fit(frame)
    Artifact(fitted, Threshold(1.0, "fixed:1")).save(tmp_path / "model")
    loaded = Artifact.load(tmp_path / "model").detector
    np.testing.assert_array_equal(loaded.anomaly_score(frame), fitted.anomaly_score(frame))
