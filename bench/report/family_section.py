"""Variants of one codec: a section of their own, outside of everybody's tables and curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from bench.analysis import summary
from bench.output import families
from bench.output.table_formats import Table as PlainTable
from bench.report import dataset_view, tables
from bench.report.bit_allocation import Ledger
from bench.report.dataset_view import Context, Look
from bench.report.html import NO_VALUE, Table, Td, render


@dataclass(frozen=True, slots=True)
class Family:
    """The variants of a codec on one dataset.

    Attributes
    ----------
    title
        What sentences call the codec that they are variants of.
    context
        As of a dataset, but of the variants alone; its index is that of the dataset's.
    """

    title: str
    context: Context


def of_dataset(
    context: Context, rows: Mapping[str, pd.DataFrame], looks: Mapping[str, Look]
) -> Iterator[Family]:
    """Yield the families of one dataset.

    Parameters
    ----------
    context
        Of the dataset.
    rows
        Family -> its rows, of every dataset.
    looks
        Of every codec, those of families too.
    """
    for family, every in rows.items():
        title = looks[family].name if family in looks else family
        of_name = every[every["dataset"] == context.name]
        mine = of_name.assign(dataset=f"{context.name}, variants of {title}")
        if summary.comparable(mine).empty:
            continue
        found = dataset_view.make(
            context.index,
            mine,
            every_bd=summary.bd_table(mine, families.anchor_of(family, mine), quality=True),
            every_ceiling=context.ceilings,
            ledger=Ledger(),
            looks=looks,
        )
        yield Family(title, found)


def section(found: Family, place: int) -> Markup:
    """Return heading, curves and tables of a family; ``place``: which of its dataset's it is."""
    context = found.context
    deltas = summary.bd_table(context.rows, context.anchor)
    table = families.comparison(
        context.rows, deltas, name=f"family-{context.name}", title=context.name
    )
    return render(
        "family.html",
        title=found.title,
        place=place,
        index=context.index,
        name=context.name,
        comparison=sortable(table),
        points=tables.rates(context),
        coverage=[text for text in map(context.coverage, context.metrics) if text],
    )


def sortable(table: PlainTable) -> Markup:
    """Return a table of the plain outputs as one of the page."""
    lines = [
        [_cell(cell.text, align) for cell, align in zip(row, table.align, strict=True)]
        for row in table.rows
    ]
    head, notes = list(table.head), list(table.notes)
    return Table(table.name, table.caption, head, lines, filter_by=0, notes=notes).markup()


def _cell(text: str, align: str) -> Td:
    """Return a cell; one of a right-aligned column sorts by the number that it begins with."""
    if align == "l":
        return Td.text(text)
    number = text.split(" ", maxsplit=1)[0].replace("\u2212", "-")
    try:
        return Td(text or NO_VALUE, float(number), "n")
    except ValueError:  # nothing, or a word such as "anchor"
        return Td(text or NO_VALUE, None, "n")
