"""What a measurement leaves: ``throughput.csv``, ``.json``, ``.md`` and the plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.files import make_folder, write_atomically
from bench.output.csv_files import to_csv
from bench.throughput import plots, tables
from bench.throughput.measure import Result
from bench.throughput.rows import frame, plain

STEM = "throughput"


def write(
    result: Result, out: Path, record: Mapping[str, Any], results: Path | None = None
) -> list[Path]:
    """Write everything into a folder, over what another measurement left there; return the paths.

    With ``results``, a folder that ``bench all`` wrote, the plot shows BD-rates.

    Raises
    ------
    UsageError, OutputError
        If the results cannot be used, or a file cannot be written.
    """
    folder = make_folder(out)
    content = {
        "rows": plain(result.rows),
        "quality": plain(result.quality),
        "failed": [{"configuration": c, "reason": r} for c, r in result.failed],
        "notes": result.notes,
        "record": dict(record),
    }
    files = {
        folder / f"{STEM}.csv": to_csv(frame(result.rows)),
        folder / f"{STEM}.json": json.dumps(content, indent=1, allow_nan=False).encode() + b"\n",
        folder / f"{STEM}.md": tables.documents(result, record).encode(),
    }
    for path, data in files.items():
        write_atomically(path, data)
    return [*files, *plots.write(result, folder, record, results)]
