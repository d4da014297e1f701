"""Event files for TensorBoard, read back record by record: every number of the loss curve, by name, at its epoch."""

from __future__ import annotations

import resource
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, PRNGKeyArray

from oddrow.errors import ParameterError
from oddrow.train.epochs import Epochs, Loss
from oddrow.train.loop import train, train_together
from oddrow.train.monitor import LossCurve, Progress, Scalars
from oddrow.train.training import Training

pytest.importorskip("tensorboardX", reason="the extra oddrow[tensorboard] is not installed")

Shown = dict[str, dict[int, float]]
TWO_EPOCHS: LossCurve = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]


class Level(eqx.Module):
    """The level that a column of numbers has."""

    level: Float[Array, ""]

    def loss(self, batch: Any, key: PRNGKeyArray | None) -> Loss:
        rows, weight = batch
        return weight @ jnp.square(rows - self.level) / weight.sum(), {"level": self.level}


def rows(mean: float, n_rows: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(mean, 1, n_rows).astype(np.float32)


def quick(folder: Path | None, **parameters: Any) -> Training:
    usual = {"epochs": 4, "batch_size": 16, "learning_rate": 0.1}
    return Training(**{**usual, **parameters}, tensorboard=None if folder is None else str(folder))


def trained(folder: Path | None, **parameters: Any) -> LossCurve:
    return train(Level(jnp.array(0.0)), rows(2), quick(folder, **parameters), seed=0, validation=rows(2, 9)).loss_curve


def events(path: Path) -> Iterator[Any]:
    """The events of a file: each a length, a checksum of it, the event, a checksum of that."""
    from tensorboardX.proto.event_pb2 import Event

    left = path.read_bytes()
    while left:
        (length,) = struct.unpack("<Q", left[:8])
        assert len(left) >= length + 16, "the last record is whole"
        yield Event.FromString(left[12 : 12 + length])
        left = left[length + 16 :]


def shown(folder: Path) -> Shown:
    """All scalars in a folder, as TensorBoard shows them: name, epoch, number."""
    found: Shown = defaultdict(dict)
    for path in sorted(folder.glob("events.out.tfevents.*")):
        first, *others = events(path)
        assert first.file_version == "brain.Event:2"
        for event in others:
            if event.HasField("session_log"):
                found = defaultdict(dict, {name: _before(event.step, line) for name, line in found.items()})
            for value in event.summary.value:
                assert event.step not in found[value.tag], "no number is written twice"
                found[value.tag][event.step] = value.simple_value
    return dict(found)


def _before(step: int, line: dict[int, float]) -> dict[int, float]:
    return {epoch: number for epoch, number in line.items() if epoch < step}


def wanted(curve: LossCurve) -> dict[str, dict[int, Any]]:
    names = curve[0].keys() - {"epoch"}
    return {name: {int(point["epoch"]): pytest.approx(point[name], rel=1e-6) for point in curve} for name in names}


@pytest.mark.parametrize("parameters", [{}, {"log_every": 3}], ids=["each epoch", "every third"])
def test_every_number_of_the_loss_curve_stands_at_its_epoch(tmp_path: Path, parameters: dict[str, Any]) -> None:
    curve = trained(tmp_path / "made" / "here", **parameters)
    assert {"loss", "level", "validation_loss"} == curve[0].keys() - {"epoch"}
    assert shown(tmp_path / "made" / "here") == wanted(curve)


def test_several_runs_have_a_folder_each_and_end_when_they_end(tmp_path: Path) -> None:
    tables, held_out = [rows(mean) for mean in (0.0, 0.5, 9.0)], [rows(mean, 9) for mean in (0.0, 0.5, 9.0)]
    training = quick(tmp_path, epochs=30, patience=2)
    runs = train_together([Level(jnp.array(0.0))] * 3, tables, training, seeds=[0, 1, 2], validation=held_out)
    assert len({len(run.loss_curve) for run in runs}) > 1, "one ends before another"
    assert [shown(tmp_path / f"run-{place}") for place in range(3)] == [wanted(run.loss_curve) for run in runs]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-0", "run-1", "run-2"]


def test_without_a_folder_nothing_is_written_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    curve = trained(None)
    assert list(tmp_path.iterdir()) == []
    assert trained(tmp_path / "shown") == curve


def interrupted(folder: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    def interrupt(self: Any, curve: LossCurve) -> None:
        if curve[-1]["epoch"] == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "show", interrupt)
        with pytest.raises(KeyboardInterrupt):
            trained(folder, checkpoint=str(kept))


def test_a_resumed_training_goes_on_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, too: two files of the same second are two files."""
    folder = tmp_path / "shown"
    interrupted(folder, tmp_path / "kept", monkeypatch, epoch=2)
    assert shown(folder)["loss"].keys() == {1, 2}
    curve = trained(folder, checkpoint=str(tmp_path / "kept"))
    assert len(list(folder.iterdir())) == 2
    assert shown(folder) == wanted(curve)


def test_what_was_shown_after_the_checkpoint_is_shown_once(tmp_path: Path) -> None:
    for resumed_from in (0, 1):
        with Scalars(str(tmp_path), [TWO_EPOCHS[:resumed_from]]) as scalars:
            for epoch in range(resumed_from, 2):
                scalars.show([TWO_EPOCHS[: epoch + 1]])
    assert shown(tmp_path) == wanted(TWO_EPOCHS)


def test_numbers_can_be_read_while_training_goes_on(tmp_path: Path) -> None:
    with Scalars(str(tmp_path), [[]]) as scalars:
        scalars.show([TWO_EPOCHS[:1]])
        assert shown(tmp_path) == wanted(TWO_EPOCHS[:1])


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        ParameterError, match=r"^training.tensorboard needs tensorboardX: pip install .*\[tensorboard\]"
    ):
        trained(tmp_path / "shown")
    assert list(tmp_path.iterdir()) == []
    assert len(trained(None)) == 4, "nobody else needs it"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_way_is_refused_before_training(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(Epochs, "run", lambda *arguments: pytest.fail("it trained"))
    with pytest.raises(ParameterError, match=rf"^training.tensorboard: {tmp_path}/{place} cannot be written \(.+\)"):
        trained(tmp_path / place)


def test_a_file_in_the_way_of_one_run_stops_all(tmp_path: Path) -> None:
    (tmp_path / "run-1").write_text("in the way")
    with pytest.raises(ParameterError, match="run-1 cannot be written"), Scalars(str(tmp_path), [[], []]):
        pytest.fail("it went on")


@contextmanager
def full_disk() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ParameterError, match=rf"{tmp_path} cannot be written \(File too large\)"),
        full_disk(),
        Scalars(str(tmp_path), [[]]) as scalars,
    ):
        scalars.show([TWO_EPOCHS[:1]])


def test_why_training_ended_is_not_hidden_by_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), full_disk(), Scalars(str(tmp_path), [[]]):
        raise KeyboardInterrupt
