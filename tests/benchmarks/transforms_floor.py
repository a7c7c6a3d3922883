"""How near the float transforms come to the machine's matrix products, in CPU seconds, one thread.

``python tests/benchmarks/transforms_floor.py --data FOLDER_OF_KODAK``

g_a and g_s of AG-VAE as its codec runs them, and of CompressAI's mbt2018-mean (N = 128, random
weights), on kodim05, beside a product of matrices of 1,024 x 1,024; then whole encoders and
decoders, from memory to memory. Operations are those of plain convolutions: where Winograd's need
a quarter of them, as in AG-VAE's g_s, more than that product's rate is possible. All take turns,
and the best of a few rounds counts: other work on the machine slows all of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import image as images
from bench import registry
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.engines import engine_for
from bench.codecs.agvae.integer.entropy_networks import LEVEL_STEPS

SIDE = 1024
Call = Callable[[], object]
HEAD = "| part | GFLOP | CPU ms | GFLOP/s | of a product of matrices |\n" + 5 * "| --- " + "|"


def operations(call: Call) -> int:
    """Return additions and multiplications of convolutions and products in a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def calls_of(photo: images.Image) -> dict[str, tuple[Call, int]]:
    """Return what is timed, and its operations; 0: not all of it is products."""
    from compressai import zoo

    engine = engine_for(registry.create("agvae").networks[0], "cpu")
    theirs = (
        zoo.mbt2018_mean(quality=4, pretrained=False).eval().requires_grad_(requires_grad=False)
    )
    x = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    plain_a, plain_s = engine._analysis_nets()[0], engine._synthesis_net()
    y = engine._analysis.analyse(photo)
    latent = y.permute(2, 0, 1)[None]
    other = theirs.g_a(x)
    matrix = torch.randn(SIDE, SIDE)
    theirs.update()
    packed = theirs.compress(x)
    turned = cycle((photo[::-1], photo))  # so that g_a is not spared
    [file] = engine.encode([photo], [4 * LEVEL_STEPS])
    read = [container.read(file)]
    return {
        "product of matrices": (lambda: matrix @ matrix, 2 * SIDE**3),
        "AG-VAE g_a": (
            lambda: engine._analysis.analyse(photo),
            operations(lambda: plain_a(x)),
        ),
        "AG-VAE g_s": (
            lambda: engine.synthesis.synthesise(y, (photo.shape[0], photo.shape[1])),
            operations(lambda: plain_s(latent)),
        ),
        "mbt2018-mean g_a": (lambda: theirs.g_a(x), operations(lambda: theirs.g_a(x))),
        "mbt2018-mean g_s": (lambda: theirs.g_s(other), operations(lambda: theirs.g_s(other))),
        "AG-VAE encode": (lambda: engine.encode([next(turned)], [4 * LEVEL_STEPS]), 0),
        "mbt2018-mean encode": (lambda: theirs.compress(x), 0),
        "AG-VAE decode": (lambda: engine.decode(read), 0),
        "mbt2018-mean decode": (lambda: theirs.decompress(packed["strings"], packed["shape"]), 0),
    }


def best_s(calls: dict[str, tuple[Call, int]], rounds: int) -> dict[str, float]:
    """Return CPU seconds of the quickest call of each, after one that does not count."""
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds + 1):
        for name, (call, _) in calls.items():
            started = time.process_time()
            call()
            found[name] = min(found[name], time.process_time() - started)
    return found


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    calls = calls_of(images.load(options.data / "kodim05.png"))
    times = best_s(calls, options.rounds)
    speed = {name: calls[name][1] / times[name] for name in calls}
    whole = speed["product of matrices"]
    sys.stdout.write(f"{HEAD}\n")
    for name, (_, count) in calls.items():
        shares = (f"{count / 1e9:.1f}", f"{speed[name] / 1e9:.0f}", f"{speed[name] / whole:.0%}")
        work, rate, share = shares if count else ("", "", "")
        row = f"| {name} | {work} | {1000 * times[name]:.0f} | {rate} | {share} |\n"
        sys.stdout.write(row)


if __name__ == "__main__":
    main()
