"""AG-VAE on a GPU: are the bytes the CPU's, and how fast is it? One script, one run.

``python3 tests/benchmarks/gpu_check.py --data FOLDER_OF_KODAK --out FOLDER``

Needs torch, triton, numba, safetensors, pillow and platformdirs; CompressAI is timed where it can
be imported. Every step is guarded: one that fails prints its traceback, and the next one runs.
Prints a table last and writes ``gpu_check.json``. ``--device cpu --crop 32`` with
TRITON_INTERPRET=1 is the dry run without a GPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
import triton

from bench import image as images_of
from bench.codecs.agvae.bitstream import container, frequency_tables, rans
from bench.codecs.agvae.gpu.engine import DeviceEngine
from bench.codecs.agvae.gpu.rans import Reader, Writer
from bench.codecs.agvae.gpu.table_lookup import lookup
from bench.codecs.agvae.runtime.engine import Engine
from bench.codecs.agvae.weights import checkpoints
from bench.stopwatch import Phases

LEVEL = 4 * 256
LEVELS = (0, 896, 1792)


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def synchronise() -> None:
    """Wait for the device, if it is one that works by itself."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(
    function: Callable[[], object], warm_up: int = 4, least: int = 12, budget_s: float = 3.0
) -> list[float]:
    """Return seconds of repeated calls after a warm-up, sorted; fewer than ``least`` if slow.

    Four calls warm up: one runs, one records a graph, two replay it.
    """
    for _ in range(warm_up):
        function()
    synchronise()
    seconds: list[float] = []
    begin = time.perf_counter()
    while len(seconds) < least and (not seconds or time.perf_counter() - begin < budget_s):
        start = time.perf_counter()
        function()
        synchronise()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)


