"""The law of artifacts, for every detector: equal to the bit after loading, and nothing hostile is let in."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from laws import DETECTORS, QUICK_DETECTORS, New, normal_rows
from oddrow.artifact import Artifact, Origin
from oddrow.artifact.saved_folder import CARD, LARGEST_MANIFEST, MANIFEST, TENSORS
from oddrow.encoding.encoder import TableEncoder
from oddrow.errors import ArtifactError, OddrowError
from oddrow.table.join import Join
from oddrow.thresholds.fingerprint import Fingerprint
from oddrow.thresholds.threshold import Threshold

ROWS = normal_rows()
FINGERPRINT = Fingerprint.of(np.arange(5, dtype=np.uint64))
JOIN = Join("shops.csv", "row_id")
Edit = Callable[[Path], None]


def artifact(new: New, **parameters: Any) -> Artifact:
    """A model of mixed rows with everything that a manifest can hold."""
    origin = Origin(("rows.csv",), "2024-01-01", None, 240, 60, 0, FINGERPRINT, "oddrow fit rows.csv", JOIN)
    return Artifact(
        new(epochs=1, **parameters).fit(ROWS), Threshold(1.5, "fixed:1.5", "train", FINGERPRINT), origin=origin
    )


@pytest.fixture(params=QUICK_DETECTORS, scope="module")
def new(request: pytest.FixtureRequest) -> New:
    """Makes a quick detector."""
    return DETECTORS[request.param]


@pytest.fixture(scope="module")
def saved(new: New, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that an honest `save` has written."""
    folder = tmp_path_factory.mktemp("artifacts") / "model"
    artifact(new, noisy=False).save(folder)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return shutil.copytree(saved, tmp_path / "model")


@pytest.mark.parametrize(
    "encoder",
    [None, TableEncoder(numbers="quantile", one_hot_up_to=3, times=("weekday",))],
    ids=["usual encoder", "quantiles and one-hot"],
)
def test_save_load_score_is_equal_to_the_bit(new: New, encoder: TableEncoder | None, tmp_path: Path) -> None:
    before = artifact(new, encoder=encoder, noisy=False)
    before.save(tmp_path / "model")
    after = Artifact.load(tmp_path / "model")
    for verb in ("anomaly_score", "predict", "decision_function"):
        np.testing.assert_array_equal(getattr(after.detector, verb)(ROWS), getattr(before.detector, verb)(ROWS))
    assert repr(after.detector.get_params()) == repr(before.detector.get_params())
    assert after.detector.loss_curve_ == before.detector.loss_curve_
    assert list(after.detector.feature_names_in_) == ROWS.columns
    assert (after.threshold, after.read, after.roles, after.origin) == (
        before.threshold,
        before.read,
        before.roles,
        before.origin,
    )


def test_saved_again_it_is_the_same_file(saved: Path, tmp_path: Path) -> None:
    Artifact.load(saved).save(tmp_path / "again")
    for name in (MANIFEST, TENSORS, CARD):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


# Hostile manifests.


def in_manifest(*path: str | int, to: Any) -> Edit:
    """Put a value at a place of the manifest."""

    def edit(model: Path) -> None:
        manifest = json.loads((model / MANIFEST).read_text())
        place = manifest
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to
        (model / MANIFEST).write_text(json.dumps(manifest))

    return edit


def beyond_all(*path: str | int) -> Edit:
    """Put a number there that no float holds."""

    def edit(model: Path) -> None:
        in_manifest(*path, to="far")(model)
        replaced('"far"', "1e999")(model)

    return edit


def without(*path: str | int) -> Edit:
    def edit(model: Path) -> None:
        manifest = json.loads((model / MANIFEST).read_text())
        place = manifest
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        (model / MANIFEST).write_text(json.dumps(manifest))

    return edit


def replaced(old: str, to: str) -> Edit:
    def edit(model: Path) -> None:
        text = (model / MANIFEST).read_text()
        assert old in text
        (model / MANIFEST).write_text(text.replace(old, to, 1))

    return edit


def file_of(name: str, content: bytes) -> Edit:
    def edit(model: Path) -> None:
        (model / name).write_bytes(content)

    return edit


def linked(name: str) -> Edit:
    """The true file, but outside the model's folder and behind a link."""

    def edit(model: Path) -> None:
        (model / name).rename(model.parent / "elsewhere")
        (model / name).symlink_to(Path("..") / "elsewhere")

    return edit


