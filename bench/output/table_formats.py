"""One table, two languages: aligned Markdown and booktabs LaTeX."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after a row's end a bare one would open an optional argument
    "]": "{]}",
    "\u2191": r"$\uparrow$",
    "\u2193": r"$\downarrow$",
    "\u2212": r"$-$",
    "\u221e": r"$\infty$",
    "\u2013": "--",
    "\u2014": "---",
    "\u2026": r"\ldots{}",
    "\u00d7": r"$\times$",
    "\u00b7": r"$\cdot$",
    "\u00a0": "~",
    "\u00b1": r"$\pm$",
    "\u00b0": r"$^\circ$",
    "\u2082": r"$_2$",
    "\u2264": r"$\leq$",
    "\u2265": r"$\geq$",
}
_ACCENTS = "\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327"
_LETTERS = "\u00df\u00e6\u00c6\u00f8\u00d8\u0153\u0152\u0142\u0141"

_NEEDS = "% needs \\usepackage{booktabs,array}"
_SMALL = "\n\\smallskip\\parbox{\\linewidth}{\\scriptsize %s}"
_COLUMN_PT, _PAGE_PT, _NARROWEST_PT = 240.0, 490.0, 40.0
"""Of a letter page with margins of 2 cm."""

_MOST_LINES = 40
"""Of a table in one float; with the notes under it, a page's height."""

UP, DOWN, INFINITY = "\u2191", "\u2193", "\u221e"


def plain_text(text: str) -> str:
    r"""Return ``text`` on one line, with everything that cannot be printed as an escape.

    Control and format characters (which may turn the direction of what follows) and halves of
    surrogate pairs become visible; spaces that hold words together stay.

    >>> plain_text("caf\udce9\n\u202etxt")
    'caf\\udce9 \\u202etxt'
    """
    line = re.sub(r"[^\S\u00a0]+", " ", text).strip()
    return "".join(
        c if c.isprintable() or c in "\u00a0\u200c\u200d" else c.encode("unicode_escape").decode()
        for c in line
    )


def escape_latex(text: str) -> str:
    r"""Return ``text`` with everything that LaTeX would interpret made literal.

    A letter that LaTeX's own fonts lack is written as its number, so that every engine compiles.

    >>> escape_latex("50 % of a_b, --points 4, \u6f22")
    '50 \\% of a\\_b, -{}-points 4, {[}U+6F22{]}'
    """
    line = "".join(_latex_character(character) for character in plain_text(text))
    return re.sub(r"(?<=-)-(?=-*\w)", "{}-", line)


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    base, *accents = list(unicodedata.normalize("NFD", character))
    if character in _LETTERS or (base.isascii() and all(a in _ACCENTS for a in accents)):
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"


