"""Files: all formats, stamped, the same from run to run, and none for what cannot be made."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image as PILImage
from typer.testing import CliRunner

from bench.analysis.published_names import references
from bench.cli import command_line
from bench.errors import UsageError
from bench.figures import build, cache, registry
from bench.output.figure import Skipped
from bench.output.provenance import KEYS, of_record


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory, products):
    """The tiny set, written: the figures that were made already, where they are asked for."""
    asked = {entry.id: entry for entry in tiny.context.figure_set.entries}

    def made(context, entry):
        assert (asked[entry.id], tiny.results) == (entry, context.results.folder)
        if isinstance(product := products[entry.kind], Skipped):
            raise product
        return product

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "make", made)
        return build.build(str(tiny.toml), tiny.results, out=tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def index(built):
    """The index by id."""
    content = json.loads((built.folder / build.INDEX).read_text())
    return {entry["id"]: entry for entry in content["figures"]}


def test_each_figure_has_every_format(built, index, products):
    """A drawing is PDF, SVG, PNG and CSV; a table is LaTeX and Markdown too."""
    for kind, product in products.items():
        wanted = set()
        if not isinstance(product, Skipped):
            wanted = {"csv"} | ({"pdf", "svg", "png"} if product.figure else set())
            wanted |= {"tex", "md"} if product.table else set()
        assert {f"{kind}.{suffix}" for suffix in wanted} == set(index[kind]["files"])
    assert all(path.stat().st_size > 100 for path in built.written)


def test_every_file_says_where_it_comes_from(tiny, built, products):
    """Date, machine, commit, versions and dataset hash are in each file's own metadata."""
    product = products["rd"]
    origin = product.stamp.full()
    commit, date = tiny.context.results.record["commit"], tiny.context.results.record["date"]

    assert all(f"{key}: " in origin for key in KEYS)
    assert commit in origin
    assert date in origin
    assert re.search(r"datasets: folder:\S+ \(2 of 3\) [0-9a-f]{64}", origin)
    assert "torch " in origin
    assert origin == PILImage.open(built.folder / "rd.png").text["Description"]
    svg = ET.parse(built.folder / "rd.svg").getroot()
    told = [node.text for node in svg.iter("{http://purl.org/dc/elements/1.1/}description")]
    assert [origin] == told
    assert date.encode() in (built.folder / "rd.pdf").read_bytes()
    for suffix in ("csv", "tex", "md"):
        text = (built.folder / f"rd.{suffix}").read_text()
        assert commit in text
        assert date in text
    assert date in (built.folder / "rd.svg").read_text().split("</metadata>")[1]


def test_csv_reads_back_as_the_numbers_of_the_drawing(built, products):
    """Skipping the stamp, the file holds the product's rows to the last digit."""
    for kind, product in products.items():
        if isinstance(product, Skipped):
            continue
        text = (built.folder / f"{kind}.csv").read_text()
        body = "".join(line for line in text.splitlines(keepends=True) if line[0] != "#")
        read = pd.read_csv(StringIO(body))
        assert list(product.data.columns) == list(read.columns)
        for column in read.select_dtypes("number"):
            pd.testing.assert_series_equal(
                product.data[column].reset_index(drop=True), read[column], check_dtype=False
            )


def test_a_second_run_measures_nothing_and_writes_the_same(tiny, built, tmp_path, monkeypatch):
    """Measurements come from the cache, and figures of the same numbers are the same bytes."""

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("bench.codecs.agvae.paper.latents_of_files.Probe.symbols", refuse)
    monkeypatch.setattr("bench.codecs.agvae.paper.latents_of_files.Probe.encode", refuse)

    chosen = ["importance", "asymmetry", "rd"]
    build.build(str(tiny.toml), tiny.results, only=chosen, out=tmp_path)

    names = {f"{kind}.{suffix}" for kind in chosen for suffix in ("pdf", "svg", "png", "csv")}
    assert names <= {path.name for path in built.written}
    for name in names:
        assert (built.folder / name).read_bytes() == (tmp_path / name).read_bytes()


