"""`Training`: how a network is trained, one small object that all estimators share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from oddrow.errors import ParameterError, check_number
from oddrow.estimator import Estimator


def generator(random_state: Any) -> np.random.Generator:
    """A generator from a seed, a `Generator`, a `RandomState` (which is moved on) or None."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(random_state)


USUAL_EPOCHS, LEAST_STEPS = 40, 3200

TRIAL = 8


class Training(Estimator):
    """How a network is trained; shared by all detectors.

    Parameters
    ----------
    epochs : int or None
        Passes over the training rows at most; 0 leaves the network untrained. None takes 40, or on small tables as
        many as make 3,200 steps.
    batch_size : int
        Rows in a step.
    learning_rate : float
        Adam's step size.
    validation_fraction : float
        Share of the training rows that is held out to decide when to stop, to choose the threshold, and, by the
        default detector, to say what is usual.
    patience : int or None
        Stop after this many epochs without a lower validation loss and keep the weights that had the lowest. None
        trains all epochs and keeps the last weights.
    clip_norm : float or None
        Longest gradient allowed; a longer one is scaled down.
    log_every : int or None
        Epochs between two entries of the history; in between nothing is validated, which tiny tables thank with speed.
        None is 1, or where neither `epochs` nor `patience` is given as many as make 40 entries at most.
    checkpoint : str or None
        Folder in which the state of training is kept, so that an interrupted `fit` can go on from there.
    tensorboard : str or None
        Folder for TensorBoard, which gets every number of the history as a scalar (extra `tensorboard`).
    progress : bool
        Show a bar on a terminal, else one line for each entry of the history.
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

    def check(self) -> None:
        """Raise `ParameterError` for a value that means nothing."""
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

    def steps_for(self, n_rows: int) -> int:
        """How many steps an epoch over this many training rows has."""
        return -(-n_rows // self.batch_size)

    def below(self, folder: str | None) -> Training:
        """The same with its files in a folder of that name below where they would lie; None leaves them there."""
        places = {name: place for name in ("checkpoint", "tensorboard") if (place := getattr(self, name)) is not None}
        moved = {} if folder is None else {name: str(Path(place, folder)) for name, place in places.items()}
        return Training(**{**self.get_params(), **moved})

    def trial(self, n_rows: int) -> Training:
        """The beginning of this training alone: an eighth of its epochs, one at least where it has any."""
        epochs = -(-self.epochs_for(n_rows) // TRIAL)
        return Training(**{**self.get_params(), "epochs": epochs, "checkpoint": None, "tensorboard": None})

    def epochs_for(self, n_rows: int) -> int:
        """How many epochs a table of this many training rows gets."""
        if self.epochs is not None:
            return self.epochs
        return max(USUAL_EPOCHS, -(-LEAST_STEPS // self.steps_for(n_rows)))

    def epochs_between(self, n_rows: int) -> int:
        """How many epochs of a table of this many training rows one entry of the history stands for."""
        if self.log_every is not None:
            return self.log_every
        is_watched = self.epochs is not None or self.patience is not None
        return 1 if is_watched else -(-self.epochs_for(n_rows) // USUAL_EPOCHS)


def as_training(given: Any, usual: Training) -> Training:
    """What an estimator was given as `training`, or what is usual for it. Raises `ParameterError` for anything else."""
    if given is not None and not isinstance(given, Training):
        raise ParameterError(f"training={given!r} is no Training. Pass Training(epochs=20), or what else you want.")
    return usual if given is None else given
