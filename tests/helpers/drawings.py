"""What tests of figures ask of a drawing, and how they draw an entry of the set."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.text import Text

from bench.figures import registry
from bench.output.sheet import RC

LADDER = [(0.2, 29.0), (0.5, 33.0), (1.0, 37.0), (1.5, 40.0)]
"""Rates and qualities of an invented codec."""


def lines_of(product):
    """Return (panel, series, line) of every drawn series."""
    found = [line for axes in product.figure.axes for line in axes.get_lines() if line.get_gid()]
    return [(*line.get_gid().split("|"), line) for line in found]


def words_of(product):
    """Return all that is written in a figure."""
    return "\n".join(text.get_text() for text in product.figure.findobj(Text))


def make(context, entry_id):
    """Draw one entry of the set of a context."""
    entry = next(e for e in context.figure_set.entries if e.id == entry_id)
    with mpl.rc_context(RC):
        return registry.make(context, entry)
