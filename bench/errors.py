"""Every error that the suite raises on purpose.

::

    BenchError                  shown as one line, exit code 2
    ├── UsageError              what was typed cannot be done
    ├── ImageError              a file is not an image that the suite can measure
    ├── DatasetError            a dataset is unknown, incomplete or corrupt
    ├── OutputError             a result cannot be written
    ├── MetricError             a metric cannot be computed here
    ├── BDError                 a Bjontegaard delta is not computable
    └── CodecError
        ├── Unavailable         the codec's library or weights are missing
        ├── SettingError        a setting has no such name or value
        ├── EncodeError         the encoder refused or failed
        ├── DecodeError         the bytes are damaged or of another format
        └── CodecFailed         the codec's own code broke: not an error that it raised on purpose
"""

from __future__ import annotations

import difflib
import re
import signal
from pathlib import Path
from types import FrameType

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LONGEST = 2000
_KINDS = ("refused: ", "crashed: ", "timed out: ", "died: ", "out of memory: ")


def one_line(text: object, limit: int = _LONGEST) -> str:
    """Return ``str(text)`` on one line that can be printed and stored anywhere.

    Control characters and lone surrogates are written as escapes, and what is longer than
    ``limit`` characters is cut. An object whose text cannot be had is named by its class.
    """
    try:
        words = str(text)
        found = words[: 4 * limit].encode("utf-8", "backslashreplace").decode()
        length = len(words)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        return f"({type(text).__name__} without a readable message)"
    found = _UNPRINTABLE.sub(lambda c: repr(c[0])[1:-1], " ".join(found.split()))
    return found if len(found) <= limit else f"{found[:limit]} ... ({length} characters)"


_ctrl_c: list[bool] = []


def on_ctrl_c(_signal: int, _frame: FrameType | None) -> None:
    """Handle SIGINT; remembered, so that an exception of a codec is not mistaken for it."""
    _ctrl_c.append(True)
    raise KeyboardInterrupt


def is_ctrl_c(error: BaseException | None) -> bool:
    """Return whether ``error`` comes from the keyboard and not from the code of a codec."""
    if signal.getsignal(signal.SIGINT) in (on_ctrl_c, signal.SIG_IGN):
        return bool(_ctrl_c)
    return isinstance(error, KeyboardInterrupt)


class BenchError(Exception):
    """An expected failure, reported in one line.

    Parameters
    ----------
    what
        What happened: what was wanted, what was found, what was done about it.
    next_step
        What the reader can do next; may be empty.
    """

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what, next_step)
        self.what = what
        self.next_step = next_step

    def __str__(self) -> str:
        """Return the whole message on one line."""
        text = f"{self.what.rstrip('.')}. {self.next_step}" if self.next_step else self.what
        return one_line(text)


class UsageError(BenchError):
    """What was typed cannot be done."""


class ImageError(BenchError):
    """A file is not an image that the suite can measure."""


class DatasetError(BenchError):
    """A dataset is unknown, incomplete or corrupt."""


class OutputError(BenchError):
    """A result cannot be written."""


class MetricError(BenchError):
    """A metric cannot be computed here (its weights are missing, say)."""


class BDError(BenchError):
    """A Bjontegaard delta is not computable from these curves."""


class CodecError(BenchError):
    """Anything that goes wrong in or around a codec."""


class Unavailable(CodecError):  # noqa: N818 - the word users read
    """The codec cannot run here: its library, plug-in or weights are missing."""


class SettingError(CodecError):
    """A setting has no such name or no such value."""


class EncodeError(CodecError):
    """The encoder refused this image, or failed on it."""


class DecodeError(CodecError):
    """The bytes are damaged, truncated or of another format."""


class CodecFailed(CodecError):  # noqa: N818 - like Unavailable, a state of the codec
    """A codec's own code broke; the text is final and begins with the kind of failure."""


def failure(error: BaseException, owner: type | None = None) -> str:
    """Return the text of a failed cell: its kind, the error, file and line in the codec.

    Parameters
    ----------
    error
        Whatever was raised.
    owner
        The class of the codec, whose files are searched for the line.
    """
    if isinstance(error, CodecFailed) and (told := one_line(error)).startswith(_KINDS):
        return told
    on_purpose = isinstance(error, BenchError) and not isinstance(error, CodecFailed)
    kind = "refused" if on_purpose else "crashed"
    if isinstance(error, MemoryError):
        kind = "out of memory"
    text, place = one_line(error, 1000), _place(error, owner)
    words = f"{kind}: {one_line(type(error).__name__, 80)}" + (f": {text}" if text else "")
    return words + (f" ({place})" if place else "")


def _place(error: BaseException, owner: type | None) -> str:
    """Return ``file.py:12`` of the innermost frame in the codec's own package, if there is one."""
    packages = {_package(cls.__module__) for cls in owner.__mro__[:-1]} if owner else set()
    place, trace = "", error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        module = str(frame.f_globals.get("__name__", ""))
        if _package(module) in packages - {"bench.codec", "abc"}:
            path = Path(frame.f_code.co_filename)
            depth = module.count(".") + (2 if path.stem == "__init__" else 1)
            place = one_line(f"{'/'.join(path.parts[-depth:])}:{trace.tb_lineno}")
        trace = trace.tb_next
    return place


def _package(module: str) -> str:
    """Return what a codec calls its own: one of ``bench.codecs``, or a stranger's package."""
    words = module.split(".")
    return ".".join(words[: 3 if words[:2] == ["bench", "codecs"] else 1 + (words[0] == "bench")])


def suggest(word: str, known: list[str]) -> str:
    """Return ``Did you mean x? Known: ...`` for a mistyped word."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return (f"Did you mean {near[0]}? " if near else "") + f"Known: {', '.join(known)}."
