"""Rows that cannot be true, or that contradict each other, are refused with their place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

from bench.errors import BenchError, UsageError
from bench.gate.rows import Row
from bench.measurement.untrusted import MAX_VALUE, check_setting
from bench.registry import Spec

RESTORE = "Restore it, or remove it and lock the baseline again."
_HASH = re.compile(r"[0-9a-f]{64}")


def check_rows(rows: Iterable[Row], source: str) -> None:
    """Refuse rows that cannot be true, or that contradict each other.

    Raises
    ------
    UsageError
        With the first such row.
    """
    seen: set[tuple[str, ...]] = set()
    pictures: dict[tuple[str, str], tuple[object, ...]] = {}
    for row in rows:
        where = f"{source}: {row.dataset}, {row.image}, {row.codec} {row.setting}"
        picture = row.width, row.height, row.pixels_sha256
        fault = _fault(row)
        if row.key in seen:
            fault = "stands there twice"
        elif pictures.setdefault((row.dataset, row.image), picture) != picture:
            fault = "is of another picture than an earlier row of the same name"
        if fault:
            raise UsageError(f"{where}: {fault}", RESTORE)
        seen.add(row.key)


def _fault(row: Row) -> str:
    """Return why a row cannot be true; empty where it can."""
    try:
        check_setting(row.setting, Path(row.curve))
        of_codec = row.codec and Spec.parse(row.curve).name == row.codec
    except (BenchError, ValueError, TypeError, AttributeError, RecursionError):
        return "the setting is no JSON object, or the curve is none"
    size, has_hash = row.size_bytes, _HASH.fullmatch(row.bitstream_sha256)
    faults = {
        "a name is missing": not (row.dataset and row.image),
        "the curve is another codec's": not of_codec,
        f"an image of {row.width}x{row.height} pixels": not (
            1 <= min(row.width or 0, row.height or 0) <= max(row.width, row.height) <= MAX_VALUE
        ),
        "the hash of the source's pixels is missing": not _HASH.fullmatch(row.pixels_sha256),
        "a failed cell has a file": row.error and (size is not None or row.bitstream_sha256),
        f"a file of {size} bytes": not row.error and not 1 <= (size or 0) <= 1e3 * MAX_VALUE,
        "a score is out of range": any(
            math.isfinite(value) and abs(value) > 1e3 * MAX_VALUE
            for value in row.scores.values()
            if value is not None
        ),
        "the hash of the file is missing": not row.error and not has_hash,
    }
    return next((fault for fault, found in faults.items() if found), "")
