"""Rows of results as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.codec import Setting


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of a frame, column -> value."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def setting_of(row: Mapping[str, Any]) -> Setting:
    """Return the setting that a row's file was made with: of a search, the one that was found."""
    return Setting.from_json(str(row.get("found_setting") or row["setting"]))
