"""Finding codecs: one file or package in ``codecs/`` each, or an entry point ``bench.codecs``."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bench.codec import Codec, Parameter, Scalar, Setting
from bench.errors import (
    BenchError,
    CodecFailed,
    DecodeError,
    EncodeError,
    SettingError,
    Unavailable,
    UsageError,
    failure,
    is_ctrl_c,
    one_line,
    suggest,
)

ENTRY_POINTS = "bench.codecs"
INSTALL_AGAIN = "Install the package again: python -m pip install -e ."
_FOLDER = Path(__file__).parent / "codecs"
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
    """Return the names of the plug-in files and packages in ``codecs/``."""
    if not _FOLDER.is_dir():
        raise UsageError(
            f"{_FOLDER} is not a folder: this checkout lost its symbolic links",
            "Clone again with `git config core.symlinks true`, or install the wheel.",
        )
    return sorted(
        path.stem
        for path in _FOLDER.iterdir()
        if not path.name.startswith(("_", "."))
        and (path.suffix == ".py" or (path / "__init__.py").is_file())
    )


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
        classes = _classes(importlib.import_module(f"bench.codecs.{stem}"))
    if not classes:
        lacking = f"{source} defines no subclass of bench.codec.Codec with a name of its own"
        yield Found(stem, source, None, *(reasons or [lacking]))
    for cls in classes:
        yield _found(stem, source, cls)


def _from_entry_point(point: EntryPoint) -> Found:
    package = one_line(point.dist.name if point.dist else "a package", 80)
    source, reasons, cls = f"{package} ({one_line(point.value, 200)})", list[str](), None
    with _reason_of(reasons):
        cls = point.load()
        if not (inspect.isclass(cls) and issubclass(cls, Codec) and hasattr(cls, "name")):
            reasons.append(f"{point.value} is no subclass of bench.codec.Codec with a name")
    if reasons:
        return Found(_safe(point.name), source, None, one_line(reasons[0]), package)
    return replace(_found(point.name, source, cls), package=package)


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
    candidates += [_from_entry_point(point) for point in points]
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


def create(name: str, device: str = "cpu") -> Codec:
    """Return a codec by name, ready to use.

    Whatever its methods raise reaches the caller as a ``CodecError``; see ``_call``.

    Raises
    ------
    UsageError
        If no codec has that name; the message suggests the near one.
    Unavailable
        If its library or weights are missing, or if it is broken: its constructor, ``version()``,
        ``ladder()`` or ``label()`` fails or returns what the contract does not allow.
    """
    found = discover()
    if name not in found:
        raise UsageError(f"unknown codec {name!r}", suggest(name, sorted(found)))
    item = found[name]
    if item.cls is None:
        raise Unavailable(f"codec {name} is unavailable: {item.reason}")
    try:
        codec = item.cls()
        for method in _METHODS:
            vars(codec)[method] = partial(_call, codec, method)
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


_METHODS = tuple(
    name for name in vars(Codec) if inspect.isfunction(vars(Codec)[name]) and name[0] != "_"
)


def _call(codec: Codec, method: str, /, *args: object, **options: object) -> object:
    """Call a method of a codec, of which anything can come, and check what it returns.

    Raises
    ------
    CodecError
        What the codec raised on purpose as it is; everything else, ``SystemExit`` too, as
        ``CodecFailed`` with the place in the codec's own file.
    """
    found = inspect.getattr_static(type(codec), method)
    bound = found.__get__(codec, type(codec)) if hasattr(found, "__get__") else found
    try:
        value = bound(*args, **options)
    except BaseException as error:
        if is_ctrl_c(error) or isinstance(error, BenchError):
            raise
        raise CodecFailed(failure(error, type(codec))) from error
    if is_ctrl_c(None):
        raise KeyboardInterrupt  # the codec swallowed it
    check = _RESULTS.get(method)
    return check(f"{codec.name}.{method}()", value) if check else value


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise CodecFailed(f"crashed: {what} returned {type(value).__name__}, wanted text")
    return one_line(value)


def _version(what: str, value: object) -> str:
    return _text(what, value) or "no version"


def _bytes(what: str, value: object) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise EncodeError(f"{what} returned {type(value).__name__}, wanted bytes")
    return value if type(value) is bytes else bytes(memoryview(value))


def _picture(what: str, value: object) -> object:
    if not isinstance(value, np.ndarray):
        raise DecodeError(f"{what} returned {type(value).__name__}, wanted an array of uint8")
    if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3 or not value.size:
        shape = "x".join(map(str, value.shape))
        raise DecodeError(f"{what} returned {value.dtype} of {shape}, wanted uint8 of HxWx3")
    return np.ascontiguousarray(value)


def _ladder(what: str, value: Any) -> list[Setting]:  # noqa: ANN401 - a stranger's
    found = list(value)
    if not found:
        raise CodecFailed(f"crashed: {what} is empty, wanted at least one setting")
    for setting in found:
        values = list(setting.values()) if isinstance(setting, Setting) else [None]
        for entry in values:
            if not isinstance(entry, str | int | float) or not _finite(entry):
                raise CodecFailed(
                    f"crashed: {what} holds {one_line(repr(setting), 200)}, "
                    "wanted bench.codec.Setting of text and finite numbers"
                )
    return found


def _parts(what: str, value: object) -> dict[str, int]:
    if not isinstance(value, dict) or not all(
        isinstance(size, int | np.integer) for size in value.values()
    ):
        raise CodecFailed(f"crashed: {what} returned no sizes of parts by name")
    return {one_line(name, 200): int(size) for name, size in value.items()}


def _facts(what: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise CodecFailed(f"crashed: {what} returned {type(value).__name__}, wanted facts by name")
    return {one_line(name, 200): one_line(fact) for name, fact in value.items()}


def _finite(value: Scalar) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


_RESULTS: dict[str, Callable[[str, Any], object]] = {
    "version": _version,
    "describe": _text,
    "note": _text,
    "label": _text,
    "encode": _bytes,
    "decode": _picture,
    "ceiling": _picture,
    "ladder": _ladder,
    "ledger": _parts,
    "facts": _facts,
    "recognises": lambda _, value: bool(value),
}


@dataclass(frozen=True, slots=True)
class Spec:
    """What ``--codec`` says: a codec and the options that are held along its curve.

    ``avif`` is the codec as it comes; ``avif:subsampling=4:2:0,speed=4`` holds two options.
    """

    name: str
    options: Setting

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read ``NAME`` or ``NAME:OPTION=VALUE,OPTION=VALUE``.

        Raises
        ------
        UsageError
            If an option lacks its ``=``.
        """
        name, _, rest = text.partition(":")
        options: dict[str, Scalar] = {}
        for part in filter(None, rest.split(",")):
            key, equals, value = part.partition("=")
            if not equals:
                raise UsageError(
                    f"codec option {part!r} lacks a value", f"Write {name}:{part}=VALUE."
                )
            options[key.strip()] = value.strip()
        return cls(name.strip(), Setting(**options))

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}:" + ",".join(f"{k}={v}" for k, v in self.options.items())


