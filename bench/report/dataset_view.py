"""What every section of the page needs to know of one dataset, computed once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from bench.analysis import summary
from bench.analysis.bjontegaard import Delta
from bench.measurement.complexity import Costs
from bench.metrics.columns import curve_columns
from bench.output.coverage import Coverage, coverage
from bench.output.plot_styles import Style, luminance, styles
from bench.output.speed import Speeds
from bench.report.bit_allocation import Ledger
from bench.report.html import unbroken
from bench.report.results import About
from bench.report.verdicts import Verdict, words
from bench.report.verdicts import verdicts as verdicts_of

_OPEN, _CLOSE = "\x02", "\x03"
_DARK = "#16181B"
_PANEL = "#F4F2EC"  # of the light page's grounds for text the darkest but one


@dataclass(frozen=True, slots=True)
class Look:
    """How the page calls and draws a codec.

    Attributes
    ----------
    index
        Its number in the page.
    codec, name
        Value of the column ``codec``; what sentences call it.
    label, title, note
        Of its curve, with versions; what it is; what must be known of its numbers.
    style
        As in the static plots.
    """

    index: int
    codec: str
    name: str
    label: str
    title: str
    note: str
    style: Style

    @property
    def light(self) -> tuple[str, str]:
        """Colour of lines and of text on the light page."""
        return self.style.colour, _readable(self.style.text, _PANEL, 4.6)

    @property
    def dark(self) -> tuple[str, str]:
        """Colour of lines and of text on the dark page: the same hue, light enough."""
        colour = self.style.colour
        return _readable(colour, _DARK, 4.5), _readable(colour, _DARK, 6.0)

    def tag(self) -> Markup:
        """Return its name with its marker's colour, as HTML."""
        return Markup('<span class="codec k{}">{}</span>').format(self.index, unbroken(self.name))


