"""What a run says while it goes on, and the line that shows it in a notebook or a terminal."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.measurement.encoding import Encoding
    from bench.measurement.plan import Plan
    from bench.measurement.results import Results

_EVERY_S, _LOG_EVERY_S = 0.5, 30.0
_DONE = ": done"


class Progress:
    """What a run reports while it goes on: override what you want to see or to refuse."""

    def status(self, words: str) -> None:
        """Take a few words on what is being looked for or downloaded."""

    def say(self, text: str, *, loud: bool = False) -> None:
        """Take a sentence that a reader of the numbers must know."""

    def chosen(self, plan: Plan) -> None:
        """Take the codecs, before anything is fetched or written; an error ends the run."""

    def planned(self, plan: Plan) -> None:
        """Take the whole plan, before anything is measured."""

    def measured(self, row: Encoding) -> None:
        """Take a cell that was stored just now."""

    def finished(self, results: Results) -> None:
        """Take the results, while no other run can write to the folder."""


class Line(Progress):
    """One line that says how far a run is, written over in a notebook and on a terminal.

    Sentences that a reader must know stand above it and stay.

    Parameters
    ----------
    show
        Called with the line when it changes, at most twice a second, and at the end. None: where
        the code runs, in a notebook or on standard error.
    """

    def __init__(self, show: Callable[[str], object] | None = None) -> None:
        self._show, self._every_s = (show, _EVERY_S) if show else _shower()
        self._told: list[str] = []
        self._total = self._done = self._failed = 0
        self._begun_s = self._shown_s = time.monotonic()

    def say(self, text: str, *, loud: bool = False) -> None:
        """Keep a sentence that must be known."""
        if loud:
            self._told.append(text)

    def planned(self, plan: Plan) -> None:
        """Say how much there is to measure."""
        self._total, self._begun_s = len(plan.tasks), time.monotonic()
        self._line("measuring", at_once=True)

    def measured(self, row: Encoding) -> None:
        """Count a cell."""
        self._done += 1
        self._failed += bool(row.error)
        self._line(row.codec)

    def finished(self, results: Results) -> None:
        """Say how it ended."""
        stored = len(results.every_row) - self._total
        self._line(f"done, {stored} cells stored before" if stored > 0 else "done", at_once=True)

    def _line(self, words: str, *, at_once: bool = False) -> None:
        now_s = time.monotonic()
        if at_once or now_s - self._shown_s >= self._every_s:
            self._shown_s = now_s
            failed = f", {self._failed} failed" if self._failed else ""
            line = f"{self._done} of {self._total} cells{failed}, {now_s - self._begun_s:.0f} s"
            self._show("\n".join([*self._told, f"{line}: {words}"]))


def _shower() -> tuple[Callable[[str], object], float]:
    """Return what shows a text in place of the one before it, and how often, in seconds."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        over = sys.stderr.isatty()
        return _Terminal(over=over).show, _EVERY_S if over else _LOG_EVERY_S
    display = importlib.import_module("IPython.display").display  # typed in some versions alone
    handle = display({"text/plain": ""}, raw=True, display_id=True)
    return (lambda text: handle.update({"text/plain": text}, raw=True)), _EVERY_S


class _Terminal:
    """Writes to standard error: over its last line on a terminal, below it in a log."""

    def __init__(self, *, over: bool) -> None:
        self._over, self._kept = over, 0

    def show(self, text: str) -> None:
        """Show the lines that are new, and the last one."""
        *told, last = text.split("\n")
        begin = "\r\x1b[K" if self._over else ""
        for line in told[self._kept :]:
            sys.stderr.write(f"{begin}{line}\n")
        self._kept = len(told)
        stays = not self._over or _DONE in last
        sys.stderr.write(begin + last + "\n" * stays)
        sys.stderr.flush()
