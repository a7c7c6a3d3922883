"""Results beside other results, from Python: what changed between two, several as one."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.run_changes import Changes, changes
from bench.measurement.merge import merge as merged
from bench.measurement.results import Results, load_results


def compare(first: Results | Path | str, second: Results | Path | str) -> Changes:
    """Return what changed from one run to another, as DataFrames; see ``bench compare``.

    Parameters
    ----------
    first, second
        Results, or folders of results.

    Returns
    -------
    Changes
        ``codecs``, a line for each codec; ``cells``, one for each image and setting; ``rates``,
        BD-rates of the second run against the first; ``versions``, ``remarks``; ``any``.

    Raises
    ------
    OutputError
        If a folder holds no finished run.
    """
    one, two = (run if isinstance(run, Results) else load_results(run) for run in (first, second))
    return changes(one.every_row, two.every_row, one.record, two.record)


def merge(*runs: Results | Path | str, out: Path | str, prefer_first: bool = False) -> Results:
    """Write the results of several folders as one, and return them; see ``bench merge``.

    Parameters
    ----------
    runs
        Two or more folders of results with their databases, or results that were kept in one.
    out
        A new folder, or one that a merge wrote.
    prefer_first
        Where runs contradict each other, keep what the first has, instead of refusing.

    Raises
    ------
    BenchError
        If the runs do not fit together, or ``out`` holds other results or cannot be written.
    """
    folders = [run.folder if isinstance(run, Results) else Path(run) for run in runs]
    return merged(folders, Path(out), prefer_first=prefer_first)