def as_folder(name: str) -> Edit:
    def edit(model: Path) -> None:
        (model / name).unlink()
        (model / name).mkdir()

    return edit


def as_pipe(name: str) -> Edit:
    """Nobody will ever write to it: whoever opens it waits for ever."""

    def edit(model: Path) -> None:
        (model / name).unlink()
        os.mkfifo(model / name)

    return edit


def absent(name: str) -> Edit:
    return lambda model: (model / name).unlink()


def too_long(model: Path) -> None:
    os.truncate(model / MANIFEST, LARGEST_MANIFEST + 1)


PARAMETERS = ("detector", "parameters")
TRAINING = (*PARAMETERS, "training")
SCHEMA = ("detector", "state", "schema", "columns")
NUMBER = ("detector", "state", "encoder", "numbers", 0)

MANIFESTS: dict[str, tuple[Edit, str]] = {
    "wrong class": (in_manifest("detector", "name", to="os.system"), "class 'os.system' is not one"),
    "a path as class": (in_manifest("detector", "name", to="../../evil"), "is not one that a model may hold"),
    "a list as class": (in_manifest("detector", "name", to=["Training"]), "manifest.json"),
    "an allowed class in the wrong place": (in_manifest("detector", "name", to="Training"), "'Training' is not one"),
    "wrong class of a parameter": (
        in_manifest(*TRAINING, to={"name": "Popen", "parameters": {}}),
        "class 'Popen' is not one",
    ),
    "a parameter with more than class and parameters": (
        in_manifest(*TRAINING, to={"name": "Training", "parameters": {}, "call": "x"}),
        "unknown key 'training.call'",
    ),
    "an encoder for training": (
        in_manifest(*TRAINING, to={"name": "TableEncoder", "parameters": TableEncoder().get_params()}),
        r"training=TableEncoder\(\) is not a Training",
    ),
    "extra key": (in_manifest("run", to="rm"), "unknown key 'run'"),
    "extra key of the detector": (in_manifest("detector", "module", to="os"), "unknown key 'detector.module'"),
    "extra parameter": (in_manifest(*PARAMETERS, "__class__", to="x"), r"unknown key '\w+Detector.__class__'"),
    "extra parameter of the training": (
        in_manifest(*TRAINING, "parameters", "run", to=1),
        "unknown key 'Training.run'",
    ),
    "extra key of a column": (
        in_manifest(*SCHEMA, 0, "run", to=1),
        r"unknown key 'detector.state.schema.columns\[0\].run'",
    ),
    "extra key of an encoded number": (
        in_manifest(*NUMBER, "run", to=1),
        r"unknown key 'detector.state.encoder.numbers\[0\].run'",
    ),
    "extra key of the threshold": (in_manifest("threshold", "run", to=1), "unknown key 'threshold.run'"),
    "extra key of the join": (in_manifest("origin", "join", "run", to=1), "unknown key 'origin.join.run'"),
    "a join without a key": (without("origin", "join", "on"), "key 'origin.join.on' is missing"),
    "a list for the joined table": (
        in_manifest("origin", "join", "table", to=["a"]),
        "origin.join.table=.* is not text",
    ),
    "text for the join": (in_manifest("origin", "join", to="a.csv"), "'origin.join' is a section"),
    "no word of a join": (without("origin", "join"), "key 'origin.join' is missing"),
    "extra key of the state": (in_manifest("detector", "state", "run", to=1), "unknown key 'detector.state.run'"),
    "missing key": (without("threshold"), "key 'threshold' is missing"),
    "missing state": (without("detector", "state", "offset"), "key 'detector.state.offset' is missing"),
    "missing origin's seed": (without("origin", "seed"), "key 'origin.seed' is missing"),
    "other format": (in_manifest("format", to=1), "has format 1, .* reads format 4. Fit the model again"),
    "newer format": (in_manifest("format", to=9), "has format 9, .* reads format 4. Update oddrow"),
    "older format": (in_manifest("format", to=3), "has format 3, .*, or use the older oddrow that saved it"),
    "no format": (without("format"), "not a manifest of oddrow: 'format' is not a number"),
    "not a number": (replaced('"value": 1.5', '"value": NaN'), "NaN is not a JSON number"),
    "infinity": (replaced('"value": 1.5', '"value": -Infinity'), "-Infinity is not a JSON number"),
    "a number beyond all": (replaced('"value": 1.5', '"value": 1e999'), "threshold.value=inf is not a finite number"),
    "a number of a thousand digits": (replaced('"value": 1.5', f'"value": 1{"0" * 999}'), "manifest.json"),
    "a number of ten thousand digits": (replaced('"value": 1.5', f'"value": 1{"0" * 9999}'), "not a valid manifest"),
    "true for a number": (in_manifest("threshold", "value", to=True), "threshold.value=True is not a finite number"),
    "text for a number": (in_manifest(*NUMBER, "center", to="0"), r"center='0' is not a finite number"),
    "text for a flag": (in_manifest(*NUMBER, "has_missing", to=1), "has_missing=1 is not true or false"),
    "no scale": (in_manifest(*NUMBER, "scale", to=0), "scale of column 'amount'=0"),
    "a range upside down": (in_manifest(*NUMBER, "low", to=1e9), "which is not valid"),
    "a range with one end": (in_manifest(*NUMBER, "high", to=None), "which is not valid"),
    "text for the end of a range": (in_manifest(*NUMBER, "high", to="9"), r"high='9' is not a finite number"),
    "a range without end": (beyond_all(*NUMBER, "high"), "high=inf is not a finite number"),
    "a million decimals": (in_manifest(*NUMBER, "decimals", to=10**6), "decimals of column 'amount'=1000000"),
    "half a decimal": (in_manifest(*NUMBER, "decimals", to=0.5), "decimals=0.5 is not a whole number"),
    "another column's numbers": (in_manifest(*NUMBER, "source", to="age"), "do not match the schema"),
    "a column that was a feature": (in_manifest(*SCHEMA, 0, "kind", to="dropped"), "do not match the schema"),
    "empty": (file_of(MANIFEST, b""), "not a valid manifest"),
    "no text": (file_of(MANIFEST, b"\xff\xfe\x00"), "not a valid manifest"),
    "a list": (file_of(MANIFEST, b"[]"), "not a manifest of oddrow: 'format' is not a number"),
    "deeply nested": (file_of(MANIFEST, b"[" * 200_000), "not a valid manifest"),
    "too long": (too_long, "are too long for a manifest"),
    "a link": (linked(MANIFEST), "manifest.json: expected a regular file in"),
    "a folder": (as_folder(MANIFEST), "manifest.json: expected a regular file"),
    "a pipe": (as_pipe(MANIFEST), "manifest.json: expected a regular file"),
    "absent": (absent(MANIFEST), "there is no saved model here"),
}
WIDTHS: dict[str, tuple[Edit, str]] = {
    "missing parameter": (without(*PARAMETERS, "hidden"), "key '.*.hidden' is missing"),
    "a negative width": (in_manifest(*PARAMETERS, "hidden", to=[-4]), "hidden=-4 is not a whole number"),
    "a width beyond memory": (in_manifest(*PARAMETERS, "hidden", to=[10**12, 10**12]), "not fit its parameters"),
    "a width beyond integers": (in_manifest(*PARAMETERS, "hidden", to=[10**30]), "model"),
    "a million layers": (in_manifest(*PARAMETERS, "hidden", to=[1] * 10**6), "number of hidden layers=1000000"),
    "other widths": (in_manifest(*PARAMETERS, "hidden", to=[7]), "not fit its parameters"),
    "unknown activation": (in_manifest(*PARAMETERS, "activations", to="__import__"), "'__import__' is not one of"),
}


