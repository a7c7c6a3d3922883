"""What commands show while they work: notes, a spinner, a progress bar; all on standard error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bench.files import locked
from bench.measurement import run

if TYPE_CHECKING:
    from bench.measurement.plan import Plan
    from bench.measurement.results import Results
    from bench.measurement.store import Encoding


def console() -> Console:
    """Return the console of a command."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def bar(screen: Console) -> Progress:
    """Return a progress bar of cells, which a log does not get."""
    return Progress(
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=screen,
        disable=not screen.is_terminal,
    )


class Screen(run.Progress):
    """Shows a run on a console; a context manager that leaves no bar behind.

    Parameters
    ----------
    check
        Receives the plan before a folder is touched; may refuse it.
    write
        Receives the results while no other run can write to the folder.

    Attributes
    ----------
    plan
        The plan, once there is one.
    """

    def __init__(
        self,
        check: Callable[[Plan], object] = lambda _: None,
        write: Callable[[Results], object] = lambda _: None,
    ) -> None:
        self.console = console()
        self.plan: Plan | None = None
        self._check, self._write = check, write
        self._status = self.console.status("datasets")
        self._bar = bar(self.console)
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
        self._bar.stop()

    def status(self, words: str) -> None:
        """Show what is being looked for or downloaded."""
        self._status.update(words)

    def say(self, text: str, *, loud: bool = False) -> None:
        """Print words that may have brackets of their own: names of files, texts of errors."""
        self.console.print(text, style="bold yellow" if loud else "yellow", markup=False)

    def chosen(self, plan: Plan) -> None:
        """Refuse what cannot be done with these codecs."""
        self._check(plan)

    def planned(self, plan: Plan) -> None:
        """Show the bar where there is something to measure."""
        self._status.stop()
        self.plan = plan
        if plan.tasks:
            done = len(plan.cells) - len(plan.tasks)
            self._task = self._bar.add_task("measuring", total=len(plan.cells), completed=done)
            self._bar.start()

    def measured(self, row: Encoding) -> None:
        """Advance the bar; print a failure at once."""
        self._bar.update(self._task, advance=1, description=row.codec)
        if row.error:
            text = f"{row.label} {row.setting}: {row.error}"
            self.console.print(text, style="red", markup=False)

    def finished(self, results: Results) -> None:
        """Write the tables and plots of the results."""
        self._bar.stop()
        self._status.update("tables and plots")
        self._status.start()
        with locked(results.folder):
            self._write(results)
        self._status.stop()


def show_remarks(results: Results, out: Path) -> None:
    """Print what must be known of results before they are used."""
    screen = console()
    for remark in results.remarks:
        screen.print(f"{out}: {remark}", style="bold yellow", markup=False)
