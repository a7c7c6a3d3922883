"""Finding codecs: one file or package in ``codecs/`` each, or an entry point ``bench.codecs``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.codec import Codec, Parameter, Scalar, Setting
from bench.errors import SettingError, Unavailable, UsageError, suggest

ENTRY_POINTS = "bench.codecs"
INSTALL_AGAIN = "Install the package again: python -m pip install -e ."
_FOLDER = Path(__file__).parent / "codecs"


@dataclass(frozen=True, slots=True)
class Found:
    """A codec that exists here: its class, or the reason why it could not be imported."""

    name: str
    source: str
    cls: type[Codec] | None
    reason: str = ""


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
    text = " ".join(str(error).split())
    return text if isinstance(error, ImportError) else f"{type(error).__name__}: {text}"


def _from_folder(stem: str) -> Iterator[Found]:
    try:
        module = importlib.import_module(f"bench.codecs.{stem}")
    except Exception as error:  # noqa: BLE001 - a broken file costs its own codec only
        yield Found(stem, f"codecs/{stem}", None, _why(error))
        return
    classes = _classes(module)
    if not classes:
        reason = f"codecs/{stem} defines no subclass of bench.codec.Codec with a name of its own"
        yield Found(stem, f"codecs/{stem}", None, reason)
    for cls in classes:
        yield Found(cls.name, f"codecs/{stem}", cls)


def _from_entry_point(point: EntryPoint) -> Found:
    source = f"{point.dist.name if point.dist else 'a package'} ({point.value})"
    try:
        cls = point.load()
    except Exception as error:  # noqa: BLE001 - another package's fault costs its codec only
        return Found(point.name, source, None, _why(error))
    if not (inspect.isclass(cls) and issubclass(cls, Codec) and hasattr(cls, "name")):
        reason = f"{point.value} is no subclass of bench.codec.Codec with a name"
        return Found(point.name, source, None, reason)
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
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may even exit
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


@cache
def discover() -> dict[str, Found]:
    """Return every codec by name, those of ``codecs/`` first, then those of other packages.

    Raises
    ------
    UsageError
        If two codecs have the same name.
    """
    found: dict[str, Found] = {}
    candidates = [item for stem in _stems() for item in _from_folder(stem)]
    candidates += [_from_entry_point(point) for point in entry_points(group=ENTRY_POINTS)]
    for item in candidates:
        if item.name in found:
            raise UsageError(
                f"two codecs are named {item.name!r}: {found[item.name].source} and {item.source}",
                "Rename one of them.",
            )
        found[item.name] = item
    return found


def create(name: str, device: str = "cpu") -> Codec:
    """Return a codec by name, ready to use.

    Raises
    ------
    UsageError
        If no codec has that name; the message suggests the near one.
    Unavailable
        If its library, plug-in or weights are missing.
    """
    found = discover()
    if name not in found:
        raise UsageError(f"unknown codec {name!r}", suggest(name, sorted(found)))
    item = found[name]
    if item.cls is None:
        raise Unavailable(f"codec {name} is unavailable: {item.reason}")
    try:
        codec = item.cls()
    except ImportError as error:
        raise Unavailable(f"codec {name} is unavailable: {error}") from error
    # A classical codec runs on the CPU whatever the learned ones use.
    codec.device = device if device in codec.devices else codec.devices[0]
    return codec


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
