"""A command line as a codec: one TOML file says how to encode, decode and set the rate.

::

    encode = "cwebp -quiet -q {quality} {input} -o {output}"
    decode = "dwebp -quiet {input} -o {output}"
    suffix = ".webp"
    version = "cwebp -version"
    [parameters.quality]          # the first parameter with a ladder is the rate
    default = 50
    low = 0
    high = 100
    ladder = [10, 30, 50, 80]

Optional: ``title``, ``note`` (a caveat), ``install`` (how to get the programs), ``effort`` (a
parameter's name or words), ``input`` (``png`` or ``ppm``), ``timeout_s``, ``magic`` (first bytes of
a file, in hexadecimal). No shell is involved: the text is split into arguments once, and a value
fills its place within one argument, whatever characters it has. Each call runs in an empty folder
of its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.codec import Parameter, Scalar, Setting
from bench.errors import (
    CodecError,
    UsageError,
    suggest,
)
from bench.metrics import program
from bench.metrics.program import DEFAULT_TIMEOUT_S

_REQUIRED = ("encode", "decode", "suffix", "version", "parameters")
_WORDS = ("title", "note", "install", "effort")
_OPTIONAL = (*_WORDS, "input", "timeout_s", "magic")
_OF_PARAMETER = ("default", "low", "high", "choices", "help", "ladder")
_INPUTS = ("png", "ppm")
_PATHS = ("input", "output")


@dataclass(frozen=True, slots=True)
class Command:
    """What a TOML file says.

    Attributes
    ----------
    path
        The file.
    encode, decode, version
        Arguments with places such as ``{quality}``; programs with a ``/`` are resolved against the
        file's folder.
    suffix
        Of compressed files, with the dot.
    parameters, ladder, rate
        As in the contract of codecs.
    title, note, install, effort
        For people; ``install`` is said where a program is missing.
    input_suffix
        Of the pictures that travel to the encoder and back, ``.png`` or ``.ppm``.
    timeout_s
        What one call may take, in seconds.
    magic
        First bytes of a compressed file; empty: unknown.
    """

    path: Path
    encode: tuple[str, ...]
    decode: tuple[str, ...]
    version: tuple[str, ...]
    suffix: str
    parameters: tuple[Parameter, ...]
    ladder: tuple[Setting, ...]
    rate: str
    title: str
    note: str
    install: str
    effort: str
    input_suffix: str
    timeout_s: float
    magic: bytes


def read(path: Path) -> Command:
    """Return what a TOML file says.

    Raises
    ------
    UsageError
        If it cannot be read, a key is missing, unknown or of another kind, or a command has a
        place that nothing fills.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} is not a codec in TOML: {reason}") from error
    try:
        return _command(path, entries)
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{path} is not a codec in TOML: {error.args[0] if error.args else error}",
            "See docs/command-codecs.md for one that is complete.",
        ) from error


def _command(path: Path, entries: dict[str, Any]) -> Command:
    _known("", entries, (*_REQUIRED, *_OPTIONAL))
    lacking = [name for name in _REQUIRED if name not in entries]
    if lacking:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    tables = entries["parameters"]
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise TypeError("parameters must be tables, as [parameters.quality]")
    parameters = tuple(_parameter(name, table) for name, table in tables.items())
    rate, values = _ladder(tables, parameters)
    text = {
        name: _text(entries, name)
        for name in ("encode", "decode", "suffix", "version", *_WORDS, "magic")
    }
    if not text["suffix"].startswith(".") or "/" in text["suffix"]:
        raise ValueError(f"suffix must begin with a dot, found {text['suffix']!r}")
    names = tuple(tables)
    _text(entries, "input")
    picture = entries.get("input", "png")
    if picture not in _INPUTS:
        raise ValueError(f"input must be {' or '.join(_INPUTS)}, found {picture!r}")
    timeout_s = entries.get("timeout_s", DEFAULT_TIMEOUT_S)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or timeout_s <= 0:
        raise ValueError(f"timeout_s must be a number of seconds, found {timeout_s!r}")
    return Command(
        path=path,
        encode=_arguments(path, "encode", text["encode"], (*_PATHS, *names), _PATHS),
        decode=_arguments(path, "decode", text["decode"], _PATHS, _PATHS),
        version=_arguments(path, "version", text["version"], (), ()),
        suffix=text["suffix"],
        parameters=parameters,
        ladder=tuple(Setting(**{rate: value}) for value in values),
        rate=rate,
        title=text["title"] or f"{text['encode'].split()[0]}, by {path.name}",
        note=text["note"],
        install=text["install"],
        effort=text["effort"],
        input_suffix=f".{picture}",
        timeout_s=float(timeout_s),
        magic=bytes.fromhex(text["magic"]),
    )


def _known(where: str, entries: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in entries:
        if name not in known:
            raise ValueError(f"unknown key {where}{name}. {suggest(name, list(known))}")


def _text(entries: Mapping[str, Any], name: str) -> str:
    value = entries.get(name, "")
    if not isinstance(value, str) or (name in _REQUIRED and not value.strip()):
        raise ValueError(f"{name} must be text, found {value!r}")
    return value


def _parameter(name: str, table: Mapping[str, Any]) -> Parameter:
    _known(f"parameters.{name}.", table, _OF_PARAMETER)
    if not name.isidentifier() or name in _PATHS:
        raise ValueError(f"a parameter cannot be called {name!r}")
    if not isinstance(table.get("default"), str | int | float):
        raise TypeError(f"parameters.{name} lacks a default: text, number or truth value")
    for bound in ("low", "high"):
        if not isinstance(table.get(bound, 0), int | float):
            raise TypeError(f"parameters.{name}.{bound} must be a number")
        if bound in table and isinstance(table["default"], str | bool):
            raise ValueError(f"parameters.{name} is no number: {bound} means nothing there")
    parameter = Parameter(
        name,
        table["default"],
        str(table.get("help", "")),
        tuple(table.get("choices", ())),
        table.get("low"),
        table.get("high"),
    )
    for value in (parameter.default, *table.get("ladder", ())):
        try:
            parameter.check(value)
        except CodecError as error:
            raise ValueError(f"parameters.{name}: {error.what}") from error
    return parameter


def _ladder(tables: Mapping[str, Any], parameters: Sequence[Parameter]) -> tuple[str, list[Scalar]]:
    """Return the rate parameter's name and the values of its ladder."""
    for parameter in parameters:
        values = tables[parameter.name].get("ladder")
        if values is None:
            continue
        if not isinstance(values, list) or not values:
            raise ValueError(f"parameters.{parameter.name}.ladder must be a list of values")
        return parameter.name, [parameter.check(value) for value in values]
    raise ValueError("no parameter has a ladder: one with `ladder = [...]` is the rate")


def _arguments(
    path: Path, name: str, text: str, allowed: Sequence[str], wanted: Sequence[str]
) -> tuple[str, ...]:
    """Return a command's arguments, its places checked and its program resolved."""
    words = list(program.arguments(name, text, allowed, wanted))
    if "/" in words[0] and not words[0].startswith("/"):
        words[0] = str(path.parent.resolve() / words[0])
    return tuple(words)
