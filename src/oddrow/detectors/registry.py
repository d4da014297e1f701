"""The detectors by the names that settings and recipes use."""

from __future__ import annotations

from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.detectors.dagmm import DAGMMDetector
from oddrow.detectors.oddrow import OddRowDetector

DETECTORS: dict[str, type[Detector]] = {
    "oddrow": OddRowDetector,
    "autoencoder": AutoencoderDetector,
    "dagmm": DAGMMDetector,
}