@pytest.mark.parametrize(("edit", "message"), WIDTHS.values(), ids=WIDTHS)
def test_hostile_widths_are_refused(new: New, model: Path, edit: Edit, message: str) -> None:
    if "hidden" not in new().get_params():
        pytest.skip("its network has the widths that its columns ask for")
    test_a_hostile_manifest_is_refused(model, edit, message)


@pytest.mark.parametrize(("edit", "message"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_hostile_manifest_is_refused(model: Path, edit: Edit, message: str) -> None:
    edit(model)
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(model)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a manifest, two of each list."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def test_any_value_anywhere_is_refused_or_harmless(model: Path, saved: Path) -> None:
    """What loads all the same gives a finite score or a named error, and has a card."""
    n_refused = 0
    for path in places(json.loads((saved / MANIFEST).read_text())):
        for value in (None, "zz", -1):
            if not path or path[0] == "versions" or "feature_names_in" in path:
                continue
            shutil.copy(saved / MANIFEST, model / MANIFEST)
            in_manifest(*path, to=value)(model)
            try:
                loaded = Artifact.load(model)
            except ArtifactError:
                n_refused += 1
                continue
            check_harmless(loaded, f"{path}: {value}")
    assert n_refused > 150


def check_harmless(loaded: Artifact, what: str) -> None:
    try:
        scores = loaded.detector.anomaly_score(ROWS[:3])
        assert loaded.threshold.alerts(scores).dtype == bool
        assert loaded.card()
    except OddrowError:
        return
    assert np.isfinite(scores).all(), what


# Hostile tensors.


def tensors(change: Callable[[dict[str, Any]], None]) -> Edit:
    def edit(model: Path) -> None:
        arrays = load_file(model / TENSORS)
        change(arrays)
        save_file(arrays, model / TENSORS)

    return edit


def of_first(change: Callable[[Any], Any]) -> Edit:
    """Change the first array that has rows and columns of numbers."""

    def change_it(arrays: dict[str, Any]) -> None:
        matrices = {name: array for name, array in sorted(arrays.items()) if array.ndim == 2 and array.size}
        name = next(name for name, array in matrices.items() if array.dtype == np.float32)
        arrays[name] = np.ascontiguousarray(change(arrays[name]))

    return tensors(change_it)


def cut(share: float) -> Edit:
    return lambda model: os.truncate(model / TENSORS, int(share * (model / TENSORS).stat().st_size))


def header(length: int | None = None, **of_a_tensor: Any) -> Edit:
    """A file with this header length, or with a header that says this of a tensor of 8 bytes."""
    text = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **of_a_tensor}}).encode()
    return file_of(TENSORS, struct.pack("<Q", len(text) if length is None else length) + text + b"\0" * 8)


