"""Proof that an exported model scores as its detector does: both on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from oddrow.detectors.base import Detector
from oddrow.errors import ArtifactError, ParameterError
from oddrow.export.graph import NEEDS, onnx
from oddrow.export.inputs import SCORE, columns_seen, inputs_of
from oddrow.export.trial import trial_rows

ROWS_TRIED = 4096
# What two scores may differ by, in units of the score where it is above 1: in 99 of 100 rows, and in any. Networks that
# rebuild few columns well leave differences of up to 7e-5 to the rounding of float32, on either side; a wrong graph
# leaves others.
USUAL_DIFFERENCE, LARGEST_DIFFERENCE = 1e-4, 1e-3


def check_packages() -> None:
    """Raise `ParameterError` where what an export is made with is missing, before the work rather than after."""
    onnx()
    onnxruntime()


def check_parity(detector: Detector, model: bytes) -> float:
    """The largest difference between the scores of a detector and of an exported model, |a - b| / max(1, |b|), over
    4,096 rows that hold missing, unseen and extreme values.

    Raises `ArtifactError` where it is more than rounding explains.
    """
    rows = trial_rows(detector, ROWS_TRIED)
    expected = detector.score_conformed(rows)
    session = onnxruntime().InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run([SCORE], inputs_of(columns_seen(detector), rows))
    differences = np.abs(scores - expected) / np.maximum(1, np.abs(expected))
    # What is not even a number differs from any.
    differences = np.nan_to_num(differences, nan=np.inf)
    worst = int(differences.argmax())
    if differences[worst] > LARGEST_DIFFERENCE or np.quantile(differences, 0.99) > USUAL_DIFFERENCE:
        raise ArtifactError(
            f"the ONNX model does not score as the detector does: {scores[worst]:.9g} instead of {expected[worst]:.9g} "
            f"for one of {ROWS_TRIED:,} made-up rows, and {(differences > USUAL_DIFFERENCE).sum():,} of them differ by "
            f"more than {USUAL_DIFFERENCE:g} of the score. Nothing was written."
        )
    return float(differences[worst])


def onnxruntime() -> Any:
    """The package onnxruntime. Raises `ParameterError` where it is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ParameterError(NEEDS) from error
    return onnxruntime