def test_what_cannot_be_made_is_listed_with_its_reason(built, index):
    """Speed was not measured: no files, a reason in index and document."""
    assert [("speed", index["speed"]["skipped"])] == built.skipped
    assert "bench throughput" in index["speed"]["skipped"]
    assert "bench throughput" in (built.folder / build.TEX).read_text()


def test_asking_for_what_cannot_be_made_is_an_error(tiny, tmp_path):
    """With --only the reason is the error."""
    with pytest.raises(UsageError, match="bench throughput"):
        build.build(str(tiny.toml), tiny.results, only=["speed"], out=tmp_path)


def test_a_mistyped_folder_is_refused(tiny, tmp_path):
    """A folder that is not there is an error at once: nothing is measured, and it is not made."""
    with pytest.raises(UsageError, match=r"no folder of results .*nowhere.*bench all --out"):
        build.build(str(tiny.toml), tmp_path / "nowhere")

    assert not (tmp_path / "nowhere").exists()


def test_one_figure_alone_keeps_the_others_of_an_earlier_run(tiny, built, index):
    """--only rewrites its own files; the index still lists all."""
    again = build.build(str(tiny.toml), tiny.results, only=["discrete"], out=built.folder)

    assert {"discrete", "figures"} == {path.stem for path in again.written}
    content = json.loads((built.folder / build.INDEX).read_text())
    assert index == {entry["id"]: entry for entry in content["figures"]}


def test_pictures_that_were_left_out_do_not_unmake_a_figure(tiny, built, index, tmp_path):
    """In a folder without PDF and PNG, as in a repository, --only keeps the others; CSV counts."""
    copy = tmp_path / "copy"
    shutil.copytree(built.folder, copy, ignore=shutil.ignore_patterns("*.pdf", "*.png"))
    gone = next(key for key in index if key != "discrete" and (copy / f"{key}.csv").is_file())
    (copy / f"{gone}.csv").unlink()

    build.build(str(tiny.toml), tiny.results, only=["discrete"], out=copy)

    content = json.loads((copy / build.INDEX).read_text())
    assert set(index) - {gone} == {entry["id"] for entry in content["figures"]}


def test_stale_files_go_when_a_figure_can_no_longer_be_made(tiny, tmp_path, monkeypatch):
    """A figure whose source vanished leaves no old picture behind."""
    for suffix in ("pdf", "csv"):
        (tmp_path / f"speed.{suffix}").write_text("old")
    monkeypatch.setattr(build, "load", lambda _: _only(tiny, "speed"))

    build.build("tiny", tiny.results, out=tmp_path)

    assert [build.INDEX, build.TEX] == sorted(path.name for path in tmp_path.iterdir())


def _only(tiny, kind):
    from dataclasses import replace

    chosen = tuple(e for e in tiny.context.figure_set.entries if e.kind == kind)
    return replace(tiny.context.figure_set, entries=chosen)


