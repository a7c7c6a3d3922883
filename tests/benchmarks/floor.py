"""What a run adds to the libraries' own encode and decode of the same pictures, in CPU seconds.

``python tests/benchmarks/floor.py --data FOLDER_OF_KODAK``

The floor is Pillow's JPEG and WebP at ten qualities: half of the pictures in each of two processes
at once, as a run has them, and all of them in one process alone. The runs measure six pictures and
all 24, by ``bench.run``; what the further ones cost is the difference, so that the start-up, which
is the same for both, is no part of it: it is shown by itself. (Of two pictures a run is too short
to start its second worker.) CPU seconds of all processes.

CPU time of the very same work differs by 10 % and more from one minute to the next. So a round has
each run once and the floor before and after each pair of runs, each difference is divided by the
mean of the two floors beside it, and what counts is the median of five rounds. The lowest and the
highest are shown as well: a change that is smaller than they are apart was not seen. Where others
use the machine, caches and memory are slower, never faster: then the least that short runs, long
runs and floors took in any round says more.

Then the parts of a run that are known are measured in one process, picture by picture beside the
floor of the same picture; what else a run adds crosses between processes and into the store.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench import image, metrics, registry

_SPEC = importlib.util.spec_from_file_location("growth", Path(__file__).with_name("growth.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
growth = importlib.util.module_from_spec(_SPEC)
sys.modules["growth"] = growth
_SPEC.loader.exec_module(growth)

QUALITIES = range(5, 100, 10)
CODECS = {"JPEG": {"subsampling": "4:2:0"}, "WEBP": {"method": 4}}
METRICS = (["bpp"], ["psnr"], ["psnr", "ms_ssim"])
FEW, MANY = 6, 24


def files_of(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the picture after each codec at each quality."""
    found = []
    for name, options in CODECS.items():
        for quality in QUALITIES:
            buffer = BytesIO()
            Image.fromarray(picture).save(buffer, name, quality=quality, **options)
            found.append(np.array(Image.open(BytesIO(buffer.getvalue()))))
    return found


def floor_s(paths: list[Path]) -> float:
    """Return CPU seconds of the libraries alone."""
    pictures = [np.array(Image.open(path).convert("RGB")) for path in paths]
    started = time.process_time()
    for picture in pictures:
        files_of(picture)
    return time.process_time() - started


def parts_of(path: Path) -> dict[str, float]:
    """Return CPU seconds of what a run does with one picture, by part."""
    clock, found = [time.process_time()], {}

    def took(part: str) -> None:
        clock.append(time.process_time())
        found[part] = clock[-1] - clock[-2]

    picture = image.load(path)
    image.pixels_sha256(picture)
    took("loading and hashing")
    decoded = files_of(picture)
    took("floor")
    for name in CODECS:
        codec = registry.create(name.lower())
        codec.ceiling(picture, registry.complete(codec, codec.ladder()[0]))
        took(f"{name}'s no-codec ceiling")
    for name in ("psnr", "ms_ssim"):
        metric = metrics.create(name)
        state = metric.prepare(picture)
        took(f"{name} of the original")
        for one in decoded:
            metric.score(state, one)
        took(f"{name} of the files")
    return found


