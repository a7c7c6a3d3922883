"""Metrics that ``--metric`` names by a file, ``FILE.py:Class``, or by a command, ``cmd:...``.

What was named is kept in an environment variable, so that worker processes know it too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import metrics
from bench.errors import BenchError, UsageError
from bench.metrics import command
from bench.metrics.plugin_files import Named, class_of, sha256_of

_NAMED = Named("BENCH_METRIC_FILES")
known = _NAMED.known


def canonical(text: str) -> str | None:
    """Return what names the same file or command from any folder; None: a name is typed.

    Raises
    ------
    UsageError
        If it is a path or command that no metric can come from.
    """
    if text.startswith(command.PREFIX):
        return command.read(text).word
    head, _, name = text.partition(":")
    if "/" not in head and not head.endswith(".py"):
        return None
    path = Path(head).expanduser()
    if path.suffix != ".py" or (name and not name.isidentifier()):
        raise UsageError(f"{text!r} names no metric", "Write FILE.py:Class or a name.")
    if not path.is_file():
        raise UsageError(f"{path}: no such file", "Check the path.")
    return f"{path.resolve()}:{name}" if name else str(path.resolve())


def name_of(text: str) -> str:
    """Return the name of the metric that the user typed; ``create`` knows it from now on.

    Never use this for words of a file of results: it runs code.

    Raises
    ------
    UsageError
        If a file or command that is named is no metric.
    MetricError
        If a command does not work on two small pictures.
    """
    if text in metrics.discover() or (word := canonical(text)) is None:
        return text
    if word in known():
        return _usable(word).name
    _NAMED.remember(word, _sha256(word))
    metrics.discover.cache_clear()
    try:
        found = _usable(word)
        if issubclass(found, command.CommandMetric):
            command.try_out(found())
    except BenchError:
        _NAMED.forget(word)  # else the next call would take it untried
        metrics.discover.cache_clear()
        raise
    return found.name


def _usable(word: str) -> type[metrics.Metric]:
    found = next((item for item in metrics.discover().values() if item.source == word), None)
    if found is None or found.cls is None:
        raise UsageError(f"{word} cannot be used: {found.reason if found else 'not found'}")
    return found.cls


def _sha256(word: str) -> str:
    if word.startswith(command.PREFIX):
        return command.read(word).sha256
    return sha256_of(Path(word.partition(":")[0]))


def load(word: str) -> type[metrics.Metric]:
    """Return the class of a word that ``canonical`` returned.

    Its version says the hash of its file or program, so that scores of an edited one are its own.

    Raises
    ------
    UsageError
        If the file holds no such metric, or it was changed while it was used.
    Exception
        Whatever the file raises when it is imported.
    """
    digest = _sha256(word)
    if known().get(word, digest) != digest:
        raise UsageError(
            f"{word} was changed while it was used", "Run again: its scores are another metric's."
        )
    if word.startswith(command.PREFIX):
        return command.metric_class(word)
    path, _, name = word.partition(":")
    found = class_of(Path(path), name, metrics.Metric, "metric")
    return _stamped(found, f"{Path(path).name} {digest[:8]}")


def _stamped(cls: type[metrics.Metric], stamp: str) -> type[metrics.Metric]:
    """Return a subclass whose version, wherever it is set, ends with ``stamp``."""

    def look_up(self: metrics.Metric, attribute: str) -> Any:  # noqa: ANN401 - any attribute
        value = cls.__getattribute__(self, attribute)
        return f"{value}, {stamp}" if attribute == "version" and isinstance(value, str) else value

    body = {"__getattribute__": look_up, "__module__": cls.__module__, "__doc__": cls.__doc__}
    own = {key: value for key, value in vars(cls).items() if key in ("name", "column", "title")}
    return type(cls.__name__, (cls,), {**body, **own})
