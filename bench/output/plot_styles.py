"""How curves look: colour and marker of each codec, the same in every plot, and short labels.

Colours are those of Okabe and Ito, "Color Universal Design" (2008), less the yellow, which is
illegible on white, plus three of similar spacing for codecs beyond the seventh. Reported curves
are thin and dashed, and have the colours of codecs that are not drawn beside them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

_BLUE, _SKY, _GREEN, _ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
_VERMILION, _PURPLE, _BLACK = "#D55E00", "#CC79A7", "#000000"
_BROWN, _OLIVE, _VIOLET = "#8C6239", "#7F8000", "#5E3C99"
_COLOURS = (
    *(_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _SKY, _BLACK),
    *(_BROWN, _OLIVE, _VIOLET),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
DASHES = ((4, 2), (6, 1.5, 1, 1.5), (2, 1.5), (8, 2), (5, 1.5, 1, 1.5, 1, 1.5), (1, 1))
_REPORTED_HUES = (_BROWN, _VIOLET, _OLIVE, _PURPLE, _SKY, "#777777")
_KNOWN = {
    "agvae": (_BLUE, "o"),
    "agvae-gauss": (_SKY, "v"),
    "agvae-nogain": (_VIOLET, "P"),
    "agvae-nogain-gauss": (_PURPLE, "X"),
    "agvae-refined": (_SKY, "P"),
    "avif": (_VERMILION, "D"),
    "bpg": (_GREEN, "s"),
    "jpeg": (_BLACK, "v"),
    "jpeg2000": (_BROWN, "<"),
    "jxl": (_OLIVE, "h"),
    "webp": (_ORANGE, "^"),
}


@dataclass(frozen=True, slots=True)
class Style:
    """How a curve is drawn.

    Attributes
    ----------
    colour
        Of line and marker, ``#rrggbb``.
    text
        The same hue, dark enough for small text on white.
    marker
        Matplotlib's marker code; empty for none.
    filled
        False for further curves of the same codec: open markers.
    dashes
        Lengths of strokes and gaps in line widths; empty for a continuous line.
    width, size
        Of line and marker, in points.
    """

    colour: str
    text: str
    marker: str = ""
    filled: bool = True
    dashes: tuple[float, ...] = ()
    width: float = 1.1
    size: float = 2.9


def _darkened(colour: str) -> str:
    """Return ``colour`` darkened until its contrast with white is 4.5 (WCAG 2.1, 1.4.3)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    while 1.05 / (luminance(channels) + 0.05) < 4.5:
        channels = [0.95 * channel for channel in channels]
    return "#" + "".join(f"{round(255 * channel):02X}" for channel in channels)


def luminance(channels: Iterable[float]) -> float:
    """Return the relative luminance of sRGB channels in 0..1 (WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def styles(codecs: Iterable[str]) -> dict[str, Style]:
    """Return the style of each curve.

    A codec keeps its colour whatever it is drawn with: known names have theirs, others take one by
    a hash of the name, and move on only where two in the same plot would fall together.

    Parameters
    ----------
    codecs
        Values of the column ``codec``: a name, or a name with options (``avif:speed=4``).
    """
    ordered = sorted(set(codecs))
    bases = sorted({codec.partition(":")[0] for codec in ordered})
    chosen = {base: _KNOWN[base] for base in bases if base in _KNOWN}
    for base in bases:
        if base not in chosen:
            chosen[base] = _free(base, {colour for colour, _ in chosen.values()})
    found: dict[str, Style] = {}
    drawn: dict[str, int] = {}
    for codec in ordered:
        base = codec.partition(":")[0]
        colour, marker = chosen[base]
        before = drawn.get(base, 0)
        drawn[base] = before + 1
        shape = _MARKERS[(_MARKERS.index(marker) + before) % len(_MARKERS)]
        found[codec] = Style(colour, _darkened(colour), shape, filled=before == 0)
    return found


def _free(base: str, taken: set[str]) -> tuple[str, str]:
    """Return colour and marker for a name that has none: by its hash, or the next one free."""
    start = zlib.crc32(base.encode())
    order = [_COLOURS[(start + i) % len(_COLOURS)] for i in range(len(_COLOURS))]
    colour = next((c for c in order if c not in taken), order[0])
    return colour, _MARKERS[start // len(_COLOURS) % len(_MARKERS)]


def style_of(codec: str, **changes: Any) -> Style:  # noqa: ANN401 - fields of Style
    """Return the style that a codec has in every plot, with ``changes`` to its fields.

    >>> style_of("bpg", marker="").colour
    '#009E73'
    """
    return replace(styles([codec])[codec], **changes)


def reported_style(index: int) -> Style:
    """Return the style of the ``index``-th reported curve: thin, dashed, without markers."""
    colour = _REPORTED_HUES[index % len(_REPORTED_HUES)]
    return Style(colour, _darkened(colour), dashes=DASHES[index % len(DASHES)], width=0.8)


def short_labels(labels: Sequence[str]) -> tuple[list[str], str]:
    """Return labels without versions and without what is common to all, and the common words.

    >>> short_labels(["jpeg 4:2:0 8-bit (libjpeg-turbo 3.2.0)", "avif 4:4:4 8-bit, x (libaom 3)"])
    (['jpeg 4:2:0', 'avif 4:4:4 x'], '8-bit')
    """
    words = [re.sub(r"\s*\([^()]*\)\s*$", "", label).split() for label in labels]
    if len(words) < 2:
        return [" ".join(line) for line in words], ""
    bare = [[word.rstrip(",") for word in line] for line in words]
    common = [word for word in bare[0][1:] if all(word in line[1:] for line in bare)]
    kept = [
        [word for i, word in enumerate(line) if i == 0 or word.rstrip(",") not in common]
        for line in words
    ]
    return [" ".join(line) for line in kept], " ".join(common)
