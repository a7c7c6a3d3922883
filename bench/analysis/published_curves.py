"""Published rate-distortion curves: drawn beside ours, never taken for measurements.

A file is somebody else's, so it is checked when it is read: what is not understood is refused or
listed, never drawn as something else.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.dataset import manifest
from bench.errors import UsageError
from bench.metrics.columns import Column, drawn_form, known

Points = Sequence[tuple[float, float]]

_MOST_BYTES = 4_000_000
_LARGEST = 1e6
_WANTED = 'Wanted JSON like {"name": "VTM", "results": {"bpp": [...], "psnr-rgb": [...]}}.'
_SPLIT = frozenset({"clic2020-professional", "clic2020-mobile"})
"""Validation sets whose names others use for the test sets; CompressAI's issues 81 and 122."""

_FILLER = frozenset(
    {"dataset", "set", "images", "image", "photos", "the", "full", "valid", "validation", "val"}
)


class _UnfitError(ValueError):
    """A file is no published curve, or holds what cannot be."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A published curve, drawn dashed and labelled "reported, not measured".

    Attributes
    ----------
    name
        What the label calls it.
    dataset
        Dataset that it was reported on; drawn in the plots of that one only.
    points
        Quality column, in decibels where the metric has them -> (bpp, value) pairs, rates rising.
    ignored
        Keys of the file's results that are no quality known here.
    source
        Where it was published, or the file that it was read from.
    """

    name: str
    dataset: str
    points: Mapping[str, Points]
    ignored: tuple[str, ...] = ()
    source: str = ""


def load_reference(path: Path) -> Reference:
    """Return the published curve in a JSON file of CompressAI's shape.

    The file holds ``name`` and ``results`` with ``bpp`` beside ``psnr-rgb``, ``ms-ssim-rgb``,
    ``ms-ssim-db-rgb`` or another metric's name or column; or these lists alone, as lossy-vae has
    them. The dataset is its ``dataset``, also in its ``meta``, else what the name of the file or of
    its folder says (``kodak/vtm.json``, ``vtm_kodak.json``).

    Raises
    ------
    UsageError
        If the file cannot be read, has another shape, or holds a value that cannot be.
    """
    try:
        data = _whole(_mapping(_parsed(path), "the file"), path)
        points, ignored = _points(_mapping(data.get("results"), "results"))
        dataset = _known_dataset(_text(data, "dataset")) if "dataset" in data else _dataset_in(path)
        return Reference(_text(data, "name"), dataset, points, ignored, source=path.name)
    except RecursionError:
        reason = "it is nested too deeply"
    except UnicodeDecodeError:
        reason = "it is not a text in UTF-8"
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    raise UsageError(f"{path} is not a published curve: {reason}", _WANTED)


def _whole(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the content of a file with ``results`` and, where it is said, ``dataset``."""
    if "results" not in data and "bpp" in data:
        lists = {key: value for key, value in data.items() if isinstance(value, list)}
        return {"name": path.stem} | data | {"results": lists}
    meta = data.get("meta")
    named = meta.get("dataset") if isinstance(meta, dict) else None
    return {"dataset": named} | data if isinstance(named, str) else data


def _parsed(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Return the content of a JSON file; a key that stands twice in one object is an error."""
    if path.exists() and not path.is_file():
        raise _UnfitError("it is not a file")
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise _UnfitError(f"it is larger than {_MOST_BYTES / 1e6:g} MB")
    return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_refuse)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _UnfitError(f"the key {twice!r:.40} stands twice")
    return found


def _refuse(constant: str) -> float:
    raise _UnfitError(f"it holds {constant}, which is no number")


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _UnfitError(f"{what} must be an object, found {type(value).__name__}")
    return value


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _UnfitError(f"{key} must be a text, found {value!r:.40}")
    return value.strip()


def _numbers(value: object, key: str) -> list[float]:
    """Return a list of numbers of plausible size."""
    if not isinstance(value, list) or not value:
        raise _UnfitError(f"{key} must be a list of numbers, found {value!r:.40}")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise _UnfitError(f"{key} must be a list of numbers, found {item!r:.40} in it")
        if not abs(item) <= _LARGEST:
            raise _UnfitError(f"{key} holds {item!r:.40}, which is no value of a curve")
    return [float(item) for item in value]


def _points(results: Mapping[str, Any]) -> tuple[dict[str, Points], tuple[str, ...]]:
    """Return quality column -> points, and the keys that are no quality known here."""
    rates = _numbers(results.get("bpp"), "bpp")
    if min(rates) <= 0:
        raise _UnfitError(f"bpp must be positive, found {min(rates):g}")
    if len(set(rates)) < len(rates):
        raise _UnfitError("bpp holds a rate twice")
    points: dict[str, Points] = {}
    origin: dict[str, str] = {}
    ignored = []
    for key, value in results.items():
        if key == "bpp":
            continue
        form = quality_of(key)
        if form is None:
            ignored.append(key)
            continue
        values = _values(_numbers(value, key), key, form)
        if len(values) != len(rates):
            raise _UnfitError(f"{key} has {len(values)} values for {len(rates)} rates")
        column = drawn_form(form).column
        pairs = sorted(zip(rates, values, strict=True))
        if column in points and not _alike(points[column], pairs):
            raise _UnfitError(f"{origin[column]} and {key} are two different curves of one metric")
        points[column], origin[column] = pairs, key
    if not points:
        found = ", ".join(ignored) or "none"
        raise _UnfitError(f"results has no quality that is known here (found: {found:.80})")
    return points, tuple(ignored)


