"""Thresholds: the score from which a row is an alert, and the rules that choose it."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
