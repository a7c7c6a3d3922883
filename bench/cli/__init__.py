"""The command ``bench``: the only part that prints or exits. Heavy imports wait for the command."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from bench.cli import (
    complexity,
    contract,
    export,
    figures,
    files,
    gate,
    match,
    numbers,
    plugins,
    report,
    run,
    show,
    throughput,
)
from bench.cli.help import Command, Group
from bench.cli.options import DEVELOPERS

_BOUND = "BENCH_MAX_MEGAPIXELS"
_USERS, _FILES = "Measure and look at results", "One image"
_COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "all": (run.all_, _USERS),
    "report": (report.report, _USERS),
    "list": (show.list_, _USERS),
    "fetch": (files.fetch, _USERS),
    "tables": (show.tables, _USERS),
    "plots": (show.plots, _USERS),
    "figures": (figures.figures, _USERS),
    "throughput": (throughput.throughput, _USERS),
    "complexity": (complexity.complexity, _USERS),
    "compare": (numbers.compare, _USERS),
    "merge": (numbers.merge, _USERS),
    "import": (numbers.import_, _USERS),
    "export": (export.export, _USERS),
    "match": (match.match, _USERS),
    "encode": (files.encode, _FILES),
    "decode": (files.decode, _FILES),
    "info": (files.info, _FILES),
    "check": (gate.check, DEVELOPERS),
    "test-codec": (contract.test_codec, DEVELOPERS),
}
"""Command -> function, panel of the help."""


def _version(value: bool) -> None:
    if value:
        from bench.measurement.provenance import bench_version

        typer.echo(f"bench {bench_version()}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of every failure as well.")
    ] = False,
    max_megapixels: Annotated[
        str,
        typer.Option(
            envvar=_BOUND,
            show_default="178.95697",
            metavar="NUMBER",
            help="Refuse images, and files that claim to hold images, of more megapixels.",
        ),
    ] = "",
) -> None:
    """Measure image codecs from real bitstreams: bpp, PSNR, MS-SSIM, LPIPS, BD-rate."""


def command_line(words: Sequence[str]) -> typer.Typer:
    """Return the command line for what was typed after ``bench``.

    Where one of the suite's commands is called, it has that one alone: each takes its time to
    build. Else it has all, those of other packages too; the one that is called is imported.

    Raises
    ------
    UsageError
        If it cannot be.
    """
    app = typer.Typer(
        name="bench",
        cls=Group,
        callback=_root,
        no_args_is_help=True,
        rich_markup_mode=None,  # errors are plain lines; the help is written by ``help``
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    called = plugins.called(words)
    for name in [called] if called in _COMMANDS else _COMMANDS:
        function, panel = _COMMANDS[name]
        app.command(name, cls=Command, rich_help_panel=panel)(function)
    plugins.register(app, _COMMANDS, words)
    return app


def _take_option(words: list[str], name: str) -> str:
    """Remove ``name VALUE`` or ``name=VALUE`` from ``words``, wherever it stands; return the value.

    Options for every command may stand before or behind it.
    """
    from bench.errors import UsageError

    for k, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option != name:
            continue
        if not equals and k + 1 == len(words):
            raise UsageError(f"{name} wants a number", f"Write {name} 50.")
        value = value if equals else words[k + 1]
        del words[k : k + 1 + (not equals)]
        return value
    return ""


def _bound_pictures(words: list[str]) -> None:
    """Put ``--max-megapixels`` where workers find it, and check it."""
    value = _take_option(words, "--max-megapixels")
    if value:
        os.environ[_BOUND] = value
    if os.environ.get(_BOUND):
        from bench import image

        image.max_pixels()


def main() -> None:
    """Run the command line; expected failures are one line on stderr and exit code 2."""
    from bench.errors import BenchError, on_ctrl_c, one_line

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not under nohup
        signal.signal(signal.SIGINT, on_ctrl_c)
    # What was imported stays to the end, where the collector would search it: 0.2 CPU s.
    atexit.register(gc.freeze)
    debug = "--debug" in sys.argv
    sys.argv[:] = [word for word in sys.argv if word != "--debug"]
    if debug:
        os.environ["BENCH_DEBUG"] = "1"
    try:
        _bound_pictures(sys.argv)
        command_line(sys.argv[1:])()
    except BenchError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"bench: {one_line(error)}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("bench: interrupted", err=True)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - a fault of ours must not look like a verdict
        if debug:
            traceback.print_exc()
        kind, text = type(error).__name__, one_line(error)
        typer.echo(f"bench: unexpected {kind}: {text}; --debug shows where", err=True)
        sys.exit(2)
