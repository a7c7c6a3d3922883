"""How far g_s on the CPU is from g_s in float64, with Winograd's convolutions and without.

``python tests/benchmarks/synthesis_rounding.py --data FOLDER_OF_KODAK kodim05 kodim20``

For each picture and level: the largest error before rounding to grey levels, of plain convolutions
and of Winograd's; how many samples of the picture are another grey level than in float64, by each;
how many differ between the two, by how much at most; and the difference in PSNR.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch

from bench import image as images
from bench import registry
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.engines import engine_for
from bench.codecs.agvae.integer.entropy_networks import LEVEL_STEPS
from bench.codecs.agvae.integer.fixed_point import STEP
from bench.codecs.agvae.runtime.fused_conv import fused
from bench.metrics.psnr import squared_error

LEVELS = (-2, 0, 4, 7)
COLUMNS = (
    "picture, level",
    "error (grey levels), plain",
    "Winograd",
    "samples unlike float64, plain",
    "Winograd",
    "plain unlike Winograd",
    "by at most",
    "PSNR (dB)",
)


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("pictures", nargs="+")
    options = parser.parse_args()
    engine = engine_for(registry.create("agvae").networks[0], "cpu")
    layout = torch.channels_last  # as the codec runs it
    net = engine._synthesis_net().to(memory_format=layout)
    plain, quick = (fused(net, winograd=winograd) for winograd in (False, True))
    exact = engine._synthesis_net().double()
    sys.stdout.write(f"| {' | '.join(COLUMNS)} |\n{len(COLUMNS) * '| --- '}|\n")
    for name in options.pictures:
        photo = images.load(options.data / f"{name}.png")
        for level in LEVELS:
            [file] = engine.encode([photo], [level * LEVEL_STEPS])
            [latent] = engine.decode_latents([container.read(file)])
            y = latent / STEP * engine.gain("gain_y.log_inverse", level * LEVEL_STEPS)
            x = y.permute(2, 0, 1)[None].to(memory_format=layout)
            greys = [(stack(x).double()[0] + 0.5) * 255 for stack in (plain, quick)]
            greys.append((exact(x.double())[0] + 0.5) * 255)
            errors = [float((grey - greys[2]).abs().max()) for grey in greys[:2]]
            a, b, c = (
                np.ascontiguousarray(grey.round().clamp(0, 255).byte().permute(1, 2, 0).numpy())
                for grey in greys
            )
            most = np.abs(a.astype(int) - b).max()
            gain = 10 * math.log10(squared_error(photo, a) / squared_error(photo, b))
            cells = (f"{name}, {level}", *(f"{error:.1e}" for error in errors))
            counts = ((a != c).sum(), (b != c).sum(), (a != b).sum(), most, f"{gain:+.6f}")
            sys.stdout.write(f"| {' | '.join(map(str, (*cells, *counts)))} |\n")


if __name__ == "__main__":
    main()
