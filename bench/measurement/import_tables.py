"""Rows that others made: a CSV file, codec-compare's JSON, CompressAI's JSON of single images.

Everything that cannot be is refused with the place where it stands; columns that mean nothing here
are named, and take no part.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.analysis.published_curves import quality_of
from bench.codec import Scalar
from bench.errors import UsageError
from bench.measurement.untrusted import MAX_RECORD, MAX_TEXT

_NAMES = {
    **dict.fromkeys(("image", "filename", "original_name", "source"), "image"),
    **dict.fromkeys(("codec", "method", "model", "curve"), "codec"),
    **dict.fromkeys(("bytes", "size_bytes", "encoded_size", "file_size"), "bytes"),
    **{name: name for name in ("dataset", "setting", "bpp", "width", "height", "error")},
}
"""Spelling of a column -> what it is."""

_SETTINGS = frozenset(
    {"quality", "qp", "q", "rate", "point", "lambda", "lmbda", "effort", "speed", "level"}
    | {"distance", "subsampling", "net"}
)
"""Columns that are encoder settings where no column ``setting`` says it."""

_SILENT = frozenset({"label", "encode_s", "decode_s", "bitstream_sha256", "version", "time"})
"""Columns of our own files that an import does not take over."""


@dataclass(frozen=True, slots=True)
class Given:
    """One cell as somebody else gives it.

    Attributes
    ----------
    where
        For messages: file and line.
    image, codec, dataset
        As the file calls them; ``dataset`` may be empty.
    setting
        What varies along the curve.
    size_bytes, bpp
        Of the compressed file; one of them may be None.
    sides
        Width and height in pixels, or None.
    scores
        Quality column -> value; None: not defined.
    error
        Why it failed; then it has no size.
    bitstream, decoded
        The files, where they are there: then size and scores are measured from them.
    """

    where: str
    image: str
    codec: str
    dataset: str
    setting: Mapping[str, Scalar]
    size_bytes: int | None = None
    bpp: float | None = None
    sides: tuple[int, int] | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    error: str = ""
    bitstream: Path | None = None
    decoded: Path | None = None


def read(paths: Sequence[Path]) -> tuple[list[Given], list[str]]:
    """Return the cells of some files, and the columns that mean nothing here.

    Raises
    ------
    UsageError
        If a file cannot be read, or a value of it cannot be.
    """
    given: list[Given] = []
    ignored: dict[str, None] = {}
    for path in paths:
        for where, line in _lines(path):
            given.append(_given(where, line, ignored))
    return given, list(ignored)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and values of each row of a file."""
    try:
        if path.stat().st_size > MAX_RECORD:
            raise UsageError(f"{path} is larger than {MAX_RECORD >> 20} MiB", "Import parts of it.")
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            yield from _json_lines(path, json.loads(text))
        else:
            yield from _csv_lines(path, text)
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {reason}", "Wanted CSV or JSON.") from error


def _csv_lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=separator, strict=True)
    names = [name.strip() for name in reader.fieldnames or []]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"{path} has the column {twice!r} twice", "Rename one of them.")
    for line in reader:
        if None in line or None in line.values():
            raise UsageError(
                f"{path}, line {reader.line_num} has another number of columns than the head"
            )
        yield f"{path}, line {reader.line_num}", {k.strip(): v.strip() for k, v in line.items()}


