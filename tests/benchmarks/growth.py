"""What more and larger pictures cost: CPU seconds and memory of whole commands, a table, a plot.

``python tests/benchmarks/growth.py --out results/growth``

CPU seconds are those of a command and of all its processes, so that other work on the machine
counts less than in the time on a clock, which stands beside them. Memory is the most that any
process holds alone, and the most that all of them hold at a time. Pictures are generated: PNGs of
64x64 for the numbers of pictures, and for each size in megapixels one of noise and waves, which a
process that calls the codec alone encodes and decodes as well.

Lines of ``--out`` that were not measured again stay: slow codecs may be measured in a call of their
own, with ``--pictures`` alone.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import psutil
from PIL import Image

mpl.use("Agg")
from matplotlib.figure import Figure

mpl.rcParams["svg.fonttype"] = "none"

BENCH = (sys.executable, "-m", "bench")
ALONE = """
import sys
from bench import image, registry
from bench.registry.settings import complete
codec = registry.create(sys.argv[1])
picture = image.load(sys.argv[2])
setting = complete(codec, codec.ladder()[len(codec.ladder()) // 2])
codec.decode(codec.encode(picture, setting))
"""
MIB = 2**20


@dataclass
class Cost:
    """What the processes of a command took: CPU seconds of each, and the most that they held."""

    wall_s: float = 0.0
    used_s: dict[int, float] = field(default_factory=dict)
    peak_bytes: int = 0
    total_bytes: int = 0

    def look(self, process: psutil.Process) -> None:
        """Add what a process and its descendants have used until now."""
        total = 0
        with contextlib.suppress(psutil.Error):
            for one in [process, *process.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    times, held = one.cpu_times(), one.memory_info()
                    self.used_s[one.pid] = times.user + times.system
                    alone = held.rss - getattr(held, "shared", 0)
                    self.peak_bytes = max(self.peak_bytes, alone)
                    total += alone
        self.total_bytes = max(self.total_bytes, total)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all of them."""
        return sum(self.used_s.values())


def cost_of(*words: object) -> Cost:
    """Run a command and return what it cost."""
    cost, started = Cost(), time.perf_counter()
    with subprocess.Popen(
        [*map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        said: list[bytes] = []
        assert process.stderr is not None
        reader = threading.Thread(target=lambda: said.extend(process.stderr or []))
        reader.start()
        while process.poll() is None:
            cost.look(psutil.Process(process.pid))
            time.sleep(0.02)
        reader.join()
    if process.returncode:
        sys.exit(f"{words} ended with {process.returncode}: {b''.join(said).decode()}")
    cost.wall_s = time.perf_counter() - started
    return cost


def small_pictures(folder: Path, count: int) -> Path:
    """Fill a folder with pictures of 64x64."""
    folder.mkdir()
    random = np.random.default_rng(1)
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{index:05d}.png")
    return folder


def large_picture(folder: Path, megapixels: int) -> Path:
    """Write one picture of noise and waves into a folder."""
    folder.mkdir()
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5) // 16 * 16
    width = round(megapixels * 1e6 / height) // 16 * 16
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = 90 * np.sin(rows / 37) * np.cos(columns / 53)
    del rows, columns
    random = np.random.default_rng(2)
    picture = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        noise = random.normal(128, 8, (height, width)).astype(np.float32)
        picture[..., channel] = np.clip(wave + noise, 0, 255)
    path = folder / "large.ppm"
    Image.fromarray(picture).save(path)
    return path


def by_number(place: Path, counts: list[int]) -> Iterator[tuple[str, str, int, Cost]]:
    """Yield what each command of a run on so many pictures costs."""
    for count in counts:
        pictures, out = small_pictures(place / f"p{count}", count), place / f"r{count}"
        words = [*BENCH, "all", "-d", f"folder:{pictures}", "-c", "jpeg", "-q", "50,90"]
        words += ["-m", "psnr", "--out", str(out)]
        yield "bench all", "pictures", count, cost_of(*words)
        yield "again", "pictures", count, cost_of(*words)
        yield "bench tables", "pictures", count, cost_of(*BENCH, "tables", "--out", out)
        yield "bench report", "pictures", count, cost_of(*BENCH, "report", "--out", out)


def by_size(
    place: Path, sizes: list[int], codecs: list[str]
) -> Iterator[tuple[str, str, int, Cost]]:
    """Yield what one picture of so many megapixels costs with a codec, in a run and alone."""
    for size in sizes:
        path = large_picture(place / f"m{size}", size)
        for codec in codecs:
            out = place / f"m{size}-{codec}"
            words = [*BENCH, "all", "-d", f"folder:{path.parent}", "-c", codec, "--points", "1"]
            words += ["-m", "psnr", "-j", "1", "--out", str(out)]
            yield codec, "megapixels", size, cost_of(*words)
            yield (
                f"{codec} alone",
                "megapixels",
                size,
                cost_of(sys.executable, "-c", ALONE, codec, path),
            )


def draw(frame: pd.DataFrame, path: Path) -> None:
    """Draw CPU seconds against the number of pictures, and memory against their size."""
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    panels = ((left, "pictures", "cpu_s", "CPU s"), (right, "megapixels", "peak_mib", "MiB"))
    for axes, unit, column, title in panels:
        for what, line in frame[frame["unit"] == unit].groupby("what", sort=False):
            style = "--" if str(what).endswith("alone") else "-"
            axes.plot(line["size"], line[column], style, marker="o", markersize=3, label=what)
        axes.set(xscale="log", yscale="log", xlabel=unit, ylabel=title)
        axes.minorticks_off()
        if axes.lines:
            axes.legend(fontsize=6, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def table(frame: pd.DataFrame) -> str:
    """Return the numbers in Markdown."""
    lines = [
        "| what | size | CPU s | s | MiB, largest process | MiB, all |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {one.what} | {one.size} {one.unit} | {one.cpu_s:.2f} | {one.wall_s:.1f} | "
        f"{one.peak_mib:.0f} | {one.total_mib:.0f} |"
        for one in frame.itertuples()
    ]
    return "\n".join(lines) + "\n"


def with_earlier(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return some lines and those of a file that they do not replace, pictures first, by size."""
    key = ["what", "unit", "size"]
    earlier = pd.read_csv(path) if path.is_file() else frame[:0]
    every = pd.concat([earlier, frame]).drop_duplicates(key, keep="last")
    order = {what: place for place, what in enumerate(dict.fromkeys(every["what"]))}
    place = every["what"].map(order)
    every = every.assign(place=place, large=every["unit"] != "pictures")
    return every.sort_values(["large", "size", "place"]).drop(columns=["place", "large"])


def main() -> None:
    """Measure, write ``growth.csv``, ``growth.md`` and ``growth.svg``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--megapixels", type=int, nargs="*", default=[1, 10, 40, 100])
    parser.add_argument("--codecs", nargs="*", default=["jpeg", "webp", "avif", "bpg", "jxl"])
    options = parser.parse_args()
    records = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        measured = [by_number(place, options.pictures)]
        measured.append(by_size(place, options.megapixels, options.codecs))
        for part in measured:
            for what, unit, size, cost in part:
                peak, total = cost.peak_bytes / MIB, cost.total_bytes / MIB
                records.append((what, unit, size, cost.cpu_s, cost.wall_s, peak, total))
                sys.stdout.write(
                    f"{what} {size} {unit}: {cost.cpu_s:.2f} CPU s, {peak:.0f} of {total:.0f} MiB\n"
                )
                sys.stdout.flush()
    columns = ["what", "unit", "size", "cpu_s", "wall_s", "peak_mib", "total_mib"]
    frame = pd.DataFrame(records, columns=columns)
    options.out.mkdir(parents=True, exist_ok=True)
    frame = with_earlier(frame.round(3), options.out / "growth.csv")
    frame.to_csv(options.out / "growth.csv", index=False)
    (options.out / "growth.md").write_text(table(frame))
    draw(frame, options.out / "growth.svg")


if __name__ == "__main__":
    main()
