"""What ``bench throughput`` measures, by its own functions, beside CompressAI in the same run.

Compare only within one run: ``tox -e benchmark -- -k throughput``. CompressAI's networks have
random weights: the same operations on the same shapes, but other bit counts (in ``extra_info``),
so its entropy coder has another share of the time than with trained ones. The entropy coders alone
are compared in ``test_rans_speed.py``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bench import registry
from bench.codec import Codec, Setting
from bench.image import Image
from bench.stopwatch import Phases
from bench.throughput import sampling
from bench.throughput.runner import DIRECTIONS, Runner
from bench.throughput.sampling import Policy, Spread

torch = pytest.importorskip("torch")

POLICY = Policy(warm_up_s=5.0)
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Untrained(Codec):
    """A network of CompressAI's zoo as its own ``compress`` and ``decompress`` run it."""

    learned = True
    precisions = ("float32",)

    def __init__(self, arch: str, device: str) -> None:
        from compressai import zoo

        self.name, self.device = arch, device
        torch.manual_seed(0)
        self.net = getattr(zoo, arch.replace("-", "_"))(quality=4, pretrained=False)
        self.net.update()
        self.net.eval().to(device)

    def ladder(self) -> Sequence[Setting]:
        return [Setting()]

    def version(self) -> str:
        return "compressai"

    def encode(self, image: Image, setting: Setting) -> bytes:
        return self.encode_batch([image], [setting])[0]

    def decode(self, data: bytes) -> Image:
        return self.decode_batch([data])[0]

    def encode_batch(
        self,
        images: Sequence[Image],
        settings: Sequence[Setting],  # noqa: ARG002 - part of the contract
        phases: Phases | None = None,  # noqa: ARG002
    ) -> list[bytes]:
        x = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            out = self.net.compress(x)
        strings = zip(*out["strings"], strict=True)
        return [pickle.dumps((string, tuple(out["shape"]))) for string in strings]

    def decode_batch(
        self,
        files: Sequence[bytes],
        phases: Phases | None = None,  # noqa: ARG002
    ) -> list[Image]:
        read = [pickle.loads(data) for data in files]
        strings = [list(part) for part in zip(*(strings for strings, _ in read), strict=True)]
        with torch.inference_mode():
            x_hat = self.net.decompress(strings, read[0][1])["x_hat"]
        rgb = (x_hat * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        return list(rgb.cpu().numpy())


def runner_of(codec: Codec, images: Sequence[Image]) -> Runner:
    """Return a codec at its middle rung over some images."""
    ladder = registry.settings(codec, registry.Spec.parse(codec.name))
    return Runner(codec, ladder[len(ladder) // 2], images)


def by_turns(runners: dict[str, Runner], direction: str, batch: int) -> dict[str, Spread]:
    """Return each one's time of a pass: after the warm-up one pass each, again and again.

    One that has spent its budget (the autoregressive network) sits out.
    """
    for runner in runners.values():
        sampling.warm_up(_passes(runner, direction, batch), POLICY)
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(POLICY.least):
        for name, runner in runners.items():
            if sum(times[name]) < POLICY.budget_s:
                times[name].append(runner.run(direction, batch).time_s)
    return {name: sampling.spread(found) for name, found in times.items()}


def _passes(runner: Runner, direction: str, batch: int) -> sampling.RunPass:
    return lambda loops: runner.run(direction, batch, loops=loops)


@pytest.mark.benchmark(group="throughput")
@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "bpg", "agvae"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_codec(benchmark, name: str, direction: str, photo: Image):
    """A photograph of 0.13 megapixels in this process, phases beside the time."""
    runner = runner_of(registry.create(name), [photo])
    loops = sampling.warm_up(_passes(runner, direction, 1), POLICY).loops
    passes = [runner.run(direction, 1, loops=loops, phases=True) for _ in range(3)]
    benchmark.extra_info["phases_ms"] = {
        phase: 1000 * spread.median_s for phase, spread in sampling.by_phase(passes).items()
    }
    found = benchmark.pedantic(runner.run, (direction, 1), rounds=5)

    assert found.time_s > 0


@pytest.mark.usefixtures("compressai")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.benchmark(group="throughput beside CompressAI")
@pytest.mark.parametrize(
    ("device", "precision", "batch", "archs"),
    [
        pytest.param("cpu", "float32", 1, ["mbt2018-mean", "mbt2018"], id="cpu"),
        pytest.param("cpu", "bfloat16", 1, ["mbt2018-mean"], id="cpu-bfloat16"),
        pytest.param("cuda", "bfloat16", 1, ["mbt2018-mean"], marks=NEEDS_GPU, id="cuda"),
        pytest.param("cuda", "bfloat16", 24, ["mbt2018-mean"], marks=NEEDS_GPU, id="cuda-24"),
    ],
)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_agvae_beside_compressai(
    benchmark,
    device: str,
    precision: str,
    batch: int,
    archs: list[str],
    direction: str,
    kodim: Callable[[int], Image],
):
    """Kodak, from memory to memory: ``extra_info`` says how many times as fast AG-VAE is."""
    images = [kodim(number) for number in (range(1, 25) if device == "cuda" else [5])]
    ours: Any = registry.create("agvae", device)
    ours.precision = precision
    codecs: list[Any] = [ours, *(Untrained(arch, device) for arch in archs)]
    runners = {codec.name: runner_of(codec, images) for codec in codecs}
    found = benchmark.pedantic(by_turns, (runners, direction, batch), rounds=1)
    number, megapixels = runners["agvae"].size(batch)
    for name, runner in runners.items():
        time_s = found[name].median_s
        benchmark.extra_info[name] = {
            "ms_per_image": 1000 * time_s / number,
            "mp_per_s": megapixels / time_s,
            "iqr_ms": 1000 * found[name].iqr_s / number,
            "agvae_is_times_as_fast": time_s / found["agvae"].median_s,
            "bpp": runner.quality()[0],
        }

    assert all(spread.median_s > 0 for spread in found.values())
