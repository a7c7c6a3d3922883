"""Words of users in files: names that LaTeX, Markdown, CSV or a file system could trip over."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import UsageError
from bench.figures import spec
from bench.files import file_stems
from bench.output import codec_compare, plots, tables
from bench.output.csv_files import to_csv
from bench.output.table_formats import Cell, Table, escape_latex, escape_markdown, plain_text

HOSTILE = [
    "p$_^$q",
    r"\input{/etc/passwd}",
    "50 % of #1 & {a_b} ~ ^ \\",
    "two\nlines\r\n% and a comment",
    "bell \x07 null \x00 escape \x1b[31m",
    "lone \udce9",
    "turned \u202e txt \u200f",
    "x" * 300,
    "\u6f22\u5b57 \U0001f600",
    '<img src=x onerror="alert(1)">| & ![a](http://b) `c` [d] ~~e~~',
    "--points 4 --- --",
]
NAMES = [ascii(name)[:24] for name in HOSTILE]
SAFE_LATEX = re.compile(
    r"[^\\{}$&#^_~%]|\\[&%$#_{}]|\{[][-]?\}|\{\}|~|\\text(backslash|asciitilde|asciicircum|less"
    r"|greater|bar)\{\}|\\ldots\{\}|\$(\\?\w+|[-^]\S*|_2)\$"
)
"""What may stand in an escaped text: plain letters, escaped ones, a few commands of our own."""


@pytest.mark.parametrize("name", HOSTILE, ids=NAMES)
def test_latex_has_no_command_of_a_user(name: str):
    """Taken apart by rule, an escaped text holds no active character; it is one line."""
    rest = SAFE_LATEX.sub("", escape_latex(name))

    assert "" == rest
    assert "\n" not in escape_latex(name)
    assert "input{" not in escape_latex(name)


@pytest.mark.parametrize("name", HOSTILE, ids=NAMES)
def test_markdown_has_no_markup_of_a_user(name: str):
    """One line, no tag, no bare bar, dollar, star, bracket or backtick."""
    text = escape_markdown(name)

    assert text.isprintable()
    assert not re.search(r"[<>]", text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[|$*`]|\]\(", re.sub(r"\\[|$*`\]]", "", text))
    assert re.search(r"&(?!amp;|lt;|gt;)", text) is None


@pytest.mark.parametrize("name", HOSTILE, ids=NAMES)
def test_a_table_stays_a_table(name: str):
    """As caption, head, cell and note: every line of the table has its three cells."""
    table = Table(
        name="t",
        caption=name,
        head=("a", name, "b"),
        align="lll",
        rows=[[Cell("1"), Cell(name), Cell("2")], [Cell(name, best=True), Cell("3"), Cell("4")]],
        notes=(name,),
    )

    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert 4 == len(lines)
    assert {4} == {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    rows = [line for line in table.latex().splitlines() if line.endswith(r" \\")]
    assert 3 == len(rows)
    assert {2} == {len(re.findall(r"(?<!\\)&", row)) for row in rows}


def test_what_cannot_be_printed_becomes_visible():
    """Two names that differ in a control character stay two names."""
    assert r"a\x01b" == plain_text("a\x01b")
    assert plain_text("a\x01b") != plain_text("a\x02b")
    assert "a b" == plain_text(" a \r\n\t b ")
    assert "\U0001f468\u200d\U0001f469" == plain_text("\U0001f468\u200d\U0001f469")


@pytest.mark.parametrize("name", HOSTILE, ids=NAMES)
def test_every_name_has_a_file_name(name: str, tmp_path: Path):
    """Plain ASCII, short enough for suffixes, distinct even where case does not count."""
    stems = file_stems([name, name + "a", name + "A", "y" * 300 + "1", "y" * 300 + "2"])

    assert 5 == len({stem.lower() for stem in stems.values()})
    for stem in stems.values():
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,110}", stem)
        (tmp_path / f"{stem}_lpips_squeeze_linear.svg").write_text("")


def test_a_stem_depends_on_the_name_alone_where_it_is_long():
    """A long name keeps its files from run to run, whatever stands beside it."""
    long = "folder:" + "z" * 300

    assert file_stems([long])[long] == file_stems(["kodak", long])[long]


def test_csv_holds_half_a_surrogate_pair_as_an_escape():
    """A file name that is no UTF-8 does not cost the table."""
    frame = pd.DataFrame({"image": pd.Series(["caf\udce9.png"], dtype=object), "bpp": [1.0]})

    assert b"image,bpp\ncaf\\udce9.png,1.0\n" == to_csv(frame)


@pytest.mark.parametrize("word", ["../out", "a/b", "", ".hidden", "x" * 300, "a b", "caf\u00e9"])
def test_an_id_of_a_figure_is_a_file_name(word: str, tmp_path: Path):
    """A set cannot write outside its folder."""
    path = tmp_path / "set.toml"
    text = 'title="T"\nauthors="A"\nsource="S"\ndataset="kodak"\ncodec="agvae"\n[[figure]]\n'
    path.write_text(f'{text}id="{word}"\nkind="rd"\npaper=""\ntitle="t"\ncaption="c"\n')

    with pytest.raises(UsageError, match="cannot be a file name"):
        spec.load(str(path))


@pytest.mark.parametrize("name", ["p$_^$q", r"\input{x} 5 % #1", "two\nlines\x07", "x" * 300])
def test_a_dataset_of_any_name_has_tables_and_plots(name: str, tmp_path: Path):
    """A folder's name is in every file as it was typed, or as an escape, and breaks none."""
    rows = pd.DataFrame(
        {
            "dataset": f"folder:{name}",
            "image": f"{name}.png",
            "codec": codec,
            "label": f"{codec} (x 1)",
            "setting": f'{{"quality":{step}}}',
            "bytes": 1000.0,
            "bpp": 0.2 * 1.5**step,
            "psnr_db": 30.0 + step,
            "error": "" if step else f"crashed: {name}",
        }
        for codec in ("jpeg", "webp")
        for step in range(3)
    )

    tables.write_all(rows, tmp_path, provenance={})
    written = plots.write_all(rows, tmp_path, provenance={})
    codec_compare.write_all(rows, tmp_path, provenance={})

    assert 4 == len(written)
    caption = next((tmp_path / "tables").glob("*_rd.md")).read_text().splitlines()[0]
    assert caption.startswith(f"**{escape_markdown(f'folder:{name}')}: rate and quality")
    for path in (tmp_path / "tables").glob("*.tex"):
        text = path.read_text()
        assert r"\input" not in text
        assert text.count(r"\begin{table}") == text.count(r"\end{table}")
