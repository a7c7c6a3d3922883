"""The page as a file: complete, closed to the outside, honest about what it holds."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bench.analysis import summary
from bench.errors import OutputError, UsageError
from bench.measurement.results import load_results
from bench.report import Options, Outcome, bit_allocation, write
from bench.report import html as html_of
from bench.report import results as data

Bench = Callable[..., subprocess.CompletedProcess[str]]


class Collector(HTMLParser):
    """Reads elements, attributes and what is left open."""

    VOID = ("meta", "img", "input", "br", "link", "source", "circle", "path")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def parsed(html: str) -> Collector:
    """The page, parsed."""
    collector = Collector()
    collector.feed(html)
    collector.close()
    return collector


def numbers(html: str) -> dict[str, Any]:
    """Return the data that the page's scripts work with."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_well_formed(parsed: Collector):
    """Every element is closed where it should be, and no id is there twice."""
    assert [] == parsed.wrong
    assert [] == parsed.open
    assert len(parsed.ids) == len(set(parsed.ids))


def test_nothing_is_loaded_from_outside(parsed: Collector, html: str):
    """No attribute or style names a resource; the content policy forbids the browser any."""
    resources = [
        value
        for tag, name, value in parsed.attributes
        if name in ("src", "srcset", "data", "poster", "action") or (tag == "link")
    ]
    policy = [value for tag, _, value in parsed.attributes if "default-src" in value]
    style = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))

    assert [] == resources
    assert 1 == len(policy)
    assert policy[0].startswith("default-src 'none'")
    assert "url(" not in style
    assert "@import" not in style
    assert [] == re.findall(r"\b(?:fetch|XMLHttpRequest|WebSocket|importScripts)\s*\(", html)


def test_links_lead_somewhere(parsed: Collector):
    """Every link in the page is to a part of it that exists."""
    links = {value for tag, name, value in parsed.attributes if (tag, name) == ("a", "href")}

    assert links
    assert set() == {link for link in links if link.lstrip("#") not in parsed.ids}


def test_numbers_are_the_rows(html: str, results_dir: Path):
    """Every mean in the page is the mean of the summary, every image's value its row's."""
    rows = load_results(results_dir).rows
    means = summary.summarise(rows)
    dataset = next(d for d in numbers(html)["datasets"] if len(d["images"]) == 2)
    codecs = [codec["label"] for codec in numbers(html)["codecs"]]

    assert len(means[means["dataset"] == dataset["name"]]) == len(dataset["points"])
    for point in dataset["points"]:
        label = codecs[point["codec"]]
        same = (means["setting"] == point["full"]) & (means["label"] == label)
        line = means[same & (means["dataset"] == dataset["name"])].iloc[0]
        assert pytest.approx(line["psnr_db"], abs=1e-4) == point["mean"]["psnr_db"]
        for image, value in zip(dataset["images"], point["each"]["bytes"], strict=True):
            mine = rows[(rows["image"] == image) & (rows["setting"] == point["full"])]
            assert mine[mine["label"] == label]["bytes"].iloc[0] == value


def test_hostile_names_stay_text(html: str):
    """A file's name cannot end a script or become an element."""
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=window.owned=1&gt;.png" in html
    assert "\\u003cimg src=x" in html


def test_bd_rates_stand_by_value_with_the_anchor(html: str):
    """Within a metric the rates rise, and the anchor stands at 0 among them."""
    table = re.search(r'<table class="grid" data-name="bd-rate-.*?</table>', html, re.DOTALL)
    assert table is not None
    lines = re.findall(r'<tr><td data-v="(\S+)">.*?<td class="n[^"]*" data-v="([^"]*)">', table[0])
    psnr = [float(rate) for metric, rate in lines if metric == "PSNR"]

    assert sorted(psnr) == psnr
    assert 2 == len(psnr)
    assert 0.0 in psnr
    assert "the anchor" in table[0]


def test_ledger_of_some_images_says_so(results_dir: Path, tmp_path: Path, html: str):
    """Where bytes are itemised for some images only, their names stand beside the bars."""
    options = Options(images=["face.png"], rates=(0.5,))
    part = write(results_dir, tmp_path / "part.html", options).path.read_text(encoding="utf-8")
    words = "Files of face.png, whose rates are not the means over all 2 images."

    assert words in part
    assert "whose rates are not the means" not in html


