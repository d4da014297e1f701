"""Training shard by shard: every row once an epoch, whatever order, and the same as in memory but for that order."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from oddrow.detectors.block_scoring import mean_in_blocks, score_in_blocks
from oddrow.errors import ParameterError, TrainingError
from oddrow.nets.autoencoder import Autoencoder
from oddrow.train.epochs import ShardedEpochs
from oddrow.train.loop import train, train_together
from oddrow.train.shards import Shards
from oddrow.train.training import Training

N_ROWS = 1003


@pytest.fixture
def rows() -> tuple[Any, ...]:
    """Numbers that lie on a plane in five dimensions, the first one being the row's own; one category."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(N_ROWS, 2)) @ rng.normal(size=(2, 4))
    numbers = np.column_stack([np.linspace(-1, 1, N_ROWS), plane]).astype(np.float32)
    return numbers, rng.integers(0, 4, (N_ROWS, 1)).astype(np.int32)


def sharded(rows: tuple[Any, ...], folder: Path, n_shards: int = 4, n_parts: int = 7) -> Shards:
    parts = zip(*(np.array_split(array, n_parts) for array in rows), strict=True)
    return Shards.write(parts, N_ROWS, n_shards, folder, seed=3)


@pytest.fixture
def network() -> Autoencoder:
    return Autoencoder(5, (4,), (8,), ("gelu",), 0.1, key=jax.random.key(0))


def test_every_row_is_in_one_shard_of_like_size(rows: tuple[Any, ...], tmp_path: Path) -> None:
    shards = sharded(rows, tmp_path / "s")
    assert sorted(shards.lengths) == [250, 251, 251, 251]
    assert shards.n_rows == N_ROWS
    numbers, categories = (np.concatenate(parts) for parts in zip(*shards, strict=True))
    order = np.argsort(numbers[:, 0])
    assert (numbers[order] == rows[0]).all()
    assert (categories[order] == rows[1]).all()
    assert numbers.dtype == np.float32
    # Each shard is a sample of all rows: its mean place is near the middle, its places are spread.
    assert all(abs(part[0][:, 0].mean()) < 0.2 and part[0][:, 0].std() > 0.5 for part in shards)


def test_the_parts_in_which_rows_come_change_no_shard(rows: tuple[Any, ...], tmp_path: Path) -> None:
    one, other = sharded(rows, tmp_path / "a", n_parts=1), sharded(rows, tmp_path / "b", n_parts=50)
    for mine, theirs in zip(one, other, strict=True):
        assert all((a == b).all() for a, b in zip(mine, theirs, strict=True))


def test_more_shards_than_files_may_be_open(rows: tuple[Any, ...], tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 20, limits[1]))
    try:
        shards = sharded(rows, tmp_path / "s", n_shards=300)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert sorted(np.concatenate([part[0][:, 0] for part in shards]).tolist()) == sorted(rows[0][:, 0].tolist())


def test_a_place_that_cannot_be_written_is_one_message(rows: tuple[Any, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="the encoded rows cannot be written"):
        sharded(rows, tmp_path / "file" / "s")


def test_shards_without_categories_or_of_one_row(tmp_path: Path) -> None:
    rows = np.arange(3, dtype=np.float32)[:, None], np.empty((3, 0), np.int32)
    shards = Shards.write([rows], 3, 3, tmp_path / "s", seed=0)
    assert sorted(part[0].item() for part in shards) == [0, 1, 2]
    assert shards.read(0)[1].shape == (1, 0)


def test_each_epoch_sees_every_row_once_in_another_order(
    rows: tuple[Any, ...], network: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[float]] = {}
    plain = ShardedEpochs._call

    def watched(self: Any, state: Any, rows: Any, weights: Any, epochs: Any, draws: Any) -> Any:
        order, counts = self._order(0, int(draws[0])), np.asarray(weights) > 0
        seen.setdefault(int(epochs[0]), []).extend(np.asarray(rows[0])[order[counts], 0].tolist())
        return plain(self, state, rows, weights, epochs, draws)

    monkeypatch.setattr(ShardedEpochs, "_call", watched)
    train(network, sharded(rows, tmp_path / "s"), Training(epochs=3, batch_size=64), seed=1)
    assert sorted(seen) == [0, 1, 2]
    for places in seen.values():
        assert sorted(places) == sorted(rows[0][:, 0].tolist())
    assert seen[0] != seen[1] != seen[2]


def test_it_learns_what_training_in_memory_learns(rows: tuple[Any, ...], network: Autoencoder, tmp_path: Path) -> None:
    training = Training(epochs=30, batch_size=32, learning_rate=1e-2)
    held_out = tuple(array[::5] for array in rows)
    in_memory = train(network, rows, training, seed=1, validation=held_out).loss_curve
    on_disk = train(network, sharded(rows, tmp_path / "s"), training, seed=1, validation=held_out).loss_curve
    assert on_disk[0]["loss"] > 3 * on_disk[-1]["loss"]
    for name in ("loss", "validation_loss"):
        assert on_disk[-1][name] == pytest.approx(in_memory[-1][name], rel=0.25)
        assert on_disk[0][name] == pytest.approx(in_memory[0][name], rel=0.25)


def test_the_same_seed_gives_the_same_weights_interrupted_or_not(
    rows: tuple[Any, ...], network: Autoencoder, tmp_path: Path
) -> None:
    shards = sharded(rows, tmp_path / "s")
    training = Training(epochs=4, batch_size=64, checkpoint=str(tmp_path / "c"))
    whole = train(network, shards, training, seed=5)

    class Stop(KeyboardInterrupt):
        pass

    def stop(self: Any, state: Any, histories: Any) -> Any:
        if len(histories[0]) == 2:
            raise Stop
        return run(self, state, histories)

    run = ShardedEpochs.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShardedEpochs, "run", stop)
        with pytest.raises(Stop):
            train(network, shards, training, seed=5)
    resumed = train(network, shards, training, seed=5)
    assert resumed.loss_curve == whole.loss_curve
    for mine, theirs in zip(jax.tree.leaves(resumed.network), jax.tree.leaves(whole.network), strict=True):
        assert (np.asarray(mine) == np.asarray(theirs)).all()
    other = train(network, shards, training, seed=6)
    assert other.loss_curve != whole.loss_curve


def test_scores_and_means_over_shards_are_those_over_the_rows(
    rows: tuple[Any, ...], network: Autoencoder, tmp_path: Path
) -> None:
    shards = sharded(rows, tmp_path / "s")
    scores = score_in_blocks(Autoencoder.score, network, shards)
    assert np.sort(scores) == pytest.approx(np.sort(score_in_blocks(Autoencoder.score, network, rows)), rel=1e-5)
    assert mean_in_blocks(Autoencoder.parts, network, shards) == pytest.approx(
        mean_in_blocks(Autoencoder.parts, network, rows), rel=1e-5
    )


def test_several_networks_need_rows_in_memory(rows: tuple[Any, ...], network: Autoencoder, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="rows on disk can train one network only"):
        train_together([network] * 2, [sharded(rows, tmp_path / "s")] * 2, Training(epochs=1), seeds=[0, 1])
