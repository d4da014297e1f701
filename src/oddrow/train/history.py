"""What training remembers of each epoch, and what can be read off it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from oddrow.errors import NotFiniteError

Entry = dict[str, float]
History = list[Entry]
Histories = list[History]


def epochs_done(history: History) -> int:
    """How many epochs are behind."""
    return int(history[-1]["epoch"]) if history else 0


def kept_entry(history: History, patience: int | None) -> Entry:
    """The entry whose weights are kept: the last, or with patience the one with the lowest validation loss."""
    if not history or patience is None or "validation_loss" not in history[0]:
        return history[-1] if history else {}
    return min(history, key=lambda entry: entry["validation_loss"])


def check_finite(entries: Sequence[Entry], learning_rate: float, clip_norm: float | None) -> None:
    """Raise `NotFiniteError` where training has diverged, with what can be done about it."""
    clip = "set training.clip_norm" if clip_norm is None else f"lower training.clip_norm (now {clip_norm:g})"
    for entry in entries:
        if not all(math.isfinite(number) for number in entry.values()):
            raise NotFiniteError(
                f"the loss stopped being finite in epoch {entry['epoch']}. Lower training.learning_rate "
                f"(now {learning_rate:g}), or {clip}."
            )
