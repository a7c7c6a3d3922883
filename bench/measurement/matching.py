"""What photographs cost in other formats at the quality that one format has now."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench import metrics as metrics_of
from bench import registry
from bench.analysis.at_targets import at_targets
from bench.analysis.common_images import natural
from bench.codec import Setting
from bench.dataset.dataset import Dataset
from bench.dataset.identity import Item
from bench.dataset.open import load_item
from bench.errors import BenchError, UsageError
from bench.image import frozen
from bench.measurement.plan import Wanted
from bench.measurement.pool import LocalPool, one_thread_each
from bench.measurement.progress import Progress
from bench.measurement.results import Results
from bench.measurement.run import run
from bench.metrics import from_file
from bench.rate_search import PerImage, Target, require_rate

AS_IS = "as-is"
DEFAULT_ANCHOR = "jpeg:quality=80"
DEFAULT_TARGET = 90.0
"""SSIMULACRA2 of re-encoded lossy files: hardly anybody tells them from the files as they are."""

_TIMED, _REPEATS = 3, 2


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it is.

    Attributes
    ----------
    size_bytes
        Of the file.
    lossy
        Its lossy format; empty where it loses nothing.
    """

    size_bytes: int
    lossy: str


def sources(dataset: Dataset) -> dict[str, Source]:
    """Return image -> what its file is, of the images that can be measured."""
    found = {}
    for item, _ in dataset.pictures().kept:
        found[item.name] = Source(item.path.stat().st_size, _lossy(item.path))
    return found


