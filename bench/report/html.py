"""HTML from plain data: templates that escape everything that comes from outside."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup

from bench.output.table_formats import number, significant

NO_VALUE = "\u2013"
_UNBROKEN_LETTERS = 24
"""A longer word would leave a phone's screen."""


@functools.cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("bench.report", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["term"] = term
    templates.filters["unbroken"] = unbroken
    return templates


def render(template: str, **values: object) -> Markup:
    """Return a template of ``assets/`` filled in; every text that is no ``Markup`` is escaped."""
    return Markup(_templates().get_template(template).render(values))  # noqa: S704 - it escapes


def unbroken(text: str) -> Markup:
    """Return text in which no line ends inside a short word with hyphens: an option, a name."""
    words = re.split(r"(\s+)", text)
    return Markup("").join(
        Markup('<span class="nb">{}</span>').format(word)
        if "-" in word and len(word) <= _UNBROKEN_LETTERS
        else word
        for word in words
    )


def script_json(value: Any) -> Markup:  # noqa: ANN401 - plain data
    """Return ``value`` as JSON that no ``</script>`` inside can end.

    Raises
    ------
    ValueError
        If a number is not finite: JSON has no word for it, see ``plain``.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - in a script element nothing else has a meaning


def plain(value: float, digits: int = 5) -> float | str | None:
    """Return a number for JSON: rounded, None for NaN, ``"inf"`` where it is infinite."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return round(float(value), digits)


def term(key: str, text: str) -> Markup:
    """Return a word that explains itself: ``key`` is its entry in the glossary."""
    button = Markup('<button type="button" class="term" data-term="{}">{}</button>')
    return button.format(key, text)


@dataclass(frozen=True, slots=True)
class Td:
    """A table cell.

    Attributes
    ----------
    html
        Its content: ``Markup``, or text that is escaped.
    value
        What it sorts by; None sorts last. Default: the text.
    kind
        ``n`` for numbers: right-aligned, tabular figures.
    best
        Whether it is the best of its column.
    """

    html: str
    value: float | str | None = ""
    kind: str = ""
    best: bool = False

    @classmethod
    def text(cls, text: object) -> Td:
        """Return a cell of plain text."""
        return cls(str(text), str(text))

    @classmethod
    def num(cls, value: float, digits: int, *, sign: bool = False, best: bool = False) -> Td:
        """Return a cell of a number; NaN shows as a dash."""
        shown = number(value, digits, sign=sign) or NO_VALUE
        return cls(shown, None if math.isnan(value) else float(value), "n", best)

    @classmethod
    def significant(cls, value: float) -> Td:
        """Return a cell of the three leading digits of a number; NaN shows as a dash."""
        shown = significant(value) or NO_VALUE
        return cls(shown, None if math.isnan(value) else float(value), "n")

    @property
    def numeric(self) -> bool:
        """Whether it holds a number."""
        return "n" in self.kind.split()

    @property
    def classes(self) -> str:
        """Its CSS classes."""
        return " ".join(filter(None, [self.kind, "best" if self.best else ""]))


@dataclass(frozen=True, slots=True)
class Table:
    """A sortable table.

    Attributes
    ----------
    name
        For its file when it is saved as CSV.
    caption
        One line.
    head
        Heads: ``Markup``, or text that is escaped.
    rows
        As many cells a row as there are heads.
    filter_by
        Column that the reader may filter by, or None.
    chosen
        What it is filtered by at first; empty: nothing.
    notes
        Sentences under it, numbered from 1.
    """

    name: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Td]]
    filter_by: int | None = None
    chosen: str = ""
    notes: Sequence[str] = ()

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers alone."""
        places = range(len(self.head))
        return [bool(self.rows) and all(row[i].numeric for row in self.rows) for i in places]

    def markup(self) -> Markup:
        """Return the table in a box that scrolls sideways where it is too wide."""
        return render("table.html", table=self)