def test_the_document_includes_every_figure_with_its_caption(built, index):
    """Each PDF and each table is included once, environments are closed, text is escaped."""
    text = (built.folder / build.TEX).read_text()

    for name, entry in index.items():
        drawn = f"{name}.pdf" in entry["files"]
        assert drawn == (f"{{{name}.pdf}}" in text)
        assert (f"{name}.tex" in entry["files"]) == (f"\\input{{{name}.tex}}" in text)
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    closed = re.findall(r"\\end\{(\w+)\}", text)
    assert sorted(opened) == sorted(closed)
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[%&#]", body)
    assert text.isascii() or "inputenc" in text


FIGURES = Path(__file__).parent.parent.parent / "results" / "figures"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX here")
def test_the_committed_document_compiles(tmp_path):
    """As it lies in the repository: no error, and no table sticks out of its column or page."""
    for path in FIGURES.glob("*.tex"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    words = ["-draftmode", "-interaction=nonstopmode", "-halt-on-error", build.TEX]
    done = subprocess.run(["pdflatex", *words], cwd=tmp_path, capture_output=True, check=False)
    said = done.stdout.decode(errors="replace")

    assert 0 == done.returncode, said[-2000:]
    assert not re.search(r"Overfull \\hbox \(\d{2,}\.|Float too large", said), said


def test_every_committed_float_has_its_table():
    """No float is empty, and every file that the document asks for is there."""
    text = (FIGURES / build.TEX).read_text()
    asked = re.findall(r"\\input\{([^}]*)\}", text)

    assert asked
    for name in asked:
        table = (FIGURES / name).read_text()
        assert table.count("\\begin{table") == table.count("\\begin{tabular}") > 0


def test_results_without_the_database_do_as_well(tiny, tmp_path):
    """rows.csv and run.json are enough for figures of stored rows."""
    from bench.measurement.results import load_results
    from bench.output.write import write

    write(load_results(tiny.results), plots=False, force=True)
    folder = tmp_path / "kept"
    folder.mkdir()
    for name in ("rows.csv", "run.json"):
        (folder / name).write_bytes((tiny.results / name).read_bytes())

    made = build.build(str(tiny.toml), folder, only=["discrete"])

    fresh = made.folder / "discrete.csv"
    with_store = build.build(str(tiny.toml), tiny.results, only=["discrete"], out=tmp_path)
    assert (with_store.folder / "discrete.csv").read_bytes() == fresh.read_bytes()


def test_a_damaged_measurement_is_made_again(tmp_path):
    """A cut file, or one of another key, is not taken for a measurement."""
    calls = []

    def measure():
        calls.append(1)
        return pd.DataFrame({"x": [1.5]})

    stored = cache.Cache(tmp_path)
    first = stored.get("a", {"k": 1}, measure)
    path = next(tmp_path.iterdir())
    path.write_text(path.read_text()[:40])
    again = cache.Cache(tmp_path).get("a", {"k": 1}, measure)
    kept = cache.Cache(tmp_path).get("a", {"k": 1}, measure)
    cache.Cache(tmp_path, fresh=True).get("a", {"k": 1}, measure)

    assert first.frame.equals(again.frame)
    assert again.frame.equals(kept.frame)
    assert again.record == kept.record
    assert 3 == len(calls)


def test_a_stamp_never_leaves_a_blank():
    """What was not recorded is said to be so."""
    stamp = of_record({}, datasets={})

    assert list(KEYS) == list(stamp.words())
    assert all(stamp.words().values())
    assert 4 <= stamp.full().count("not recorded")


def test_the_command_prints_files_and_reasons(tiny, tmp_path):
    """`bench figures` writes what was asked for and says where."""
    words = ["figures", "--paper", str(tiny.toml), "--results", str(tiny.results)]

    done = CliRunner().invoke(
        command_line(words), [*words, "--only", "gain-vectors", "--out", str(tmp_path)]
    )

    assert 0 == done.exit_code, done.output
    assert str(tmp_path / "gain-vectors.pdf") in done.stdout
    wrong = CliRunner().invoke(command_line(words), [*words, "--only", "gain-vector"])
    assert "Did you mean gain-vectors?" in str(wrong.exception)


def test_kinds_that_draw_are_known_to_the_tests(products):
    """Every kind of the suite was made from the tiny run."""
    assert set(registry.names()) == set(products)


def test_a_published_curve_that_no_figure_shows_is_said(tiny, tmp_path: Path):
    """It was asked for, and is of another dataset."""
    curves = references(["clic-vtm"])
    done = build.build(
        str(tiny.toml), tiny.results, only=["reported-pairs"], out=tmp_path, references=curves
    )
    reason = "no figure that was made shows this curve of clic2020-professional-test"

    assert [("VTM (CompressAI)", reason)] == done.skipped
