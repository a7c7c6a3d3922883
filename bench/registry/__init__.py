"""Finding codecs: in ``codecs/``, as an entry point ``bench.codecs``, or in a file of yours.

A file is Python with a class, or TOML with a command; see ``from_file`` and ``command``.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.codec import Codec, Parameter, Setting
from bench.errors import (
    BenchError,
    Unavailable,
    UsageError,
    is_ctrl_c,
    one_line,
    suggest,
)
from bench.metrics.plugin_probe import deadly as deadly_plugins
from bench.registry import from_file, guard
from bench.registry.command import codec_class
from bench.registry.settings import (
    Spec,
    check_device,
    complete,
    parameters,
    rate_name,
    settings,
    spec_name,
)

__all__ = [
    "Found",
    "Spec",
    "check_device",
    "complete",
    "create",
    "discover",
    "find",
    "in_turn",
    "load_plugin",
    "outdated_metadata",
    "parameters",
    "rate_name",
    "settings",
    "spec_name",
]

ENTRY_POINTS = "bench.codecs"
INSTALL_AGAIN = "Install the package again: python -m pip install -e ."
_FOLDER = Path(__file__).parent.parent / "codecs"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True, slots=True)
class Found:
    """A codec that exists here: its class, or the reason why it cannot be used.

    Attributes
    ----------
    name, source
        What ``--codec`` takes, and the file or package it comes from.
    cls, reason
        The class; None with a reason where the codec is broken or cannot be imported.
    package
        The distribution that brings it; empty for the codecs of this one.
    """

    name: str
    source: str
    cls: type[Codec] | None
    reason: str = ""
    package: str = ""


def _stems() -> list[str]:
    """Return the names of the plug-in files, packages and commands in ``codecs/``."""
    if not _FOLDER.is_dir():
        raise UsageError(
            f"{_FOLDER} is not a folder: this checkout lost its symbolic links",
            "Clone again with `git config core.symlinks true`, or install the wheel.",
        )
    return sorted(
        path.stem
        for path in _FOLDER.iterdir()
        if not path.name.startswith(("_", "."))
        and (path.suffix in (".py", ".toml") or (path / "__init__.py").is_file())
    )


@cache
def _stems_in(folder: Path) -> frozenset[str]:
    """Return these names as they were when a codec in ``folder`` was first looked for."""
    return frozenset(_stems()) if folder == _FOLDER else frozenset()


def _classes(module: ModuleType) -> list[type[Codec]]:
    """Return the concrete codecs that ``module`` itself defines or re-exports from inside it."""
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Codec)
        and not inspect.isabstract(member)
        and f"{member.__module__}.".startswith(f"{module.__name__}.")
        and "name" in vars(member)
    ]
    return list(dict.fromkeys(found))  # a class may have two names in its module


def _why(error: BaseException) -> str:
    """Return the reason on one line; what is not a missing library also says its kind."""
    if isinstance(error, ImportError | BenchError):
        return one_line(error)
    return f"{one_line(type(error).__name__, 80)}: {one_line(error)}"


@contextlib.contextmanager
def _reason_of(found: list[str]) -> Iterator[None]:
    """Run the code of a plug-in; append the reason where it fails in any way but Ctrl-C."""
    try:
        yield
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        found.append(_why(error))


def _from_folder(stem: str) -> Iterator[Found]:
    source, reasons, classes = f"codecs/{stem}", list[str](), list[type[Codec]]()
    with _reason_of(reasons):
        toml = _FOLDER / f"{stem}.toml"
        if toml.is_file():
            classes = [codec_class(toml)]
        else:
            classes = _classes(importlib.import_module(f"bench.codecs.{stem}"))
    if not classes:
        lacking = f"{source} defines no subclass of bench.codec.Codec with a name of its own"
        yield Found(stem, source, None, *(reasons or [lacking]))
    for cls in classes:
        yield _found(stem, source, cls)


def _from_entry_point(point: EntryPoint, deadly: str = "") -> Found:
    """Return the codec of another package; one whose loading is ``deadly`` is not loaded."""
    package = one_line(point.dist.name if point.dist else "a package", 80)
    source, cls = f"{package} ({one_line(point.value, 200)})", None
    reasons: list[str] = []
    if deadly:
        return Found(_safe(point.name), source, None, deadly)
    with _reason_of(reasons):
        cls = point.load()
        if not (inspect.isclass(cls) and issubclass(cls, Codec) and hasattr(cls, "name")):
            reasons.append(f"{point.value} is no subclass of bench.codec.Codec with a name")
    if reasons:
        return Found(_safe(point.name), source, None, one_line(reasons[0]), package)
    return replace(_found(point.name, source, cls), package=package)


def _from_file(word: str, deadly: str = "") -> Found:
    """Return the codec of a file; one whose loading is ``deadly`` is not loaded."""
    cls, reasons = None, [deadly] if deadly else []
    if not deadly:
        with _reason_of(reasons):
            cls = from_file.load(word)
    if cls is None:
        return Found(_safe(Path(word.partition(":")[0]).stem), word, None, reasons[0], word)
    return replace(_found("file", word, cls), package=word)


def try_out(value: str) -> None:
    """Load and make the codec of an entry point or file; it may end the process."""
    if value.startswith("/"):
        item = _from_file(value)
        if item.cls is not None:
            _make(item, "cpu")
    for point in entry_points(group=ENTRY_POINTS):
        if point.value == value:
            item = _from_entry_point(point)
            if item.cls is not None:
                _make(item, "cpu")


def _safe(name: object) -> str:
    """Return ``name`` where a codec may be called that, else its letters that are allowed."""
    word = re.sub(r"[^A-Za-z0-9._+-]+", "_", one_line(name, 64)).lstrip("._+-")
    return word[:64] or "unnamed"


def _found(stem: str, source: str, cls: type[Codec]) -> Found:
    """Return the codec ``cls``; it is unavailable where what its class says has the wrong form."""
    reasons: list[str] = []
    with _reason_of(reasons):
        reasons += _wrong_attributes(cls)
    if reasons:
        name = vars(cls).get("name")
        usable = isinstance(name, str) and _NAME.fullmatch(name)
        return Found(str(name) if usable else _safe(stem), source, None, one_line(reasons[0]))
    return Found(cls.name, source, cls)


def load_plugin(group: str, name: str) -> Any:  # noqa: ANN401 - whatever the package offers
    """Return what the entry point ``name`` of a group stands for, imported now.

    Raises
    ------
    UsageError
        If it cannot be imported, or two packages offer different things by that name.
    """
    points = {point.value: point for point in entry_points(group=group, name=name)}
    if len(points) != 1:
        raise UsageError(
            f"{len(points)} packages offer {name!r} in {group}: {', '.join(points)}",
            "Uninstall all but one of them.",
        )
    [(value, point)] = points.items()
    try:
        return point.load()
    except BaseException as error:  # a module may even exit
        if is_ctrl_c(error):
            raise
        source = point.dist.name if point.dist else "a package"
        raise UsageError(
            f"{name} of {source} ({value}) cannot be imported: {_why(error)}"
        ) from error


def outdated_metadata(group: str) -> str:
    """Return why this installation's own plug-ins of a group are unknown; empty: they are known.

    An editable installation keeps the entry points of the day when it was made.
    """
    if any(point.dist and point.dist.name == "agvae-bench" for point in entry_points(group=group)):
        return ""
    return f"the installed metadata of agvae-bench lists no {group}, it is older than its source"


_OF_AN_INSTANCE = {
    name for name, kind in Codec.__annotations__.items() if not kind.startswith("ClassVar")
}


def _wrong_attributes(cls: type[Codec]) -> list[str]:
    """Return what is wrong with the class attributes of a codec, each as a reason."""
    if not isinstance(cls.name, str) or not _NAME.fullmatch(cls.name):
        return [f"its name is {cls.name!r}: wanted letters, digits and . _ + - (at most 64)"]
    if inspect.isabstract(cls):
        return [f"its class lacks {', '.join(sorted(cls.__abstractmethods__))}"]
    wrong = [
        f"its {name} is {getattr(cls, name)!r}, wanted {type(default).__name__}"
        for name, default in vars(Codec).items()
        if not name.startswith("_")
        and isinstance(default, str | int | float | tuple)
        and type(getattr(cls, name)) is not type(default)
        and not (name in _OF_AN_INSTANCE and isinstance(vars(cls).get(name), property))
    ]
    if not wrong and not all(isinstance(entry, Parameter) for entry in cls.parameters):
        wrong = [f"its parameters are {cls.parameters!r}, wanted bench.codec.Parameter"]
    if not wrong and not (cls.devices and all(isinstance(word, str) for word in cls.devices)):
        wrong = [f"its devices are {cls.devices!r}, wanted names"]
    if not wrong and not all(isinstance(word, str) and "=" in word for word in cls.more_curves):
        wrong = [f"its more_curves are {cls.more_curves!r}, wanted OPTION=VALUE"]
    return wrong


@cache
def discover() -> dict[str, Found]:
    """Return every codec by name, those of ``codecs/`` first, then those of other packages.

    The first of two codecs with one name keeps it; the other is listed as unavailable.
    """
    found: dict[str, Found] = {}
    candidates = [item for stem in _stems() for item in _from_folder(stem)]
    points = sorted(
        entry_points(group=ENTRY_POINTS), key=lambda p: (p.dist.name if p.dist else "", p.value)
    )
    files = [*from_file.configured(), *from_file.known()]
    programs = [w for w in files if not w.endswith(".toml") and not from_file.is_checkpoints(w)]
    deadly = deadly_plugins([*(p.value for p in points), *programs], f"{__name__}:try_out")
    candidates += [_from_entry_point(point, deadly.get(point.value, "")) for point in points]
    candidates += [_from_file(word, deadly.get(word, "")) for word in dict.fromkeys(files)]
    for item in candidates:
        if item.name not in found:
            found[item.name] = item
        elif item.cls is None or item.cls is not found[item.name].cls:
            reason = item.reason or (
                f"another codec is named {item.name}, that of {found[item.name].source}; "
                "rename this one"
            )
            other = f"{item.name}@{_safe(item.package or item.source)}"
            while other in found:
                other += "+"
            found[other] = replace(item, name=other, cls=None, reason=reason)
    return found


@cache
def _own(folder: Path, stem: str) -> dict[str, Found]:
    return {item.name: item for item in _from_folder(stem)} if folder == _FOLDER else {}


def find(name: str) -> Found | None:
    """Return a codec by name; None: there is no such.

    Of a codec in ``codecs/`` whose file is called like it, or as its name begins (``agvae-small``),
    that file alone is imported: a worker process waits for no library that it does not use.
    """
    if not discover.cache_info().currsize:
        stems = _stems_in(_FOLDER)
        for stem in (name, name.partition("-")[0]):
            if stem in stems and (found := _own(_FOLDER, stem).get(name)):
                return found
    return discover().get(name)


def in_turn() -> Iterator[Found]:
    """Yield the codecs that ``discover`` returns, those of ``codecs/`` as their file is imported.

    Who stops at the first one that fits imports none of the others, nor what they need.
    """
    seen: set[str] = set()
    for stem in () if discover.cache_info().currsize else _stems():
        yield from (item for name, item in _own(_FOLDER, stem).items() if name not in seen)
        seen.update(_own(_FOLDER, stem))
    yield from (item for name, item in discover().items() if name not in seen)


def create(name: str, device: str = "cpu") -> Codec:
    """Return a codec by name, ready to use.

    Whatever its methods raise reaches the caller as a ``CodecError``; see ``guard.call``.

    Raises
    ------
    UsageError
        If no codec has that name; the message suggests the near one.
    Unavailable
        If its library or weights are missing, or if it is broken: its constructor, ``version()``,
        ``ladder()`` or ``label()`` fails or returns what the contract does not allow.
    """
    found = find(name)
    if found is None:
        raise UsageError(f"unknown codec {name!r}", suggest(name, sorted(discover())))
    return _make(found, device)


def _make(item: Found, device: str) -> Codec:
    name = item.name
    if item.cls is None:
        raise Unavailable(f"codec {name} is unavailable: {item.reason}")
    try:
        codec = item.cls()
        for method in guard.METHODS:
            vars(codec)[method] = partial(guard.call, codec, method)
        # A classical codec runs on the CPU whatever the learned ones use.
        codec.device = device if device in codec.devices else codec.devices[0]
        codec.version()
        for setting in settings(codec, Spec(name, Setting())):
            codec.label(setting)
    except Unavailable:
        raise
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        raise Unavailable(f"codec {name} is unavailable: {_why(error)}") from error
    return codec
