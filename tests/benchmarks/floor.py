"""What a run adds to the libraries' own encode and decode of the same pictures, in CPU seconds.

``python tests/benchmarks/floor.py --data FOLDER_OF_KODAK``

The floor is Pillow's JPEG and WebP at ten qualities on eight pictures, in one process. The runs
measure four pictures and those eight more; what the eight cost is the difference, so that start-up,
tables and plots, which are the same for both, are no part of it. CPU seconds of all processes, the
floor between the runs: other work on the machine slows both.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

_SPEC = importlib.util.spec_from_file_location("growth", Path(__file__).with_name("growth.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
growth = importlib.util.module_from_spec(_SPEC)
sys.modules["growth"] = growth
_SPEC.loader.exec_module(growth)

QUALITIES = range(5, 100, 10)
CODECS = {"JPEG": {"subsampling": "4:2:0"}, "WEBP": {"method": 4}}
FEW, MANY = 4, 12


def floor_s(paths: list[Path]) -> float:
    """Return CPU seconds of the libraries alone."""
    pictures = [np.array(Image.open(path).convert("RGB")) for path in paths]
    started = time.process_time()
    for picture in pictures:
        for name, options in CODECS.items():
            for quality in QUALITIES:
                buffer = BytesIO()
                Image.fromarray(picture).save(buffer, name, quality=quality, **options)
                np.array(Image.open(BytesIO(buffer.getvalue())))
    return time.process_time() - started


def run_s(pictures: Path, out: Path, metrics: list[str]) -> float:
    """Return CPU seconds of a run from nothing."""
    shutil.rmtree(out, ignore_errors=True)
    words = [*growth.BENCH, "all", "-d", f"folder:{pictures}", "-c", "jpeg", "-c", "webp"]
    words += ["-q", ",".join(map(str, QUALITIES)), "--out", out]
    return float(growth.cost_of(*words, *(w for m in metrics for w in ("-m", m))).cpu_s)


def main() -> None:
    """Print the floor and what each run adds to it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    paths = sorted(parser.parse_args().data.glob("*.png"))[:MANY]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for count in (FEW, MANY):
            (place / f"p{count}").mkdir()
            for path in paths[:count]:
                shutil.copy(path, place / f"p{count}")
        for metrics in (["bpp"], ["psnr"], ["psnr", "ms_ssim"]):
            few = run_s(place / f"p{FEW}", place / "out", metrics)
            floor = floor_s(paths[FEW:])
            more = run_s(place / f"p{MANY}", place / "out", metrics) - few
            sys.stdout.write(
                f"{'+'.join(metrics)}: {more:.2f} CPU s for {len(paths) - FEW} pictures, floor "
                f"{floor:.2f}, {100 * (more / floor - 1):+.0f} %\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
