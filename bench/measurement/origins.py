"""What a reader must know of results that were not measured in one run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.errors import one_line

_NAMED = 4


def provenance_remarks(record: Mapping[str, Any]) -> list[str]:
    """Return sentences on the runs that were merged, what was left out, and what was imported."""
    lines = []
    if runs := record.get("merged") or []:
        told = [_words(run) for run in runs[:_NAMED]]
        more = f"; and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
        lines.append(f"merged from {len(runs)} runs: {'; '.join(told)}{more}")
    if lost := record.get("left_out") or []:
        more = f", and {len(lost) - 1} more" if len(lost) > 1 else ""
        lines.append(f"left out in merging, the first folder's was kept: {lost[0]}{more}")
    for name, about in (record.get("imported") or {}).items():
        lines.append(f"{name} is imported, not measured here: {about.get('words', '')}")
    return [one_line(line) for line in lines]  # a record may be anybody's


def _words(run: Mapping[str, Any]) -> str:
    """Return ``a (2026-11-28, Intel Xeon, commit 1234)``."""
    parts = [run.get("date"), run.get("cpu"), run.get("gpu")]
    parts += [f"commit {run['commit']}"] if run.get("commit") else []
    return f"{run.get('name', '')} ({', '.join(str(part) for part in parts if part)})"


def duplicates_text(dataset: str, duplicates: Mapping[str, Sequence[str]]) -> str:
    """Return the sentence on images that do not count; see ``Dataset.pictures``."""
    others = sum(len(names) for names in duplicates.values())
    first, equal = next(iter(duplicates.items()))
    return (
        f"{dataset}: {others} files have the same pixels as another one and are not counted again "
        f"({', '.join(equal)} as {first}{', ...' if len(duplicates) > 1 else ''})"
    )
