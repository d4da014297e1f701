"""How training shows itself: a bar on a terminal, one line for each epoch elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

# Without a terminal, thousands of short epochs would be thousands of lines: of more than so many, a hundred are shown.
MOST_LINES, SHOWN = 1000, 100


class Progress:
    """Shows the history of a training on standard error while it grows; silent unless `shown`."""

    def __init__(self, n_epochs: int, *, shown: bool) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=not shown)
        # A bar takes over what the user's own code prints meanwhile: unseen, it would swallow it.
        self.has_bar = shown and self.console.is_terminal
        columns = (
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[losses]}"),
        )
        self.bar = Bar(*columns, TimeRemainingColumn(), console=self.console, transient=True)
        self.task = self.bar.add_task("training", total=n_epochs, losses="")
        self.n_epochs = n_epochs
        self.every = 1 if n_epochs <= MOST_LINES else n_epochs // SHOWN

    def __enter__(self) -> Progress:
        if self.has_bar:
            self.bar.start()
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.has_bar:
            self.bar.stop()

    def show(self, history: list[dict[str, float]]) -> None:
        """Show the last entry of the history."""
        if self.has_bar:
            self.bar.update(self.task, completed=history[-1]["epoch"], losses=_losses(history[-1]))
        elif history[-1]["epoch"] % self.every == 0 or history[-1]["epoch"] in (1, self.n_epochs):
            self.console.print(f"epoch {history[-1]['epoch']}/{self.n_epochs}: {_losses(history[-1])}")


def _losses(line: dict[str, float]) -> str:
    shown = f"loss {line['loss']:.5g}"
    return shown + (f", validation {line['validation_loss']:.5g}" if "validation_loss" in line else "")
