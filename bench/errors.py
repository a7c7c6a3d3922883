"""Every error that the suite raises on purpose.

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
    └── DecodeError         the bytes are damaged or of another format
"""

from __future__ import annotations

import difflib


class BenchError(Exception):
    """An expected failure, told in one line.

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
        return " ".join(text.split())


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


def suggest(word: str, known: list[str]) -> str:
    """Return ``Did you mean x? Known: ...`` for a mistyped word."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return (f"Did you mean {near[0]}? " if near else "") + f"Known: {', '.join(known)}."
