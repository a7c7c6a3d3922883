"""An experiment in TOML: what ``bench all FILE.toml`` measures, and what repeats a run.

::

    datasets = ["kodak", "folder:photos"]
    codecs = ["jpeg", "avif:speed=4", "mine.py:Mine", { codec = "bpg", quality = [25, 35, 45] }]
    metrics = ["psnr", "ms_ssim"]
    points = 4
    anchor = "bpg"

Optional as well: ``images``, ``quality``, ``targets``, ``device``, ``data_dir``, ``out`` and
``[outputs]``.
Paths are relative to the file's folder. ``[measured_with]``, which a run writes, says with what
the numbers were measured: a run of the file says what differs.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.codec import Scalar
from bench.errors import UsageError, suggest
from bench.measurement.plan import Wanted
from bench.metrics import from_file as metric_files
from bench.rate_search import targets
from bench.registry import from_file

FOLDER = "folder:"
OUTPUTS = ("plots", "report")
_SEE = "See docs/experiments.md for one that is complete."


@dataclass(frozen=True, slots=True)
class Experiment:
    """What a file says; paths are relative to the working folder, or absolute.

    Attributes
    ----------
    path
        The file.
    datasets, images, codecs, metrics, points, quality, device, data_dir, out
        As ``bench.run`` takes them; empty or None where the file does not say.
    targets
        As ``--target`` takes them; they exclude points and quality.
    anchor, references
        The codec that BD-rates are against; published curves, as ``--reference`` takes them.
    plots, report
        Which outputs are written beside the tables.
    measured_with
        ``codecs`` and ``metrics``: name -> version; ``pictures``: a hash for each dataset.
    """

    path: Path = Path()
    datasets: tuple[str, ...] = ()
    images: tuple[str, ...] | Mapping[str, tuple[str, ...]] = ()
    codecs: tuple[str | Wanted, ...] = ()
    metrics: tuple[str, ...] = ()
    points: int | None = None
    quality: tuple[Scalar, ...] | None = None
    targets: tuple[str, ...] = ()
    device: str | None = None
    data_dir: str | None = None
    out: str | None = None
    anchor: str | None = None
    references: tuple[str, ...] = ()
    plots: bool = True
    report: bool = False
    measured_with: Mapping[str, Any] = field(default_factory=dict)

    def overridden(self, **options: Any) -> Experiment:  # noqa: ANN401 - any field
        """Return it with what was typed instead; options that are None or empty were not typed."""
        typed = {k: v for k, v in options.items() if v not in (None, [], ())}
        new = replace(self, **typed)
        if "datasets" in typed or "images" in typed:
            kept = {k: v for k, v in self.measured_with.items() if k != "pictures"}
            images = typed.get("images", ())
            new = replace(new, measured_with=kept, images=images)
        if "targets" in typed:
            typed["quality"] = new.quality
            new = replace(new, points=None, quality=None)
        elif "quality" in typed or "points" in typed:
            new = replace(new, targets=())
        if "quality" in typed:
            codecs = tuple(w if isinstance(w, str) else replace(w, quality=()) for w in new.codecs)
            new = replace(new, codecs=codecs, points=typed.get("points"))
        return new

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of ``bench.run``: ``bench.run(**experiment.arguments())``."""
        names = ("datasets", "images", "codecs", "metrics", "points", "quality", "data_dir", "out")
        found = {name: getattr(self, name) for name in names}
        for word in self.metrics:  # a target may be a metric of these files
            metric_files.name_of(word)
        found["targets"] = [one for text in self.targets for one in targets(text)]
        outputs = {
            "anchor": self.anchor,
            "references": self.references,
            "plots": self.plots,
            "report": self.report,
        }
        more = {"outputs": outputs, "measured_with": self.measured_with}
        return {**found, "device": self.device or "cpu", **more}


def load_experiment(path: Path | str) -> Experiment:
    """Return what an experiment file says; ``bench.run(**experiment.arguments())`` measures it.

    Raises
    ------
    UsageError
        If it cannot be read, or a key is unknown or has a value of another kind.
    """
    path = Path(path)
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:  # UnicodeDecodeError and TOMLDecodeError among them
        reason = getattr(error, "strerror", None) or error
        hint = "" if path.suffix == ".toml" else "A dataset is named by --dataset. "
        raise UsageError(f"cannot read the experiment {path}: {reason}", hint + _SEE) from error
    if "encode" in entries:
        raise UsageError(f"{path} is a codec, no experiment", f"Write --codec {path}.")
    try:
        return _experiment(path, entries)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is not an experiment: {error}", _SEE) from error


