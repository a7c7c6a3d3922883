"""One table, two languages: aligned Markdown and booktabs LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
}

UP, DOWN, INFINITY = "\u2191", "\u2193", "\u221e"


def escape_latex(text: str) -> str:
    """Return ``text`` with everything that LaTeX would interpret made literal."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def escape_markdown(text: str) -> str:
    """Return ``text`` fit for a cell: one line, no bars, emphasis or tags."""
    line = " ".join(text.split())
    for character in "\\|*<`":
        line = line.replace(character, "\\" + character)
    return line


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
        """Return a ``table`` environment that needs the package booktabs alone."""
        lines = [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering",
            "\\footnotesize",
            f"\\caption{{{escape_latex(self.caption)}}}",
            f"\\label{{tab:{self.name}}}",
        ]
        if self.rows:
            lines += [f"\\begin{{tabular}}{{{self.align}}}", "\\toprule"]
            lines += [_latex_row([escape_latex(text) for text in self.head]), "\\midrule"]
            lines += self._latex_body()
            lines += ["\\bottomrule", "\\end{tabular}"]
        if self.notes:
            notes = "\\par\n".join(escape_latex(note) for note in self.notes)
            lines += ["", "\\smallskip", f"\\parbox{{\\linewidth}}{{\\scriptsize {notes}}}"]
        return "\n".join([*lines, "\\end{table}", ""])

    def _latex_body(self) -> list[str]:
        lines = []
        for index, row in enumerate(self._shown()):
            if self.group and index and row[0].text:
                lines.append("\\addlinespace")
            lines.append(_latex_row([_latex_cell(cell) for cell in row]))
        return lines


def _markdown_cell(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    return f"**{text}**" if cell.best and text else text


def _latex_cell(cell: Cell) -> str:
    text = escape_latex(cell.text)
    return f"\\textbf{{{text}}}" if cell.best and text else text


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
