"""Text on figures: never markup, on few lines, whatever name it holds."""

from __future__ import annotations

import base64
import contextlib
import io
import re
import textwrap
import warnings
from collections.abc import Iterator

from bench.output.table_formats import plain_text

_LABEL_LETTERS, _LABEL_LINE_LETTERS = 80, 21
_LINE_LETTERS, _LINES = 45, 4
_PLACES = re.compile(rb' (?:d|x|y)="[^"]*"')
_PNG = re.compile(rb"(data:image/png;base64,\s*)([A-Za-z0-9+/=\s]+)")
_LONG_NUMBER = re.compile(rb"\d+\.\d{3,}")


def shortened(text: str, letters: int) -> str:
    """Return ``text``, its middle left out where it is longer than ``letters``.

    >>> shortened("a_very_long_name", 9)
    'a_ve…name'
    """
    half = (letters - 1) // 2
    return text if len(text) <= letters else f"{text[: letters - half - 1]}\u2026{text[-half:]}"


def label_text(name: str) -> str:
    r"""Return a curve's name in lines of a few words, for its label; the effort has a line.

    >>> label_text("BPG 4:4:4, x265 veryslow")
    'BPG 4:4:4,\nx265 veryslow'
    """
    short = shortened(plain_text(name), _LABEL_LETTERS)
    parts = short.replace(", ", ",\n", len(short) > _LABEL_LINE_LETTERS).split("\n")
    return "\n".join(
        textwrap.fill(part, _LABEL_LINE_LETTERS, break_on_hyphens=False) for part in parts
    )


def in_lines(text: str, letters: int = _LINE_LETTERS) -> str:
    """Return a text of our own making, which may have several lines, fit for drawing."""
    found = [part for line in clean(text).split("\n") for part in textwrap.wrap(line, letters)]
    return "\n".join(found[:_LINES])


def clean(text: str) -> str:
    """Return ``text`` with each of its lines fit for drawing."""
    return "\n".join(plain_text(line) for line in text.split("\n"))


@contextlib.contextmanager
def no_glyph_warnings() -> Iterator[None]:
    """Let letters that no font has be drawn as boxes in PNG and PDF; SVG keeps them as text."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield


def short_svg(svg: bytes) -> bytes:
    """Return a drawing of matplotlib's with coordinates to 0.01 point, readable everywhere.

    Pictures in it that are opaque throughout lose the channel that says so: a tenth of their size.
    """

    def rounded(attribute: re.Match[bytes]) -> bytes:
        short = (b"%.2f" % float(found[0]) for found in _LONG_NUMBER.finditer(attribute[0]))
        return _LONG_NUMBER.sub(lambda _: next(short).rstrip(b"0").rstrip(b"."), attribute[0])

    svg = _PNG.sub(_without_alpha, svg)
    # Verdana has DejaVu's widths, for machines without it.
    return _PLACES.sub(rounded, svg).replace(
        b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, sans-serif"
    )


def _without_alpha(found: re.Match[bytes]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(found[2]))) as picture:
        if picture.mode != "RGBA" or picture.getchannel("A").getextrema() != (255, 255):
            return found[0]
        picture.convert("RGB").save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue())
    return found[1] + data if len(data) < len(found[2]) else found[0]
