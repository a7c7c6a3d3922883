"""The conductor: plan, measure, store, return. The command line and notebooks call the same."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import metrics as metrics_of
from bench import registry
from bench.codec import Scalar, Setting
from bench.dataset import open as opening
from bench.dataset.dataset import Dataset
from bench.dataset.fetch import fetch_weights
from bench.errors import BenchError, UsageError
from bench.files import check_folder
from bench.measurement import cluster, executor, kept, provenance, repetition
from bench.measurement import plan as plans
from bench.measurement.merged_record import refuse_mixed
from bench.measurement.origins import duplicates_text
from bench.measurement.pool import DEFAULT_TIMEOUT_S
from bench.measurement.progress import Line, Progress
from bench.measurement.results import Results, stored_results
from bench.measurement.store import Store
from bench.measurement.worker import Task
from bench.metrics import columns, from_file
from bench.rate_search import PerImage, Target

if TYPE_CHECKING:
    pass


def run(  # noqa: PLR0913 - what, where and how are independent
    datasets: Sequence[str | Dataset] = (),
    codecs: Sequence[str | plans.Wanted] | Mapping[str, Sequence[Setting]] = (),
    metrics: Sequence[str] = (),
    *,
    points: int | None = None,
    quick: bool = False,
    quality: Sequence[Scalar] | None = None,
    targets: Sequence[Target | PerImage] = (),
    images: Sequence[str] | Mapping[str, Sequence[str]] = (),
    data_dir: Path | str | None = None,
    out: Path | str | None = None,
    jobs: int = 0,
    device: str = "cpu",
    scheduler: str | None = None,
    download: bool = True,
    retry_failed: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    outputs: Mapping[str, Any] | None = None,
    measured_with: Mapping[str, Any] | None = None,
    progress: Progress | bool | None = None,
    make_executor: executor.MakeExecutor = executor.local_pool,
) -> Results:
    """Measure codecs on images and return the results.

    What the folder ``out`` holds already is not measured again, so a run that was interrupted
    continues where it stopped. The results are those of this call alone.

    It may be called from a notebook, and from a script with or without an
    ``if __name__ == "__main__"``: the worker processes do not import the script.

    Parameters
    ----------
    datasets
        Names, ``folder:PATH``, or datasets that were opened; as ``bench all`` chooses if empty.
    codecs
        ``NAME`` or ``NAME:OPTION=VALUE,...``, every codec of the default run if empty; or a
        mapping from the name of a codec to its settings. A ``Wanted`` has rates of its own.
    metrics
        ``psnr``, ``ms_ssim``, ``lpips``, ``FILE.py:Class``, ``cmd:NAME=PROGRAM {reference}
        {decoded}``, ...; all that can be computed here if empty.
    points
        This many settings of each codec's ladder, spread evenly; all of them if None.
    quick
        Four settings of each ladder, six images of each dataset where no image is named, and where
        no codec is named, no slow curve beside a codec.
    quality
        Instead of the ladder: these values of each codec's rate parameter.
    targets
        Instead of the ladder: what each codec is searched to come nearest to, on each image; see
        ``bench.rate_search.Target``. Their metrics are computed as well.
    images
        Only images of these names; or a mapping from a dataset, as in ``datasets``, to names.
    data_dir
        Folder of datasets, searched first.
    out
        Folder that keeps rows and bitstreams; if None, nothing is kept.
    jobs
        Processes; 0: one for each core.
    device
        ``cpu`` or ``cuda``, for codecs that can choose.
    scheduler
        Address of a Dask scheduler, to measure there instead of in local processes.
    download
        Whether to look for missing datasets on the web.
    retry_failed
        Measure cells again that failed in an earlier run.
    timeout_s
        Seconds that one cell (one image, codec and setting) may take; then it fails.
    outputs
        What ``experiment.toml`` in ``out`` shall say of what is written afterwards: ``anchor``,
        ``plots``, ``report``.
    measured_with
        What another run was measured with; see ``bench.measurement.experiment``. What differs
        here is said and recorded.
    progress
        True: a line says how far the run is, also in a notebook. Or what receives what happens.
    make_executor
        Number of workers -> the executor that they work in.

    Returns
    -------
    Results
        ``rows``, ``record``, ``summary()``, ``bd_rates(anchor)``, ``failures()``. A codec that
        fails costs its own cells: see ``failures()``.

    Raises
    ------
    BenchError
        If something asked for by name is not available, no image can be read, or ``out`` cannot
        be written; what was measured until then is stored.

    Examples
    --------
    >>> import bench
    >>> r = bench.run(["sample"], ["jpeg"], ["psnr"], points=2, images=["coffee"])
    >>> len(r.rows), r.rows["psnr_db"].notna().all()
    (2, True)
    """
    watch = progress if isinstance(progress, Progress) else (Line if progress else Progress)()
    typed = metrics
    metrics = [from_file.name_of(word) for word in metrics]
    registry.check_device(device)
    points = plans.QUICK_POINTS if quick and points is None else points
    plan = plans.choose(
        plans.Request((), codecs, metrics, points, quality, device, not quick, targets)
    )
    watch.chosen(plan)
    if out is not None:
        check_folder(Path(out))
    where = None if data_dir is None else Path(data_dir)
    opened, messages = open_datasets(datasets, images, where, watch, download=download, quick=quick)
    if download:
        _fetch_weights(metrics, watch)
    plan.metrics, lacking = plans.choose_metrics(metrics)
    plan.unavailable += lacking
    aims = dict.fromkeys(t.metric for t in targets if t.metric != "bpp")
    plan.metrics += [metrics_of.create(n) for n in aims if n not in {m.name for m in plan.metrics}]
    watch.status("reading images")
    with results_folder(out) as folder, Store(folder) as store:
        refuse_mixed(store)
        plans.complete(plan, opened, store, retry_failed=retry_failed)
        _report(plan, watch)
        differences = repetition.differences(plan, measured_with or {})
        for sentence in differences:
            watch.say(sentence, loud=True)
        jobs = jobs or provenance.cpu_count()
        said = {"messages": messages, "differences": differences}
        more = {"jobs": jobs, "device": device, "scheduler": bool(scheduler)}
        more |= repetition.asked(codecs, typed, points, quality)
        store.start_run(_record(plan, **said, **more), plan.cells)
        watch.planned(plan)
        if plan.tasks:
            executor.measure(
                _tasks(plan, elsewhere=bool(scheduler), page=out is not None),
                store,
                jobs=jobs,
                progress=watch.measured,
                make_executor=(
                    partial(cluster.dask_pool, scheduler) if scheduler else make_executor
                ),
                timeout_s=timeout_s,
            )
        kept.trim()
        store.finish_run()
        results = stored_results(store)
        more = {"device": device, "data_dir": data_dir, **(outputs or {})}
        repetition.write(folder, plan, opened, chosen=quick or bool(images), **more)
        watch.finished(results)
    return results if out is not None else replace(results, database=None)


def _tasks(plan: plans.Plan, *, elsewhere: bool, page: bool) -> list[Task]:
    """Return the tasks of a plan as they are sent.

    Another machine may have other versions, and compares them. Here some keep what they decode for
    the page, which has no pictures of variants that are compared with their family alone.
    """
    if elsewhere:
        return [replace(task, elsewhere=True) for task in plan.tasks]
    if not page:
        return plan.tasks
    shown = [c.codec for c in plan.curves if not (c.variant and c.codec.family)]
    return kept.marked(plan.tasks, plan.cells, shown)


def _few(dataset: Dataset) -> Dataset:
    """Return a dataset cut to what a quick run measures, with a note that says so."""
    few = dataset.few(plans.QUICK_IMAGES)
    if few is dataset:
        return dataset
    words = (
        f"a quick run measures {len(few.items)} of the {len(dataset.items)} images of "
        f"{dataset.name}, at even distances"
    )
    return replace(few, note=". ".join(filter(None, (dataset.note, words))))


def open_datasets(
    datasets: Sequence[str | Dataset],
    images: Sequence[str] | Mapping[str, Sequence[str]],
    data_dir: Path | None,
    watch: Progress,
    *,
    download: bool,
    quick: bool = False,
) -> tuple[list[Dataset], list[str]]:
    """Return the datasets, and what must be said about their choice; ``watch`` is told as well.

    A quick run takes the first of the usual ones where none is named, and few images of each
    where no image is.
    """
    messages: list[str] = []
    if not datasets:
        if isinstance(images, Mapping):
            raise UsageError("images of a dataset were named without the dataset")
        opened, messages = opening.choose_default(
            data_dir, download=download, images=images, one=quick, progress=watch.status
        )
    else:
        opened = opening.open_all(
            datasets, data_dir, download=download, images=images, progress=watch.status
        )
    if quick and not images:
        opened = [_few(dataset) for dataset in opened]
    if not datasets:
        chosen = ", ".join(
            f"{d.name} ({len(d.items)} images)" if d.display_name == d.name else d.display_name
            for d in opened
        )
        watch.say(f"no dataset is named; measuring {chosen}")
    for message in messages:
        watch.say(message, loud=True)
    for dataset in opened:
        if dataset.note:
            watch.say(f"{dataset.name}: {dataset.note}")
    return opened, messages


def _fetch_weights(words: Sequence[str], watch: Progress) -> None:
    """Download what the first choice of each metric lacks; where that fails, say so in a line."""
    for word in dict.fromkeys(words or metrics_of.default_names()):
        metric = None if word == "bpp" else metrics_of.members(word)[0].cls
        try:
            if metric is not None:
                fetch_weights(metric, watch.status)
        except BenchError as error:
            watch.say(error.what)


@contextlib.contextmanager
def results_folder(out: Path | str | None) -> Iterator[Path]:
    """Yield ``out``, or a folder that is removed at the end."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="bench-run-") as name:
        yield Path(name)


