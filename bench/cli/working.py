"""What a command shows while it works, on standard error: a spinner, or lines in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.cli.forecast import clock

EVERY_S = 30.0
"""Seconds between two lines of a log."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command; Rich would end the process with 1, which is a verdict."""
        raise BrokenPipeError


def console(*, stderr: bool = True) -> Console:
    """Return the console of a command, on standard error or output."""
    return _Console(stderr=stderr, highlight=False, soft_wrap=True)


class Ticker:
    """Prints a line now and then where there is no terminal; a context manager."""

    def __init__(self, screen: Console, line: Callable[[], str]) -> None:
        self._screen, self._line = screen, line
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        if not self._screen.is_terminal:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def _tick(self) -> None:
        while not self._over.wait(EVERY_S):
            self._screen.print(self._line(), markup=False)


class Working:
    """Shows what a command is doing and for how long; a context manager that leaves nothing."""

    def __init__(self, words: str, screen: Console | None = None) -> None:
        self.screen, self._words = screen or console(), words
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self.screen,
            transient=True,
            disable=not self.screen.is_terminal,
        )
        self._task = self._bar.add_task(words, total=None)
        self._begun_s = time.monotonic()
        self._ticker = Ticker(self.screen, self._line)

    def _line(self) -> str:
        return f"{self._words}: {clock(time.monotonic() - self._begun_s)} elapsed"

    def update(self, words: str) -> None:
        """Say what is done now."""
        self._words = words
        self._bar.update(self._task, description=words)

    def __enter__(self) -> Self:
        self._bar.start()
        self._ticker.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._ticker.__exit__()
        self._bar.stop()