def parameters(codec: Codec) -> dict[str, Parameter]:
    """Return the codec's parameters by name, read off its ladder where it declares none."""
    declared = codec.parameters or tuple(
        Parameter(name, value) for name, value in next(iter(codec.ladder()), Setting()).items()
    )
    return {parameter.name: parameter for parameter in declared}


def rate_name(codec: Codec) -> str:
    """Return the name of the parameter that moves along the curve, or an empty text."""
    if codec.rate:
        return codec.rate
    ladder = codec.ladder()
    moving = [name for name in (ladder[0] if ladder else ()) if len({s[name] for s in ladder}) > 1]
    return moving[0] if len(moving) == 1 else ""


def complete(codec: Codec, setting: Setting) -> Setting:
    """Return ``setting`` checked and with every default filled in.

    Raises
    ------
    SettingError
        If it names an unknown parameter or an illegal value.
    """
    known = parameters(codec)
    for name in setting:
        if name not in known:
            raise SettingError(
                f"codec {codec.name} has no setting {name!r}", suggest(name, sorted(known))
            )
    values = {name: parameter.default for name, parameter in known.items()}
    checked = {}
    for name, value in {**values, **setting}.items():
        try:
            checked[name] = known[name].check(value)
        except SettingError as error:
            raise SettingError(f"codec {codec.name}: {error.what}", error.next_step) from error
    return Setting(**checked)


def settings(codec: Codec, spec: Spec, *, quality: list[float] | None = None) -> list[Setting]:
    """Return the operating points of ``spec``: its ladder, or the rate values of ``quality``.

    Raises
    ------
    SettingError
        If an option or a rate value is unknown or illegal, or ``quality`` is given for a codec
        that has no rate parameter.
    """
    base: list[Setting] = list(codec.ladder())
    if quality is not None:
        rate = rate_name(codec)
        if not rate:
            raise SettingError(f"codec {codec.name} has no rate parameter; leave --quality out")
        base = [base[0].replace(**{rate: value}) for value in quality]
    chosen = [complete(codec, setting.replace(**spec.options)) for setting in base]
    return list(dict.fromkeys(chosen))


def spec_name(codec: Codec, setting: Setting) -> str:
    """Return what to pass to ``--codec`` for the curve that ``setting`` lies on.

    This is the value of the column ``codec``: the bare name for the codec as it comes.
    """
    rate = rate_name(codec)
    usual = complete(codec, codec.ladder()[0])
    held = {k: v for k, v in setting.items() if k != rate and usual.get(k) != v}
    return str(Spec(codec.name, Setting(**held)))
