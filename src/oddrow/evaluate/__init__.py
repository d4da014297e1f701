"""Evaluation: a detector and its baselines, measured on rows that neither was fitted to."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
