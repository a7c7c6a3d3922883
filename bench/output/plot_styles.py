"""How curves look: one colour and marker for each codec and each published curve, in every figure.

No two of them share both. Codecs have the colours of Okabe and Ito, "Color Universal Design"
(2008), less the yellow, which is illegible on white, and three more of similar spacing. Published
curves have colours and markers of their own, after Paul Tol's muted scheme (SRON/EPS/TN/09-002):
thin, dashed, markers open. What is no codec has dots.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
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
_CODECS = {
    "agvae": (_BLUE, "o"),
    "agvae-branch": (_BLUE, "s"),
    "agvae-conditional": (_VIOLET, "X"),
    "agvae-cvr": (_PURPLE, "D"),
    "agvae-gauss": (_VERMILION, "v"),
    "agvae-ms-ssim": (_PURPLE, "h"),
    "agvae-ms-ssim-refined": (_PURPLE, "P"),
    "agvae-nogain": (_ORANGE, "P"),
    "agvae-nogain-gauss": (_GREEN, "X"),
    "agvae-refined": (_SKY, "P"),
    "agvae-scalar": (_BROWN, "^"),
    "agvae-small": (_BLUE, "^"),
    "avif": (_VERMILION, "D"),
    "avif:speed=4": (_BROWN, ">"),
    "bpg": (_GREEN, "s"),
    "compressai-bmshj2018-factorized": (_OLIVE, "o"),
    "compressai-bmshj2018-hyperprior": (_BROWN, "o"),
    "compressai-cheng2020-anchor": (_VIOLET, "o"),
    "compressai-cheng2020-attn": (_VIOLET, "D"),
    "compressai-mbt2018": (_PURPLE, "o"),
    "compressai-mbt2018-mean": (_OLIVE, "D"),
    "heic": (_GREEN, "D"),
    "jpeg": (_BLACK, "v"),
    "jpeg2000": (_BROWN, "<"),
    "jpegli": (_VIOLET, "v"),
    "jxl": (_OLIVE, "h"),
    "null": (_BLACK, "o"),
    "webp": (_ORANGE, "^"),
}
_INDIGO, _TEAL, _SAND, _ROSE = "#332288", "#44AA99", "#999933", "#CC6677"
_WINE, _MAUVE, _FOREST, _GREY = "#882255", "#AA4499", "#117733", "#777777"
_REPORTED_COLOURS = (_INDIGO, _TEAL, _SAND, _ROSE, _WINE, _MAUVE, _FOREST, _GREY)
_REPORTED_MARKERS = ("d", "p", "*", "8", "H")
_REPORTED = {
    "AG-VAE (paper)": (_INDIGO, "d"),
    "VTM 18.0": (_WINE, "p"),
    "VTM (CompressAI)": (_WINE, "d"),
    "cheng2020-attn": (_SAND, "p"),
    "cheng2020-attn (MS-SSIM)": (_FOREST, "p"),
    "cheng2020-anchor": (_SAND, "d"),
    "mbt2018": (_ROSE, "*"),
    "mbt2018-mean": (_TEAL, "*"),
    "mbt2018-mean (MS-SSIM)": (_MAUVE, "*"),
    "mbt2018 (MS-SSIM)": (_INDIGO, "8"),
    "cheng2020-anchor (MS-SSIM)": (_SAND, "8"),
    "cheng2020-checkerboard-6M (MS-SSIM)": (_ROSE, "8"),
    "minnen2018-checkerboard (MS-SSIM)": (_TEAL, "8"),
    "bmshj2018-hyperprior (MS-SSIM)": (_GREY, "8"),
    "bmshj2018-factorized (MS-SSIM)": (_GREY, "H"),
    "ELIC": (_MAUVE, "d"),
    "cheng2020-checkerboard-6M": (_SAND, "*"),
    "cheng2020-parallel": (_SAND, "H"),
    "mbt2018-vbr": (_ROSE, "H"),
    "mbt2018-mean-vbr": (_TEAL, "H"),
    "bmshj2018-hyperprior-vbr": (_GREY, "p"),
    "bmshj2018-factorized": (_INDIGO, "H"),
    "minnen2018-checkerboard": (_FOREST, "8"),
    "minnen2018-parallel": (_FOREST, "H"),
    "HM": (_ROSE, "d"),
    "AV1 (CompressAI)": (_MAUVE, "8"),
    "BPG 4:4:4 (CompressAI)": (_FOREST, "*"),
    "JPEG 2000 (CompressAI)": (_MAUVE, "H"),
    "WebP (CompressAI)": (_INDIGO, "*"),
    "JPEG (CompressAI)": (_GREY, "*"),
    "bmshj2018-hyperprior": (_GREY, "d"),
    "Ballé 2018, dedicated": (_TEAL, "d"),
    "Ballé 2018, gained": (_TEAL, "p"),
    "Ballé 2018 + gain units": (_INDIGO, "p"),
    "Minnen 2018, dedicated": (_WINE, "8"),
    "Minnen 2018, gained": (_WINE, "*"),
    "Minnen 2018 + gain units": (_MAUVE, "p"),
    "Cheng 2020 + gain units": (_FOREST, "d"),
}
DASHES = ((4, 2), (6, 1.5, 1, 1.5), (2, 1.5), (8, 2), (5, 1.5, 1, 1.5, 1, 1.5), (1, 1))

Pair = tuple[str, str]
"""Colour and marker."""


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
        False for open markers: further curves of a codec, published curves.
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
    """Return the style of each codec's curve.

    Those of this suite have the same in every figure. Another codec takes a free one by a hash of
    its name, and moves on where two would fall together: name all codecs of the results, also
    those that a figure does not show, and it has the same in all of them.

    Parameters
    ----------
    codecs
        Values of the column ``codec``: a name, or a name with options (``avif:speed=4``), which
        has the codec's colour and an open marker.
    """
    ordered = sorted(set(codecs))
    plain = [name for name in ordered if name in _CODECS or ":" not in name]
    bases = sorted({*plain, *(name.partition(":")[0] for name in ordered if name not in plain)})
    pairs = _assigned(bases, _CODECS, _COLOURS, _MARKERS)
    optional = [name for name in ordered if name not in plain]
    for name in optional:
        pairs |= _assigned([name], pairs | _CODECS, [pairs[name.partition(":")[0]][0]], _MARKERS)
    return {
        name: Style(pairs[name][0], _darkened(pairs[name][0]), pairs[name][1], name in plain)
        for name in ordered
    }


def _assigned(
    names: Iterable[str], known: Mapping[str, Pair], colours: Sequence[str], markers: Sequence[str]
) -> dict[str, Pair]:
    """Return name -> colour and marker, of those that are not known each its own as far as can be.

    Colours first: two new names share one only where none is left.
    """
    found = {name: known[name] for name in names if name in known}
    pool = [(colour, marker) for marker in markers for colour in colours]
    pool = [pair for pair in pool if pair not in known.values()] or pool
    for name in names:
        if name not in found:
            start = zlib.crc32(name.encode()) % len(pool)
            order = pool[start:] + pool[:start]
            used = {colour for colour, _ in found.values()}
            free = [pair for pair in order if pair not in found.values()] or order
            found[name] = next((pair for pair in free if pair[0] not in used), free[0])
    return found


def style_of(codec: str, **changes: Any) -> Style:  # noqa: ANN401 - fields of Style
    """Return the style of a codec of this suite, with ``changes`` to its fields.

    >>> style_of("bpg", marker="").colour
    '#009E73'
    """
    return replace(styles([codec])[codec], **changes)


def series_style(index: int, **changes: Any) -> Style:  # noqa: ANN401 - fields of Style
    """Return the style of the ``index``-th line of a figure whose lines are no codecs: dots."""
    colour = _COLOURS[index % len(_COLOURS)]
    return replace(Style(colour, _darkened(colour), "."), **changes)


def reported_styles(names: Iterable[str]) -> dict[str, Style]:
    """Return name -> style of published curves; see ``styles``."""
    pairs = _assigned(sorted(set(names)), _REPORTED, _REPORTED_COLOURS, _REPORTED_MARKERS)
    return {
        name: Style(
            colour,
            _darkened(colour),
            marker,
            filled=False,
            dashes=DASHES[
                (_REPORTED_COLOURS.index(colour) + _REPORTED_MARKERS.index(marker)) % len(DASHES)
            ],
            width=0.8,
            size=2.6,
        )
        for name, (colour, marker) in pairs.items()
    }
