"""Measure today what a baseline holds: its datasets, images, codecs and settings, and no others.

The rows go through the harness like any others. A folder given to continue in is divided by the
hash of the program: what another one left there is not taken for today's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import metrics as metrics_of
from bench import registry
from bench.codec import Codec, Setting
from bench.dataset.identity import Item
from bench.dataset.open import open_all
from bench.errors import BenchError, CodecError, UsageError, suggest
from bench.gate import environment, scores
from bench.gate.baseline import of_results
from bench.gate.rows import CellKey, Locked, Row, by_key
from bench.image import pixels_sha256
from bench.measurement import executor as harness
from bench.measurement import plan
from bench.measurement.pool import DEFAULT_TIMEOUT_S, one_thread_each
from bench.measurement.progress import Progress
from bench.measurement.run import results_folder, run
from bench.measurement.store import Store


@dataclass(frozen=True, slots=True)
class Want:
    """What to measure.

    Attributes
    ----------
    datasets
        Dataset as typed -> names of images; empty for all of it.
    settings
        Codec -> settings, complete.
    metrics
        Names.
    """

    datasets: Mapping[str, Sequence[str]]
    settings: Mapping[str, Sequence[Setting]]
    metrics: Sequence[str] = scores.DEFAULT_METRICS


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it.

    Attributes
    ----------
    locked
        Rows, environment and ladders of today.
    lacking
        Codec or setting -> why it cannot be measured here.
    items
        (dataset, image) -> where its pixels are.
    """

    locked: Locked
    lacking: Mapping[tuple[str, str], str]
    items: Mapping[tuple[str, str], Item]


def of_rows(rows: Iterable[Row]) -> Want:
    """Return what the rows of a baseline ask for."""
    rows = list(rows)
    images: dict[str, list[str]] = {}
    settings: dict[str, list[Setting]] = {}
    for row in rows:
        images.setdefault(row.dataset, []).append(row.image)
        settings.setdefault(row.codec, []).append(Setting.from_json(row.setting))
    unique = {codec: list(dict.fromkeys(found)) for codec, found in settings.items()}
    columns = dict.fromkeys(column for row in rows for column in row.scores)
    metrics = [scores.of(column).form.metric for column in columns]
    return Want({n: list(dict.fromkeys(found)) for n, found in images.items()}, unique, metrics)


def of_words(
    dataset_names: Sequence[str],
    codecs: Sequence[str],
    points: int | None,
    metrics: Sequence[str] = (),
) -> Want:
    """Return what a new baseline shall hold: ``points`` rungs of each codec's ladder.

    Raises
    ------
    CodecError
        If a named codec is unavailable or an option illegal.
    """
    curves, _ = plan.choose_curves(plan.Request((), codecs=codecs, points=points))
    settings: dict[str, list[Setting]] = {}
    for curve in curves:
        settings.setdefault(curve.codec.name, []).extend(curve.settings)
    chosen, _ = plan.choose_metrics(metrics or scores.DEFAULT_METRICS)
    return Want(dict.fromkeys(dataset_names, ()), settings, [metric.name for metric in chosen])


def relocking(locked: Locked, points: int | None, metrics: Sequence[str] = ()) -> Want:
    """Return what to measure to lock a baseline anew: its curves, on the ladders of today.

    A curve keeps its number of rungs unless ``points`` says another; one that was locked at
    settings outside its ladder keeps those.

    Raises
    ------
    CodecError
        If a codec of the baseline is unavailable now.
    """
    settings: dict[str, list[Setting]] = {}
    for (_, curve), rows in locked.curves().items():
        codec = registry.create(rows[0].codec)
        old = dict.fromkeys(row.setting for row in rows)
        known = set(locked.ladders.get(curve, ()))
        today = [Setting.from_json(s) for s in ladder(codec, curve)]
        if set(old) <= known and today:
            count = points or (None if len(old) == len(known) else len(old))
            chosen = plan.spread(today, count)
        else:
            chosen = [Setting.from_json(s) for s in old]
        found = settings.setdefault(codec.name, [])
        found += [setting for setting in chosen if setting not in found]
    want = of_rows(locked.rows.values())
    scored, _ = plan.choose_metrics(metrics or want.metrics)
    return replace(want, settings=settings, metrics=[metric.name for metric in scored])


def measure(  # noqa: PLR0913 - where, with what and how are independent
    want: Want,
    *,
    data_dir: Path | None = None,
    download: bool = True,
    out: Path | None = None,
    jobs: int = 1,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    decoded: bool = False,
    like: Locked | None = None,
    make_executor: harness.MakeExecutor = harness.local_pool,
    progress: Progress | None = None,
) -> Measured:
    """Measure ``want`` and return its rows.

    Parameters
    ----------
    want
        See ``of_rows`` and ``of_words``.
    data_dir, download
        Where datasets lie, and whether to look on the web.
    out
        Folder to continue in; measured from nothing where None.
    jobs
        Processes.
    timeout_s
        How long one cell may take.
    decoded
        Whether to hash the decoded pixels of every row, as a baseline wants them.
    like
        Otherwise hash those of the rows that are not as in this baseline, which a verdict needs.
    make_executor
        Number of workers -> executor.
    progress
        Receives what happens meanwhile.

    Raises
    ------
    DatasetError
        If a dataset is not available.
    MetricError
        If a metric of the baseline cannot be computed here.
    """
    opened = open_all(list(want.datasets), data_dir, download=download, images=want.datasets)
    codecs, lacking = _codecs(want)
    settings = {name: _legal(codec, want, lacking) for name, codec in codecs.items()}
    metrics = [metrics_of.create(name) for name in want.metrics]
    rows: list[Row] = []
    if any(settings.values()):
        if out is not None:
            out /= environment.program_sha256(codecs.values(), metrics)[:12]
        with results_folder(out) as folder:
            results = run(
                opened,
                {name: found for name, found in settings.items() if found},
                want.metrics,
                out=folder,
                jobs=jobs,
                timeout_s=timeout_s,
                retry_failed=True,
                progress=progress,
                make_executor=make_executor,
            )
            stored, keys = of_results(results)
            chosen = sorted(stored.rows.values(), key=partial(_position, settings))
            wanted = [row for row in chosen if not row.error and (decoded or _differs(row, like))]
            pixels = _decoded(wanted, keys, folder, partial(make_executor, jobs, timeout_s))
        rows = [replace(row, decoded_sha256=pixels.get(row.key, "")) for row in chosen]
    record = environment.record(codecs.values(), metrics)
    locked = Locked(by_key(rows), record, _ladders(codecs, rows, like), source="now")
    items = {(d.name, item.name): item for d in opened for item in d.items}
    return Measured(locked, lacking, items)


