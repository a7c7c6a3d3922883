"""The commands that give the numbers of a page again, as far as its rows tell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import pandas as pd

from bench import metrics as metrics_of
from bench import registry
from bench.analysis import summary
from bench.codec import Setting
from bench.errors import BenchError
from bench.measurement.matching import AS_IS
from bench.measurement.ownership import is_own
from bench.measurement.plan import spread
from bench.measurement.repetition import FILE as EXPERIMENT
from bench.measurement.results import Results
from bench.output.speed import plain_name
from bench.report.dataset_view import Context

_UNSURE = "    # at other settings: no option says which these were"


def words(results: Results, key: str) -> dict[str, str]:
    """Return name -> what named it in a file, of this user's own runs.

    A stranger's record must not put commands on a page that ask to be pasted.
    """
    if not is_own(results.record):
        return {}
    return {str(name): str(word) for name, word in (results.record.get(key) or {}).items()}


def commands(contexts: Sequence[Context], results: Results) -> str:
    """Return a ``bench all`` for each dataset, then ``bench report``.

    Images are named where they are not the whole dataset, codecs and settings always. What no
    option can say is in the experiment that the run left: then that is the command.
    """
    scored = _metrics(results)
    found = [_measure(context, results, scored or []) for context in contexts]
    exact = scored is not None and all(sure for _, sure in found)
    told = [line if sure else f"{line}{_UNSURE}" for line, sure in found]
    if not exact and (results.folder / EXPERIMENT).is_file():
        told = [f"bench all OUT/{EXPERIMENT}    # OUT: the folder of this run"]
    return "\n".join([*told, "bench report"])


def speed_command(context: Context) -> str:
    """Return the ``bench throughput`` whose result the page would show; OUT is the run's folder."""
    named = ["bench", "throughput", "--dataset", plain_name(context.name)]
    return shlex.join([*named, *_codecs(context, _measured(context)), "--out", "OUT/throughput"])


def complexity_command(context: Context) -> str:
    """Return the ``bench complexity`` whose counts the page would show; OUT is the run's folder."""
    codecs = [codec for codec in _measured(context) if codec.partition(":")[0] in context.words]
    return shlex.join(["bench", "complexity", "--results", "OUT", *_codecs(context, codecs)])


def _measured(context: Context) -> list[str]:
    return sorted(str(codec) for codec in context.means["codec"].unique())


def _codecs(context: Context, codecs: Sequence[str]) -> list[str]:
    """Return ``--codec`` for each of some values of the column ``codec``."""
    return [word for codec in codecs for word in ("--codec", _word(context, codec))]


def _word(context: Context, codec: str) -> str:
    name, colon, options = codec.partition(":")
    return context.words.get(name, name) + colon + options


def _metrics(results: Results) -> list[str] | None:
    """Return ``--metric`` for each metric where one is not of the default run.

    None where one is of a file that nobody may name.
    """
    names = [str(name) for name in results.record.get("metrics") or []]
    if set(names) <= set(metrics_of.default_names()):
        return []
    known = words(results, "metric_words")
    if not all(name in known or name in metrics_of.discover() for name in names):
        return None
    return [word for name in names for word in ("--metric", known.get(name, name))]


def _measure(context: Context, results: Results, scored: Sequence[str]) -> tuple[str, bool]:
    """Return the command that measures a dataset again, and whether it says all settings."""
    name = plain_name(context.name)
    every = sorted(str(codec) for codec in context.rows["codec"].unique())
    codecs = [codec for codec in every if not codec.startswith("imported/")]
    told = ["bench", "all", "--dataset", name]
    aims = _targets(context.rows)
    metric, matched, anchor = aims[0].partition(" of ") if aims else ("", "", "")
    if matched:
        metric = words(results, "metric_words").get(metric, metric)
        told = ["bench", "match", name, "--from", _word(context, anchor), "--metric", metric]
        searched = context.rows.loc[context.rows["found_setting"] != "", "codec"]
        codecs = sorted({str(codec) for codec in searched})
    elif set(context.equal.get("anchor", ())) == {AS_IS}:
        told = ["bench", "match", name, "--from", AS_IS]
    if name != context.name:
        images = sorted((str(i) for i in context.rows["image"].unique()), key=summary.natural)
        told += [word for image in images for word in ("--image", image)]
    told += _codecs(context, codecs)
    if matched:
        return shlex.join(told), True
    rungs: list[str] | None = [word for aim in aims for word in ("--target", aim)]
    if not aims:
        rungs = _rungs(context, codecs, results.record.get("rungs"))
    return shlex.join([*told, *scored, *(rungs or [])]), rungs is not None


def _targets(rows: pd.DataFrame) -> list[str]:
    """Return what was searched for; empty where nothing was."""
    found = [summary.parse_setting(text).get("target") for text in rows["setting"].unique()]
    return sorted({str(aim) for aim in found if aim}, key=summary.natural)


def _rungs(
    context: Context, codecs: Sequence[str], asked: Sequence[str] | None
) -> list[str] | None:
    """Return ``--points`` or ``--quality`` where one of them explains every curve; None: neither.

    ``asked``: the options of the run, for codecs of files, whose ladders are not known here.
    """
    rows = context.rows
    measured = {codec: set(rows.loc[rows["codec"] == codec, "setting"]) for codec in codecs}
    try:
        ladders = {codec: _ladder(codec) for codec in codecs}
    except BenchError:
        unknown = {registry.Spec.parse(c).name for c in codecs} - set(registry.discover())
        return None if asked is None or not unknown <= set(context.words) else list(asked)
    if all(measured[codec] == _texts(ladders[codec]) for codec in codecs):
        return []
    points = max(len(found) for found in measured.values())
    if all(measured[codec] == _texts(spread(ladders[codec], points)) for codec in codecs):
        return ["--points", str(points)]
    values = [_values(codec, measured[codec]) for codec in codecs]
    if values[0] and all(value == values[0] for value in values):
        return ["--quality", ",".join(f"{value:g}" for value in values[0])]
    return None


def _ladder(codec: str) -> list[Setting]:
    spec = registry.Spec.parse(codec)
    return registry.settings(registry.create(spec.name), spec)


def _texts(settings: Sequence[Setting]) -> set[str]:
    """Return settings as the column has them."""
    return {setting.json for setting in settings}


def _values(codec: str, settings: set[str]) -> list[float]:
    """Return what the codec's rate parameter was set to, ascending."""
    rate = registry.rate_name(registry.create(registry.Spec.parse(codec).name))
    found = [summary.parse_setting(text).get(rate) for text in settings]
    return sorted(float(value) for value in found if isinstance(value, int | float))