def escape_markdown(text: str) -> str:
    r"""Return ``text`` fit for a cell: one line, no bars, emphasis, links, formulas or tags.

    >>> escape_markdown("a|b <i> p$_^$q lpips_alex")
    'a\\|b &lt;i&gt; p\\$\\_^\\$q lpips_alex'
    """
    line = plain_text(text)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\|*`$~]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Return a rounded number, empty for NaN, a real minus, never a negative zero.

    >>> number(-12.345, 1), number(float("nan"), 1), number(-0.01, 1)
    ('\u221212.3', '', '0.0')
    """
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return INFINITY if value > 0 else "\u2212" + INFINITY
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(text) == 0:
        return f"{0:.{digits}f}"
    return text.replace("-", "\u2212")


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, never with an exponent; empty for NaN.

    >>> significant(1234.5), significant(0.012345), significant(float("nan"))
    ('1234', '0.0123', '')
    """
    if math.isnan(value) or math.isinf(value) or value == 0:
        return number(value, 0)
    return number(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


@dataclass(frozen=True, slots=True)
class Cell:
    """Text of one cell; ``best`` prints it bold."""

    text: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    r"""A captioned table.

    Attributes
    ----------
    name
        Word for LaTeX's ``\label{tab:name}``.
    caption
        One or two sentences; carries dataset and image count.
    head
        Column heads with units and arrows.
    align
        ``l`` or ``r`` per column.
    rows
        Cells; as many per row as there are heads.
    notes
        Lines under the table: definitions, what was left out, the machine and the date.
    group
        Whether the first column groups the rows: it is printed where it changes, and LaTeX puts
        a little space between groups.
    """

    name: str
    caption: str
    head: Sequence[str]
    align: str
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())
    group: bool = False

    def markdown(self) -> str:
        """Return caption, table and notes as GitHub-flavoured Markdown, columns aligned."""
        head = [escape_markdown(text) for text in self.head]
        body = [[_markdown_cell(cell) for cell in row] for row in self._shown()]
        widths = [max(3, *(len(row[i]) for row in [head, *body])) for i in range(len(head))]
        rule = [
            "-" * (w - 1) + ":" if a == "r" else "-" * w
            for w, a in zip(widths, self.align, strict=True)
        ]
        lines = [f"**{escape_markdown(self.caption)}**", ""]
        if body:
            lines += [self._line(row, widths) for row in (head, rule, *body)] + [""]
        for note in self.notes:
            lines += [f"- {escape_markdown(note)}"]
        return "\n".join(lines).rstrip("\n") + "\n"

    def _shown(self) -> list[list[Cell]]:
        """Return the rows with the first cell blank where it repeats the one above."""
        shown = []
        for before, row in pairwise([None, *self.rows]):
            assert row is not None
            repeats = self.group and before is not None and before[0].text == row[0].text
            shown.append([Cell(""), *row[1:]] if repeats else list(row))
        return shown

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            text.rjust(width) if align == "r" else text.ljust(width)
            for text, width, align in zip(row, widths, self.align, strict=True)
        ]
        return "| " + " | ".join(cells) + " |"

    def latex(self) -> str:
        """Return floats that fit a page of two columns; they need booktabs and array.

        ``table`` where the columns fit into one of the page's, else ``table*``, text broken into
        lines where it is too wide for that; a long table goes on in further floats. A table
        without rows is a paragraph: caption and notes.
        """
        caption = escape_latex(self.caption)
        notes = "\\par\n".join(escape_latex(note) for note in self.notes)
        if not self.rows:
            return f"\\paragraph{{{caption}}}\\label{{tab:{self.name}}}\n{notes}\n"
        layout = latex_layout(self)
        parts = self._latex_parts(layout)
        floats = [_NEEDS]
        for index, body in enumerate(parts):
            first, last = index == 0, index == len(parts) - 1
            floats += [
                f"\\begin{{{layout.environment}}}",
                "\\centering",
                f"\\footnotesize\\setlength{{\\tabcolsep}}{{{layout.gap_pt:g}pt}}",
                f"\\caption{{{caption}}}\\label{{tab:{self.name}}}"
                if first
                else f"\\par Table \\ref{{tab:{self.name}}}, continued",
                f"\\begin{{tabular}}{{{layout.columns}}}",
                "\\toprule",
                _latex_row([escape_latex(text) for text in self.head]),
                "\\midrule",
                *body,
                "\\bottomrule",
                "\\end{tabular}",
                *([_SMALL % notes] if notes and last else []),
                f"\\end{{{layout.environment}}}",
            ]
        return "\n".join([*floats, ""])

    def _latex_parts(self, layout: LatexLayout) -> list[list[str]]:
        """Return the rows in LaTeX, in as many parts as a page needs, cut between groups."""
        parts, lines = [list[str]()], 0
        heights = [layout.lines_of([cell.text for cell in row]) for row in self._shown()]
        for index, row in enumerate(self._shown()):
            begins = bool(self.group and index and row[0].text)
            group = sum(heights[index : index + self._rows_of(index)]) if begins else 0
            too_many = lines + heights[index] > _MOST_LINES + 10
            if (parts[-1] and too_many) or (begins and lines + group > _MOST_LINES):
                parts.append([])
                lines = 0
            elif begins:
                parts[-1].append("\\addlinespace")
            parts[-1].append(_latex_row([_latex_cell(cell) for cell in row]))
            lines += heights[index]
        return parts

    def _rows_of(self, start: int) -> int:
        """Return how many rows the group that begins at ``start`` has."""
        first = self.rows[start][0].text
        return next(
            (i for i, row in enumerate(self.rows[start:]) if row[0].text != first),
            len(self.rows) - start,
        )


@dataclass(frozen=True, slots=True)
class LatexLayout:
    """How wide a table is: its environment, tabular's columns, the gap beside them.

    ``broken_pt`` has the width of each column whose text is broken into lines.
    """

    environment: str
    columns: str
    gap_pt: float
    broken_pt: Mapping[int, float] = field(default_factory=dict)

    def lines_of(self, texts: Sequence[str]) -> int:
        """Return how many lines a row has."""
        widths = ((_width_pt(texts[i]), width) for i, width in self.broken_pt.items())
        return max((math.ceil(text / width) for text, width in widths if text), default=1)


def latex_layout(table: Table) -> LatexLayout:
    """Return a layout in which a table fits a page of two columns, by the width of its letters."""
    shown = [table.head, *([cell.text for cell in row] for row in table.rows)]
    widths = [max(map(_width_pt, column)) for column in zip(*shown, strict=True)]
    for environment, gap, room in (
        ("table", 6.0, _COLUMN_PT),
        ("table", 3.0, _COLUMN_PT),
        ("table*", 6.0, _PAGE_PT),
        ("table*", 3.0, _PAGE_PT),
    ):
        if sum(widths) + 2 * gap * len(widths) <= room:
            return LatexLayout(environment, table.align, gap)
    columns, broken = list(table.align), dict[int, float]()
    fixed = [i for i, kind in enumerate(columns) if kind != "l"]
    left = _PAGE_PT - 2 * 3.0 * len(widths) - sum(widths[i] for i in fixed)
    for i in sorted((i for i, kind in enumerate(columns) if kind == "l"), key=widths.__getitem__):
        others = sum(1 for j, kind in enumerate(columns) if kind == "l" and widths[j] >= widths[i])
        if widths[i] > left / others:
            words = (word for row in shown for word in re.split(r"[\s,;]", row[i]))
            word = min(max(map(_width_pt, words)), 2 * _NARROWEST_PT)
            share = max(left / others, word, _NARROWEST_PT)
            broken[i] = share
            columns[i] = f">{{\\raggedright\\arraybackslash}}p{{{share:.0f}pt}}"
            left -= share
        else:
            left -= widths[i]
    return LatexLayout("table*", "".join(columns), 3.0, broken)


def _width_pt(text: str) -> float:
    """Return about how wide a text is in LaTeX's 8-point letters; rather more than less."""
    return sum(
        2.6
        if letter in "il.,:;'|!()[] -"
        else 7.6
        if letter in "mwMW%\u2212\u221e\u2191\u2193+"
        else 6.2
        if letter.isupper()
        else 4.5
        for letter in plain_text(text)
    )


def _markdown_cell(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    return f"**{text}**" if cell.best and text else text


def _latex_cell(cell: Cell) -> str:
    text = re.sub(r"(?<=[,;])(?=\S)", r"\\allowbreak{}", escape_latex(cell.text))
    return f"\\textbf{{{text}}}" if cell.best and text else text


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