def floor_of_two_s(paths: list[Path]) -> float:
    """Return the same of two processes, each with half of the pictures, at once."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return sum(pool.map(floor_s, (paths[::2], paths[1::2])))


def run_s(
    paths: list[Path],
    out: Path,
    names: list[str],
    codecs: tuple[str, ...] = ("jpeg", "webp"),
    qualities: range = QUALITIES,
    suite: Path | None = None,
) -> float:
    """Return CPU seconds of a run from nothing, by another copy of the suite if one is named."""
    shutil.rmtree(out, ignore_errors=True)
    images = [path.name for path in paths]
    words = [f"folder:{paths[0].parent}"], [*codecs], names
    code = f"bench.run(*{words!r}, quality={[*qualities]}, images={images}, out={str(out)!r})"
    where = f"import sys; sys.path.insert(0, {str(suite)!r}); " if suite else ""
    return float(growth.cost_of(sys.executable, "-c", f"{where}import bench; {code}").cpu_s)


def suite_with_nothing(place: Path) -> Path:
    """Return a folder with the suite, by links, and among its codecs one that does nothing."""
    root = Path(image.__file__).parents[2]
    for name in ("bench", "codecs"):
        (place / name).mkdir(parents=True)
        for path in (root / name).iterdir():
            if path.name not in ("codecs", "__pycache__"):
                (place / name / path.name).symlink_to(path)
    (place / "bench" / "codecs").symlink_to(place / "codecs")
    shutil.copy(Path(__file__).with_name("nothing.py"), place / "codecs")
    return place


def harness_s(paths: list[Path], out: Path) -> float:
    """Return CPU seconds of what a run with a codec that does nothing takes for files alone.

    Those of a picture beyond its first two; ten times as many as JPEG and WebP have, since they
    cost so little.
    """
    suite = suite_with_nothing(out.with_name("suite"))
    few, many = range(40, 42), range(1, 101)
    run_s(paths[:FEW], out, ["bpp"], ("nothing",), few, suite)
    costs = [
        run_s(paths, out, ["bpp"], ("nothing",), qualities, suite) for qualities in (few, many) * 3
    ]
    more = min(costs[1::2]) - min(costs[::2])
    return more / (len(paths) * (len(many) - len(few)))


def one_round(paths: list[Path], out: Path) -> tuple[list[float], list[tuple[float, float]]]:
    """Return the floors of a round, one more than runs, and what the short and long runs cost."""
    floors, runs = [floor_of_two_s(paths[FEW:])], []
    for names in METRICS:
        runs.append((run_s(paths[:FEW], out, names), run_s(paths, out, names)))
        floors.append(floor_of_two_s(paths[FEW:]))
    return floors, runs


def spread(values: list[float], form: str) -> str:
    """Return median, lowest and highest in words."""
    middle, low, high = (form.format(f(values)) for f in (statistics.median, min, max))
    return f"{middle} (median; {low} to {high})"


def main() -> None:
    """Print the floor and what each run adds to it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    paths = sorted(given.data.glob("*.png"))[:MANY]
    alone, rounds = [], []
    with tempfile.TemporaryDirectory() as name:
        out = Path(name, "out")
        run_s(paths[:FEW], out, METRICS[-1])  # compiles loops, where none are kept
        for _ in range(given.rounds):
            alone.append(floor_s(paths[FEW:]))
            rounds.append(one_round(paths, out))
    two = [floor for floors, _ in rounds for floor in floors]
    for title, values in (("two processes at once", two), ("one process alone", alone)):
        each = [1000 * value / (MANY - FEW) for value in values]
        sys.stdout.write(f"floor, {title}: {spread(each, '{:.0f}')} CPU ms a picture\n")
    for place, names in enumerate(METRICS):
        runs = [runs[place] for _, runs in rounds]
        beside = [statistics.mean(floors[place : place + 2]) for floors, _ in rounds]
        added = [(many - few) / s - 1 for (few, many), s in zip(runs, beside, strict=True)]
        few_s, many_s = (min(values) for values in zip(*runs, strict=True))
        least, start = many_s - few_s, (few_s * MANY - many_s * FEW) / (MANY - FEW)
        more = f"{spread(added, '{:+.0%}')} of the floor; {least / min(two) - 1:+.0%} by the least"
        sys.stdout.write(f"{'+'.join(names)}: {more}; {start:.2f} CPU s to start and end\n")
    with tempfile.TemporaryDirectory() as name:
        each = 1000 * harness_s(paths, Path(name, "out"))
    files = len(CODECS) * len(QUALITIES)
    share = files * each / (1000 * min(two) / (MANY - FEW))
    sys.stdout.write(f"harness and store: {each:.2f} CPU ms a file, {share:.1%} of the floor\n")
    parts_of(paths[0])
    parts = [parts_of(path) for path in paths[FEW:]]
    for part in parts[0]:
        shares = [one[part] / one["floor"] for one in parts]
        milliseconds = 1000 * statistics.median(one[part] for one in parts)
        sys.stdout.write(f"{part}: {milliseconds:.1f} CPU ms, {spread(shares, '{:.1%}')}\n")


if __name__ == "__main__":
    main()