def test_ledger_adds_up(results_dir: Path):
    """The groups of the ledger sum to the mean file size."""
    results = load_results(results_dir)
    rows = results.rows[results.rows["image"] == "face.png"]
    found = bit_allocation.build(rows, ["face.png"], data.Bitstreams(results, results.original))

    assert {"jpeg", "webp"} == set(found.curves)
    assert [] == found.missing
    for codec, curve in found.curves.items():
        sizes = sorted(rows.loc[rows["codec"] == codec, "bytes"])
        assert pytest.approx(sizes) == [point.total_bytes for point in curve]
        assert pytest.approx(sizes) == [sum(point.groups.values()) for point in curve]
        assert all(point.itemised for point in curve)


def test_says_what_is_large_and_shown_in_part(html: str, outcome: Outcome):
    """A picture beyond the window is cut, and its place in the whole is kept."""
    large = next(s for s in numbers(html)["scenes"] if s["image"].startswith("large"))

    assert [902, 600] == large["size"]
    assert [768, 512] == large["window"][2:]
    assert outcome.size_bytes == len(html.encode())


def test_infinity_and_nothing_become_json():
    """Numbers that JSON lacks are words or null; they never reach the file bare."""
    assert "inf" == html_of.plain(float("inf"))
    assert html_of.plain(float("nan")) is None
    with pytest.raises(ValueError, match="not JSON compliant"):
        html_of.script_json([float("nan")])


def test_lossless_codec_and_failures(tmp_path: Path, photo, plugin: Path, run_bench: Bench):
    """Raw pixels (infinite PSNR) and a codec that fails on one rung make a page that says so."""
    from bench import image

    assert plugin.is_dir()
    folder = tmp_path / "one"
    folder.mkdir()
    image.save(photo[:96, :96], folder / "a.png")
    words = ("-c", "null", "-c", "faulty:fault=raise", "-c", "jpeg", "--metric", "psnr")
    words = ("-d", f"folder:{folder}", *words, "--offline", "-j1", "-o", tmp_path / "out")
    run_bench("all", *words, workers=False)
    done = write(tmp_path / "out", tmp_path / "page.html")
    text = done.path.read_text(encoding="utf-8")
    codecs = [codec["name"] for codec in numbers(text)["codecs"]]
    points = numbers(text)["datasets"][0]["points"]

    assert "ZeroDivisionError: a bug in a plug-in" in text
    assert "1 of 5" in text
    assert {"raw pixels"} == {codecs[point["codec"]] for point in points if point["lossless"]}
    assert "inf" in {point["mean"]["psnr_db"] for point in points}


def test_command(results_dir: Path, tmp_path: Path, run_bench: Bench):
    """`bench report` writes the page, prints its path and its size."""
    page = tmp_path / "page.html"
    done = run_bench(
        "report", "-o", results_dir, "--html", page, "--image", "face.png", "--rates", "0.5"
    )

    assert str(page) == done.stdout.strip()
    assert page.stat().st_size > 100_000
    assert "MB, " in done.stderr
    scenes = numbers(page.read_text(encoding="utf-8"))["scenes"]
    assert ["face.png"] == [scene["image"] for scene in scenes]


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--rates", "0.5,x"), "--rates wants bits per pixel"), (("--anchor", "vvc"), "vvc")],
)
def test_command_refuses(results_dir: Path, run_bench: Bench, words: tuple[str, ...], told: str):
    """A mistake is one line on stderr and exit code 2."""
    done = run_bench("report", "-o", results_dir, *words, check=False)

    assert 2 == done.returncode
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_no_results(tmp_path: Path):
    """An empty folder is refused with what to do."""
    with pytest.raises(OutputError, match="holds no results"):
        write(tmp_path, tmp_path / "page.html")


def test_unknown_anchor(results_dir: Path, tmp_path: Path):
    """An anchor that was not measured is refused before anything is written."""
    with pytest.raises(UsageError):
        write(results_dir, tmp_path / "page.html", Options(anchor="vvc"))

    assert not (tmp_path / "page.html").exists()


def test_no_line_ends_inside_an_option():
    """Short words with hyphens stay whole, long ones may break; nothing is markup."""
    path = "a-long-path-to-a-folder-of-somebody"

    shown = str(html_of.unbroken(f"bench all --codec <b>\n{path}"))

    assert f'bench all <span class="nb">--codec</span> &lt;b&gt;\n{path}' == shown