def _readable(colour: str, ground: str, contrast: float) -> str:
    """Return ``colour`` mixed with white or black until it stands out from a ground (WCAG 2.2)."""
    rgb, paper = ([int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in (colour, ground))
    behind = luminance(paper) + 0.05
    end = 1.0 if behind < 0.2 else 0.0
    for share in np.linspace(0, 1, 51):
        mixed = [c + (end - c) * float(share) for c in rgb]
        own = luminance(mixed) + 0.05
        if max(own, behind) / min(own, behind) >= contrast and (own > behind) == bool(end):
            break
    return "#" + "".join(f"{round(255 * c):02X}" for c in mixed)


def looks(rows: pd.DataFrame, about: Mapping[str, About]) -> dict[str, Look]:
    """Return codec -> look for every codec of ``rows``, those that succeeded nowhere too."""
    pairs = zip(rows["codec"], rows["label"], strict=True)
    labels = {str(codec): str(label) for codec, label in pairs}
    names = _names(sorted(labels), about)
    style = styles(labels)
    return {
        codec: Look(
            index=i,
            codec=codec,
            name=names[codec],
            label=labels[codec],
            title=about[codec].title,
            note=about[codec].note,
            style=style[codec],
        )
        for i, codec in enumerate(sorted(labels))
    }


def _names(codecs: Sequence[str], about: Mapping[str, About]) -> dict[str, str]:
    """Return what sentences call each codec, ``AVIF`` or ``AVIF speed 4``, no two alike."""
    found = {}
    for codec in codecs:
        base, _, options = codec.partition(":")
        display = about[codec].display or re.split(r"[:(,]", about[codec].title)[0].strip()
        found[codec] = " ".join(filter(None, [display or base, re.sub("=", " ", options)]))
    taken = list(found.values())
    return {codec: name if taken.count(name) == 1 else codec for codec, name in found.items()}


@dataclass(frozen=True, slots=True)
class Context:
    """One dataset, with all that its sections share.

    Attributes
    ----------
    index, name
        Number in the page; value of the column ``dataset``.
    rows, chosen, means, bd, ceilings
        Its lines of the rows, what means of them are taken over, its lines of ``summarise``, of
        ``bd_table`` with quality, of the ceilings.
    verdicts
        Per metric.
    deltas
        (codec, metric) -> delta against the anchor, with every image's own.
    ledger
        What files are spent on.
    looks
        Every codec of the page.
    cover
        Which images its means are over.
    speeds
        How fast its codecs are, where that was measured.
    settings
        Codec -> settings that were tried, in the order of the rows.
    costs
        What its networks cost, where that was counted.
    equal
        Bits at equal quality, the fewest first at each target; empty where nothing was searched.
    words
        Name of a codec that is in a file -> what names it on a command line.
    """

    index: int
    name: str
    rows: pd.DataFrame
    chosen: summary.Selection
    means: pd.DataFrame
    bd: pd.DataFrame
    ceilings: pd.DataFrame
    verdicts: Sequence[Verdict]
    deltas: Mapping[tuple[str, str], Delta]
    ledger: Ledger
    looks: Mapping[str, Look]
    cover: Coverage
    speeds: Speeds
    settings: Mapping[str, Sequence[str]]
    costs: Costs = field(default_factory=Costs)
    equal: pd.DataFrame = field(default_factory=pd.DataFrame)
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def anchor(self) -> str:
        """Codec that BD-rates are against; empty where there are none."""
        return str(self.bd["anchor"].iloc[0]) if len(self.bd) else ""

    @property
    def metrics(self) -> list[str]:
        """Columns of the metrics that curves are drawn for."""
        return curve_columns(self.means)

    @property
    def looks_measured(self) -> dict[str, Look]:
        """The codecs that have means."""
        measured = {str(codec) for codec in self.means["codec"]}
        return {codec: look for codec, look in self.looks.items() if codec in measured}

    @property
    def images(self) -> int:
        """Over how many images the means are."""
        return int(self.means["images"].max()) if len(self.means) else 0

    def over(self, metric: str = "") -> str:
        """Return over how many images means are: ``24 images``, ``3 of 24 images``."""
        return self.cover.images(metric)

    def counts(self, metrics: Sequence[str]) -> str:
        """Return over how many images means are, and by name the metrics that have fewer."""
        fewer = dict.fromkeys(
            f"{words(metric)} over {self.over(metric)}"
            for metric in metrics
            if self.over(metric) != self.over()
        )
        return "; ".join([self.over(), *fewer])

    def coverage(self, metric: str) -> str:
        """Return which images the means of a metric lack, and why; empty where it has all."""
        if self.cover.whole(metric):
            return ""
        return " ".join([f"Means over {self.over(metric)}.", *self.cover.reasons([metric])])

    def spread(self, codec: str, metric: str) -> tuple[float, float, str]:
        """Return median and worst of a codec's BD-rates over images (NaN: none), and the worst."""
        delta = self.deltas.get((codec, metric))
        if delta is None or delta.worst is None:
            return math.nan, math.nan, ""
        median = math.nan if delta.median_percent is None else delta.median_percent
        return median, delta.worst[1], delta.worst[0]

    @property
    def pair(self) -> tuple[str, ...]:
        """The two codecs that the viewer begins with: who wins, and the anchor, else the next."""
        if len(self.equal):
            first = self.equal[self.equal["target"] == self.equal["target"].iloc[0]]
            known = [str(codec) for codec in first.loc[first["bytes"].notna(), "codec"]]
            known = [codec for codec in known if codec in self.looks_measured]
            base = str(first["anchor"].iloc[0])
            rest = [base] if base in known[1:] else known[1:2]
            return (known[0], *rest) if rest else ()
        for verdict in self.verdicts:
            other = verdict.second if verdict.winner == self.anchor else self.anchor
            if verdict.winner and other in self.looks_measured:
                return verdict.winner, other
        return ()

    @property
    def marks(self) -> dict[str, str]:
        """Codec -> what stands for its name in a sentence until ``prose`` makes it HTML."""
        return {codec: f"{_OPEN}{look.index}{_CLOSE}" for codec, look in self.looks.items()}

    def prose(self, text: str) -> Markup:
        """Return a sentence made with ``marks`` as HTML."""
        tags = {str(look.index): look.tag() for look in self.looks.values()}
        # numbers stay with their units, brackets with what they open before
        tied = re.sub(r"(\d) (%|dB|bpp)", "\\1\u00a0\\2", str(escape(text)))
        tied = tied.replace("MS-SSIM", '<span class="nb">MS-SSIM</span>')
        tied = re.sub(f"\\({_OPEN}\\d+{_CLOSE}", '<span class="nb">\\g<0></span>', tied)
        filled = re.sub(f"{_OPEN}(\\d+){_CLOSE}", lambda found: tags.get(found[1], ""), tied)
        return Markup(filled)  # noqa: S704 - escaped above


def make(
    index: int,
    rows: pd.DataFrame,
    *,
    every_bd: pd.DataFrame,
    every_ceiling: pd.DataFrame,
    ledger: Ledger,
    looks: Mapping[str, Look],
    speeds: Speeds | None = None,
) -> Context:
    """Return the context of the dataset that ``rows`` are of."""
    name = str(rows["dataset"].iloc[0])
    bd, chosen = every_bd[every_bd["dataset"] == name], summary.Selection(rows)
    return Context(
        index,
        name,
        rows,
        chosen,
        summary.summarise(chosen),
        bd,
        every_ceiling[every_ceiling["dataset"] == name],
        verdicts_of(chosen, bd),
        _deltas(chosen.comparable, bd),
        ledger,
        looks,
        coverage(chosen)[name],
        speeds or Speeds(),
        {
            str(codec): [str(text) for text in texts.unique()]
            for codec, texts in rows.groupby("codec", sort=False)["setting"]
        },
    )


def _deltas(kept: pd.DataFrame, bd: pd.DataFrame) -> dict[tuple[str, str], Delta]:
    """Return every codec's delta against the anchor with those of each image."""
    found = {}
    for metric, lines in bd[bd["method"] == "pchip"].groupby("metric", sort=False):
        anchor = summary.image_curves(kept[kept["codec"] == lines["anchor"].iloc[0]], str(metric))
        for codec in lines["codec"]:
            test = summary.image_curves(kept[kept["codec"] == codec], str(metric))
            found[str(codec), str(metric)] = summary.delta(anchor, test, str(metric), resamples=0)
    return found
