"""An exported model scores raw rows as the detector does, wherever ONNX Runtime is and oddrow is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import polars as pl
import pytest

from oddrow import Artifact, AutoencoderDetector, DAGMMDetector, TableEncoder, Threshold, Training, workflow
from oddrow.detectors.base import Detector
from oddrow.detectors.oddrow import OddRowDetector
from oddrow.errors import ArtifactError, OddrowError, ParameterError
from oddrow.export import check_parity, to_onnx
from oddrow.workflow import exporting

Oddrow = Callable[..., Any]
Floats = npt.NDArray[np.float64]

FAR_OUT = (0.0, -1.0, 1e9, -1e9, 1e30, -1e30, 1e300, -1e300, np.nan, np.nan, np.nan)
DAY = 86_400_000_000
# The first of January 1970, a microsecond around it and around a midnight, 1950 and 2200.
ODD_TIMES = (None, None, 0, -1, 1, DAY - 1, -7_305 * DAY - 1, 84_005 * DAY + 1)


def table(n_rows: int, seed: int = 0) -> pl.DataFrame:
    """Rows of every kind: heavy tails, ties, gaps, rare levels, full hours."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3, 1, n_rows).round(2)
    return pl.DataFrame(
        {
            "amount": amount,
            "fee": 0.1 * amount + rng.normal(0, 0.1, n_rows),
            "age": np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(40, 9, n_rows)),
            "items": rng.integers(0, 5, n_rows).astype(float),
            "shop": rng.choice(["books", "food", "fuel", "é", "a", "b"], n_rows, p=[0.2, 0.4, 0.3, 0.05, 0.03, 0.02]),
            "gift": pl.Series(rng.choice(["yes", "no", "gap"], n_rows)).replace({"gap": None}),
            "online": rng.random(n_rows) < 0.4,
            "time": pl.Series(rng.integers(400_000, 420_000, n_rows) * DAY // 24).cast(pl.Datetime("us")),
        }
    )


def odd_table(n_rows: int) -> pl.DataFrame:
    """Rows of which a third are as usual, a third have an odd cell here and there, a third are odd all over."""
    rng = np.random.default_rng(1)
    shares = np.resize([0.0, 0.2, 1.0], n_rows)
    rows = table(n_rows, seed=2)
    return pl.DataFrame([with_odd_cells(values, rng.random(n_rows) < shares, rng) for values in rows])


def with_odd_cells(values: pl.Series, where: npt.NDArray[np.bool_], rng: np.random.Generator) -> pl.Series:
    by_type: dict[Any, Sequence[Any]] = {pl.Float64: FAR_OUT, pl.String: ("never seen", None), pl.Boolean: (None,)}
    odd = by_type.get(values.dtype, ODD_TIMES)
    drawn = pl.Series([odd[place] for place in rng.integers(len(odd), size=len(values))])
    return drawn.cast(values.dtype).zip_with(pl.Series(where), values).alias(values.name)


