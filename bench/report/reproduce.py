"""The commands that give the numbers of a page again, as far as its rows tell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import pandas as pd

from bench import registry
from bench.analysis import summary
from bench.codec import Setting
from bench.errors import BenchError
from bench.measurement.plan import spread
from bench.report.dataset_view import Context
from bench.report.speed import plain_name


def commands(contexts: Sequence[Context]) -> str:
    """Return a ``bench all`` for each dataset, then ``bench report``.

    Images are named where they are not the whole dataset, codecs and settings always as far as
    an option can say them: a ladder or an even part of it, or values common to all codecs.
    """
    return "\n".join([*(_measure(context) for context in contexts), "bench report"])


def speed_command(context: Context) -> str:
    """Return the ``bench throughput`` whose result the page would show; OUT is the run's folder."""
    codecs = sorted(str(codec) for codec in context.means["codec"].unique())
    words = ["bench", "throughput", "--dataset", plain_name(context.name)]
    words += [word for codec in codecs for word in ("--codec", codec)]
    return shlex.join([*words, "--out", "OUT/throughput"])


def _measure(context: Context) -> str:
    name = plain_name(context.name)
    every = sorted(str(codec) for codec in context.rows["codec"].unique())
    codecs = [codec for codec in every if not codec.startswith("imported/")]
    words = ["bench", "all", "--dataset", name]
    aims = _targets(context.rows)
    metric, matched, anchor = aims[0].partition(" of ") if aims else ("", "", "")
    if matched:
        words = ["bench", "match", name, "--from", anchor, "--metric", metric]
        searched = context.rows.loc[context.rows["found_setting"] != "", "codec"]
        codecs = sorted({str(codec) for codec in searched})
    if name != context.name:
        images = sorted((str(i) for i in context.rows["image"].unique()), key=summary.natural)
        words += [word for image in images for word in ("--image", image)]
    words += [word for codec in codecs for word in ("--codec", codec)]
    more = [word for aim in aims for word in ("--target", aim)]
    if not aims:
        more = _rungs(context.rows, codecs)
    return shlex.join(words if matched else [*words, *more])


def _targets(rows: pd.DataFrame) -> list[str]:
    """Return what was searched for; empty where nothing was."""
    found = [summary.parse_setting(text).get("target") for text in rows["setting"].unique()]
    return sorted({str(aim) for aim in found if aim}, key=summary.natural)


def _rungs(rows: pd.DataFrame, codecs: Sequence[str]) -> list[str]:
    """Return ``--points`` or ``--quality`` where one of them explains every curve."""
    measured = {codec: set(rows.loc[rows["codec"] == codec, "setting"]) for codec in codecs}
    try:
        ladders = {codec: _ladder(codec) for codec in codecs}
    except BenchError:  # a codec that is not here any more has no ladder to compare with
        return []
    if all(measured[codec] == _texts(ladders[codec]) for codec in codecs):
        return []
    points = max(len(found) for found in measured.values())
    if all(measured[codec] == _texts(spread(ladders[codec], points)) for codec in codecs):
        return ["--points", str(points)]
    values = [_values(codec, measured[codec]) for codec in codecs]
    if values[0] and all(value == values[0] for value in values):
        return ["--quality", ",".join(f"{value:g}" for value in values[0])]
    return []


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
