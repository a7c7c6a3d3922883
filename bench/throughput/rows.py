"""The rows of ``throughput.csv``: one phase of one direction of one configuration each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd

from bench.throughput.sampling import Spread

START = "start"
"""Direction of the rows of a process start."""


@dataclass(frozen=True, slots=True)
class Config:
    """One way to run one codec.

    Attributes
    ----------
    dataset, codec, label, setting
        As in ``rows.csv`` of ``bench all``.
    device
        ``cpu`` or ``cuda``.
    processes, threads
        That work at once, and the threads of each.
    batch
        Images a call.
    precision
        Of a learned codec's networks; empty for the others.
    """

    dataset: str
    codec: str
    label: str
    setting: str
    device: str
    processes: int
    threads: int
    batch: int
    precision: str


@dataclass(frozen=True, slots=True)
class Row(Config):
    """A measured time; NaN where a number does not apply or is unknown.

    Attributes
    ----------
    direction
        ``encode``, ``decode`` or ``start``.
    phase
        The direction's own name is the whole call, memory to memory. ``analysis``, ``entropy
        model``, ``entropy coding``, ``synthesis`` and ``other`` are its parts, ``load`` and
        ``write`` lie around it.
    images, megapixels
        Of a pass, all processes together.
    median_s, iqr_s
        Of a pass, over the repeats.
    ms_per_image, mp_per_s
        From the median; with several processes the aggregate.
    peak_host_bytes, peak_device_bytes
        Resident memory of the processes; tensors on the GPU.
    energy_j_per_mp
        Of the GPU's board.
    busy
        Whether others worked beside it.
    """

    direction: str
    phase: str
    images: int
    megapixels: float
    median_s: float
    iqr_s: float
    ms_per_image: float
    mp_per_s: float
    peak_host_bytes: float
    peak_device_bytes: float
    energy_j_per_mp: float
    busy: bool


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True, slots=True)
class Size:
    """What a pass codes."""

    images: int
    megapixels: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a direction used, beside time; NaN where unknown."""

    peak_host_bytes: float = math.nan
    peak_device_bytes: float = math.nan
    energy_j_per_mp: float = math.nan


def of_phase(
    config: Config,
    direction: str,
    phase: str,
    size: Size,
    time: Spread,
    *,
    cost: Cost | None = None,
    busy: bool,
) -> Row:
    """Return the row of one phase; what is derived is derived here."""
    return Row(
        **asdict(config),
        direction=direction,
        phase=phase,
        images=size.images,
        megapixels=round(size.megapixels, 6),
        median_s=time.median_s,
        iqr_s=time.iqr_s,
        ms_per_image=1000 * time.median_s / size.images if size.images else math.nan,
        mp_per_s=size.megapixels / time.median_s if time.median_s and size.images else math.nan,
        **asdict(cost or Cost()),
        busy=busy,
    )


def of_start(config: Config, phases: Mapping[str, float], *, busy: bool) -> list[Row]:
    """Return the rows of a process start, and their sum as phase ``start``."""
    times = {**phases, START: sum(phases.values())}
    return [
        of_phase(config, START, name, Size(0, 0.0), Spread(time_s, math.nan), busy=busy)
        for name, time_s in times.items()
    ]


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the rows as a table with the columns of ``throughput.csv``."""
    return pd.DataFrame([asdict(row) for row in rows], columns=list(COLUMNS))


def plain(lines: Iterable[Any]) -> list[dict[str, Any]]:
    """Return dataclasses for JSON: None for numbers that are unknown or infinite."""
    return [
        {k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in line.items()}
        for line in map(asdict, lines)
    ]