def as_inputs(rows: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Rows as the guide says that an exported model takes them."""
    return {values.name: as_input(values) for values in rows}


def as_input(values: pl.Series) -> npt.NDArray[Any]:
    if values.dtype in (pl.String, pl.Boolean):
        return np.array(values.cast(pl.String).fill_null("").to_list(), dtype=object)
    if values.dtype == pl.Datetime:
        return (values.dt.epoch("us").cast(pl.Float64) / 1e6).to_numpy()
    return values.cast(pl.Float64).to_numpy()


def run(model: bytes | Path, inputs: dict[str, npt.NDArray[Any]]) -> Floats:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["anomaly_score"], {node.name: inputs[node.name] for node in session.get_inputs()})
    return np.asarray(scores)


def differences(detector: Detector, rows: pl.DataFrame) -> Floats:
    """How far the scores of an exported detector are off, in units of scores above 1."""
    expected = detector.anomaly_score(rows)
    scores = run(to_onnx(detector), as_inputs(rows))
    assert scores.dtype == np.float64
    assert scores.shape == (rows.height,)
    return np.abs(scores - expected) / np.maximum(1, np.abs(expected))


def fitted(kind: type[Detector], rows: pl.DataFrame | None = None, **parameters: Any) -> Detector:
    """A detector of a few weights, which needs no training to have something to say."""
    small = {"hidden": (8,)} if kind is not OddRowDetector else {"mode": "novelty", "n_reference_rows": 200}
    small = {**small, "training": Training(epochs=0), "random_state": 0, **parameters}
    return kind(**small).fit(table(300) if rows is None else rows)


# The same scores

ENCODERS = {
    "as usual": {},
    "range": {"numbers": "range", "soft_limit": None},
    "minmax": {"numbers": "minmax", "soft_limit": 0.5},
    "quantile": {"numbers": "quantile", "times": ("hour", "weekday", "elapsed")},
    "robust and unscaled": {"numbers": "robust", "unscaled": ("fee", "age", "items")},
    "rare": {"max_levels": 2, "times": ("elapsed",)},
    "one-hot": {"one_hot_up_to": 100, "max_levels": 4, "times": ()},
    "one-hot and embedded": {"one_hot_up_to": 2, "numbers": "quantile", "unscaled": ("amount",)},
    "levels": {"levels": {"shop": ("zoo", "food"), "gift": ("yes", "no"), "online": ("true",)}, "one_hot_up_to": 2},
    "levels embedded": {"levels": {"shop": ("zoo", "food"), "gift": ()}},
}


# An energy is a small difference of squares of whitened numbers: in float32 an untrained mixture is itself up to
# 5e-5 from what float64 gives, with JAX as with ONNX Runtime.
@pytest.mark.parametrize(("kind", "most"), [(AutoencoderDetector, 1e-5), (DAGMMDetector, 1e-4), (OddRowDetector, 1e-4)])
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_scores_are_equal_however_rows_are_encoded(kind: type[Detector], most: float, encoder: dict[str, Any]) -> None:
    detector = fitted(kind, encoder=TableEncoder(**encoder))
    assert differences(detector, odd_table(10_000)).max() <= most
    assert check_parity(detector, to_onnx(detector)) <= most


NETWORKS: dict[str, tuple[type[Detector], dict[str, Any]]] = {
    "deep": (AutoencoderDetector, {"hidden": (8, 4, 8), "activations": ("relu", "elu", "silu"), "scoring": "mse"}),
    "published": (
        AutoencoderDetector,
        {
            "hidden": (8, 4),
            "activations": ("leaky-relu", "sigmoid"),
            "output": "sigmoid",
            "error": "squared-log",
            "encoder": TableEncoder(numbers="minmax"),
        },
    ),
    "no hidden layer": (AutoencoderDetector, {"hidden": (), "output": "tanh", "known_weight": 5.0}),
    "mixture": (DAGMMDetector, {"latent": 2, "n_components": 2, "features": ("cosine",), "activations": "gelu"}),
    "kept rows and their codes": (OddRowDetector, {"n_reference_rows": 50}),
    "kept rows": (OddRowDetector, {"mode": "outlier", "training": None}),
    "means": (OddRowDetector, {"n_reference_rows": 0}),
    "mixture of codes": (DAGMMDetector, {"latent": 3, "n_components": 1, "features": (), "activations": "linear"}),
}


@pytest.mark.parametrize(("kind", "parameters"), NETWORKS.values(), ids=NETWORKS)
def test_scores_are_equal_whatever_the_network(kind: type[Detector], parameters: dict[str, Any]) -> None:
    trained = fitted(kind, **{"training": Training(epochs=2), **parameters})
    assert differences(trained, odd_table(2_000)).max() <= 1e-5


@pytest.mark.parametrize("kind", [AutoencoderDetector, DAGMMDetector, OddRowDetector])
@pytest.mark.parametrize("names", [["amount"], ["shop", "online"], ["time"]])
def test_scores_are_equal_where_columns_are_of_one_kind(kind: type[Detector], names: list[str]) -> None:
    # Where all rows are a few different ones, the last digits of codes decide which are at no distance.
    most = (1e-2 if names == ["shop", "online"] else 1e-3) if kind is OddRowDetector else 1e-5
    assert differences(fitted(kind, table(300)[names]), odd_table(2_000)[names]).max() <= most


def test_scores_of_a_trained_network_are_equal() -> None:
    detector = fitted(AutoencoderDetector, hidden=None, training=Training(epochs=30))
    assert differences(detector, table(1_000, seed=3)).max() <= 1e-5


def test_an_array_is_exported_and_one_row_scored() -> None:
    X = np.random.default_rng(0).normal(size=(300, 3))
    detector = AutoencoderDetector(hidden=(8,), training=Training(epochs=1), random_state=0).fit(X)
    scores = run(to_onnx(detector), {f"x{column}": X[:1, column] for column in range(3)})
    assert scores == pytest.approx(detector.anomaly_score(X[:1]), rel=1e-5)


def test_columns_that_training_rows_had_nothing_in_are_exported() -> None:
    rows = table(300).with_columns(age=pl.lit(None, pl.Float64), gift=pl.lit(None, pl.String))
    detector = fitted(AutoencoderDetector, rows, kinds={"age": "numeric", "gift": "category"})
    assert differences(detector, odd_table(2_000)).max() <= 1e-5


def test_names_of_columns_may_be_any() -> None:
    names = {"amount": "Sub:9", "fee": "constant:4", "age": "ÄGE in years", "shop": "a/b", "time": "oddrow"}
    detector = fitted(AutoencoderDetector, table(300).rename(names))
    assert differences(detector, odd_table(300).rename(names)).max() <= 1e-5


# The file


def test_the_graph_is_valid_and_says_what_it_takes() -> None:
    model = onnx.load_model_from_string(to_onnx(fitted(DAGMMDetector), {"a": "b"}))
    onnx.checker.check_model(model, full_check=True)
    types = {node.name: node.type.tensor_type.elem_type for node in model.graph.input}
    assert types == {
        **dict.fromkeys(["amount", "fee", "age", "items", "time"], onnx.TensorProto.DOUBLE),
        **dict.fromkeys(["shop", "gift", "online"], onnx.TensorProto.STRING),
    }
    assert {node.type.tensor_type.shape.dim[0].dim_param for node in model.graph.input} == {"rows"}
    assert [node.doc_string for node in model.graph.input if node.name == "online"] == [
        "true or false; empty if missing"
    ]
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [("a", "b")]


def test_a_time_of_which_nothing_is_encoded_is_no_input() -> None:
    model = onnx.load_model_from_string(to_onnx(fitted(AutoencoderDetector, encoder=TableEncoder(times=()))))
    assert "time" not in [node.name for node in model.graph.input]


def test_booleans_may_be_spelled_otherwise() -> None:
    model, inputs = to_onnx(fitted(AutoencoderDetector)), as_inputs(table(10))
    for true, false in (("True", "False"), ("TRUE", "FALSE"), ("1", "0")):
        spelled = np.where(inputs["online"] == "true", true, false).astype(object)
        assert (run(model, {**inputs, "online": spelled}) == run(model, inputs)).all()


def test_what_a_table_would_refuse_is_scored_too() -> None:
    model, inputs = to_onnx(fitted(AutoencoderDetector, encoder=TableEncoder(numbers="quantile"))), as_inputs(table(2))
    odd = {name: np.array([np.inf, -np.inf]) for name in ("amount", "age", "time")}
    assert np.isfinite(run(model, {**inputs, **odd, "online": np.array(["maybe", "no"], dtype=object)})).all()


@pytest.mark.parametrize("numbers", ["minmax", "quantile"])
def test_columns_as_wide_as_float64_are_exported(numbers: str) -> None:
    rows = table(300).with_columns(fee=pl.Series(1.7e308 * np.linspace(-1, 1, 300)))
    detector = fitted(AutoencoderDetector, rows, encoder=TableEncoder(numbers=numbers))
    assert check_parity(detector, to_onnx(detector)) <= 1e-5


def test_the_file_needs_neither_oddrow_nor_jax_nor_polars(tmp_path: Path) -> None:
    detector = fitted(AutoencoderDetector)
    rows = odd_table(50)
    (tmp_path / "m.onnx").write_bytes(to_onnx(detector))
    (tmp_path / "rows.json").write_text(json.dumps({name: list(v) for name, v in as_inputs(rows).items()}))
    code = """
import json, sys
import numpy as np, onnxruntime
rows = json.load(open("rows.json"))
session = onnxruntime.InferenceSession("m.onnx")
types = {"tensor(string)": object, "tensor(double)": float}
inputs = {node.name: np.array(rows[node.name], types[node.type]) for node in session.get_inputs()}
(scores,) = session.run(None, inputs)
assert not {"oddrow", "jax", "polars", "onnx"} & sys.modules.keys()
print(json.dumps(scores.tolist()))
"""
    command = [sys.executable, "-I", "-W", "error", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    assert np.array(json.loads(ran.stdout)) == pytest.approx(detector.anomaly_score(rows), rel=1e-5, abs=1e-5)


# The command


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    Artifact(fitted(AutoencoderDetector), Threshold(2.5, "fixed:2.5"), block=Threshold(4.0, "fixed:4")).save(folder)
    return folder


def test_a_saved_model_is_exported_with_its_threshold(small_model: Path, oddrow: Oddrow, tmp_path: Path) -> None:
    ran = oddrow("export", "--model", small_model, "--onnx", tmp_path / "m.onnx")
    assert (ran.code, ran.err) == (0, "")
    assert "8 columns in, anomaly_score out. On 4,096 random rows its scores differ by at most " in ran.out
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    kept = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert kept["detector"] == "AutoencoderDetector"
    assert (float(kept["threshold"]), kept["threshold_rule"]) == (2.5, "fixed:2.5")
    assert (float(kept["block"]), kept["block_rule"]) == (4.0, "fixed:4")
    detector, rows = Artifact.load(small_model).detector, odd_table(500)
    assert run(tmp_path / "m.onnx", as_inputs(rows)) == pytest.approx(detector.anomaly_score(rows), rel=1e-5)


def test_what_is_left_to_the_caller_is_told(mixed: pl.DataFrame, oddrow: Oddrow, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[[history]]\nby = "shop"\nwindows = ["1d"]\nfeatures = ["count", "sum amount"]\n')
    mixed.write_parquet(tmp_path / "rows.parquet")
    options = ["--config", tmp_path / "s.toml", "--label", "fraud", "--time", "time", "--threshold", "budget:2"]
    quick = ["--detector", "autoencoder", "--set", "training.epochs=1", "--drop", "row_id"]
    assert oddrow("fit", tmp_path / "rows.parquet", "--out", tmp_path / "m", *options, *quick).code == 0
    ran = oddrow("export", "--model", tmp_path / "m", "--onnx", tmp_path / "m.onnx")
    told = ran.out.splitlines()
    assert told[0] == "Compute 2 history columns before scoring, as inputs: 'shop_count_1d', 'shop_sum_amount_1d'."
    assert told[1].startswith("The file returns scores only; apply this yourself: Rows that score ")
    assert "at most 2 a day" in told[1]
    kept = onnxruntime.InferenceSession(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(kept["history"]) == ["shop_count_1d", "shop_sum_amount_1d"]


# What is refused, with nothing left behind


def test_what_an_onnx_model_cannot_hold_is_said_at_once() -> None:
    rows = table(300).rename({"amount": "anomaly_score"}).with_columns(gift=pl.col("gift").fill_null(""))
    with pytest.raises(ParameterError) as refused:
        to_onnx(fitted(AutoencoderDetector, rows))
    assert str(refused.value).splitlines() == [
        "column 'anomaly_score': an ONNX model cannot have an input of that name. Rename it and fit again.",
        "column 'gift': the empty text is one of its levels, but an ONNX model reads it as missing. "
        "Replace it in the training rows by a missing value or another text, and fit again.",
    ]


def test_a_network_of_another_kind_is_refused() -> None:
    detector = fitted(AutoencoderDetector)
    detector.network_ = object()
    with pytest.raises(ParameterError, match=r"type object cannot be exported. Known: Autoencoder, DAGMM, OddRow\.$"):
        to_onnx(detector)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("m.bin", "the name of an ONNX file must end in .onnx."),
        ("no/m.onnx", "there is no folder"),
        ("model/m.onnx", "the folder of the model must hold nothing else"),
    ],
)
def test_a_place_that_will_not_do_is_refused(
    small_model: Path, oddrow: Oddrow, tmp_path: Path, place: str, said: str
) -> None:
    Artifact.load(small_model).save(tmp_path / "model")
    before = sorted(tmp_path.rglob("*"))
    ran = oddrow("export", "--model", tmp_path / "model", "--onnx", tmp_path / place)
    assert ran.code == 1
    assert said in ran.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra_the_command_to_install_it_is_named(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ParameterError, match=r"^export needs onnx and ONNX Runtime: pip install 'oddrow\[onnx\]'"):
        workflow.export(small_model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_scores_otherwise_is_not_written(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = to_onnx(fitted(AutoencoderDetector, random_state=1))
    monkeypatch.setattr(exporting, "to_onnx", lambda *_: other)
    with pytest.raises(ArtifactError, match=r"the scores of the ONNX model differ from .* Nothing was written\.$"):
        workflow.export(small_model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"old")

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OddrowError, match="cannot be written"):
        workflow.export(small_model, tmp_path / "m.onnx")
    monkeypatch.undo()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m.onnx", b"old")]