def _report(plan: plans.Plan, watch: Progress) -> None:
    """Say what is left out, and refuse a plan of which no image can be read."""
    if plan.unavailable:
        names = ", ".join(name for name, _ in plan.unavailable)
        watch.say(f"unavailable here and left out (bench list --verbose says why): {names}")
    for name, about in plan.datasets.items():
        if about["duplicates"]:
            watch.say(duplicates_text(name, about["duplicates"]))
    broken = {(cell.dataset, cell.image): cell.error for cell in plan.cells if not cell.key}
    if broken and all(not cell.key for cell in plan.cells):
        raise UsageError(f"no image can be measured: {next(iter(broken.values()))}")
    for (_, image), error in broken.items():
        watch.say(f"left out: {image}: {error}", loud=True)


def _record(plan: plans.Plan, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - plain data
    return provenance.record(
        datasets=plan.datasets,
        curves=[c.codec.label(c.settings[0]) for c in plan.curves],
        families=plan.families,
        notes={c.codec.name: c.codec.note() for c in plan.curves if c.codec.note()},
        metrics=[m.name for m in plan.metrics],
        scores={m.name: _score_record(m) for m in plan.metrics},
        unavailable=plan.unavailable,
        threads_per_job=1,
        **more,
    )


def _score_record(metric: metrics_of.Metric) -> dict[str, Any]:
    about = columns.about(metric.name)
    found = {"column": metric.column, "version": metric.version}
    return {**found, "about": about} if about else found
