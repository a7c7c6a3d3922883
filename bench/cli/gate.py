"""``bench check``: measure or take rows, compare them with a locked baseline, say what changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.run import DataDir, Download

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.gate.check import Report
    from bench.gate.measure import Measured, Want
    from bench.gate.rows import Locked
    from bench.image import Image


def check(  # noqa: PLR0913, PLR0917 - one parameter an option
    baseline: Annotated[
        Path, typer.Option("--baseline", "-b", help="FILE.csv, FILE.sqlite or a run's folder.")
    ] = Path("results/baseline/sample.csv"),
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Take these stored rows instead of measuring."),
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", "-d", help="Only these of the baseline.")
    ] = None,
    codec: Annotated[
        list[str] | None, typer.Option("--codec", "-c", help="Only these of the baseline.")
    ] = None,
    points: Annotated[
        int | None, typer.Option("--points", help="Only this many rungs of each curve.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Show the difference, then lock today's rows.")
    ] = False,
    allow_environment: Annotated[
        bool, typer.Option("--allow-environment", help="A changed library is no failure.")
    ] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Compare speed too; slower is a warning.")
    ] = False,
    speed_fail: Annotated[
        bool, typer.Option("--speed-fail", help="Compare speed too; slower is a failure.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the report here, for a pull request's page.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write JSON here.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Keep the measurement here; a second run continues it."),
    ] = None,
    data_dir: DataDir = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0: one a core.")] = 0,
    download: Download = True,
) -> None:
    """Compare with a locked baseline; exit 0: nothing is worse, 1: regressed, 2: cannot tell."""
    from bench.gate import report as reports
    from bench.gate.junit import to_xml

    session = _Session(baseline, data_dir, out, jobs, download=download)
    if update:
        session.update(against, dataset or [], codec or [], points, speed=speed or speed_fail)
        return
    report = session.check(
        against, dataset or [], codec or [], points, allow_environment=allow_environment
    )
    if speed or speed_fail:
        report = replace(report, speed=session.speed(report.baseline), speed_fail=speed_fail)
    writers: tuple[tuple[Path | None, Callable[[Report], str]], ...] = (
        (markdown, reports.markdown),
        (junit, to_xml),
        (json_path, reports.to_json),
    )
    for path, writer in writers:
        if path is not None:
            _write(path, writer(report))
    for line in reports.lines(report):
        typer.echo(line)
    raise typer.Exit(report.exit_code)


def _write(path: Path, text: str) -> None:
    from bench.files import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


class _Session:
    """The options that checking and locking share."""

    def __init__(
        self, baseline: Path, data_dir: Path | None, out: Path | None, jobs: int, *, download: bool
    ) -> None:
        from bench.measurement import provenance

        self.path = baseline
        self.common: dict[str, Any] = {
            "data_dir": data_dir,
            "out": out,
            "jobs": jobs or provenance.cpu_count(),
            "download": download,
        }

    def check(
        self,
        against: Path | None,
        datasets: list[str],
        codecs: list[str],
        points: int | None,
        *,
        allow_environment: bool,
    ) -> Report:
        """Return the report of today's rows, measured or stored, against the baseline."""
        from bench.gate import baseline, diagnose, measure, tolerance
        from bench.gate.check import compare

        locked = measure.restrict(baseline.read(self.path), datasets, codecs, points)
        tolerances = tolerance.load(self.path)
        if against is not None:
            now = baseline.read(against)
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

    def _measure(self, want: Want, **more: Any) -> Measured:  # noqa: ANN401 - options of measure
        from bench.cli.run import _console, _progress
        from bench.gate import measure

        with _progress(_console()) as bar:
            task = bar.add_task("measuring", total=None)

            def advance(done: int, cells: int) -> None:
                bar.update(task, completed=done, total=cells)

            return measure.measure(want, progress=advance, **self.common, **more)

    def update(
        self,
        against: Path | None,
        datasets: list[str],
        codecs: list[str],
        points: int | None,
        *,
        speed: bool,
    ) -> None:
        """Lock today's rows after showing how they differ from those that were locked."""
        from bench.gate import baseline, measure, report, tolerance
        from bench.gate.check import compare

        old = baseline.read(self.path) if self.path.exists() else None
        if against is not None:
            now = measure.restrict(baseline.read(against), datasets, codecs, points)
        else:
            now = self._measure_new(old, datasets, codecs, points)
        if speed:
            now = replace(now, speed=self._speed_ratios(now))
        elif old is not None:
            now = replace(now, speed=old.speed)
        if old is not None and old.rows:
            for line in report.lines(compare(old, now, tolerance.load(self.path)))[:-1]:
                typer.echo(line)
        for path in baseline.write(self.path, now):
            typer.echo(f"locked: {path}")
        failed = sum(bool(row.error) for row in now.rows.values())
        typer.echo(
            f"{len(now.rows)} cells of {len(now.curves())} curves"
            + (f", {failed} of them FAILED (column error)" if failed else "")
        )

    def _measure_new(
        self, old: Locked | None, datasets: list[str], codecs: list[str], points: int | None
    ) -> Locked:
        from bench.errors import UsageError
        from bench.gate import measure

        if old is None or codecs:
            names = datasets or (old.datasets if old else ["sample"])
            want = measure.of_words(names, codecs, points)
        else:
            want = measure.relocking(measure.restrict(old, datasets, [], None), points)
        measured = self._measure(want, decoded=True)
        for (name, setting), reason in measured.lacking.items():
            raise UsageError(
                f"not locked: {name} {setting} cannot be measured here: {reason}",
                "Name the codecs to lock with --codec.",
            )
        return measured.locked

    def speed(self, locked: Locked) -> list[Any]:
        """Return today's ratios beside the locked ones."""
        from bench.gate import speed, tolerance
        from bench.measurement import provenance

        same_cpu = locked.environment.get("cpu") == provenance.cpu_name()
        ratios = self._speed_ratios(locked)
        return speed.compare(locked.speed, ratios, tolerance.load(self.path), same_cpu=same_cpu)

    def _speed_ratios(self, locked: Locked) -> dict[str, Any]:
        from bench.cli.run import _console
        from bench.gate import speed

        with _console().status("speed"):
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
