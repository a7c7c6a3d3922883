"""What a run shows while it measures, all of it on standard error.

A terminal gets a spinner or a bar; a log gets a line now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from bench.cli.forecast import Forecast, clock
from bench.cli.working import Ticker, Working, console
from bench.codec.imports import Meanwhile
from bench.files import locked
from bench.measurement import progress

if TYPE_CHECKING:
    from bench.measurement.encoding import Encoding
    from bench.measurement.plan import Plan
    from bench.measurement.results import Results


class _Left(ProgressColumn):
    """The time that is left, by ``Forecast``."""

    max_refresh = 1.0

    def __init__(self, left: Callable[[], str]) -> None:
        self._words = left
        super().__init__()

    def render(self, task: Task) -> Text:
        """Return it, empty at the end."""
        return Text("" if task.finished else self._words())


class Screen(progress.Progress):
    """Shows a run on a console; a context manager that leaves no bar behind.

    Parameters
    ----------
    check
        Receives the plan before a folder is touched; may refuse it.
    write
        Receives the results while no other run can write to the folder.
    prepare
        Imports what ``write`` needs; called while workers measure.
    jobs
        Processes that share the work.
    quiet
        Show failures and what must be known of the numbers, and nothing else.

    Attributes
    ----------
    plan
        The plan, once there is one.
    """

    def __init__(
        self,
        check: Callable[[Plan], object] = lambda _: None,
        write: Callable[[Results], object] = lambda _: None,
        prepare: Callable[[], object] = lambda: None,
        *,
        jobs: int = 1,
        quiet: bool = False,
    ) -> None:
        self.console = console()
        self.plan: Plan | None = None
        self._check, self._write, self._jobs, self._quiet = check, write, jobs, quiet
        shown = Console(stderr=True, quiet=True) if quiet else self.console
        self._working = Working("datasets", shown)
        self._bar = Progress(
            TextColumn("{task.description:>16}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _Left(self._left),
            console=shown,
            disable=quiet or not shown.is_terminal,
        )
        self._ticker = Ticker(shown, self._line)
        self._task = TaskID(0)
        self._meanwhile = Meanwhile(prepare)
        self._forecast = Forecast()
        self._begun_s = 0.0
        self._done = 0

    def __enter__(self) -> Self:
        self._working.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._working.__exit__()
        self._ticker.__exit__()
        self._bar.stop()

    def status(self, words: str) -> None:
        """Show what is being looked for or downloaded."""
        self._working.update(words)

    def say(self, text: str, *, loud: bool = False) -> None:
        """Print words that may have brackets of their own: names of files, texts of errors."""
        if loud or not self._quiet:
            self.console.print(text, style="bold yellow" if loud else "yellow", markup=False)

    def chosen(self, plan: Plan) -> None:
        """Refuse what cannot be done with these codecs."""
        self._check(plan)

    def planned(self, plan: Plan) -> None:
        """Say that workers start, and show the bar, where there is something to measure."""
        self._working.__exit__()
        self.plan = plan
        if not plan.tasks:
            return
        jobs = min(self._jobs, len(plan.tasks))
        self._forecast, self._begun_s = Forecast(plan.tasks, jobs), time.monotonic()
        self._task = self._bar.add_task("starting workers", total=len(plan.tasks))
        self._bar.start()
        self._ticker.__enter__()
        self._meanwhile.start()

    def measured(self, row: Encoding) -> None:
        """Advance the bar; print a failure at once."""
        self._done += 1
        self._forecast.add(row, time.monotonic())
        self._bar.update(self._task, advance=1, description=row.codec)
        if row.error:
            text = f"{row.label} {row.setting}: {row.error}"
            self.console.print(text, style="red", markup=False)

    def _left(self) -> str:
        left_s = self._forecast.left_s(time.monotonic())
        return "" if left_s is None else f"about {clock(left_s)} left"

    def _line(self) -> str:
        """Return a line of a log: how far, for how long, how much longer."""
        assert self.plan is not None
        total, elapsed = len(self.plan.tasks), clock(time.monotonic() - self._begun_s)
        words = f"{self._done} of {total} cells" if self._done else "starting workers"
        return ", ".join(filter(None, (words, f"{elapsed} elapsed", self._left())))

    def finished(self, results: Results) -> None:
        """Write the tables and plots of the results."""
        self._ticker.__exit__()
        self._bar.stop()
        self._meanwhile.wait()
        self._working = Working("tables and plots", self._working.screen)
        with self._working, locked(results.folder):
            self._write(results)


def show_remarks(results: Results, out: Path) -> None:
    """Print what must be known of results before they are used."""
    screen = console()
    for remark in results.remarks:
        screen.print(f"{out}: {remark}", style="bold yellow", markup=False)
