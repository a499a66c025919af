"""Live progress bars of training and sampling; plain lines where there is no terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """Use as a context manager; pass :meth:`report` to the run.

    Args:
        label: what is being trained, shown at the left.
        console: where to draw.
    """

    def __init__(self, label: str, console: Console) -> None:
        self.label = label
        self.console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(label, total=None, numbers="evaluating the base model")
        self._told = 0

    def __enter__(self) -> TrainingProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if kind is KeyboardInterrupt:  # typer ends the command without a word
            self.console.print(f"{self.label}: interrupted; resuming continues from the last checkpoint")

    def report(self, step: int, total: int, metrics: dict[str, float]) -> None:
        """Show the numbers of one step."""
        group = next((key for key in metrics if key.startswith("pass@") and key != "pass@1"), None)
        parts = [f"reward {metrics.get('reward', float('nan')):.3f}"]
        if group is not None:
            parts.append(f"{group} {metrics[group]:.3f}")
        if "effective_solutions" in metrics:
            parts.append(f"effective solutions {metrics['effective_solutions']:.2f}")
        numbers = "  ".join(parts)
        self._progress.update(self._task, completed=step, total=total, numbers=numbers)
        if not self.console.is_terminal and (step == total or step >= self._told + max(1, total // 10)):
            self._told = step
            self.console.print(f"{self.label}: step {step}/{total}  {numbers}", highlight=False, soft_wrap=True)


class SamplingProgress:
    """Use as a context manager; pass :meth:`report` to the evaluation.

    Args:
        label: what is being evaluated, shown at the left.
        console: where to draw.
    """

    def __init__(self, label: str, console: Console) -> None:
        self.label = label
        self.console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(label, total=None, numbers="loading")
        self._first: int | None = None
        self._told = 0.0

    def __enter__(self) -> SamplingProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if kind is KeyboardInterrupt:  # typer ends the command without a word
            self.console.print(f"{self.label}: interrupted; the same command continues")

    def report(self, done: int, total: int, correct: int) -> None:
        """Show how far it is, and the share of correct samples among those of this call."""
        if self._first is None:
            self._first = done
            if done:
                self.console.print(f"{self.label}: {done} of {total} samples are there", highlight=False)
        new = done - self._first
        numbers = f"correct {correct / new:.3f}" if new else ""
        self._progress.update(self._task, completed=done, total=total, numbers=numbers)
        if not self.console.is_terminal and new and (done == total or done >= self._told + total / 10):
            self._told = done
            self.console.print(f"{self.label}: {done}/{total}  {numbers}", highlight=False, soft_wrap=True)
