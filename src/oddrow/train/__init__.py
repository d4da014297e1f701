"""Training of networks: the loop, its parameters and its checkpoints. Nothing here knows tables."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
