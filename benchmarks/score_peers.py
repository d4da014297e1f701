"""oddrow and its peers, each scoring the same rows in its usual way: an array or a frame in, an array of scores out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from race import Once
from train_networks import NETWORKS, Floats, Weights
from train_peers import pyod_settings, pytorch_network

NETWORK = NETWORKS["keras"]
N_FIT = 20_000
ARRAY, FRAME, WEIGHTS = "array", "frame", "network.npz"


def save_models(folder: Path) -> None:
    """A detector fitted to an array and saved, one fitted to a frame, and the bare weights of the first."""
    rows, _ = NETWORK.rows(N_FIT)
    weights = [
        (np.asarray(layer.weight), np.asarray(layer.bias))
        for layer in _saved(rows, folder / ARRAY).network_.stack.layers
    ]
    _saved(pl.DataFrame(rows), folder / FRAME)
    np.savez(folder / WEIGHTS, *(values for layer in weights for values in layer))


def _saved(rows: Any, folder: Path) -> Any:
    from oddrow import AutoencoderDetector, Threshold, Training
    from oddrow.artifact import Artifact

    # What has not learned much scores as fast.
    shape: dict[str, Any] = {
        "hidden": NETWORK.hidden,
        "activations": NETWORK.activations[:-1],
        "noise": 0.0,
        "scoring": "mse",
    }
    detector = AutoencoderDetector(**shape, training=Training(epochs=2), random_state=0).fit(rows)
    Artifact(detector, Threshold(1.0, "fixed:1")).save(folder)
    return detector


def bare_weights(models: str) -> Weights:
    """Weight and bias of every layer of the fitted network."""
    with np.load(Path(models, WEIGHTS)) as kept:
        values = [kept[name] for name in kept.files]
    return list(zip(values[::2], values[1::2], strict=True))


def oddrow_array(*, models: str, n_rows: int, threads: int) -> Once:
    """A saved model and a float64 array (n_rows, 29): everything is checked and scaled."""
    return _anomaly_score(Path(models, ARRAY), NETWORK.rows(n_rows)[0].astype(np.float64))


def oddrow_frame(*, models: str, n_rows: int, threads: int) -> Once:
    """A saved model and a polars frame of float64 columns."""
    return _anomaly_score(Path(models, FRAME), pl.DataFrame(NETWORK.rows(n_rows)[0].astype(np.float64)))


def _anomaly_score(folder: Path, rows: Any) -> Once:
    from oddrow.artifact import Artifact

    detector = Artifact.load(folder).detector
    return lambda: float(detector.anomaly_score(rows).mean())


def oddrow_network(*, models: str, n_rows: int, threads: int) -> Once:
    """The network of the saved model alone, in the detector's blocks, on rows encoded already."""
    from oddrow.artifact import Artifact
    from oddrow.detectors.block_scoring import score_in_blocks
    from oddrow.nets.autoencoder import Autoencoder

    network = Artifact.load(Path(models, ARRAY)).detector.network_
    rows = (NETWORK.rows(n_rows)[0], np.empty((n_rows, 0), dtype=np.int32))
    return lambda: float(score_in_blocks(Autoencoder.score, network, rows).mean())


def pytorch(*, models: str, n_rows: int, block: int, threads: int) -> Once:
    """The same network in eager PyTorch without gradients, on rows encoded already."""
    import torch

    torch.set_num_threads(threads)
    network, _ = pytorch_network(NETWORK, bare_weights(models))
    rows, _ = NETWORK.rows(n_rows)

    def score() -> Floats:
        with torch.inference_mode():
            blocks = torch.from_numpy(rows).split(block)
            return np.asarray(torch.cat([(network(part) - part).square().mean(dim=1) for part in blocks]).numpy())

    return lambda: float(score().mean())


def onnx_runtime(*, models: str, n_rows: int, block: int, threads: int) -> Once:
    """The same network as a graph of ONNX, on rows encoded already."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = exported(bare_weights(models)).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rows, _ = NETWORK.rows(n_rows)
    blocks = range(0, n_rows, block)
    return lambda: float(
        np.concatenate([session.run(None, {"rows": rows[start : start + block]})[0] for start in blocks]).mean()
    )


def exported(weights: Weights) -> Any:
    """The network and the mean squared error of each row, (n, 29) to (n,), as an ONNX model."""
    from onnx import TensorProto, checker, helper, numpy_helper

    numbers = TensorProto.FLOAT
    ends = (
        helper.make_tensor_value_info("rows", numbers, ["n", weights[0][0].shape[0]]),
        helper.make_tensor_value_info("score", numbers, ["n"]),
    )
    constants = [
        numpy_helper.from_array(values, f"{kind}{place}")
        for place, layer in enumerate(weights)
        for kind, values in zip(("weight", "bias"), layer, strict=True)
    ]
    columns = numpy_helper.from_array(np.array([1]), "columns")
    graph = helper.make_graph(list(_nodes(len(weights))), "network", ends[:1], ends[1:], [*constants, columns])
    # The version of the format that every ONNX Runtime of the last years reads.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    return model


def _nodes(n_layers: int) -> Iterator[Any]:
    from onnx.helper import make_node

    operators = {"tanh": "Tanh", "relu": "Relu", "linear": "Identity"}
    came = "rows"
    for place, name in zip(range(n_layers), NETWORK.activations, strict=True):
        yield make_node("Gemm", [came, f"weight{place}", f"bias{place}"], [f"dense{place}"])
        yield make_node(operators[name], [f"dense{place}"], [f"layer{place}"])
        came = f"layer{place}"
    yield make_node("Sub", ["rows", came], ["away"])
    yield make_node("Mul", ["away", "away"], ["squared"])
    yield make_node("ReduceMean", ["squared", "columns"], ["score"], keepdims=0)


def pyod(*, models: str, n_rows: int, block: int, threads: int) -> Once:
    """PyOD's AutoEncoder made alike, hardly trained, on rows as they come; it scales them itself."""
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    torch.set_num_threads(threads)
    settings = pyod_settings(replace(NETWORK, batch_size=1024)) | {"preprocessing": True}
    detector = AutoEncoder(**settings, epoch_num=1, verbose=0)
    detector.fit(NETWORK.rows(N_FIT)[0])
    rows, _ = NETWORK.rows(n_rows)
    return lambda: float(detector.decision_function(rows, batch_size=block).mean())


def isolation_forest(*, models: str, n_rows: int, threads: int) -> Once:
    """scikit-learn's forest with its defaults, on so many threads."""
    from joblib import parallel_config
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(random_state=0).fit(NETWORK.rows(N_FIT)[0])
    rows, _ = NETWORK.rows(n_rows)

    def score() -> float:
        with parallel_config("threading", n_jobs=threads):
            return float(-forest.score_samples(rows).mean())

    return score