class Check:
    """Everything that the steps share, and what they found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device(options.device)
        self.rng = np.random.default_rng(2021)
        self.found: dict[str, object] = {}
        self.rows: list[tuple[str, str]] = []
        self.started = time.perf_counter()

    def run(self, name: str, step: Callable[[], object]) -> None:
        """Run a step; a failure is printed and counted, and costs nothing else."""
        begin = time.perf_counter()
        try:
            step()
            verdict = "ok"
        except Exception:  # noqa: BLE001 - a check reports whatever happens
            traceback.print_exc()
            verdict = "FAILED: " + traceback.format_exc().strip().splitlines()[-1][:150]
        took = time.perf_counter() - begin
        say(f"-- {name}: {verdict} ({took:.1f} s)")
        self.rows.append((name, verdict))

    def note(self, name: str, value: object, text: str) -> None:
        """Keep a number for the file and a line for the table."""
        self.found[name] = value
        self.rows.append((name, text))
        say(f"   {name}: {text}")

    # -- what is needed -------------------------------------------------------------------------

    def load(self) -> None:
        """Read the images, all turned to landscape so that they share a shape, and the weights."""
        paths = sorted(self.options.data.glob("kodim*.png"))[: self.options.images]
        crop = self.options.crop
        self.images = []
        for path in paths:
            pixels = images_of.load(path)
            upright = pixels.shape[0] > pixels.shape[1]
            turned = np.transpose(pixels, (1, 0, 2)) if upright else pixels
            self.images.append(np.ascontiguousarray(turned[:crop, :crop]))
        self.manifest = checkpoints.find("gain-asym", preset="base", metric="mse")[0]
        self.engine = DeviceEngine(self.manifest, self.options.device, graphs=True)
        self.cpu = Engine(self.manifest, "cpu")
        rows, columns, _ = self.images[0].shape
        self.note("images", len(self.images), f"{len(self.images)} of {columns}x{rows}")

    # -- (a) the coder --------------------------------------------------------------------------

    def contexts(self, size: int) -> np.ndarray:
        """Contexts as a photograph gives them: runs of one channel, many at the floor."""
        channel = np.repeat(self.rng.normal(6, 12, size // 96 + 1), 96)[:size]
        left, right = (
            np.clip(channel + self.rng.normal(0, 3, size), 0, 39).astype(int) for _ in "lr"
        )
        return left * frequency_tables.NUM_SCALES + right

    def same_coder(self, name: str, parts: list[list[tuple[np.ndarray, np.ndarray]]]) -> None:
        """Compare the device's coder with the CPU's, for every lane count and the automatic one."""
        bank = self.cpu._bank()
        table = lookup(bank, self.device)
        sizes = [symbols.size for symbols, _ in parts[0]]
        writer = Writer(table, len(parts), sizes)
        for out, at in ((writer.symbols, 0), (writer.contexts, 1)):
            rows = [np.concatenate([part[at] for part in stream]) for stream in parts]
            out.copy_(torch.from_numpy(np.stack(rows)))
        for k in range(len(sizes)):
            writer.put(k)
        encoders = [rans.Encoder(bank) for _ in parts]
        for encoder, stream in zip(encoders, parts, strict=True):
            for symbols, contexts in stream:
                encoder.put(symbols, contexts)
        every = [None, *(rans.LANES if self.options.device != "cpu" else (8, 64))]
        for lanes in every:
            wanted = [encoder.finish(lanes) for encoder in encoders]
            counts = [encoder.lanes for encoder in encoders]
            got = writer.finish(None if lanes is None else [lanes] * len(parts))
            left = sum(item is None for item in got)
            if left:
                say(f"   {name}, lanes {lanes}: {left} streams left to the CPU")
            for i, item in enumerate(got):
                assert item is None or item == (wanted[i], counts[i]), (name, lanes, i)
            self.decodes(table, list(zip(wanted, counts, strict=True)), parts)
        # One damaged stream beside good ones is noticed, and hurts nobody.
        damaged = [(wanted[0][:-4], counts[0]), *zip(wanted[1:], counts[1:], strict=True)]
        verdicts = self.decodes(table, damaged, parts, first=1)
        assert verdicts[0] != 0, "truncation went unnoticed"
        assert not any(verdicts[1:]), verdicts
        self.note(f"coder, {name}", True, f"{len(every)} lane counts, {sum(sizes)} symbols: equal")

    def decodes(self, table: object, streams: list, parts: list, first: int = 0) -> list[int]:
        """Decode a batch on the device and compare with the symbols, from stream ``first`` on."""
        reader = Reader(table, len(streams), sum(len(data) // 2 for data, _ in streams))
        reader.load(streams)
        reader.start()
        for k in range(len(parts[0])):
            contexts = torch.from_numpy(np.stack([stream[k][1] for stream in parts]).astype(int))
            finders = table.finder[contexts.to(self.device)]
            symbols = torch.full_like(finders, -12345)
            scratch = torch.empty(3 * finders.numel() + 1, dtype=torch.int32, device=self.device)
            reader.part(finders, symbols, scratch)
            wanted = np.stack([stream[k][0] for stream in parts])[first:]
            assert (symbols[first:].cpu().numpy() == wanted).all(), f"part {k}"
        verdicts: list[int] = reader.verdicts().tolist()
        assert not any(verdicts[first:]), verdicts
        return verdicts

    def random_coder(self) -> None:
        """Random residuals of every size, escapes up to 32 bits, empty and short parts."""
        small = self.options.device == "cpu"
        batch = []
        for _ in range(2 if small else 8):
            stream = []
            for size in (300, 0, 70) if small else (12_288, 0, 98_304, 1, 33, 50_000):
                contexts = self.contexts(size)
                scales = frequency_tables.SCALES[contexts % frequency_tables.NUM_SCALES]
                symbols = np.rint(self.rng.normal(0, 1, size) * scales).astype(np.int32)
                wild = self.rng.random(size) < 0.01
                bits = self.rng.integers(1, 31, size)
                symbols[wild] = (self.rng.integers(-(2**30), 2**30, size) >> bits)[wild]
                stream.append((symbols, contexts.astype(np.int32)))
            batch.append(stream)
        self.same_coder("random", batch)

    def real_coder(self) -> None:
        """Symbols and contexts of real images at three levels."""
        stream_of = []
        for level in LEVELS[-1:] if self.options.device == "cpu" else LEVELS:
            self.real_parts(level, stream_of)
        self.same_coder("Kodak", stream_of)

    def real_parts(self, level: int, out: list) -> None:
        """Append the parts of one image, as the CPU's encoder codes them."""
        coder = self.cpu.coder
        y, z = self.cpu._gained_batch(self.images[:1], [level])
        put, parts = rans.Encoder.put, []

        def spy(encoder: rans.Encoder, symbols: np.ndarray, contexts: np.ndarray) -> None:
            flat = np.asarray(symbols).ravel(), np.asarray(contexts).ravel()
            parts.append(tuple(x.astype(np.int32) for x in flat))
            put(encoder, symbols, contexts)

        rans.Encoder.put = spy
        try:
            coder.encode(y, z, [level], Phases())
        finally:
            rans.Encoder.put = put
        out.append(parts)

    # -- (b) whole files ------------------------------------------------------------------------

    def files(self, level: int) -> None:
        """Files of each side decode on the other to the same latent; equal y gives equal bytes."""
        batch = self.images[: 1 if self.options.device == "cpu" else 2]
        steps = [level] * len(batch)
        y, z = self.cpu._gained_batch(batch, steps)
        here = self.cpu.coder.encode(y.clone(), z.clone(), steps, Phases())
        there = self.engine.coder.encode(y.to(self.device), z.to(self.device), steps, Phases())
        assert here == there, [(len(a.data), len(b.data)) for a, b in zip(here, there, strict=True)]
        ours, theirs = self.engine.encode(batch, steps), self.cpu.encode(batch, steps)
        for files in (ours, theirs):
            read = [container.read(data) for data in files]
            expected = self.cpu.decode_latents(read)
            for _ in range(1 if self.options.device == "cpu" else 3):  # run, record, replay
                assert torch.equal(self.engine.decode_latents(read).cpu(), expected), "latents"
        read = [container.read(data) for data in ours]
        pixels, reference = self.engine.decode(read), self.cpu.decode(read)
        mse = [
            [
                np.square(x.astype(float) - image).mean()
                for x, image in zip(side, batch, strict=True)
            ]
            for side in (pixels, reference, self.cpu.decode([container.read(t) for t in theirs]))
        ]
        psnr = [10 * np.log10(255**2 / np.mean(side)) for side in mse]
        bits = [8 * sum(map(len, side)) / sum(i.size / 3 for i in batch) for side in (ours, theirs)]
        text = (
            f"latents and bytes equal; {bits[0]:.4f} bpp {psnr[0]:.3f} dB all on the device, "
            f"{psnr[1]:.3f} dB with g_s on the CPU; on the CPU {bits[1]:.4f} bpp {psnr[2]:.3f} dB"
        )
        self.note(f"files, level {level / 256:g}", {"psnr": psnr, "bpp": bits}, text)

    # -- (c) speed ------------------------------------------------------------------------------

    def products(self) -> None:
        """Time the products that the exact networks are made of: float64, 36,864 x 256 x 256."""
        rows = 24 * 1536
        x, w = (torch.randn(n, 256, dtype=torch.float64, device=self.device) for n in (rows, 256))
        out = torch.empty_like(x)
        median = statistics.median(timed(lambda: [torch.mm(x, w, out=out) for _ in range(20)])) / 20
        tera = 2 * rows * 256 * 256 / median / 1e12
        self.note("float64 product", median, f"{1e6 * median:.0f} us, {tera:.1f} TFLOP/s")

    def speed(self, batch: int, *, graphs: bool = True) -> None:
        """Time encode and decode from and to bytes in memory, and by phase."""
        engine = self.engine
        if not graphs:
            engine = DeviceEngine(self.manifest, self.options.device, graphs=False)
        images = self.images[:batch]
        pixels = sum(image.shape[0] * image.shape[1] for image in images) / 1e6
        steps = [LEVEL] * len(images)
        start = time.perf_counter()
        files = engine.encode(images, steps)
        say(f"   first encode at this size: {time.perf_counter() - start:.1f} s")
        lanes = min(container.read(data)[0].lanes for data in files)
        symbols = images[0].shape[0] * images[0].shape[1] * (256 / 16**2 + 128 / 64**2)
        calls = {
            "encode": lambda phases: engine.encode(images, steps, phases),
            "decode": lambda phases: engine.decode([container.read(f) for f in files], phases),
        }
        for name, call in calls.items():
            seconds = timed(lambda call=call: call(None))
            median = statistics.median(seconds)
            phases = self.phases(call)
            detail = ", ".join(f"{phase} {ms:.2f}" for phase, ms in phases.items())
            step_us = 1e3 * phases["entropy coding"] * lanes / symbols
            facts = {"seconds": seconds, "mp_s": pixels / median, "phases_ms": phases}
            text = (
                f"{1e3 * median:8.2f} ms {pixels / median:7.1f} MP/s"
                f"  ({detail}; {lanes} lanes: {step_us:.2f} us a step)"
            )
            kind = name if graphs else f"{name} without graphs"
            self.note(f"{kind}, batch {len(images)}", facts, text)

    def phases(self, call: Callable[[Phases], object]) -> dict[str, float]:
        """Return the median milliseconds of each phase over five calls."""
        clocks = [Phases(synchronise) for _ in range(5)]
        for clock in clocks:
            call(clock)
        names = clocks[0].time_s
        return {n: 1e3 * statistics.median(c.time_s.get(n, 0.0) for c in clocks) for n in names}

    def rival(self, batch: int) -> None:
        """Time CompressAI's mbt2018-mean, untrained, by its own compress and decompress."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from compressai.zoo import mbt2018_mean
        net = mbt2018_mean(quality=5, pretrained=False).eval().to(self.device)
        net.update(force=True)
        images = self.images[:batch]
        pixels = sum(image.shape[0] * image.shape[1] for image in images) / 1e6
        x = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            coded = net.compress(x)
            calls = {
                "compress": lambda: net.compress(x),
                "decompress": lambda: net.decompress(coded["strings"], coded["shape"]),
            }
            for name, call in calls.items():
                seconds = timed(call, warm_up=3 if batch == 1 else 0, budget_s=5.0)
                median = statistics.median(seconds)
                text = f"{1e3 * median:8.1f} ms {pixels / median:7.2f} MP/s"
                facts = {"seconds": seconds, "mp_s": pixels / median}
                self.note(f"mbt2018-mean {name}, batch {len(images)}", facts, text)

    def report(self) -> None:
        """Print the table and write the file."""
        if torch.cuda.is_available():
            peak = torch.cuda.max_memory_allocated() / 2**30
            self.note("peak device memory", peak, f"{peak:.1f} GiB")
        out = self.options.out
        out.mkdir(parents=True, exist_ok=True)
        (out / "gpu_check.json").write_text(json.dumps(self.found, indent=1, default=str))
        say(f"\n{'=' * 30} {time.perf_counter() - self.started:.0f} s")
        for name, text in self.rows:
            say(f"{name:32} {text}")


def main() -> None:
    """Parse the command line and run every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the Kodak images")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of gpu_check.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--crop", type=int, default=1 << 20, help="pixels a side, for dry runs")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 4, 8, 24])
    options = parser.parse_args()
    check = Check(options)
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    versions = f"torch {torch.__version__}, triton {triton.__version__}, numpy {np.__version__}"
    check.note("machine", card, f"{card}; {versions}; Python {platform.python_version()}")
    check.run("load", check.load)
    check.run("coder, random data", check.random_coder)
    check.run("coder, Kodak", check.real_coder)
    for level in LEVELS:
        check.run(f"files at level {level / 256:g}", lambda level=level: check.files(level))
    check.run("float64 products", check.products)
    for batch in options.batches:
        check.run(f"speed at batch {batch}", lambda batch=batch: check.speed(batch))
    check.run("speed without graphs", lambda: check.speed(1, graphs=False))
    for batch in (1, 24):
        if batch in options.batches:
            check.run(f"CompressAI at batch {batch}", lambda batch=batch: check.rival(batch))
    check.report()


if __name__ == "__main__":
    main()
