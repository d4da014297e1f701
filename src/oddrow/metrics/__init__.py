"""Metrics of a ranking or of alerts, in scikit-learn's form `(y_true, y_score, *, sample_weight=None)`."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
