"""The experiment that repeats a run: written into its folder, and compared with what is here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import metrics as metrics_of
from bench import registry
from bench.codec import Codec, Scalar, Setting
from bench.files import write_atomically
from bench.measurement.experiment import FOLDER, OUTPUTS, is_file, with_paths
from bench.measurement.plan import Plan, Wanted
from bench.measurement.provenance import bench_version, git_commit
from bench.metrics import from_file as metric_files
from bench.rate_search import PerImage
from bench.registry import from_file

if TYPE_CHECKING:
    from bench.dataset.dataset import Dataset

FILE = "experiment.toml"


def asked(
    codecs: Sequence[str | Wanted] | Mapping[str, Sequence[Setting]],
    metrics: Sequence[str],
    points: int | None,
    quality: Sequence[Scalar] | None,
) -> dict[str, Any]:
    """Return what a record keeps of what was asked for, so that a command can ask for it again.

    Returns
    -------
    dict
        ``codec_words``, ``metric_words``: name of what is in a file -> what named it, as it was
        typed, without options; ``rungs``: the options that chose the settings of all codecs,
        missing where no option says them.
    """
    words = [] if isinstance(codecs, Mapping) else codecs
    texts = [word if isinstance(word, str) else word.codec for word in words]
    named = {registry.Spec.typed(t).name: from_file.without_options(t) for t in texts if _filed(t)}
    scored = {metric_files.name_of(t): t for t in metrics if metric_files.canonical(t)}
    found: dict[str, Any] = {"codec_words": named, "metric_words": scored}
    if isinstance(codecs, Mapping) or any(isinstance(w, Wanted) and w.quality for w in words):
        return found
    rungs = ["--points", str(points)] if points else []
    rungs += ["--quality", ",".join(map(str, quality))] if quality else []
    return {**found, "rungs": rungs}


def _filed(text: str) -> bool:
    return from_file.split(text) is not None


def differences(plan: Plan, measured_with: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that is not what an experiment was measured with."""
    here = _measured_with_here(plan)
    found = []
    for kind, word in (("codecs", "codec"), ("metrics", "metric")):
        before, now = measured_with.get(kind, {}), here[kind]
        found += [
            f"the experiment was measured with {word} {name} of version {before[name]}, here is "
            f"{version}: other values are possible"
            for name, version in now.items()
            if before.get(name, version) != version
        ]
    known = measured_with.get("pictures", [])
    found += [
        f"the experiment was not measured on the pictures that {name} has here: it cannot be "
        "repeated with these"
        for now, name in zip(here["pictures"], plan.datasets, strict=True)
        if known and now not in known
    ]
    return found


def _measured_with_here(plan: Plan) -> dict[str, Any]:
    return {
        "codecs": {curve.codec.name: curve.codec.version() for curve in plan.curves},
        "metrics": {metric.name: str(metric.version) for metric in plan.metrics},
        "pictures": [about["pixels_sha256"] for about in plan.datasets.values()],
    }


