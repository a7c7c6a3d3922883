"""A network of nobody's, as a researcher's file has it; its weights are random, none is trained.

``make(FOLDER)`` saves four checkpoints whose rates rise: ``random1.pth.tar`` and so on.
"""

from __future__ import annotations

from pathlib import Path

import torch
from compressai.models import MeanScaleHyperprior, ScaleHyperpriorVbr


class OwnModel(MeanScaleHyperprior):
    """A subclass with its own width."""

    def __init__(self, N=8, M=12, **options) -> None:  # noqa: N803 - CompressAI's words
        super().__init__(N=N, M=M, **options)


class OwnVariable(ScaleHyperpriorVbr):
    """One network with eight rates."""


def make(folder: Path, rates: int = 4) -> list[Path]:
    """Save random weights under names that say so; each codes at a higher rate than the last."""
    paths = []
    for number in range(1, rates + 1):
        torch.manual_seed(5)
        net = OwnModel()
        with torch.no_grad():
            net.g_a[6].weight *= 10 * 3**number  # untrained latents would all round to zero
        path = folder / f"random{number}.pth.tar"
        torch.save({"epoch": number, "state_dict": net.state_dict()}, path)
        paths.append(path)
    return paths
