"""The detectors by the names that settings, recipes and saved models call them."""

from __future__ import annotations

from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.detectors.base import Detector
from oddrow.detectors.dagmm import DAGMMDetector

DETECTORS: dict[str, type[Detector]] = {"autoencoder": AutoencoderDetector, "dagmm": DAGMMDetector}
