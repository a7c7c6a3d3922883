"""Everything a run leaves beside its database: CSV, tables, plots and ``run.json``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.analysis.common_images import Selection
from bench.analysis.published_curves import Reference
from bench.files import write_atomically
from bench.measurement import complexity
from bench.measurement.provenance import bench_version
from bench.measurement.results import RECORD, Results
from bench.output import reported_rates, speed

_TABLES = ("tables", "codec_compare", "targets", "headline")
_PLOTS = ("plots", "family_plots")
_OPTIONAL = (reported_rates.STEM, "targets", "match")


def prepare(*, plots: bool = True) -> None:
    """Import what ``write`` needs, which takes half a second, while there is time for it."""
    for name in (*_TABLES, *(_PLOTS if plots else ())):
        importlib.import_module(f"bench.output.{name}")


def write(
    results: Results,
    *,
    anchor: str | None = None,
    plots: bool = True,
    tables: bool = True,
    references: Sequence[Reference] = (),
    force: bool = False,
) -> list[Path]:
    """Write tables, plots and ``run.json`` of ``results`` into their folder.

    Nothing is drawn again where neither results nor options changed since the last time.

    Returns
    -------
    list of Path
        The files written; empty where all were up to date.
    """
    rows, ceilings, folder = results.rows, results.ceilings, results.folder
    chosen = Selection(rows)
    families = results.families
    lossless = ceilings.astype(object).replace(math.inf, "inf")  # JSON has no infinity
    networks, unusable = complexity.load(folder)
    costs = complexity.of_rows(networks, rows, unusable)
    speeds = speed.of_run(results)
    more = {"remarks": [*results.remarks, *costs.remarks], "ceilings": lossless.to_dict("records")}
    record = {**results.record, **more}
    options = f"{anchor} {plots} {tables} {references} {bench_version()}"
    about = [record.get(key) for key in ("datasets", "unavailable", "scores", "families")]
    text = results.every_row.to_csv(index=False) + json.dumps(
        [about, more, str(networks), str(speeds)]
    )
    digest = hashlib.sha256(f"{text} {options}".encode("utf-8", "backslashreplace")).hexdigest()
    if not force and _up_to_date(folder, digest):
        return []
    mark = f", {results.unfinished.upper()}" if results.unfinished else ""
    written: list[Path] = []
    if tables:
        from bench.output import tables as tables_of

        written += tables_of.write_all(
            chosen,
            folder,
            provenance=record,
            ceilings=ceilings,
            unavailable=results.unavailable,
            families=families,
            anchor=anchor,
            references=references,
            complexity=networks,
            speeds=speeds,
            mark=mark,
        )
        from bench.output import codec_compare, targets

        written += targets.write_all(rows, folder, provenance=record, anchor=anchor, mark=mark)
        written += codec_compare.write_all(
            rows,
            folder,
            provenance=record,
        )
    if plots:
        from bench.output import family_plots
        from bench.output import plots as plots_of

        written += plots_of.write_all(
            chosen, folder, provenance=record, references=references, mark=mark
        )
        written += family_plots.write_plots(families, folder, provenance=record, mark=mark)
        if networks:
            from bench.output import complexity_plot

            written += complexity_plot.write(networks, results, folder, anchor)
    listed = [path.relative_to(folder).as_posix() for path in written]
    before = [name for name in _present(folder) if name not in listed]
    drawn = [f"plots/{path.name}" for path in folder.glob(f"plots/*_{complexity.STEM}.*")]
    before += [name for name in drawn if name not in {*listed, *before}]
    if tables:  # of an earlier call with other published curves
        _remove(folder, [name for name in before if Path(name).stem in _OPTIONAL])
    if tables and plots:
        _remove(folder, before)
    else:  # the other half is still there
        listed += [name for name in before if (folder / name).is_file()]
    record |= {"rows": len(rows), "files": listed, "outputs_digest": digest}
    write_atomically(folder / RECORD, json.dumps(record, indent=1).encode() + b"\n")
    return [*written, folder / RECORD]


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Remove tables and plots of an earlier plan that this one does not have."""
    for name in names:
        path = folder / name
        parts = {folder / part for part in ("tables", "plots", "codec_compare")}
        if path.parent in parts or path.stem in _OPTIONAL:
            with contextlib.suppress(OSError):
                path.unlink()


def _up_to_date(folder: Path, digest: str) -> bool:
    record = _record(folder)
    named = record.get("files", [])
    return record.get("outputs_digest") == digest and named == _present(folder)


def _present(folder: Path) -> list[str]:
    """Return those files of the last ``run.json`` that are there."""
    return [name for name in _record(folder).get("files", []) if (folder / name).is_file()]


def _record(folder: Path) -> dict[str, Any]:
    """Return the last ``run.json``, empty where it cannot be read."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record