def _codecs(want: Want) -> tuple[dict[str, Codec], dict[tuple[str, str], str]]:
    """Return the codecs that can run here, and why the others cannot."""
    found: dict[str, Codec] = {}
    lacking: dict[tuple[str, str], str] = {}
    for name in want.settings:
        try:
            found[name] = registry.create(name)
        except (CodecError, UsageError) as error:
            lacking[name, ""] = str(error)
    return found, lacking


def _legal(codec: Codec, want: Want, lacking: dict[tuple[str, str], str]) -> list[Setting]:
    """Return the settings that the codec still takes; ``lacking`` gets the reasons of the rest."""
    found = []
    for setting in want.settings[codec.name]:
        try:
            registry.complete(codec, setting)
        except BenchError as error:
            lacking[codec.name, setting.json] = str(error)
        else:
            found.append(setting)
    return found


def _position(settings: Mapping[str, Sequence[Setting]], row: Row) -> tuple[str, int, str, int]:
    """Return where a row stands: in the order in which codecs and settings were asked for."""
    position = [setting.json for setting in settings[row.codec]].index(row.setting)
    return row.dataset, list(settings).index(row.codec), row.image, position


def _decoded(
    rows: Sequence[Row],
    keys: Mapping[CellKey, str],
    folder: Path,
    make_executor: Callable[[], Executor],
) -> dict[CellKey, str]:
    """Return the hash of the decoded pixels of each row, by workers like those that scored them.

    A learned decoder's last bits depend on its threads, so it must not run in this process.
    """
    if not rows:
        return {}
    with (
        Store(folder, writing=False) as store,
        one_thread_each(),
        make_executor() as executor,
    ):
        futures = {
            row.key: executor.submit(_decoded_sha256, row.codec, store.bitstream(keys[row.key]))
            for row in rows
        }
        return {key: future.result() for key, future in futures.items()}


def _decoded_sha256(codec: str, data: bytes) -> str:
    """Decode in a worker."""
    return pixels_sha256(registry.create(codec).decode(data))


def _differs(row: Row, like: Locked | None) -> bool:
    """Return whether a row is not as in the baseline, whose decoded pixels are known."""
    old = like.rows.get(row.key) if like else None
    if old is None or not old.decoded_sha256:
        return False
    return (row.bitstream_sha256, row.scores) != (old.bitstream_sha256, old.scores)


def _ladders(
    codecs: Mapping[str, Codec], rows: Sequence[Row], like: Locked | None
) -> dict[str, tuple[str, ...]]:
    """Return curve -> the settings of its whole ladder today, as JSON.

    The curves are those of a baseline as well: where a default changed, today's have other names.
    """
    known = [*rows, *(like.rows.values() if like else ())]
    words = {(row.codec, row.curve) for row in known if row.codec in codecs}
    return {curve: ladder(codecs[codec], curve) for codec, curve in sorted(words)}


def ladder(codec: Codec, curve: str) -> tuple[str, ...]:
    """Return the settings of a curve's whole ladder, as JSON; empty where it is illegal today."""
    try:
        return tuple(s.json for s in registry.settings(codec, registry.Spec.parse(curve)))
    except BenchError:
        return ()


def restrict(
    locked: Locked, dataset_names: Sequence[str], codecs: Sequence[str], points: int | None
) -> Locked:
    """Return the part of a baseline that was asked for.

    Parameters
    ----------
    locked
        The baseline.
    dataset_names, codecs
        Keep these; all where empty. A codec may be named as the whole or as one curve.
    points
        Keep this many rungs of each curve, both ends included.

    Raises
    ------
    UsageError
        If a name is not in the baseline; the message says what is.
    """
    known = {curve for _, curve in locked.curves()} | {r.codec for r in locked.rows.values()}
    asked = [("codec", word, sorted(known)) for word in codecs]
    asked += [("dataset", word, locked.datasets) for word in dataset_names]
    for kind, word, there in asked:
        if word not in there:
            raise UsageError(
                f"the baseline {locked.source} has no {kind} {word!r}", suggest(word, there)
            )
    rows: list[Row] = []
    for (dataset, curve), found in locked.curves().items():
        if (dataset_names and dataset not in dataset_names) or (
            codecs and curve not in codecs and found[0].codec not in codecs
        ):
            continue
        settings = [Setting.from_json(s) for s in dict.fromkeys(r.setting for r in found)]
        kept = {s.json for s in plan.spread(settings, points)}
        rows += [row for row in found if row.setting in kept]
    if not rows:
        raise UsageError(
            f"the baseline {locked.source} holds none of these codecs on these datasets",
            f"It holds {', '.join(f'{c} on {d}' for d, c in locked.curves()) or 'no rows'}.",
        )
    return replace(locked, rows=by_key(rows))
