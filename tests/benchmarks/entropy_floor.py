"""How near the exact entropy networks come to the machine's products of 16 bits, one thread.

``python tests/benchmarks/entropy_floor.py --data FOLDER_OF_KODAK``

The coder of AG-VAE encodes the latents of kodim05 at level 4; of the best of a few rounds, the CPU
time by phase and in products of matrices of 16 bits, and their rate beside that of two matrices of
256 x 256, which a core keeps in its cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import image as images
from bench import registry
from bench.codecs.agvae.engines import engine_for
from bench.codecs.agvae.integer.entropy_networks import LEVEL_STEPS
from bench.codecs.agvae.integer.int16_kernel import Sums, Words
from bench.codecs.agvae.integer.int16_matmul import Limbs, available, limbs
from bench.stopwatch import Phases

SIDE = 256
_SUMS = Limbs.sums


class CpuPhases(Phases):
    """Phases by CPU time of this thread."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what happens inside as ``name``."""
        started = time.thread_time()
        yield
        self.time_s[name] = self.time_s.get(name, 0.0) + time.thread_time() - started


class Watched:
    """``Limbs.sums``, which counts its products and its CPU time."""

    def __init__(self) -> None:
        self.products, self.used_s = 0, 0.0

    def sums(self, limbs: Limbs, digits: Words) -> Sums:
        """Return what ``Limbs.sums`` returns."""
        started = time.thread_time()
        found = _SUMS(limbs, digits)
        self.used_s += time.thread_time() - started
        self.products += found.size * digits.shape[2]
        return found


def rate_of_matrices() -> float:
    """Return products a second of two matrices that stay in the cache."""
    matrix = np.random.default_rng(0).integers(-4000, 4000, (SIDE, SIDE)).astype(np.int16)
    layer = limbs(torch.from_numpy(matrix).double(), 1.0)
    assert layer is not None
    used = []
    for _ in range(200):
        started = time.thread_time()
        _SUMS(layer, matrix[None])
        used.append(time.thread_time() - started)
    return SIDE**3 / min(used)


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not available():
        sys.exit("this CPU has no products of 16 bits")
    engine = engine_for(registry.create("agvae").networks[0], "cpu")
    y, z = engine._gained_batch([images.load(options.data / "kodim05.png")], [4 * LEVEL_STEPS])
    rounds = []
    with pytest.MonkeyPatch.context() as patch:
        for _ in range(10):
            watched, phases = Watched(), CpuPhases()
            patch.setattr(Limbs, "sums", lambda *both, watched=watched: watched.sums(*both))
            engine.coder.encode(y, z, [4 * LEVEL_STEPS], phases)
            rounds.append((phases.time_s, watched.used_s, watched.products))
    times_s, used_s, products = min(rounds, key=lambda one: sum(one[0].values()))
    rate = products / used_s
    words = ", ".join(f"{name} {1000 * time_s:.0f} CPU ms" for name, time_s in times_s.items())
    sys.stdout.write(
        f"{words}; {1000 * used_s:.0f} of them {products / 1e9:.1f} "
        f"thousand million products of 16 bits: {rate / 1e9:.0f} a nanosecond, "
        f"{rate / rate_of_matrices():.0%} of a product in the cache\n"
    )


if __name__ == "__main__":
    main()