def _alike(one: Points, two: Points) -> bool:
    return all(math.isclose(a[1], b[1], abs_tol=0.01) for a, b in zip(one, two, strict=True))


def _values(numbers: list[float], key: str, form: Column) -> list[float]:
    """Return the values in the form that curves are drawn in."""
    low, high = form.limits
    for value in numbers:
        if not low <= value <= high:
            shown = drawn_form(form)
            decibels = f"{shown.column.replace('_', '-')}-rgb"
            hint = f"; decibels go under {decibels}" if shown is not form else ""
            raise _UnfitError(f"{key} must lie in {low:g} to {high:g}, found {value:g}{hint}")
        if value == form.exact:
            raise _UnfitError(f"{key} holds {value:g}: a lossless point lies on no curve")
    shown = drawn_form(form)
    return numbers if shown == form else [float(v) for v in shown.of_means(numbers)]


def _letters(text: str) -> str:
    return "".join(re.findall(r"[a-z0-9]+", text.casefold()))


def quality_of(key: str) -> Column | None:
    """Return the quality that a key means: ``psnr``, ``ms-ssim-rgb``, ``MS_SSIM-dB`` and so on.

    One that means several is refused: ``lpips`` does not say which network.
    """
    words = re.findall(r"[a-z0-9]+", key.casefold())
    wanted = "".join(word for word in words if word != "rgb").removesuffix("rgb")
    family = []
    for form in known().values():
        names = {form.column} if form.decibels else {form.column, form.metric, form.words}
        if wanted in {_letters(name).removesuffix("rgb") for name in names}:
            return form
        if wanted == _letters(form.family):
            family.append(form.column)
    if family:
        raise _UnfitError(f"{key} does not say which of {', '.join(family)} it is")
    return None


def _tokens(text: str) -> frozenset[str]:
    """Return the words and numbers that name a dataset, without words like "images"."""
    return frozenset(re.findall(r"[a-z]+|\d+", text.casefold())) - _FILLER


def _fits(tokens: frozenset[str], name: str) -> bool:
    """Return whether words name a known dataset, its number of images among them or not."""
    count = str(len(manifest.read(name).files))
    left = set(tokens) - {count}
    for word in _tokens(name):
        match = next((t for t in left if t == word or (len(t) > 2 and word.startswith(t))), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _known_dataset(text: str) -> str:
    """Return the name that the suite has for a dataset, else the text as it is."""
    tokens = _tokens(text)
    return next((name for name in manifest.names() if tokens and _fits(tokens, name)), text)


def _dataset_in(path: Path) -> str:
    """Return the dataset that the name of a file or of its folder holds; refuse none or several."""
    for text in (path.stem, path.resolve().parent.name):
        found = [name for name in manifest.names() if _tokens(name) <= _tokens(text)]
        if len(found) == 1 and found[0] in _SPLIT:
            raise _UnfitError(
                f"a name like {text!r:.60} does not say of which images of CLIC 2020 it is, and "
                "CompressAI's curves are means over the test images; if it is of the validation "
                f'images, add "dataset": "{found[0]}"'
            )
        if len(found) == 1:
            return found[0]
    raise _UnfitError('it does not say of which dataset: add "dataset": "kodak"')


def is_of(reference: Reference, dataset: str) -> bool:
    """Return whether a curve was reported on a dataset of the results."""
    return _place(reference.dataset) == _place(dataset)


def _place(dataset: str) -> str:
    scheme, colon, folder = dataset.partition(":")
    return f"{scheme}:{os.path.normpath(folder)}" if colon else dataset


def not_drawn(
    references: Iterable[Reference], measured: Mapping[str, Mapping[str, tuple[float, float]]]
) -> list[str]:
    """Return a line for each part of a reference that no plot shows, with the reason.

    Parameters
    ----------
    references
        Published curves.
    measured
        Dataset of the results -> quality column -> lowest and highest rate of the curves drawn.
    """
    lines = []
    for reference in references:
        mine = [curves for name, curves in measured.items() if is_of(reference, name)]
        if not mine:
            lines.append(_no_dataset(reference, list(measured)))
            continue
        for column, points in reference.points.items():
            title = known()[column].title
            if column not in mine[0]:
                lines.append(f"{reference.name}: its {title} is not drawn: it was not measured")
            elif points[0][0] > mine[0][column][1] or points[-1][0] < mine[0][column][0]:
                lines.append(
                    f"{reference.name}: its {title} is not drawn: its rates, {points[0][0]:g} to "
                    f"{points[-1][0]:g} bpp, lie outside of what was measured"
                )
        if reference.ignored:
            lines.append(
                f"{reference.name}: not a metric known here, so not drawn: "
                f"{', '.join(reference.ignored)}"
            )
    return lines


def _no_dataset(reference: Reference, measured: Sequence[str]) -> str:
    part = next((n for n in measured if n.startswith(f"{reference.dataset} (")), "")
    if part:
        return (
            f"{reference.name} is not drawn: it is a mean over all images of {reference.dataset}, "
            f"and measured was {part}"
        )
    return (
        f"{reference.name} is not drawn: it is of the dataset {reference.dataset}, and the results "
        f"are of {', '.join(measured) or 'none'}"
    )
