"""A saved model: one folder with manifest.json, tensors.safetensors and card.md. Never pickle."""

from oddrow.artifact.artifact import Artifact
from oddrow.artifact.manifest import CARD, LARGEST_MANIFEST, MANIFEST, REPORT, TENSORS, check_writable
from oddrow.artifact.origin import Origin

__all__ = ["CARD", "LARGEST_MANIFEST", "MANIFEST", "REPORT", "TENSORS", "Artifact", "Origin", "check_writable"]
