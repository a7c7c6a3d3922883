"""One offline page of what changed between two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bench.analysis.run_changes import Changes
from bench.files import write_atomically
from bench.measurement.provenance import bench_version, git_commit
from bench.output import run_changes
from bench.output.table_formats import Table as PlainTable
from bench.report.html import Table, Td, render

_ASSETS = files("bench.report") / "assets"


def write(
    path: Path, found: Changes, records: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> None:
    """Write the page.

    Parameters
    ----------
    path
        The file.
    found
        What changed.
    records, names
        Record of each run, and what to call it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    styles = "".join((_ASSETS / name).read_text("utf-8") for name in ("base.css", "tables.css"))
    page = render(
        "changes.html",
        title=f"What changed from {names[0]} to {names[1]}",
        style=Markup(styles),  # noqa: S704 - ours
        headline=run_changes.headline(found),
        tables=[_table(one) for one in run_changes.tables(found, records, names)],
        footer=f"bench {bench_version()} {git_commit()}".strip(),
    )
    write_atomically(path, page.encode("utf-8", "backslashreplace"))


def _table(table: PlainTable) -> Markup:
    """Return a table of texts as HTML."""
    numeric = [kind == "r" for kind in table.align]
    rows = [
        [
            Td(cell.text, cell.text, "n" if right else "")
            for cell, right in zip(row, numeric, strict=True)
        ]
        for row in table.rows
    ]
    return Table(
        table.name, table.caption, list(table.head), rows, notes=list(table.notes)
    ).markup()
