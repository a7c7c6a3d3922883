"""Tables as LaTeX and Markdown: widths, escapes, numbers."""

from __future__ import annotations

import math
import re

import pytest

from bench.output.table_formats import Cell, Table, escape_latex, escape_markdown, number


def _wide(letters: int, count: int = 3, **more: bool) -> Table:
    """A table with one column of so many letters beside a number."""
    cells = [[Cell("x" * letters), Cell("1.0")] for _ in range(count)]
    return Table("t", "C", ["A", "B"], "lr", cells, **more)


@pytest.mark.parametrize(
    ("letters", "environment", "columns"),
    [(10, "table", "lr"), (90, "table*", "lr"), (200, "table*", r">{\\raggedright.*}p{\d+pt}r")],
)
def test_latex_tables_fit_the_page(letters: int, environment: str, columns: str):
    """A column, else both, else in lines: never wider than the paper."""
    text = _wide(letters).latex()

    assert f"\\begin{{{environment}}}" in text
    assert re.search(rf"\\begin{{tabular}}{{{columns}}}\n", text)


def test_long_words_break_at_commas():
    """A setting has no spaces, and would stick out of its column."""
    table = Table("t", "C", ["A"], "l", [[Cell('{"a":1,"b":2}')], [Cell("x, 1,000")]])

    assert '1,\\allowbreak{}"b"' in table.latex()
    assert "x, 1,\\allowbreak{}000" in table.latex()


def test_a_long_latex_table_goes_on():
    """No float is longer than a page, no row is lost, and the label is given once."""
    cells = [[Cell(f"g{i // 8}"), Cell(str(i))] for i in range(100)]
    text = Table("t", "C", ["A", "B"], "lr", cells, notes=("N",), group=True).latex()
    parts = text.split("\\begin{table}")[1:]

    assert 3 == len(parts)
    assert all(part.count(r"\\") <= 42 for part in parts)
    assert 100 == len(re.findall(r"& \d+ \\", text))
    assert 1 == text.count("\\label{tab:t}") == text.count("scriptsize N")
    assert 3 == text.count("A & B")


def test_rows_of_several_lines_fill_a_page_sooner():
    """A float is as long as its lines are, not as its rows are many; no word leaves its column."""
    rows = [
        [Cell(name), Cell("a name of some words"), *[Cell("-123.4 to -123.4")] * 6, Cell("x " * 40)]
        for name in ("SSIMULACRA2", "PSNR")
        for _ in range(14)
    ]
    text = Table("t", "C", [*"ABCDEFGHI"], "llrrrrrrl", rows, group=True).latex()
    widths = [float(width) for width in re.findall(r"p\{(\d+)pt\}", text.partition("\n\\top")[0])]

    assert len(text.split("\\begin{table*}")) > 3
    assert 28 == text.count("& a name of some words")
    assert 65 < widths[0]


def test_a_latex_table_without_rows_is_no_float():
    """Its caption and notes are a paragraph."""
    text = Table("t", "Failures", ["A"], "l", [], notes=("No cell failed.",)).latex()

    assert "\\begin" not in text
    assert "Failures" in text
    assert "No cell failed." in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50% #1 {x}", r"a\_b \& 50\% \#1 \{x\}"),
        ("C:\\tmp ~x^2", r"C:\textbackslash{}tmp \textasciitilde{}x\textasciicircum{}2"),
        ("$5 <b> [y]", r"\$5 \textless{}b\textgreater{} {[}y{]}"),
        ("two\nlines ↑", r"two lines $\uparrow$"),
    ],
)
def test_latex_escapes(text: str, expected: str):
    """Each special character becomes its literal form."""
    assert expected == escape_latex(text)


def test_markdown_escapes():
    """A bar or a tag in an error message cannot break a table."""
    assert r"a \| b &lt;i&gt; \*c\* \`d\`" == escape_markdown("a | b <i> *c*\n`d`")


@pytest.mark.parametrize(
    ("value", "digits", "sign", "expected"),
    [
        (1.005, 1, False, "1.0"),
        (-12.34, 1, True, "\u221212.3"),
        (12.34, 1, True, "+12.3"),
        (-0.04, 1, True, "0.0"),
        (math.nan, 2, False, ""),
        (math.inf, 2, False, "∞"),
        (-math.inf, 2, False, "\u2212∞"),
    ],
)
def test_numbers(value: float, digits: int, sign: bool, expected: str):
    """Rounded, a real minus sign, never a negative zero, NaN empty."""
    assert expected == number(value, digits, sign=sign)


def test_a_group_is_named_once():
    """The first column is blank where it repeats, in both languages."""
    cells = [[Cell("x"), Cell("1")], [Cell("x"), Cell("2")], [Cell("y"), Cell("3")]]
    table = Table("t", "C", ["A", "B"], "lr", cells, group=True)

    assert ["| x   |   1 |", "|     |   2 |", "| y   |   3 |"] == table.markdown().splitlines()[4:]
    assert 1 == table.latex().count("x & 1")
    assert " & 2 \\\\\n\\addlinespace\ny & 3" in table.latex()
