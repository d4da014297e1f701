"""What training shows: nothing unless asked, a bar on a terminal, one line for each epoch elsewhere,
in a notebook one line for all."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from oddrow.detectors.autoencoder import AutoencoderDetector
from oddrow.train.monitor import Progress
from oddrow.train.training import Training

ON_A_TERMINAL = """
import sys
from types import SimpleNamespace
from oddrow.train.monitor import Progress
with Progress(2, shown=sys.argv[1] == "shown") as progress:
    for epoch in (1, 2):
        progress.show([{"epoch": epoch, "loss": 0.25}])
        print("the user's own line", epoch)
"""


def fit(*, progress: bool, validation_fraction: float = 0.2) -> None:
    training = Training(epochs=3, batch_size=20, progress=progress, validation_fraction=validation_fraction)
    AutoencoderDetector(hidden=(3,), training=training, random_state=0).fit(
        np.random.default_rng(0).normal(size=(50, 3))
    )


def on_a_terminal(mode: str) -> str:
    """What a terminal of 100 columns receives."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", ON_A_TERMINAL, mode], stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        received = b""
        try:
            while chunk := os.read(ours, 4096):
                received += chunk
        except OSError:  # how a terminal says that nobody writes any more
            pass
    os.close(ours)
    return received.decode()


def test_one_line_for_each_epoch_off_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    fit(progress=True)
    captured = capfd.readouterr()
    lines = captured.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    losses = [line.split(": loss ")[1].split(", validation ") for line in lines]
    assert all(float(loss) > 0 and float(validation) > 0 for loss, validation in losses)
    assert captured.out == ""


def test_silent_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    fit(progress=False)
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_bar_on_a_terminal_that_is_gone_at_the_end() -> None:
    received = on_a_terminal("shown")
    assert "\x1b[32m0/2" in received
    assert "loss 0.25" in received
    assert "epoch 1/2:" not in received, "no lines beside the bar"
    assert "the user's own line 2" in received
    assert received.rindex("\x1b[2K") > received.rindex("loss 0.25"), "the bar is wiped"


def test_silent_on_a_terminal_too_and_nothing_of_the_users_is_swallowed() -> None:
    assert on_a_terminal("quiet") == "the user's own line 1\r\nthe user's own line 2\r\n"


def test_thousands_of_epochs_are_a_hundred_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(3200, shown=True) as progress:
        for epoch in range(1, 3201):
            progress.show([{"epoch": epoch, "loss": 0.25}])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 + 100
    told = (lines[0], lines[1], lines[-1])
    assert told == ("epoch 1/3200: loss 0.25", "epoch 32/3200: loss 0.25", "epoch 3200/3200: loss 0.25")


IN_A_NOTEBOOK = """
from oddrow.train.monitor import Progress
with Progress(3, shown=True) as progress:
    for epoch in (1, 2, 3):
        progress.show([{"epoch": epoch, "loss": 1 / epoch}])
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_has_one_line_that_is_updated_in_place() -> None:
    """Run by a real kernel: what the cell holds in the end is the last line, and no other."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(IN_A_NOTEBOOK)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output["data"] == {"text/plain": "epoch 3/3: loss 0.33333"}


def test_a_notebook_is_not_flooded_by_short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[str] = []
    handle = SimpleNamespace(update=lambda data, raw: updates.append(data["text/plain"]))

    def display(data: dict[str, str], raw: bool, display_id: bool) -> SimpleNamespace:
        handle.update(data, raw)
        return handle

    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    with Progress(3200, shown=True) as progress:
        for epoch in range(1, 3201):
            progress.show([{"epoch": epoch, "loss": 0.25}])
    assert updates[0] == "epoch 1/3200: loss 0.25"
    assert updates[-1] == "epoch 3200/3200: loss 0.25"
    assert len(updates) < 20
    with Progress(3, shown=False) as progress:
        progress.show([{"epoch": 1, "loss": 0.25}])
    assert len(updates) < 20