def _json_lines(path: Path, data: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401
    if isinstance(data, dict) and "field_descriptions" in data:
        yield from _codec_compare(path, data)
    elif isinstance(data, dict) and isinstance(data.get("results"), dict):
        results = data["results"]
        if any(isinstance(value, list) for value in results.values()):
            raise UsageError(
                f"{path} holds means over a dataset, not single images",
                f"Show them beside your results with --reference {path}.",
            )
        source = str(data.get("source", ""))
        net = path.stem.removeprefix(source).lstrip("-")
        yield str(path), {"source": source, "codec": data.get("name"), "net": net, **results}
    else:
        raise UsageError(
            f"{path} is neither codec-compare's JSON nor CompressAI's of a single image"
        )


def _codec_compare(path: Path, data: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a batch: constants and fields by name, what says "setting" as one."""
    try:
        constants = [next(iter(entry.items())) for entry in data["constant_descriptions"]]
        fields = [next(iter(entry.items())) for entry in data["field_descriptions"]]
        held = dict(zip((n for n, _ in constants), data["constant_values"], strict=True))
        codec = str(held.get("curve") or held.get("codec") or "")
        settings = {
            n for n, text in [*constants, *fields] if str(text).startswith("Encoder setting")
        }
        settings |= _SETTINGS & {n for n, _ in [*constants, *fields]}
        for number, values in enumerate(data["field_values"], 1):
            line = dict(zip((n for n, _ in fields), values, strict=True))
            both = {**held, **line}
            held_along = ((name, both[name]) for name in both if name in settings)
            setting = {name: scalar(value) for name, value in held_along if value is not None}
            for name in [name for name in line if f"{name}_infinite" in line]:
                line[name] = math.inf if line[f"{name}_infinite"] else line[name]
            plain = {
                name: value
                for name, value in line.items()
                if name not in settings and not name.endswith(("_infinite", "_undefined"))
            }
            dataset = held.get("source_data_set", "")
            yield (
                f"{path}, row {number}",
                {**plain, "codec": codec, "dataset": dataset, "setting": json.dumps(setting)},
            )
    except (KeyError, TypeError, StopIteration, AttributeError) as error:
        raise UsageError(f"{path} is not codec-compare's JSON: {error!r:.80}") from error


def _given(where: str, line: Mapping[str, Any], ignored: dict[str, None]) -> Given:
    """Return one row as a cell."""
    facts: dict[str, Any] = {}
    scores: dict[str, float | None] = {}
    setting: dict[str, Scalar] = {}
    for name, value in line.items():
        word = name.casefold()
        if word in _NAMES:
            facts[_NAMES[word]] = value
        elif word in _SETTINGS:
            setting[name] = scalar(value)
        elif form := _form(name, where):
            if form.decibels is None:
                scores[form.column] = _score(value, form.limits, f"{where}: {name}")
            else:
                ignored[name] = None
        elif word not in _SILENT:
            ignored[name] = None
    if text := str(facts.get("setting") or ""):
        setting = _setting(text, where)
    image, codec = (str(facts.get(key) or "") for key in ("image", "codec"))
    if not image:
        raise UsageError(f"{where} does not say of which image it is", "Add a column `image`.")
    error = str(facts.get("error") or "")
    size, bpp, width, height = (
        _positive(facts.get(key), f"{where}: {key}") for key in ("bytes", "bpp", "width", "height")
    )
    if size is None and bpp is None and not error:
        raise UsageError(f"{where} has neither bytes nor bpp", "Add one of the columns.")
    return Given(
        where,
        image[:MAX_TEXT],
        codec[:MAX_TEXT],
        str(facts.get("dataset") or ""),
        setting,
        None if size is None else _whole(size, where),
        bpp,
        (int(width), int(height)) if width and height else None,
        scores,
        error,
    )


def _form(name: str, where: str) -> Any:  # noqa: ANN401 - a column, or None
    try:
        return quality_of(name)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def _score(value: Any, limits: tuple[float, float], what: str) -> float | None:  # noqa: ANN401
    if value is None or value == "":
        return None
    found = _number(value, what)
    if math.isnan(found):
        return None
    low, high = limits
    if not low <= found <= high:
        raise UsageError(f"{what} must lie in {low:g} to {high:g}, found {found:g}")
    return found


def _number(value: Any, what: str) -> float:  # noqa: ANN401 - of a file
    try:
        if isinstance(value, bool):
            raise TypeError  # noqa: TRY301
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{what} must be a number, found {value!r:.40}") from None


def _positive(value: Any, what: str) -> float | None:  # noqa: ANN401 - of a file
    if value is None or value == "":
        return None
    found = _number(value, what)
    if not (found > 0 and math.isfinite(found)):
        raise UsageError(f"{what} must be positive, found {found:g}")
    return found


def _whole(size: float, where: str) -> int:
    if size != int(size):
        raise UsageError(f"{where}: bytes must be a whole number, found {size:g}")
    return int(size)


def scalar(value: Any) -> Scalar:  # noqa: ANN401 - of a file
    """Return a number, true or false where a text is one."""
    if not isinstance(value, str):
        return value if isinstance(value, int | float | bool) else str(value)
    if value in {"true", "false"}:  # as our own export has them
        return value == "true"
    for kind in (int, float):
        try:
            found = kind(value)
        except ValueError:
            continue
        return found if math.isfinite(found) else value
    return value


def _setting(text: str, where: str) -> dict[str, Scalar]:
    """Return what a column ``setting`` says: a JSON object, or any text as one value."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return {"setting": scalar(text)}
    if any(isinstance(value, dict | list) or value is None for value in found.values()):
        raise UsageError(f"{where}: the setting {text:.60} holds other than plain values")
    return found