def _lossy(path: Path) -> str:
    """Return the lossy format of a file, a JPEG in a TIFF too; empty where it loses nothing."""
    from PIL import Image as PILImage

    with path.open("rb") as file:
        head = file.read(4)
    if head[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if head in (b"II*\0", b"MM\0*"):
        with PILImage.open(path) as picture:
            return "JPEG" if "jpeg" in str(picture.info.get("compression", "")) else ""
    return ""


def match(
    datasets: Sequence[Dataset],
    codecs: Sequence[str],
    anchor: str,
    target: Target,
    *,
    progress: Progress,
    **how: Any,  # noqa: ANN401 - the arguments of run
) -> Results:
    """Return the results of a search by each codec for the quality of an anchor on each image.

    Parameters
    ----------
    datasets
        Opened.
    codecs
        ``--codec`` words that are searched.
    anchor
        A codec with a value of its rate parameter, such as ``jpeg:quality=80``; or ``as-is``: the
        files, which each codec shall match with ``target``.
    target
        Its metric alone counts where the anchor is a codec.
    progress
        Receives what happens in the search.
    how
        ``out``, ``jobs``, ``timeout_s``, ...

    Raises
    ------
    BenchError
        As of ``run``; if the anchor has no such value, or no image has its quality.
    """
    if anchor == AS_IS:
        return run(datasets, codecs, [target.metric], targets=[target], progress=progress, **how)
    base = anchor_curve(anchor)
    for word in codecs:
        spec = registry.Spec.typed(word)
        codec = registry.create(spec.name)
        if registry.spec_name(codec, registry.settings(codec, spec)[0]) == base.codec:
            raise UsageError(f"{word} is what the others are compared with", "Name other codecs.")
        require_rate(codec)
    measured = run(datasets, [base], [target.metric], **how).rows
    column = metrics_of.create(target.metric).column
    values = {
        (str(row["dataset"]), str(row["image"])): float(row[column])
        for row in measured.to_dict("records")
        if math.isfinite(row[column])
    }
    if not values:
        raise UsageError(f"{anchor} has no {target.metric} on any image", "Choose another anchor.")
    aim = PerImage(target.metric, f"{target.metric} of {anchor}", values)
    asked: list[str | Wanted] = [*codecs, base]
    return run(datasets, asked, [target.metric], targets=[aim], progress=progress, **how)


def anchor_curve(anchor: str) -> Wanted:
    """Return the curve of one point that ``jpeg:quality=80`` names.

    Raises
    ------
    UsageError
        If it does not say the value of the codec's rate parameter.
    """
    spec = registry.Spec.typed(anchor)
    codec = registry.create(spec.name)
    rate = registry.rate_name(codec)
    if rate not in spec.options:
        raise UsageError(
            f"--from {anchor} does not say which {rate or 'setting'}",
            f"Write {anchor}{':' if anchor == spec.name else ','}{rate}=VALUE, or {AS_IS}.",
        )
    held = registry.Spec(spec.name, spec.options.without(rate))
    [setting] = registry.settings(codec, held, quality=[spec.options[rate]])
    return Wanted(registry.spec_name(codec, setting), (setting[rate],))


def answer(
    results: Results,
    datasets: Sequence[Dataset],
    anchor: str,
    device: str = "cpu",
) -> pd.DataFrame:
    """Return the table of a match: bytes a photo, what is saved, and how long encoders take.

    Returns
    -------
    DataFrame
        The columns of ``at_targets``, ``saved_bytes`` (mean over the images), ``encode_s_mp``
        (seconds a megapixel on one thread, over three photos; NaN where it was not timed),
        ``encode_ratio`` (against the anchor), and ``sources`` and ``lossy`` (how many files there
        are, and how many of them were lossy already). A line ``as-is`` has the files as they are.
    """
    base = anchor if anchor == AS_IS else anchor_curve(anchor).codec
    found = at_targets(results.rows, None if anchor == AS_IS else base)
    pictures = {dataset.display_name: dataset for dataset in datasets}
    parts = []
    for (name, _), group in found.groupby(["dataset", "target"], sort=False):
        dataset = pictures[str(name)]
        files = sources(dataset)
        common = _common(results.rows, str(name))
        mine = pd.concat([group, _as_is(group, files, common)], ignore_index=True)
        sizes = mine.set_index("codec")["bytes"]
        mine["anchor"] = base
        mine["saved_bytes"] = float(sizes.get(base, math.nan)) - mine["bytes"]
        if anchor == AS_IS:
            mine["bytes_percent"] = 100 * (mine["bytes"] / float(sizes[AS_IS]) - 1)
            mine[["percent", "low", "high"]] = math.nan
        speeds = _speeds(results.rows, dataset, list(map(str, group["codec"])), device)
        mine["encode_s_mp"] = [speeds.get(str(codec), math.nan) for codec in mine["codec"]]
        mine["encode_ratio"] = mine["encode_s_mp"] / speeds.get(base, math.nan)
        mine["sources"] = len(files)
        mine["lossy"] = sum(bool(source.lossy) for source in files.values())
        parts.append(mine.sort_values("bytes", kind="stable", na_position="last"))
    return pd.concat(parts, ignore_index=True)


def _common(rows: pd.DataFrame, dataset: str) -> list[str]:
    """Return the images on which every codec that reaches its target at all reaches it."""
    mine = rows[(rows["dataset"] == dataset) & (rows["error"] == "")]
    reached = mine[mine["target_bpp"].notna() | (mine["found_setting"] == "")]
    counts = reached.groupby("image")["codec"].nunique()
    return [str(name) for name in counts[counts == reached["codec"].nunique()].index]


def _as_is(group: pd.DataFrame, files: Mapping[str, Source], common: Sequence[str]) -> pd.DataFrame:
    """Return the line of the files as they are, over the images that the others are over."""
    line = {key: group.iloc[0][key] for key in ("dataset", "target", "of")}
    sizes = [files[name].size_bytes for name in common if name in files]
    size = sum(sizes) / len(sizes) if sizes else math.nan
    line |= {"codec": AS_IS, "label": "files as they are", "images": len(sizes), "bytes": size}
    return pd.DataFrame([line])


def _speeds(
    rows: pd.DataFrame, dataset: Dataset, codecs: Sequence[str], device: str
) -> dict[str, float]:
    """Return codec -> seconds a megapixel of its encoder at the settings that were found.

    One codec after another, on one thread of a process of its own, the best of two runs.
    """
    items = {item.name: item for item, _ in dataset.pictures().kept}
    names = sorted(items, key=natural)
    chosen = [names[i] for i in sorted({0, len(names) // 2, len(names) - 1})][:_TIMED]
    mine = rows[(rows["dataset"] == dataset.display_name) & (rows["error"] == "")]
    found = {}
    for codec in codecs:
        curve = mine[(mine["codec"] == codec) & mine["image"].isin(chosen)]
        jobs = [
            (items[str(row["image"])], str(row["found_setting"] or row["setting"]))
            for row in curve.to_dict("records")
        ]
        if not jobs:
            continue
        name = registry.Spec.parse(codec).name
        try:
            with one_thread_each(), LocalPool(1) as pool:
                found[codec] = pool.submit(_encode_s_mp, name, device, jobs).result()
        except BenchError:  # no time is better than no answer
            continue
    return found


def _encode_s_mp(name: str, device: str, jobs: Sequence[tuple[Item, str]]) -> float:
    """Return the seconds a megapixel that a codec takes to encode some images."""
    codec = registry.create(name, device)
    total_s = pixels = 0.0
    for item, setting in jobs:
        image = frozen(load_item(item))
        best_s = math.inf
        for _ in range(_REPEATS):
            started = time.perf_counter()
            codec.encode(image, Setting.from_json(setting))
            best_s = min(best_s, time.perf_counter() - started)
        total_s += best_s
        pixels += image.shape[0] * image.shape[1] / 1e6
    return total_s / pixels


def choose_anchor(datasets: Sequence[Dataset], anchor: str | None) -> str:
    """Return the anchor: the files as they are where all of them are lossy already, else JPEG."""
    files = [source for dataset in datasets for source in sources(dataset).values()]
    if anchor is not None:
        return anchor
    return AS_IS if files and all(source.lossy for source in files) else DEFAULT_ANCHOR


def choose_target(anchor: str, metric: str, text: str | None) -> Target:
    """Return what is to be equal: a value for files as they are, else a metric.

    Raises
    ------
    BenchError
        If there is no such metric, or a value is missing or not wanted.
    """
    if anchor != AS_IS:
        if text is not None:
            raise UsageError(
                f"the target is what {anchor} has", f"Leave it out, or --from {AS_IS}."
            )
        return Target(metrics_of.create(from_file.name_of(metric)).name, math.nan)
    name = from_file.name_of(metric)
    if text is None and name != "ssimulacra2":
        raise UsageError(
            f"the files have no {metric} of their own to match", f"Add --target {metric}=VALUE."
        )
    return Target.typed(text or f"{name}={DEFAULT_TARGET}")
