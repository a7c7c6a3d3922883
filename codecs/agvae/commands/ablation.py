"""``bench ablation``: gain against none, asymmetric against Gaussian, from real files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import DataDir, DatasetNames, Download, ImageNames


def ablation(  # noqa: PLR0917 - one parameter an option
    dataset: DatasetNames = None,
    image: ImageNames = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", help="A metric of `bench list`; repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")] = Path(
        "results/ablation"
    ),
    data_dir: DataDir = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0: one a core.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    download: Download = True,
) -> None:
    """Compare AG-VAE's variants: rates, drift of the gains, their cost. Run again to go on."""
    from bench.cli.screen import Screen
    from bench.codecs.agvae.paper import ablation as write
    from bench.codecs.agvae.paper import ablation_terms
    from bench.errors import UsageError
    from bench.measurement import provenance
    from bench.measurement.run import run
    from bench.metrics import basic_names

    watch = Screen()
    screen = watch.console
    found = ablation_terms.variants()
    for variant in found:
        if not variant.networks:
            screen.print(f"[yellow]absent: {variant.codec}: {variant.reason}[/]")
    codecs = [variant.codec for variant in found if variant.networks]
    if not codecs:
        raise UsageError(
            "no variant has weights", "Make them: bench train-all --data FOLDER --only 'branch-*'."
        )
    with watch:
        results = run(
            dataset or [],
            codecs,
            metric or basic_names(),
            images=image or [],
            data_dir=data_dir,
            out=out,
            jobs=jobs,
            device=device,
            download=download,
            progress=watch,
        )
    with screen.status("table and figure"):
        written = write.write_all(
            results.rows,
            found,
            out,
            provenance=provenance.record(),
            datasets={
                name: about["pixels_sha256"] for name, about in results.record["datasets"].items()
            },
        )
    typer.echo((out / "ablation.md").read_text(encoding="utf-8"))
    screen.print(f"results: {', '.join(str(path) for path in written)}")
