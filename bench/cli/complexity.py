"""``bench complexity``: parameters and multiply-accumulates of networks."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import CodecNames

if TYPE_CHECKING:
    from bench.measurement.complexity import Line
    from bench.measurement.results import Results


def complexity(
    codec: CodecNames = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            "-r",
            metavar="FOLDER",
            help="Count for this folder of `bench all`: its tables, plots and page show the counts "
            "from then on. Those of its networks that `bench list` shows need no --codec.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Write CSV, tables and plots there. Default: into --results, else print only.",
        ),
    ] = None,
) -> None:
    """Count parameters and multiply-accumulates a pixel of the networks of learned codecs."""
    from bench.cli.working import Working
    from bench.errors import UsageError
    from bench.files import check_folder
    from bench.measurement import complexity as counting
    from bench.measurement import provenance
    from bench.measurement.plan import Request, choose_curves
    from bench.measurement.results import load_results
    from bench.output import complexity as output
    from bench.output import complexity_plot

    measured = load_results(results) if results else None
    target = out or results
    if target:
        check_folder(target)
    curves, _ = choose_curves(Request((), _words(codec or [], measured)))
    lines: list[counting.Line] = []
    with Working("complexity") as work:
        for curve in curves:
            if curve.codec.learned:
                work.update(curve.codec.name)
                lines += counting.lines_of(curve.codec, curve.settings)
    lines = list(dict.fromkeys(lines))  # of a codec that was named in two ways
    if not lines:
        names = ", ".join(curve.codec.name for curve in curves)
        raise UsageError(f"none of these codecs has a network: {names}", "Name one by --codec.")
    record = provenance.record()
    typer.echo(output.table(lines, record).markdown())
    if target:
        written = output.write(lines, target, record)
        if measured:
            written += complexity_plot.write(lines, measured, target)
        typer.echo(f"results: {', '.join(str(path) for path in written)}")
    if measured:
        _say_what_is_left(lines, measured, shown=target == results)


def _words(codecs: list[str], results: Results | None) -> list[str]:
    """Return the words of ``--codec``, and the learned codecs of a run that are known here."""
    from bench import registry
    from bench.errors import UsageError

    if results is None:
        return codecs
    measured = [str(word) for word in dict.fromkeys(results.every_row["codec"])]
    known = {name: found.cls for name, found in registry.discover().items() if found.cls}
    learned = [
        word
        for word in measured
        if (cls := known.get(registry.Spec.parse(word).name)) and cls.learned
    ]
    if not learned and not codecs:
        raise UsageError(
            f"{results.folder} has no learned codec that is known here: {', '.join(measured)}",
            "Name checkpoints and files by --codec, as the run did.",
        )
    return list(dict.fromkeys([*codecs, *learned]))


def _say_what_is_left(lines: list[Line], results: Results, *, shown: bool) -> None:
    """Say what was not counted of a run or is not its own, and what shows the rest."""
    from bench import registry
    from bench.measurement.complexity import of_rows

    unknown = [
        str(word)
        for word in dict.fromkeys(results.every_row["codec"])
        if registry.Spec.parse(str(word)).name not in registry.discover()
        and not str(word).startswith("imported/")
    ]
    told = of_rows(lines, results.every_row).remarks
    told += [f"not known here, so not counted: {', '.join(unknown)} (--codec)"] if unknown else []
    for sentence in told:
        typer.echo(sentence, err=True)
    if shown:
        out = shlex.quote(str(results.folder))
        typer.echo(f"next: bench tables --out {out}; bench report --out {out}", err=True)
