"""Commands of other packages: the entry points ``bench.commands``, imported when they are used."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
from collections.abc import Callable, Container, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import typer

from bench.cli.help import Command
from bench.cli.options import DEVELOPERS

GROUP = "bench.commands"


def called(typed: Sequence[str]) -> str:
    """Return the command among the words after ``bench``; empty: there is none."""
    return next((word for word in typed if not word.startswith("-")), "")


def register(app: typer.Typer, own: Container[str], typed: Sequence[str]) -> None:
    """Add the commands of other packages to ``app``.

    Only the one that is called is imported. The others are listed with the first line of their
    documentation, which is read from the source; where one of our own is called, they are not.

    Parameters
    ----------
    app
        What to add them to.
    own
        Names of the suite's own commands; no other package replaces one of them.
    typed
        What was typed after ``bench``.

    Raises
    ------
    UsageError
        If the command that is called cannot be imported, is no function, or comes from two
        packages; or if there is none of that name and this installation's metadata lacks our own.
    """
    name_called = called(typed)
    offered = {point.name: point for point in entry_points(group=GROUP)}
    how: dict[str, Any] = {"cls": Command, "rich_help_panel": DEVELOPERS}
    for name in sorted(offered):
        if name in own:
            package = _package(offered[name])
            typer.echo(
                f"bench: command {name} of {package} is left out: the name is ours", err=True
            )
        elif name == name_called:
            app.command(name, **how)(_load(name))
        elif name_called not in own:
            app.command(name, help=_first_line(offered[name]), **how)(_not_called)
    if name_called and name_called not in own and name_called not in offered:
        _check_metadata(name_called)


def _not_called() -> None:
    """Stand for a command that is listed only."""


def _load(name: str) -> Callable[..., Any]:
    from bench import registry
    from bench.errors import UsageError

    found = registry.load_plugin(GROUP, name)
    if not inspect.isfunction(found):
        raise UsageError(f"command {name}: its entry point names no function, found {found!r}")
    return found


def _check_metadata(called: str) -> None:
    from bench import registry
    from bench.errors import UsageError

    reason = registry.outdated_metadata(GROUP)
    if reason:
        raise UsageError(f"no command {called!r} is installed; {reason}", registry.INSTALL_AGAIN)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "another package"


def _first_line(point: EntryPoint) -> str:
    """Return the first line of a function's documentation without importing its module."""
    with contextlib.suppress(Exception):  # a plug-in costs the help its own line at most
        for node in ast.parse(_source(point.module)).body:
            if isinstance(node, ast.FunctionDef) and node.name == point.attr:
                return str(ast.get_docstring(node)).partition("\n\n")[0]
    return f"A command of {_package(point)}."


def _source(module: str) -> bytes:
    """Return the source of a module; no package above it is imported either."""
    first, *others = module.split(".")
    name, spec = first, importlib.util.find_spec(first)
    for part in others:
        name = f"{name}.{part}"
        assert spec is not None
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    assert spec is not None
    return Path(str(spec.origin)).read_bytes()
