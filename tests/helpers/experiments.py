"""An experiment, the codec and the metric of a file, and what a folder of results holds."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from bench import metrics, registry

FILE = """
datasets = ["folder:pictures"]
codecs = ["jpeg", "webp:method=0", { codec = "jpeg:subsampling=4:4:4", quality = [30, 60] }]
metrics = ["psnr"]
points = 2
anchor = "jpeg"
"""
MINE = """
import zlib
import numpy as np
from bench.codec import Codec, Setting
class Mine(Codec):
    name = "mine"
    def ladder(self): return [Setting(step=64, bias=1), Setting(step=8, bias=1)]
    def version(self): return "1"
    def encode(self, image, setting):
        head = bytes([setting["step"]]) + b"".join(n.to_bytes(2) for n in image.shape[:2])
        return head + zlib.compress((image // setting["step"]).tobytes())
    def decode(self, data):
        shape = int.from_bytes(data[1:3]), int.from_bytes(data[3:5]), 3
        return np.frombuffer(zlib.decompress(data[5:]), np.uint8).reshape(shape) * data[0]
"""

METRIC = """
from bench.metrics import Metric
class Worst(Metric):
    name = "worst"
    title = "Largest error"
    higher_is_better = False
    limits = (0.0, 255.0)
    definition = "The largest difference of any two samples."
    def score(self, state, decoded):
        return float(abs(state.astype(int) - decoded).max())
"""


def cells(folder: Path) -> list[tuple[str, ...]]:
    """Return dataset, image, curve, setting and key of every cell of the last plan of a folder."""
    with closing(sqlite3.connect(folder / "bench.sqlite")) as db, db:
        return db.execute(
            "SELECT dataset, image, curve, setting, key FROM cells"
            " WHERE run = (SELECT MAX(id) FROM runs) ORDER BY 1, 2, 3, 4"
        ).fetchall()


def as_another_process() -> None:
    """Forget the codecs and metrics of files, as the next process would not know them."""
    os.environ["BENCH_CODEC_FILES"] = os.environ["BENCH_METRIC_FILES"] = "{}"
    registry.discover.cache_clear()
    metrics.discover.cache_clear()
