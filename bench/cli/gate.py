"""``bench check``: measure or take rows, compare them with a locked baseline, say what changed."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import completion
from bench.cli.options import DataDir, Download, Jobs, Timeout

if TYPE_CHECKING:
    from bench.gate.check import Report
    from bench.gate.measure import Measured, Want
    from bench.gate.rows import Locked
    from bench.gate.tolerance import Tolerances
    from bench.image import Image


def check(  # noqa: PLR0913, PLR0917 - one parameter an option
    baseline: Annotated[
        Path,
        typer.Option(
            "--baseline",
            "-b",
            metavar="PATH",
            help="Compare with this baseline: FILE.csv, FILE.sqlite or the folder of a run.",
        ),
    ] = Path("results/baseline/sample.csv"),
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", metavar="PATH", help="Take these stored rows instead of measuring."
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            "-d",
            metavar="NAME",
            autocompletion=completion.datasets,
            help="Compare only this dataset of the baseline. Repeat it for more.",
        ),
    ] = None,
    codec: Annotated[
        list[str] | None,
        typer.Option(
            "--codec",
            "-c",
            metavar="NAME",
            autocompletion=completion.codecs,
            help="Compare only this codec of the baseline. Repeat it for more.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            "-m",
            metavar="NAME",
            autocompletion=completion.metrics,
            help="With --update: lock the scores of this metric. Repeat it for more. Default: psnr "
            "and ms_ssim.",
        ),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(
            "--points", metavar="N", min=1, help="Compare only this many settings of each curve."
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Show the difference, then lock today's rows as the baseline."
        ),
    ] = False,
    accept_failures: Annotated[
        bool, typer.Option("--accept-failures", help="With --update: lock cells that fail as well.")
    ] = False,
    allow_environment: Annotated[
        bool,
        typer.Option(
            "--allow-environment",
            help="Excuse a codec whose library has another version: the size of any file may "
            "differ by 10 %, PSNR and MS-SSIM of any image by 0.5 dB, its BD-rate by 5 %. More is "
            "a failure, and so is a codec that gives no file.",
        ),
    ] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Compare speed as well; a slower codec is a warning.")
    ] = False,
    speed_fail: Annotated[
        bool,
        typer.Option("--speed-fail", help="Compare speed as well; a slower codec is a failure."),
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report in Markdown to this file.")
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the report in JUnit's XML to this file."),
    ] = None,
    json_path: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the report in JSON to this file."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Keep the measurement in this folder; a second run continues it.",
        ),
    ] = None,
    data_dir: DataDir = None,
    jobs: Jobs = 0,
    timeout: Timeout = 1800.0,
    download: Download = True,
) -> None:
    """Compare files and scores with a locked baseline, and say what changed.

    Exit code 0: nothing is worse, 1: regressed, 2: cannot tell.
    """
    from bench import registry
    from bench.files import check_writable
    from bench.measurement.provenance import cpu_count
    from bench.metrics import from_file

    common = {
        "data_dir": data_dir,
        "out": out,
        "jobs": jobs or cpu_count(),
        "timeout_s": timeout,
        "download": download,
    }
    words = [str(registry.Spec.typed(word)) for word in codec or []]
    named = [from_file.name_of(word) for word in metric or []]
    session = _Session(baseline, against, dataset or [], words, named, points, common)
    files = _Files(markdown, junit, json_path)

    def work() -> int:
        files.check()
        timed = speed or speed_fail
        if update:
            files.refuse("--update")
            check_writable(baseline, make_folders=True)
            session.update(speed=timed, accept_failures=accept_failures)
            return 0
        names = set(metric or []).intersection(named)  # others say what a metric of it is
        _refuse(metric=names, accept_failures=accept_failures)
        report = session.check(allow_environment=allow_environment)
        if timed:
            report = replace(report, speed=session.speed(report.baseline), speed_fail=speed_fail)
        files.write(report)
        _print(report)
        return report.exit_code

    raise typer.Exit(_guarded(work, files))


def _refuse(**options: object) -> None:
    """Refuse options that say how to lock where nothing is locked."""
    from bench.errors import UsageError

    for name, value in options.items():
        if value:
            raise UsageError(f"--{name.replace('_', '-')} belongs to --update")


def _guarded(work: Callable[[], int], files: _Files) -> int:
    """Return the exit code of ``work``; whatever else ends it is 2, in one line and in every file.

    A gate that crashed says so: it is neither passed nor regressed.
    """
    from bench.errors import BenchError
    from bench.output.table_formats import plain_text

    try:
        return work()
    except BenchError as error:
        message = str(error)
    except KeyboardInterrupt:
        files.write_failure("interrupted")
        raise
    except BaseException as error:  # noqa: BLE001 - a codec may raise anything, SystemExit too
        if os.environ.get("BENCH_DEBUG"):
            traceback.print_exc()
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        message = f"unexpected {text}. Nothing was compared; --debug prints the traceback."
    files.write_failure(message)
    typer.echo(f"bench: {plain_text(message)}", err=True)
    return 2


def _print(report: Report) -> None:
    """Print the report; a reader that has seen enough (head, less) does not change its verdict."""
    from bench.gate.report import lines

    try:
        for line in lines(report):
            typer.echo(line)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True, slots=True)
class _Files:
    """Where the report is written, for whom it was asked."""

    markdown: Path | None
    junit: Path | None
    json: Path | None

    def write(self, report: Report) -> None:
        """Write the report in the forms that were asked for."""
        from bench.gate import junit
        from bench.gate import report as reports

        self._write(reports.markdown(report), junit.to_xml(report), reports.to_json(report))

    def write_failure(self, message: str) -> None:
        """Write that there is no report, over what an earlier run may have left there."""
        from bench.errors import OutputError
        from bench.gate import junit
        from bench.gate import report as reports

        with contextlib.suppress(OutputError, OSError):  # what is wrong is printed as well
            self._write(
                reports.failure_markdown(message),
                junit.failure_xml(message),
                reports.failure_json(message),
            )

    def check(self) -> None:
        """Refuse a file that cannot be written, before anything is measured for it."""
        from bench.files import check_writable

        for path in filter(None, (self.markdown, self.junit, self.json)):
            check_writable(path, make_folders=True)

    def refuse(self, option: str) -> None:
        """Refuse to write a report where none is made."""
        from bench.errors import UsageError

        if any((self.markdown, self.junit, self.json)):
            raise UsageError(f"{option} writes no report", "Leave the report's options out.")

    def _write(self, *texts: str) -> None:
        from bench.files import write_atomically

        for path, text in zip((self.markdown, self.junit, self.json), texts, strict=True):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, text.encode())


@dataclass(frozen=True, slots=True)
class _Session:
    """What of which baseline is compared or locked; how it is measured is common to both."""

    path: Path
    against: Path | None
    datasets: list[str]
    codecs: list[str]
    metrics: list[str]
    points: int | None
    common: dict[str, Any]

    def _part(self, locked: Locked) -> Locked:
        """Return the part of rows that was asked for."""
        from bench.gate import measure

        return measure.restrict(locked, self.datasets, self.codecs, self.points)

    def check(self, *, allow_environment: bool) -> Report:
        """Return the report of today's rows, measured or stored, against the baseline."""
        from bench.gate import baseline, diagnose, measure
        from bench.gate.check import compare

        whole = baseline.read(self.path)
        tolerances, locked = self._tolerances(whole), self._part(whole)
        if self.against is not None:
            now = baseline.read(self.against)
            return compare(locked, now, tolerances, allow_environment=allow_environment)
        measured = self._measure(measure.of_rows(locked.rows.values()), like=locked)
        report = compare(
            locked,
            measured.locked,
            tolerances,
            lacking=measured.lacking,
            allow_environment=allow_environment,
        )
        return diagnose.notes(report, measured.items)

    def _tolerances(self, locked: Locked) -> Tolerances:
        from bench.gate import tolerance

        return tolerance.load(self.path, {row.codec for row in locked.rows.values()})

    def _measure(self, want: Want, **more: Any) -> Measured:  # noqa: ANN401 - options of measure
        from bench.cli.screen import Screen
        from bench.gate import measure

        with Screen(jobs=self.common["jobs"]) as screen:
            return measure.measure(want, progress=screen, **self.common, **more)

    def update(self, *, speed: bool, accept_failures: bool) -> None:
        """Lock today's rows after showing how they differ from those that were locked."""
        from bench.gate import baseline, report
        from bench.gate.check import compare

        old = baseline.read(self.path) if self.path.exists() else None
        if self.against is not None:
            _refuse(metric=self.metrics)
            now = self._part(baseline.read(self.against))
        else:
            now = self._measure_new(old)
        if speed:
            now = replace(now, speed=self._speed_ratios(now))
        elif old is not None:
            now = replace(now, speed=old.speed)
        if old is not None and old.rows:
            found = compare(old, now, self._tolerances(old))
            for line in report.lines(found, advice=False)[:-1]:
                typer.echo(line)
        baseline.refuse_unlockable(now, accept_failures=accept_failures)
        for path in baseline.write(self.path, now):
            typer.echo(f"locked: {path}")
        failed = sum(bool(row.error) for row in now.rows.values())
        typer.echo(
            f"{len(now.rows)} cells of {len(now.curves())} curves"
            + (f", {failed} of them FAILED (column error)" if failed else "")
        )

    def _measure_new(self, old: Locked | None) -> Locked:
        from bench.errors import UsageError
        from bench.gate import measure

        if old is None or self.codecs:
            names = self.datasets or (old.datasets if old else ["sample"])
            metrics = self.metrics or (measure.of_rows(old.rows.values()).metrics if old else [])
            want = measure.of_words(names, self.codecs, self.points, metrics)
        else:
            part = measure.restrict(old, self.datasets, [], None)
            want = measure.relocking(part, self.points, self.metrics)
        measured = self._measure(want, decoded=True)
        for (name, setting), reason in measured.lacking.items():
            raise UsageError(
                f"not locked: {name} {setting} cannot be measured here: {reason}",
                "Name the codecs to lock with --codec.",
            )
        return measured.locked

    def speed(self, locked: Locked) -> list[Any]:
        """Return today's ratios beside the locked ones."""
        from bench.gate import speed
        from bench.measurement import provenance

        same_cpu = locked.environment.get("cpu") == provenance.cpu_name()
        ratios = self._speed_ratios(locked)
        return speed.compare(locked.speed, ratios, self._tolerances(locked), same_cpu=same_cpu)

    def _speed_ratios(self, locked: Locked) -> dict[str, Any]:
        from bench.cli.working import Working
        from bench.gate import speed

        with Working("speed"):
            return speed.measure(self._speed_jobs(locked))

    def _speed_jobs(self, locked: Locked) -> dict[str, tuple[str, Image]]:
        """Return codec -> (middle rung, crop of the first image) for the codecs of a baseline."""
        from bench.dataset import open as datasets
        from bench.gate import speed
        from bench.gate.rows import rungs

        jobs: dict[str, tuple[str, Image]] = {}
        for (name, _), rows in locked.curves().items():
            settings = rungs(row for row in rows if not row.error)
            if rows[0].codec in jobs or not settings:
                continue
            opened = datasets.open_dataset(
                name,
                self.common["data_dir"],
                download=self.common["download"],
                images=[rows[0].image],
            )
            image = speed.crop(datasets.load_item(opened.items[0]))
            jobs[rows[0].codec] = (settings[len(settings) // 2], image)
        return jobs
