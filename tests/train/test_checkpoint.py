"""An interrupted training goes on from its checkpoint as if nothing had happened; no other file is taken for one."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, PRNGKeyArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.base import clone

from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.errors import TrainingError
from oddrow.train.checkpoint import FILE, Checkpoint
from oddrow.train.epochs import Loss, Trained
from oddrow.train.loop import train
from oddrow.train.monitor import LossCurve, Progress
from oddrow.train.training import Training


class Wobbling(eqx.Module):
    """A slope found under noise, so that the order of rows and keys matters to the last bit."""

    slope: Float[Array, " columns"]

    def loss(self, batch: Any, key: PRNGKeyArray | None) -> Loss:
        rows, weight = batch
        seen = rows if key is None else rows + jax.random.normal(key, rows.shape)
        return weight @ jnp.square(seen @ self.slope - rows.sum(axis=1)) / weight.sum(), {}


def trained(folder: Path | None, seed: int = 3, signature: str = "rows", **parameters: Any) -> Trained[Wobbling]:
    rng = np.random.default_rng(0)
    rows, validation = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(20, 4)).astype(np.float32)
    usual = {"epochs": 9, "batch_size": 16, "learning_rate": 0.05, "patience": 4}
    training = Training(**{**usual, **parameters}, checkpoint=None if folder is None else str(folder))
    return train(Wobbling(jnp.zeros(4)), rows, training, seed=seed, validation=validation, signature=signature)


Stop = Callable[..., None]


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Train until the user sees the given epoch, whose state has then been noted, and stop there."""

    def train_until(epoch: int, folder: Path, error: BaseException | None = None, **parameters: Any) -> None:
        error = error or KeyboardInterrupt()

        def stop(progress: Progress, curve: LossCurve, error: BaseException = error) -> None:
            if len(curve) == epoch:
                raise error

        with monkeypatch.context() as patch:
            patch.setattr(Progress, "show", stop)
            with pytest.raises(type(error)):
                trained(folder, **parameters)

    return train_until


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 64 bytes: what a full disk looks like to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def stopped(tmp_path: Path, stop_at: Stop) -> Path:
    """The folder of a training stopped after five of nine epochs."""
    stop_at(5, tmp_path / "kept")
    return tmp_path / "kept"


def test_resumed_training_ends_as_if_never_interrupted(stopped: Path) -> None:
    resumed, straight = trained(stopped), trained(None)
    assert eqx.tree_equal(resumed.network, straight.network)
    assert resumed.loss_curve == straight.loss_curve
    assert resumed.best_epoch == straight.best_epoch
    assert not stopped.exists(), "a finished training leaves no checkpoint"


