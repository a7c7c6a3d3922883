"""HTML from plain data: everything that comes from outside is escaped here."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.output.table_formats import number

NO_VALUE = "\u2013"


def esc(text: object) -> str:
    """Return ``text`` as HTML, fit for element content and quoted attributes."""
    return html.escape(str(text), quote=True)


def script_json(value: Any) -> str:  # noqa: ANN401 - plain data
    """Return ``value`` as JSON that no ``</script>`` inside can end.

    Raises
    ------
    ValueError
        If a number is not finite: JSON has no word for it, see ``plain``.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def plain(value: float, digits: int = 5) -> float | str | None:
    """Return a number for JSON: rounded, None for NaN, ``"inf"`` where it is infinite."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return round(float(value), digits)


def term(key: str, text: str) -> str:
    """Return a word that explains itself: ``key`` is its entry in the glossary."""
    return f'<button type="button" class="term" data-term="{esc(key)}">{esc(text)}</button>'


@dataclass(frozen=True, slots=True)
class Td:
    """A table cell.

    Attributes
    ----------
    html
        Its content, escaped already.
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
        return cls(esc(text), str(text))

    @classmethod
    def num(cls, value: float, digits: int, *, sign: bool = False, best: bool = False) -> Td:
        """Return a cell of a number; NaN shows as a dash."""
        shown = number(value, digits, sign=sign) or NO_VALUE
        return cls(esc(shown), None if math.isnan(value) else float(value), "n", best)

    def markup(self) -> str:
        """Return the ``td`` element."""
        classes = " ".join(filter(None, [self.kind, "best" if self.best else ""]))
        css = f' class="{classes}"' if classes else ""
        value = "" if self.value is None else str(self.value)
        return f'<td{css} data-v="{esc(value)}">{self.html}</td>'


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
        Heads as HTML, escaped already.
    rows
        As many cells a row as there are heads.
    filter_by
        Column that the reader may filter by, or None.
    classes
        Per row, CSS classes.
    """

    name: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Td]]
    filter_by: int | None = None
    classes: Sequence[str] = field(default=())

    def markup(self) -> str:
        """Return the table in a box that scrolls sideways where it is too wide."""
        numeric = [
            bool(self.rows) and all(r[i].kind == "n" for r in self.rows)
            for i in range(len(self.head))
        ]
        heads = "".join(
            f'<th scope="col"{" class=n" if n else ""}>{text}</th>'
            for text, n in zip(self.head, numeric, strict=True)
        )
        classes = [*self.classes, *[""] * (len(self.rows) - len(self.classes))]
        body = "".join(
            f"<tr{f' class={esc(css)}' if css else ''}>{''.join(c.markup() for c in row)}</tr>"
            for row, css in zip(self.rows, classes, strict=True)
        )
        by = f' data-filter="{self.filter_by}"' if self.filter_by is not None else ""
        return (
            f'<div class="tablebox" tabindex="0" role="region" aria-label="{esc(self.caption)}">'
            f'<table class="grid" data-name="{esc(self.name)}"{by}>'
            f"<caption>{esc(self.caption)}</caption>"
            f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        )


def definition_list(pairs: Mapping[str, str]) -> str:
    """Return a ``dl``; values are HTML, escaped already."""
    items = "".join(f"<dt>{esc(name)}</dt><dd>{value}</dd>" for name, value in pairs.items())
    return f"<dl>{items}</dl>"