def write(
    folder: Path,
    plan: Plan,
    opened: Sequence[Dataset],
    *,
    chosen: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """Write the file that repeats a run into its folder.

    A run whose targets are what other files have on each image leaves none, also none of before.

    Parameters
    ----------
    folder, plan, opened
        Of the results; the plan and the datasets that were opened for it.
    chosen
        Whether only some images of the datasets were asked for.
    options
        ``device``, ``data_dir``, ``anchor``, ``references``, ``plots`` and ``report``.
    """
    aims = [target for curve in plan.curves for target in curve.targets]
    if any(isinstance(target, PerImage) for target in aims):
        (folder / FILE).unlink(missing_ok=True)
        return
    base = folder.resolve()
    words = [_dataset_word(base, dataset) for dataset in opened]
    metrics = [_metric_word(base, metric.name) for metric in plan.metrics] or ["bpp"]
    commit = git_commit()
    lines = [
        f"# `bench all {FILE}` measures this again; paths are relative to this file.",
        f"datasets = {_toml(words)}",
        "codecs = [",
        *(f"  {_toml(entry)}," for entry in _entries(base, plan)),
        "]",
        f"metrics = {_toml(metrics)}",
    ]
    if aims:
        lines.append(f"targets = {_toml(list(dict.fromkeys(map(str, aims))))}")
    if (device := options.get("device")) not in (None, "cpu"):
        lines.append(f"device = {_toml(device)}")
    if data_dir := options.get("data_dir"):
        place = Path(data_dir)
        where = _from(base, place, absolute=place.is_absolute())
        lines.append(f"data_dir = {_toml(where)}")
    if anchor := options.get("anchor"):
        lines.append(f"anchor = {_toml(anchor)}")
    if references := options.get("references"):
        lines.append(f"references = {_toml([_from_here(base, word) for word in references])}")
    if chosen:
        names = {w: [i.name for i in d.items] for w, d in zip(words, opened, strict=True)}
        lines += _lines("images", names)
    outputs = {name: options[name] for name in OUTPUTS if name in options}
    lines += _lines("outputs", outputs) if outputs else []
    version = f"{bench_version()}, commit {commit}" if commit else bench_version()
    lines += _lines("measured_with", {"bench": version, **_measured_with_here(plan)})
    text = "\n".join(lines) + "\n"
    write_atomically(folder / FILE, text.encode("utf-8", "backslashreplace"))


def _lines(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n[{name}]"
    for key, value in table.items():
        yield f"{_key(key)} = {_toml(value)}"


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _toml(text)


def _toml(value: Any) -> str:  # noqa: ANN401 - plain data
    """Return plain data in TOML, on one line."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _from(base: Path, path: Path, *, absolute: bool = False) -> str:
    """Return a path as a file in ``base`` names it: relative unless it was typed absolute."""
    return str(path) if absolute else os.path.relpath(path.resolve(), base)


def _from_here(base: Path, word: str) -> str:
    """Return a word as a file in ``base`` says it, the opposite of ``_word``."""
    head, colon, rest = word.partition(":")
    if not is_file(head):
        return word
    return _from(base, Path(head), absolute=Path(head).is_absolute()) + colon + rest


def _dataset_word(base: Path, dataset: Dataset) -> str:
    if dataset.folder is None:
        return dataset.name
    typed = Path(dataset.name.removeprefix(FOLDER))
    return FOLDER + _from(base, dataset.folder, absolute=typed.is_absolute())


def _entries(base: Path, plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield each curve of a plan, in the words that name it and the values of its rate."""
    members = {name for names in plan.families.values() for name in names}
    found: dict[str, tuple[Codec, list[Setting]]] = {}
    for curve in plan.curves:
        for setting in curve.settings:
            name = registry.spec_name(curve.codec, setting)
            values = found.setdefault(name, (curve.codec, []))[1]
            values += [] if curve.targets else [setting]
    for name, (codec, settings) in found.items():
        word, options = _codec_word(base, codec.name), name.removeprefix(codec.name)
        rate = registry.rate_name(codec)
        quality = list(dict.fromkeys(setting[rate] for setting in settings)) if rate else []
        if from_file.is_checkpoints(word) and settings == list(codec.ladder()):
            quality = []  # the word names them all
        yield {
            "codec": word + options,
            **({"quality": quality} if quality else {}),
            **({"variant": True} if name in members else {}),
        }


def _codec_word(base: Path, name: str) -> str:
    """Return what names a codec anywhere: its name, or the file that it is in."""
    found = registry.find(name)
    word = found.source if found else name
    if word not in from_file.known():
        return name
    if from_file.is_checkpoints(word):
        return with_paths(word, lambda text: text if "[" in text else _from(base, Path(text)))
    path, colon, cls = word.partition(":")
    return _from(base, Path(path)) + colon + cls


def _metric_word(base: Path, name: str) -> str:
    """Return what names a metric anywhere: its name, the file that it is in, or its command."""
    word = metrics_of.discover()[name].source
    if word not in metric_files.known():
        return name
    path, colon, cls = word.partition(":")
    return word if path == "cmd" else _from(base, Path(path)) + colon + cls
