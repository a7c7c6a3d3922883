"""``figures.tex``: one document that includes every figure and table with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.figures.spec import FigureSet
from bench.output.table_formats import escape_latex

_HEAD = r"""\documentclass[10pt,twocolumn]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage[margin=2cm]{geometry}
\usepackage{graphicx,booktabs,array}
\title{%s}
\date{}
\begin{document}
\maketitle
"""


_ABSENT = "%s.pdf is not here: bench figures makes it, and the SVG file shows it."
"""Stands for a picture that a repository leaves out, so that the document compiles without it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One figure or table, as in the index ``figures.json``."""

    id: str
    paper: str
    title: str
    caption: str
    files: tuple[str, ...] = ()
    origin: str = ""
    skipped: str = ""


def document(figure_set: FigureSet, items: Sequence[Item]) -> str:
    """Return a LaTeX document, to be compiled in the folder of the figures."""
    title = f"Figures of ``{escape_latex(figure_set.title)}'', made again"
    parts = [_HEAD % title, _introduction(figure_set)]
    parts += [_figure(item) for item in items if f"{item.id}.pdf" in item.files]
    tables = [item for item in items if f"{item.id}.tex" in item.files]
    if tables:
        parts.append("\\clearpage\n")
    parts += [f"\\input{{{item.id}.tex}}\n" for item in tables]
    parts.append(_left_out([item for item in items if item.skipped]))
    return "\n".join([*parts, "\\end{document}\n"])


def _introduction(figure_set: FigureSet) -> str:
    return escape_latex(
        f"After {figure_set.authors}, {figure_set.source}. All numbers are our own measurements of "
        "real files, unless a curve is dashed and labelled as reported."
    )


def _figure(item: Item) -> str:
    of = f" (after {item.paper} of the paper)" if item.paper else ""
    caption = escape_latex(f"{item.title}{of}. {item.caption}")
    return "\n".join(
        [
            f"% {item.origin}",
            "\\begin{figure}",
            "\\centering",
            f"\\IfFileExists{{{item.id}.pdf}}",
            f"{{\\includegraphics[width=\\linewidth]{{{item.id}.pdf}}}}",
            f"{{\\fbox{{\\parbox{{0.9\\linewidth}}{{{escape_latex(_ABSENT % item.id)}}}}}}}",
            f"\\caption{{{caption}}}",
            f"\\label{{fig:{item.id}}}",
            "\\end{figure}",
            "",
        ]
    )


def _left_out(items: Sequence[Item]) -> str:
    if not items:
        return ""
    lines = [f"\\item {escape_latex(f'{item.title}: {item.skipped}')}" for item in items]
    return "\n".join(
        ["\\section*{Not made here}", "\\begin{itemize}", *lines, "\\end{itemize}", ""]
    )
