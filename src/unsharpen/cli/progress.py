"""Live progress bars of training and sampling; plain lines where there is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn


class Bars:
    """Bars with a name, a count and a few numbers, drawn while the context is open.

    Args:
        console: where to draw.
        width: of a bar in characters; None fills the line.
        time: the last column.
    """

    def __init__(self, console: Console, *, width: int | None = None, time: ProgressColumn | None = None) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=width),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            time or TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class _OneBar(Bars):
    """The bar of one thing that may be interrupted; `numbers` to begin with, and how it would go on."""

    interrupted: str

    def __init__(self, label: str, console: Console, numbers: str) -> None:
        super().__init__(console)
        self.label = label
        self._task = self._progress.add_task(label, total=None, numbers=numbers)
        self._told = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if kind is KeyboardInterrupt:  # typer ends the command without a word
            self.console.print(f"{self.label}: interrupted; {self.interrupted}")

    def _show(self, done: int, total: int, numbers: str, what: str = "") -> None:
        """Move the bar; without a terminal, a line for every tenth of the way."""
        self._progress.update(self._task, completed=done, total=total, numbers=numbers)
        if not self.console.is_terminal and (done == total or done >= self._told + max(1, total // 10)):
            self._told = done
            self.console.print(f"{self.label}: {what}{done}/{total}  {numbers}", highlight=False, soft_wrap=True)


class TrainingProgress(_OneBar):
    """Use as a context manager; pass :meth:`report` to the run.

    Args:
        label: what is being trained, shown at the left.
        console: where to draw.
    """

    interrupted = "resuming continues from the last checkpoint"

    def __init__(self, label: str, console: Console) -> None:
        super().__init__(label, console, "evaluating the base model")

    def report(self, step: int, total: int, metrics: dict[str, float]) -> None:
        """Show the numbers of one step."""
        group = next((key for key in metrics if key.startswith("pass@") and key != "pass@1"), None)
        parts = [f"reward {metrics.get('reward', float('nan')):.3f}"]
        if group is not None:
            parts.append(f"{group} {metrics[group]:.3f}")
        if "effective_solutions" in metrics:
            parts.append(f"effective solutions {metrics['effective_solutions']:.2f}")
        self._show(step, total, "  ".join(parts), "step ")


class SamplingProgress(_OneBar):
    """Use as a context manager; pass :meth:`report` to the evaluation.

    Args:
        label: what is being evaluated, shown at the left.
        console: where to draw.
    """

    interrupted = "the same command continues"

    def __init__(self, label: str, console: Console) -> None:
        super().__init__(label, console, "loading")
        self._first: int | None = None

    def report(self, done: int, total: int, correct: int) -> None:
        """Show how far it is, and the share of correct samples among those of this call."""
        if self._first is None:
            self._first = self._told = done
            if done:
                self.console.print(f"{self.label}: {done} of {total} samples are there", highlight=False)
        new = done - self._first
        if new:
            self._show(done, total, f"correct {correct / new:.3f}")
        else:
            self._progress.update(self._task, completed=done, total=total, numbers="")
