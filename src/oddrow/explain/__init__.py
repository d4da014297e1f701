"""Explanations: which columns make a row odd, and the smallest changes found that bring it below a threshold."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
