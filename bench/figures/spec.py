"""Figure sets: the declarative file that says which figures there are."""

from __future__ import annotations

import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import UsageError, suggest

FOLDER = Path(__file__).parent
_NOT_SETS = {"reported"}
_SET_KEYS = ("title", "authors", "source", "dataset", "codec")
_ENTRY_KEYS = ("id", "kind", "paper", "title", "caption")

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure or table.

    Attributes
    ----------
    id
        Stem of its files and word for ``--only``.
    kind
        Which module makes it; see ``kinds.KINDS``.
    paper
        What it re-makes, ``Fig. 2``; empty where the paper has nothing like it.
    title
        A few words.
    caption
        For the LaTeX file.
    options
        What its kind wants to know.
    """

    id: str
    kind: str
    paper: str
    title: str
    caption: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FigureSet:
    """A declared set.

    Attributes
    ----------
    name
        Stem of the file.
    title, authors, source
        Of the paper.
    dataset
        Whose images the figures are made from, where an entry does not say.
    codec
        The codec that is the paper's, in this suite.
    entries
        The figures, in order.
    """

    name: str
    title: str
    authors: str
    source: str
    dataset: str
    codec: str
    entries: tuple[Entry, ...]


def names() -> list[str]:
    """Return the sets that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem not in _NOT_SETS)


def load(word: str) -> FigureSet:
    """Return a figure set.

    Parameters
    ----------
    word
        The name of one that comes with the package, or the path of a TOML file.

    Raises
    ------
    UsageError
        If there is none of that name, or the file is not a figure set.
    """
    path = Path(word) if word.endswith(".toml") else FOLDER / f"{word}.toml"
    if not path.is_file():
        raise UsageError(f"no figure set {word!r}", suggest(word, names()))
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}", "Correct it.") from error
    check_keys(path, content, required=(*_SET_KEYS, "figure"))
    entries = tuple(_entry(path, values) for values in content["figure"])
    ids = [entry.id for entry in entries]
    if len(set(ids)) != len(ids):
        twice = next(word for word in ids if ids.count(word) > 1)
        raise UsageError(f"{path} has two figures {twice!r}", "Rename one of them.")
    words = {key: str(content[key]) for key in _SET_KEYS}
    return FigureSet(name=path.stem, **words, entries=entries)


def _entry(path: Path, values: Mapping[str, Any]) -> Entry:
    check_keys(path, values, required=_ENTRY_KEYS, optional=("options",))
    words = {key: str(values[key]) for key in _ENTRY_KEYS}
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", words["id"]):
        raise UsageError(
            f"{path} has the id {words['id']!r}, which cannot be a file name everywhere",
            "Use letters, digits, dots, hyphens and underscores, at most 100.",
        )
    return Entry(**words, options=values.get("options", {}))


def check_keys(
    where: Path | str,
    values: Mapping[str, Any],
    *,
    required: typing.Iterable[str],
    optional: typing.Iterable[str] = (),
) -> None:
    """Raise UsageError unless ``values`` has every required key and none that is unknown."""
    wanted = list(required)
    missing = [key for key in wanted if key not in values]
    if missing:
        raise UsageError(f"{where} lacks the key {missing[0]!r}", f"Found: {', '.join(values)}.")
    known = [*wanted, *optional]
    unknown = [key for key in values if key not in known]
    if unknown:
        raise UsageError(f"{where} has the unknown key {unknown[0]!r}", suggest(unknown[0], known))


def options_of(kind: type[Options], entry: Entry) -> Options:
    """Return an entry's options as ``kind``, a dataclass whose defaults fill what is not said.

    Raises
    ------
    UsageError
        If an option is unknown, missing or of another type.
    """
    declared = fields(kind)  # type: ignore[arg-type] # a dataclass
    where = f"figure {entry.id}"
    required = [f.name for f in declared if f.default is MISSING and f.default_factory is MISSING]
    check_keys(where, entry.options, required=required, optional=[f.name for f in declared])
    hints = typing.get_type_hints(kind)
    values = {name: _frozen(value) for name, value in entry.options.items()}
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise UsageError(
                f"{where}: option {name} must be {hints[name]}, found {value!r}", "Correct it."
            )
    return kind(**values)


def _frozen(value: Any) -> Any:  # noqa: ANN401 - what TOML holds
    """Return lists as tuples, all the way down."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:  # noqa: ANN401 - any value, any type
    """Return whether ``value`` is of the type that ``hint`` names: scalars, tuples, unions."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if inner[-1] is Ellipsis:
            return all(_fits(item, inner[0]) for item in value)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)
