"""Reading a SQLite file of results wherever it lies, on a read-only disk too."""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Guarding(Protocol):
    """Has a context in which errors of file and database become errors of ours."""

    def guard(self) -> AbstractContextManager[None]:
        """Return that context."""


T = TypeVar("T", bound=Guarding)
P = ParamSpec("P")
R = TypeVar("R")


def guarded(method: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """Run a method in the guard of its object."""

    @functools.wraps(method)
    def run(self: T, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.guard():
            return method(self, *args, **kwargs)

    return run


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection to the database at ``path``, which must exist, for reading.

    Where nothing beside it can be written, SQLite cannot make the files through which readers and
    a writer see each other, and must be told that there is no writer. What a killed writer left
    there is not ignored: then the connection fails with SQLite's reason when it is used.
    """
    if os.access(path.parent, os.W_OK):
        return sqlite3.connect(path, timeout=30, isolation_level=None)
    left_over = path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro" if left_over else "immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, isolation_level=None)
