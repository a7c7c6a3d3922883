"""The command ``bench``: the only part that prints or exits. Heavy imports wait for the command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bench import __version__
from bench.cli import figures, files, gate, report, run, show, throughput
from bench.codecs.agvae.commands import ablation, train, train_all

app = typer.Typer(
    name="bench",
    help="Measure image codecs from real bitstreams: bpp, PSNR, MS-SSIM, LPIPS, BD-rate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("all")(run.all_)
app.command("list")(show.list_)
app.command("fetch")(files.fetch)
app.command("tables")(show.tables)
app.command("plots")(show.plots)
app.command("encode")(files.encode)
app.command("decode")(files.decode)
app.command("info")(files.info)
app.command("check")(gate.check)
app.command("report")(report.report)
app.command("figures")(figures.figures)
app.command("train")(train.train)
app.command("train-all")(train_all.train_all)
app.command("ablation")(ablation.ablation)
app.command("throughput")(throughput.throughput)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure image codecs from real bitstreams: bpp, PSNR, MS-SSIM, LPIPS, BD-rate."""


def main() -> None:
    """Run the command line; expected failures are one line on stderr and exit code 2."""
    from bench.errors import BenchError

    try:
        app()
    except BenchError as error:
        typer.echo(f"bench: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("bench: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)  # the reader (head, less) has seen enough
