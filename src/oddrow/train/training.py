"""`Training`: the parameters of training, shared by all estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from oddrow.errors import ParameterError, check_number
from oddrow.estimator import Estimator

# Epochs that None stands for, and the number of steps that small tables get by more epochs.
DEFAULT_EPOCHS, MIN_STEPS = 40, 3200

# A trial runs this fraction of the epochs.
TRIAL = 8


def generator(random_state: Any) -> np.random.Generator:
    """Return a generator made from a seed, a `Generator`, a `RandomState` (which is advanced) or None."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(random_state)


class Training(Estimator):
    """Parameters of training, shared by all estimators.

    Parameters
    ----------
    epochs : int or None
        Largest number of passes over the training rows; 0 leaves the network untrained. None stands for 40, or on
        small tables for as many as make 3,200 steps.
    batch_size : int
        Rows per step.
    learning_rate : float
        Adam's step size.
    validation_fraction : float
        Share of the training rows held out as validation rows. They control early stopping, set the threshold and, in
        the default detector, calibrate the score.
    patience : int or None
        Stop after this many epochs without a lower validation loss, and keep the weights with the lowest. None trains
        all epochs and keeps the last weights.
    clip_norm : float or None
        Largest norm of a gradient; longer gradients are scaled down. None does not clip.
    log_every : int or None
        Epochs per point of the loss curve. Validation happens only at these points; a larger value is faster on tiny
        tables. None stands for 1, or for at most 40 points if neither `epochs` nor `patience` is given.
    checkpoint : str or None
        Folder for the state of training. An interrupted `fit`, called again, resumes from it.
    tensorboard : str or None
        Folder for TensorBoard event files with the loss curve (needs the extra `tensorboard`).
    progress : bool
        Show progress on standard error: a bar on a terminal, one line updated in place in a notebook, else a line per
        point of the loss curve.

    Examples
    --------
    >>> Training(batch_size=100).epochs_for(1_000), Training(epochs=7).epochs_for(1_000)
    (320, 7)
    """

    def __init__(
        self,
        *,
        epochs: int | None = None,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        clip_norm: float | None = 1.0,
        log_every: int | None = None,
        checkpoint: str | None = None,
        tensorboard: str | None = None,
        progress: bool = False,
    ) -> None:
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.clip_norm = clip_norm
        self.log_every = log_every
        self.checkpoint = checkpoint
        self.tensorboard = tensorboard
        self.progress = progress

    def epochs_for(self, n_rows: int) -> int:
        """Return the largest number of epochs for a table.

        Parameters
        ----------
        n_rows : int
            Number of training rows.

        Returns
        -------
        int
            `epochs`, or what None stands for.
        """
        if self.epochs is not None:
            return self.epochs
        return max(DEFAULT_EPOCHS, -(-MIN_STEPS // self._steps_per_epoch(n_rows)))

    def _steps_per_epoch(self, n_rows: int) -> int:
        return -(-n_rows // self.batch_size)

    def _epochs_per_point(self, n_rows: int) -> int:
        """Return the number of epochs per point of the loss curve, for this many training rows."""
        if self.log_every is not None:
            return self.log_every
        is_watched = self.epochs is not None or self.patience is not None
        return 1 if is_watched else -(-self.epochs_for(n_rows) // DEFAULT_EPOCHS)

    def _check(self) -> None:
        """Raise `ParameterError` for an invalid value."""
        if self.epochs is not None:
            check_number("training.epochs", self.epochs, 0, whole=True)
        check_number("training.batch_size", self.batch_size, 1, whole=True)
        check_number("training.learning_rate", self.learning_rate, 0, above=True)
        check_number("training.validation_fraction", self.validation_fraction, 0, 0.9)
        if self.log_every is not None:
            check_number("training.log_every", self.log_every, 1, whole=True)
        if self.patience is not None:
            check_number("training.patience", self.patience, 1, whole=True)
        if self.clip_norm is not None:
            check_number("training.clip_norm", self.clip_norm, 0, above=True)

    def _in_subfolder(self, name: str | None) -> Training:
        """Return a copy whose files lie in this subfolder of their folders; None leaves the folders as they are."""
        folders = {key: folder for key in ("checkpoint", "tensorboard") if (folder := getattr(self, key)) is not None}
        moved = {} if name is None else {key: str(Path(folder, name)) for key, folder in folders.items()}
        return self._copy(**moved)

    def _trial(self, n_rows: int) -> Training:
        """Return a copy with an eighth of the epochs, at least one if there are any, that writes no files."""
        epochs = -(-self.epochs_for(n_rows) // TRIAL)
        return self._copy(epochs=epochs, checkpoint=None, tensorboard=None)


def as_training(training: Any, default: Training) -> Training:
    """Return the `training` parameter of an estimator, or the default for None; raise `ParameterError` otherwise."""
    if training is not None and not isinstance(training, Training):
        raise ParameterError(f"training={training!r} is not a Training. Pass Training(epochs=20), for example.")
    return default if training is None else training
