"""Between us and a codec's code: what it raises becomes an error, what it returns is checked."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.codec import Codec, Parameter, Scalar, Setting
from bench.errors import (
    BenchError,
    CodecFailed,
    DecodeError,
    EncodeError,
    failure,
    is_ctrl_c,
    one_line,
)

METHODS = tuple(
    name for name in vars(Codec) if inspect.isfunction(vars(Codec)[name]) and name[0] != "_"
)


def call(codec: Codec, method: str, /, *args: object, **options: object) -> object:
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
        on_purpose = isinstance(error, BenchError) and not isinstance(error, CodecFailed)
        if is_ctrl_c(error) or on_purpose:
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
    data = value if type(value) is bytes else bytes(memoryview(value))
    if not data:
        raise EncodeError(f"{what} returned no bytes, wanted a file")
    return data


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


def _parameters(what: str, value: Any) -> list[Parameter]:  # noqa: ANN401 - a stranger's
    found = list(value)
    if not all(isinstance(entry, Parameter) for entry in found):
        raise CodecFailed(
            f"crashed: {what} holds {one_line(repr(found), 200)}, wanted bench.codec.Parameter"
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
    "effort": _text,
    "note": _text,
    "label": _text,
    "encode": _bytes,
    "decode": _picture,
    "ceiling": lambda what, value: None if value is None else _picture(what, value),
    "ladder": _ladder,
    "available_parameters": _parameters,
    "ledger": _parts,
    "facts": _facts,
    "recognises": lambda _, value: bool(value),
}
