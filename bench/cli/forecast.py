"""How long a run will still take: the cells that are left, each weighed by what it costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.measurement.encoding import Encoding
    from bench.measurement.worker import Task


class Forecast:
    """Learns seconds per pixel of each codec and setting from the cells that are done.

    Counting cells would say minutes where an hour is left: an encoder that refines a picture takes
    ten thousand times as long as JPEG. What a cell takes beside encoding and decoding (scores,
    mostly) is the same for all.

    Parameters
    ----------
    tasks
        What is to be measured.
    jobs
        Processes that share the work.
    """

    def __init__(self, tasks: Iterable[Task] = (), jobs: int = 1) -> None:
        self._left: Counter[tuple[str, str]] = Counter()
        self._kinds: dict[str, tuple[str, str]] = {}  # a search ends at another setting
        for task in tasks:
            self._kinds[task.row.key] = kind = _kind(task.row)
            self._left[kind] += _pixels(task.row)
        self._jobs = jobs
        self._pixels: Counter[tuple[str, str]] = Counter()
        self._seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._begun_s: float | None = None

    def add(self, row: Encoding, now_s: float) -> None:
        """Take a cell that was done at a time of ``time.monotonic``."""
        kind, pixels = _kind(row), _pixels(row)
        if kind not in self._left:
            kind = self._kinds.get(row.key, kind)
        coded_s = (row.encode_s or 0.0) + (row.decode_s or 0.0)
        if self._begun_s is None:  # what workers take to start is no cost of a cell
            self._begun_s = now_s - coded_s
        self._left[kind] -= pixels
        self._pixels[kind] += pixels
        self._seconds[kind] += coded_s

    def left_s(self, now_s: float) -> float | None:
        """Return the seconds that are left; None while nothing is known of some setting."""
        left = {kind: pixels for kind, pixels in self._left.items() if pixels > 0}
        if self._begun_s is None or any(kind not in self._pixels for kind in left):
            return None
        elapsed_s, coded_s = max(now_s - self._begun_s, 1e-9), sum(self._seconds.values())
        jobs = max(self._jobs, coded_s / elapsed_s)  # a cluster may have more than was said
        beside = max(0.0, elapsed_s * jobs - coded_s) / max(1, self._pixels.total())
        cost_s = sum(
            pixels * (self._seconds[kind] / self._pixels[kind] + beside)
            for kind, pixels in left.items()
        )
        return cost_s / jobs


def clock(seconds: float) -> str:
    """Return a time as people read it.

    >>> clock(75), clock(3675)
    ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _kind(row: Encoding) -> tuple[str, str]:
    return row.codec, row.setting


def _pixels(row: Encoding) -> int:
    return row.width * row.height