def _experiment(path: Path, entries: Mapping[str, Any]) -> Experiment:
    known = [each.name for each in fields(Experiment) if each.name not in ("path", *OUTPUTS)]
    _known("", entries, [*known, "outputs"])
    outputs: Mapping[str, Any] = _table("outputs", entries.get("outputs", {}))
    _known("outputs.", outputs, OUTPUTS)
    base = path.resolve().parent
    found = {name: check(name, entries[name]) for name, check in _KINDS.items() if name in entries}
    if "targets" in found and ("points" in found or "quality" in found):
        raise ValueError("targets exclude points and quality")
    for name in ("data_dir", "out"):
        if name in found:
            found[name] = _place(base, found[name])
    words = tuple(_dataset(base, word) for word in found.get("datasets", ()))
    images = found.get("images", ())
    if isinstance(images, Mapping):
        images = {_dataset(base, name): names for name, names in images.items()}
        _known("images.", images, words)
    found |= {name: _bool(f"outputs.{name}", value) for name, value in outputs.items()}
    found |= {"datasets": words, "images": images}
    found["codecs"] = tuple(_codec(base, entry) for entry in found.get("codecs", ()))
    for name in ("metrics", "references"):
        found[name] = tuple(_word(base, word) for word in found.get(name, ()))
    return Experiment(path=path, **found)


def _known(where: str, entries: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in entries:
        if name not in known:
            raise ValueError(f"unknown key {where}{name}. {suggest(name, list(known))}".rstrip("."))


def _fault(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {wanted}, found {value!r}")


def _table(name: str, value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - of a TOML file
    if not isinstance(value, dict):
        raise _fault(name, "a table", value)
    return value


def _bool(name: str, value: Any) -> bool:  # noqa: ANN401 - the same
    if not isinstance(value, bool):
        raise _fault(name, "true or false", value)
    return value


def _text(name: str, value: Any) -> str:  # noqa: ANN401 - the same
    if not isinstance(value, str) or not value.strip():
        raise _fault(name, "text", value)
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:  # noqa: ANN401 - the same
    if not isinstance(value, list) or not value:
        raise _fault(name, "a list of text", value)
    return tuple(_text(name, entry) for entry in value)


def _images(name: str, value: Any) -> Any:  # noqa: ANN401 - the same
    if isinstance(value, dict):
        return {key: _texts(f"{name}.{key}", names) for key, names in value.items()}
    return _texts(name, value)


def _points(name: str, value: Any) -> int:  # noqa: ANN401 - the same
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _fault(name, "a whole number from 1", value)
    return value


def _values(name: str, value: Any) -> tuple[Scalar, ...]:  # noqa: ANN401 - the same
    wrong = isinstance(value, list) and any(
        isinstance(entry, bool) or not isinstance(entry, int | float | str) for entry in value
    )
    if not isinstance(value, list) or not value or wrong:
        raise _fault(name, "a list of values of the rate parameter", value)
    return tuple(value)


def _codecs(name: str, value: Any) -> list[Any]:  # noqa: ANN401 - the same
    if not isinstance(value, list) or not value:
        raise _fault(name, "a list of codecs", value)
    return value


def _measured_with(name: str, value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - the same
    _known(f"{name}.", _table(name, value), ("bench", "codecs", "metrics", "pictures"))
    for key in ("codecs", "metrics"):
        for one, version in _table(f"{name}.{key}", value.get(key, {})).items():
            _text(f"{name}.{key}.{one}", version)
    if value.get("pictures"):
        _texts(f"{name}.pictures", value["pictures"])
    return dict(value)


_KINDS: Mapping[str, Callable[[str, Any], Any]] = {
    "datasets": _texts,
    "images": _images,
    "codecs": _codecs,
    "metrics": _texts,
    "points": _points,
    "quality": _values,
    "targets": _texts,
    "device": _text,
    "data_dir": _text,
    "out": _text,
    "anchor": _text,
    "references": _texts,
    "measured_with": _measured_with,
}


def _codec(base: Path, entry: Any) -> str | Wanted:  # noqa: ANN401 - the same
    if not isinstance(entry, dict):
        return _word(base, _text("an entry of codecs", entry))
    _known("codecs.", entry, ("codec", "quality", "variant"))
    word = _word(base, _text("codecs.codec", entry.get("codec")))
    quality = _values("codecs.quality", entry["quality"]) if "quality" in entry else ()
    return Wanted(word, quality, _bool("codecs.variant", entry.get("variant", False)))


def _place(base: Path, text: str) -> str:
    """Return a path of a file in ``base``, relative to the working folder unless absolute."""
    path = Path(text).expanduser()
    return str(path) if path.is_absolute() else os.path.relpath(base / path)


def _dataset(base: Path, word: str) -> str:
    if not word.startswith(FOLDER):
        return word
    return FOLDER + _place(base, word.removeprefix(FOLDER))


def _word(base: Path, word: str) -> str:
    """Return a word of ``--codec``, ``--metric`` or ``--reference``, its file found from here."""
    head, colon, rest = word.partition(":")
    if from_file.is_checkpoints(word):
        return with_paths(word, partial(_place, base))
    if is_file(head):
        return _place(base, head) + colon + rest
    return word


def is_file(head: str) -> bool:
    """Return whether a word, up to its first colon, is the path of a file."""
    return "/" in head or head.endswith((".py", ".toml", ".json"))


def with_paths(word: str, place: Callable[[str], str]) -> str:
    """Return a word that names checkpoints, with ``place`` of each path in it."""

    def one(found: re.Match[str]) -> str:
        path, colon, cls = found[2].partition(":")
        if found[1] == "arch" and not is_file(path):
            return found[0]
        return f"{found[1]}={place(path)}{colon}{cls}"

    return re.sub(r"\b(arch|weights)=(.*?)(?=,(?:arch|weights|name|stride)=|$)", one, word)
