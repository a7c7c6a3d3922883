"""What ``--codec`` says, and which settings of a codec that means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.codec import Codec, Parameter, Scalar, Setting
from bench.errors import SettingError, UsageError, suggest
from bench.registry import from_file


@dataclass(frozen=True, slots=True)
class Spec:
    """What ``--codec`` says: a codec and the options that are held along its curve.

    ``avif`` is the codec as it comes; ``avif:subsampling=4:2:0,speed=4`` holds two options.
    """

    name: str
    options: Setting

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read ``NAME`` or ``NAME:OPTION=VALUE,OPTION=VALUE``, from a table for instance.

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

    @classmethod
    def typed(cls, text: str) -> Spec:
        """Read what the user typed: as ``parse``, or the codec of a file, which is loaded.

        ``path/to/mine.py:Mine:step=8`` and ``path/to/mine.toml`` name files. Never use this for
        words of a file of results: it runs code.

        Raises
        ------
        UsageError
            If an option lacks its ``=``, or a file that is named holds no codec.
        """
        in_file = from_file.split(text)
        if in_file is None:
            return cls.parse(text)
        return cls.parse(f"{from_file.name_of(in_file[0])}:{in_file[1]}")

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}:" + ",".join(f"{k}={v}" for k, v in self.options.items())


def parameters(codec: Codec) -> dict[str, Parameter]:
    """Return the codec's parameters by name."""
    return {parameter.name: parameter for parameter in codec.available_parameters()}


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


def settings(codec: Codec, spec: Spec, *, quality: Sequence[Scalar] | None = None) -> list[Setting]:
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


def check_device(device: str) -> None:
    """Refuse a device that is unknown or not there.

    Raises
    ------
    UsageError
        If that is so.
    """
    if device not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}", "Choose cpu or cuda.")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UsageError("device cuda: torch sees no CUDA device here", "Choose cpu.")
