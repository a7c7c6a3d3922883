"""Several codecs of one family against the first of them (Cui et al. 2021, Fig. 9).

The curves, what each lies above or below the first at equal rate, with intervals over images, and a
table of rates at equal quality.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis import summary
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.output import families, family_plots
from bench.output.coverage import coverage
from bench.output.figure import Product, Skipped

_BARS = "Differences are at equal rate; bars are 95 % bootstrap intervals over images."


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    codecs
        To draw; the first is what the others are compared with, and of them those that have results
        are drawn.
    names
        What they are called.
    metric
        ``psnr_db`` or another quality column.
    note
        Of the caption: on what terms they are compared.
    """

    codecs: tuple[str, ...]
    names: tuple[str, ...]
    metric: str = "psnr_db"
    note: str = ""


def make(context: Context, entry: Entry, options: Options) -> Product:
    """Return the comparison of the codecs that have results; see the module."""
    names = dict(zip(options.codecs, options.names, strict=True))
    anchor, *others = options.codecs
    dataset = context.figure_set.dataset
    display, every = context.rows_of(dataset)
    missing = [codec for codec in others if codec not in set(every["codec"])]
    found = [codec for codec in others if codec not in missing]
    _, rows = context.rows_of_codecs(dataset, anchor, *(found or others))
    covered = coverage(rows)[display]
    curves = families.image_curves(summary.comparable(rows), options.metric)
    if not {anchor} < set(curves):
        raise Skipped(f"{anchor} and one of {', '.join(others)} have no common {options.metric}")
    means = summary.summarise(rows)
    drawn = family_plots.drawing(means, curves, anchor, options.metric, names)
    what = f"{display}, {covered.images(options.metric)}"
    stamp = context.stamp_of_rows(display)
    figure = family_plots.draw(
        drawn, anchor, options.metric, heading=what, small_print=stamp.small_print()
    )
    deltas = summary.bd_table(rows, anchor)
    table = families.comparison(rows, deltas, name=entry.id, title=what)
    labels = "; ".join(f"{names[codec]}: {codec}" for codec in (anchor, *found))
    notes = [options.note, f"{labels}.", _BARS, *covered.reasons([options.metric])]
    if missing:
        notes.append(f"{', '.join(missing)}: no results here.")
    return Product(drawn.data, stamp, figure, table, tuple(filter(None, notes)))