FILES: dict[str, tuple[Edit, str]] = {
    "truncated": (cut(0.9), "the weights cannot be read"),
    "truncated header": (cut(0.01), "the weights cannot be read"),
    "empty": (file_of(TENSORS, b""), "the weights cannot be read"),
    "pickled": (file_of(TENSORS, b"\x80\x04\x95" + b"." * 99), "the weights cannot be read"),
    "a header longer than the file": (header(10**6), "the weights cannot be read"),
    "a header longer than all memory": (header(2**63), "the weights cannot be read"),
    "offsets beyond the file": (header(data_offsets=[0, 2**40], shape=[2**38]), "the weights cannot be read"),
    "a shape beyond integers": (header(shape=[2**40, 2**40]), "the weights cannot be read"),
    "a shape that is not its bytes": (header(shape=[3]), "the weights cannot be read"),
    "a negative shape": (header(shape=[-2]), "the weights cannot be read"),
    "an unknown type": (header(dtype="O"), "the weights cannot be read"),
    "a path as name": (tensors(lambda arrays: arrays.update({"../../evil": np.zeros(2)})), r"evil' is .*no such array"),
    "an extra tensor": (tensors(lambda arrays: arrays.update(extra=np.zeros(2))), "'extra' is .*no such array"),
    "a tensor is missing": (tensors(lambda arrays: arrays.pop(sorted(arrays)[0])), "is missing, expected"),
    "wrong shape": (of_first(lambda array: array[:, 1:]), "1 array does not fit its parameters"),
    "transposed": (of_first(lambda array: array.T), "1 array does not fit its parameters"),
    "wrong type": (of_first(lambda array: array.astype(np.float64)), "float64.*expected.*float32"),
    "whole numbers": (of_first(lambda array: array.astype(np.int32)), "int32.*expected.*float32"),
    "half as precise": (of_first(lambda array: array.astype(ml_dtypes.bfloat16)), "weights|bfloat16"),
    "not a number": (of_first(lambda array: array * np.nan), "holds values that are not finite"),
    "a link": (linked(TENSORS), "tensors.safetensors: expected a regular file in"),
    "a folder": (as_folder(TENSORS), "tensors.safetensors: expected a regular file"),
    "a pipe": (as_pipe(TENSORS), "tensors.safetensors: expected a regular file"),
    "absent": (absent(TENSORS), "the weights are missing"),
}


@pytest.mark.parametrize(("edit", "message"), FILES.values(), ids=FILES)
def test_hostile_tensors_are_refused(model: Path, edit: Edit, message: str) -> None:
    edit(model)
    with pytest.raises(ArtifactError, match=message):
        Artifact.load(model)


def test_the_untouched_copy_loads(model: Path) -> None:
    """The frame of the tests above does not itself break what it copies."""
    in_manifest("format", to=4)(model)
    tensors(lambda arrays: None)(model)
    Artifact.load(model)
