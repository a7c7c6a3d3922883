"""``bench train-tables``: count coding tables of a network's weights on photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.codecs.agvae.commands.train import Data, console, paths_of


def train_tables(
    weights: Annotated[Path, typer.Argument(help="NAME.safetensors; its manifest lies beside.")],
    data: Data = None,
    held_out: Annotated[
        int, typer.Option(min=0, help="Photographs left out, the same ones as in training.")
    ] = 16,
) -> None:
    """Count coding tables on photographs and store them beside weights.

    Writes NAME.tables.npz and notes it in NAME.json. Files encoded from then on
    need both; files encoded before are decoded as before. About two CPU seconds
    per photograph.

    Example: bench train-tables weights/base-gain-asym-mse.safetensors --data photos/
    """
    import torch

    from bench.codecs.agvae.runtime.engine import Engine
    from bench.codecs.agvae.training import count_tables, photographs
    from bench.codecs.agvae.weights.checkpoints import read_manifest
    from bench.errors import UsageError

    screen = console()
    paths = paths_of(data, None)
    manifest = read_manifest(weights.with_suffix(".json"))
    training, _ = photographs.read(paths).split(held_out)
    if not training.members:
        raise UsageError(
            f"no photograph is left to count on: {held_out} are held out",
            "Give more to --data, or a smaller --held-out.",
        )
    total = len(training.members)
    with torch.inference_mode(), screen.status("counting") as status:
        counts = count_tables.count(
            Engine(manifest), training, lambda done: status.update(f"photograph {done} of {total}")
        )
        status.update("fitting tables")
        path = count_tables.attach(manifest, counts, training)
    screen.print(f"tables: {path}, {path.stat().st_size} bytes")