def test_five_epochs_are_kept_and_only_the_rest_is_trained(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    monkeypatch.setattr(Progress, "show", lambda self, curve: shown.append(len(curve)))
    trained(stopped)
    assert shown == [6, 7, 8, 9]


def test_it_can_be_interrupted_again_and_again(tmp_path: Path, stop_at: Stop) -> None:
    for epoch in (2, 3, 8):
        stop_at(epoch, tmp_path / "kept")
    assert eqx.tree_equal(trained(tmp_path / "kept").network, trained(None).network)


def test_any_crash_is_survived_but_a_failed_training_is_not_kept(tmp_path: Path, stop_at: Stop) -> None:
    stop_at(4, tmp_path / "kept", MemoryError())
    assert (tmp_path / "kept" / FILE).exists()
    stop_at(4, tmp_path / "lost", TrainingError("the loss stopped being finite"))
    assert not (tmp_path / "lost").exists()


def test_interrupted_before_the_first_epoch_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "__enter__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []


def test_the_state_is_written_while_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oddrow.train.checkpoint.SECONDS_BETWEEN_WRITES", -1.0)
    seen: list[list[str]] = []

    def show(self: Any, curve: Any) -> None:
        seen.append([path.name for path in (tmp_path / "kept").glob("*")])

    monkeypatch.setattr(Progress, "show", show)
    trained(tmp_path / "kept", epochs=4)
    assert seen == [[FILE]] * 4


@pytest.mark.parametrize("changed", [{"signature": "other rows"}, {"seed": 4}], ids=["other rows", "other seed"])
def test_the_checkpoint_of_another_training_is_refused(stopped: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=f"{FILE} was written by another fit.*delete this file"):
        trained(stopped, **changed)
    assert (stopped / FILE).exists(), "what was refused is left to its owner"


def test_more_epochs_may_follow(stopped: Path) -> None:
    assert eqx.tree_equal(trained(stopped, epochs=12).network, trained(None, epochs=12).network)


def damaged(path: Path) -> dict[str, bytes]:
    whole = path.read_bytes()
    return {"empty": b"", "truncated": whole[: len(whole) // 2], "garbage": b"\xff" * 200, "text": b'{"epoch": 3}'}


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "text"])
def test_a_damaged_checkpoint_is_refused(stopped: Path, damage: str) -> None:
    (stopped / FILE).write_bytes(damaged(stopped / FILE)[damage])
    with pytest.raises(TrainingError, match=f"{FILE}: the checkpoint cannot be read.*delete this file"):
        trained(stopped)


def about(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as opened:
        return dict(opened.metadata())


@pytest.mark.parametrize("curve", [{}, {"loss_curves": "["}], ids=["absent", "no JSON"])
def test_a_checkpoint_without_its_loss_curve_is_refused(stopped: Path, curve: dict[str, str]) -> None:
    signature = about(stopped / FILE)["signature"]
    save_file(load_file(stopped / FILE), stopped / FILE, {"signature": signature, **curve})
    with pytest.raises(TrainingError, match=f"{FILE}.*delete this file"):
        trained(stopped)


def test_tensors_of_other_names_shapes_or_types_are_refused(stopped: Path) -> None:
    arrays, metadata = load_file(stopped / FILE), about(stopped / FILE)
    for other in (
        {f"other{name}": array for name, array in arrays.items()},
        {name: np.zeros(9, np.float32) for name in arrays},
        {name: array.astype(np.float64) for name, array in arrays.items()},
        {},
    ):
        save_file(other, stopped / FILE, metadata)
        with pytest.raises(TrainingError, match="delete this file"):
            trained(stopped)


def test_a_full_disk_leaves_the_older_checkpoint_whole(tmp_path: Path) -> None:
    state = {"weights": jnp.arange(100.0)}
    checkpoint = Checkpoint(str(tmp_path), "rows")
    checkpoint.update(state, [[{"epoch": 1}]])
    checkpoint.write()
    checkpoint.update({"weights": jnp.zeros(100)}, [[{"epoch": 1}, {"epoch": 2}]])
    with full_disk(), pytest.raises(TrainingError, match=f"{FILE}: cannot be written"):
        checkpoint.write()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    restored = checkpoint.read(state)
    assert restored is not None
    assert eqx.tree_equal(restored[0], state)
    assert restored[1] == [[{"epoch": 1.0}]]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    checkpoint = Checkpoint(str(tmp_path / "file"), "rows")
    checkpoint.update({"weights": jnp.zeros(2)}, [[{"epoch": 1}]])
    with pytest.raises(TrainingError, match=f"file/{FILE}: cannot be written"):
        checkpoint.write()


def test_the_users_own_files_beside_a_checkpoint_stay(stopped: Path) -> None:
    (stopped / "notes.txt").write_text("mine")
    trained(stopped)
    assert [path.name for path in stopped.iterdir()] == ["notes.txt"]


def test_other_rows_or_parameters_are_another_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(progress: Progress, curve: LossCurve) -> None:
        raise KeyboardInterrupt

    kept = detector(str(tmp_path / "kept"))
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "show", interrupt)
        with pytest.raises(KeyboardInterrupt):
            kept.fit(table(), validation=table()[:50])
    for other, rows, validation in (
        (kept, table()[::-1], table()[:50]),
        (kept, table(), table()[:49]),
        (clone(kept).set_params(noise=0.123), table(), table()[:50]),
        (clone(kept).set_params(training__batch_size=60), table(), table()[:50]),
    ):
        with pytest.raises(TrainingError, match="was written by another fit"):
            other.fit(rows, validation=validation)
    assert len(kept.fit(table(), validation=table()[:50]).loss_curve_) == 600


HERE = Path(__file__).parent
INTERRUPTED_FIT = """
import sys
from test_checkpoint import detector, table
detector(sys.argv[1], progress=True).fit(table())
"""


def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 3))


def detector(folder: str | None, *, progress: bool = False) -> AutoencoderDetector:
    training = Training(epochs=600, batch_size=64, checkpoint=folder, progress=progress)
    return AutoencoderDetector(hidden=(4,), training=training, random_state=0)


def test_ctrl_c_in_a_fit_and_the_same_fit_again(tmp_path: Path) -> None:
    """Its lines fill the pipe long before 600 epochs, so that the interrupt always finds it in the middle."""
    command = [sys.executable, "-c", INTERRUPTED_FIT, str(tmp_path / "kept")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, pipesize=4096, text=True, cwd=HERE) as process:
        assert process.stderr is not None
        first = [process.stderr.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert first[4].startswith("epoch 5/600: loss ")
    assert rest.endswith("KeyboardInterrupt\n")
    assert (tmp_path / "kept" / FILE).exists()
    resumed, straight = detector(str(tmp_path / "kept")).fit(table()), detector(None).fit(table())
    assert resumed.loss_curve_ == straight.loss_curve_
    np.testing.assert_array_equal(resumed.anomaly_score(table()), straight.anomaly_score(table()))
