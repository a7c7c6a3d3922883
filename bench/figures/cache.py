"""What figures measured themselves, kept so that drawing again is quick.

One JSON file per measurement, named by a hash of everything that decides its outcome: the
experiment's version, the weights, the pixels, the options. The run record of the measuring is kept
with the numbers, so a figure drawn later still says when and where they were made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.files import make_folder, write_atomically
from bench.measurement import provenance


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement: its rows and the run record of when it was made."""

    frame: pd.DataFrame
    record: Mapping[str, Any]


class Cache:
    """A folder of measurements.

    Parameters
    ----------
    folder
        Made when the first one is stored.
    fresh
        Measure again, whatever is stored.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.folder = folder
        self.fresh = fresh
        self._made: set[Path] = set()

    def get(
        self, name: str, key: Mapping[str, Any], measure: Callable[[], pd.DataFrame]
    ) -> Measured:
        """Return a stored measurement, or make and store it.

        Parameters
        ----------
        name
            Of the experiment; a word for people in front of the file's hash.
        key
            Plain data that decides the outcome.
        measure
            Makes the rows; called where nothing fitting is stored.

        Raises
        ------
        OutputError
            If the result cannot be stored.
        """
        text = json.dumps(key, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = self.folder / f"{name}-{digest[:16]}.json"
        stored = None if self.fresh and path not in self._made else _read(path, text)
        if stored is not None:
            return stored
        frame = measure()
        record = provenance.record()
        content = {"key": text, "record": record, "rows": frame.to_dict(orient="list")}
        make_folder(self.folder)
        write_atomically(path, json.dumps(content).encode() + b"\n")
        self._made.add(path)
        return Measured(frame, record)


def _read(path: Path, key: str) -> Measured | None:
    """Return what is stored under ``key``; None where it is missing, damaged or another's."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] == key:
            return Measured(pd.DataFrame(content["rows"]), content["record"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None
