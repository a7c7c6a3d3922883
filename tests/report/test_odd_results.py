"""Results at the edges, and from strangers: the page holds, and a text is never more than text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.report import write

Rows = list[dict[str, object]]
MARKUP = (
    "</script><script>owned=1</script><img src=x onerror=owned=2>\"'><svg onload=owned=3>"
    "</style><!--\u2028]]>{{7*7}}{% raw %}</title>&lt;`${owned=4}`\x02\x030\x03\ud800"
)


def row(codec: str, image: str, place: int, **more: object) -> dict[str, object]:
    """Return a row of a codec whose curve rises."""
    return {
        "dataset": "made",
        "image": image,
        "codec": codec,
        "label": f"{codec} 4:4:4 (v1)",
        "setting": json.dumps({"quality": place}),
        "bytes": 1000 * place,
        "bpp": 0.1 * 2**place,
        "psnr_db": 24.0 + 3 * place,
        "ms_ssim": 1 - 0.2 / 2**place,
        "bitstream_sha256": "0" * 64,
        "error": "",
        **more,
    }


def grid(codecs: Iterable[str], images: int = 2, points: int = 4) -> Rows:
    """Return rows of codecs over images and settings."""
    return [
        row(codec, f"i{image}.png", place + 1)
        for codec in codecs
        for image in range(images)
        for place in range(points)
    ]


def page_of(folder: Path, rows: Rows, record: dict[str, object] | None = None) -> Path:
    """Write results without a database, and their page."""
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "rows.csv", index=False, errors="surrogatepass")
    (folder / "run.json").write_text(json.dumps({"metrics": ["psnr", "ms_ssim"]} | (record or {})))
    return write(folder, folder / "page.html").path


def numbers(path: Path) -> dict[str, Any]:
    """Return the data of a page's scripts."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


@pytest.fixture(scope="module")
def tab(browser: Any) -> Iterator[tuple[Any, list[str]]]:
    """A tab for one page after the other, and the errors and warnings of the last one."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, troubles = context.new_page(), []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda m: m.type in ("error", "warning") and troubles.append(m.text))
    yield page, troubles
    context.close()


@pytest.fixture
def looked_at(tab: tuple[Any, list[str]]) -> Callable[[Path], Any]:
    """Return a function that opens a page, uses its choices, and fails on any error in it."""

    def look(path: Path) -> Any:
        page, troubles = tab
        troubles.clear()
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        for label in page.query_selector_all("#curves .segmented label"):
            if label.is_visible():
                label.click()
        assert [] == troubles
        assert page.evaluate("() => typeof owned") == "undefined"
        return page

    return look


class Elements(HTMLParser):
    """Counts elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] = self.found.get(tag, 0) + 1
        assert not [name for name, _ in attrs if name.startswith("on")]


def test_markup_stays_text(tmp_path: Path, looked_at: Callable[[Path], Any]):
    """A stranger's names, labels, errors and records are shown as they are written."""
    text = MARKUP.replace("\ud800", "")  # in a CSV there is none; JSON may hold it
    rows = grid(["jpeg", "webp"])
    plain = [dict(line) for line in rows]
    for line in rows:
        line |= {name: f"{line[name]}{text}" for name in ("dataset", "image", "codec", "label")}
        line["setting"] = json.dumps({"quality": line["bytes"], text: text})
    rows[-1] |= {"error": text, "bytes": None, "bpp": None, "psnr_db": None, "ms_ssim": None}
    plain[-1] |= {"error": "x", "bytes": None, "bpp": None, "psnr_db": None, "ms_ssim": None}
    about = {"title": MARKUP, "note": MARKUP, MARKUP: MARKUP, "pixels_sha256": MARKUP}
    record: dict[str, object] = {
        **dict.fromkeys(("started", "date", "commit", "cpu", "gpu", "system"), MARKUP),
        "versions": {MARKUP: MARKUP},
        "unavailable": [[MARKUP, MARKUP]],
        "notes": {f"jpeg{text}": MARKUP},
        "datasets": {MARKUP: about},
        "seal": MARKUP,
    }
    counts = []
    for name, lines, said in (("plain", plain, {}), ("hostile", rows, record)):
        folder = tmp_path / name
        folder.mkdir()
        elements = Elements()
        path = page_of(folder, lines, said)
        elements.feed(path.read_text(encoding="utf-8"))
        counts.append(elements.found)
    page = looked_at(path)

    assert counts[0]["script"] == counts[1]["script"]
    assert {"img", "style", "title"} - {*counts[1]} == {"img"}
    assert counts[0]["svg"] == counts[1]["svg"]
    assert "onerror=owned=2" in page.inner_text("#answer h1")
    assert "{{7*7}}" in page.inner_text("#answer h1")


@pytest.mark.parametrize(
    ("codecs", "images", "points"), [(1, 1, 1), (1, 3, 4), (2, 1, 1), (2, 2, 4)]
)
def test_small_runs(
    tmp_path: Path, looked_at: Callable[[Path], Any], codecs: int, images: int, points: int
):
    """One codec, one image, one point: a page with that."""
    names = ["jpeg", "webp"][:codecs]
    page = looked_at(page_of(tmp_path, grid(names, images, points)))

    assert page.evaluate("() => curves.chart.curves.length") == codecs
    assert page.inner_text("#answer h1").startswith(f"{codecs} image codec")


@pytest.mark.slow
def test_many_codecs(tmp_path: Path, looked_at: Callable[[Path], Any]):
    """200 codecs are all there, each with a colour and a name."""
    page = looked_at(page_of(tmp_path, grid([f"codec{k:03}" for k in range(200)], 1, 4)))

    assert 200 == page.evaluate("() => curves.chart.curves.length")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280


def test_names_of_any_script(tmp_path: Path, looked_at: Callable[[Path], Any]):
    """Names are shown in their own script, whatever it is."""
    rows = grid(["jpeg", "webp"])
    names = {"i0.png": "猫 ñandú.png", "i1.png": "שלום\u202eЖди🎈.png"}
    rows = [line | {"image": names[str(line["image"])], "dataset": "写真"} for line in rows]
    page = looked_at(page_of(tmp_path, rows))

    assert [*names.values()] == sorted(page.evaluate("() => core.dataset().images"), reverse=True)
    assert "写真" in page.inner_text("#answer h1")


def test_no_common_image(tmp_path: Path, looked_at: Callable[[Path], Any]):
    """Codecs that share no image have no means; the page says why and shows every image."""
    rows = [row("jpeg", "a.png", k) for k in range(1, 5)]
    rows += [row("webp", "b.png", k) for k in range(1, 5)]
    page = looked_at(page_of(tmp_path, rows))

    assert "No winner can be named" in page.inner_text("#answer")
    assert "No curve can be drawn" in page.inner_text("#curves")
    assert "not measured" in page.inner_text("#failures")


def test_dataset_of_failures_alone(tmp_path: Path, looked_at: Callable[[Path], Any]):
    """A dataset on which everything failed stands beside one that was measured."""
    nothing = {"bytes": None, "bpp": None, "psnr_db": None, "ms_ssim": None}
    failed = [
        line | nothing | {"dataset": "broken", "error": "crashed: no"} for line in grid(["jpeg"])
    ]
    page = looked_at(page_of(tmp_path, [*failed, *grid(["jpeg", "webp"])]))

    assert "broken" == page.evaluate("() => core.dataset().name")
    assert "No curve can be drawn" in page.inner_text("#curves")
    page.select_option("#dataset", "1")
    assert 2 == page.evaluate("() => curves.chart.curves.length")
    assert page.is_visible("#chart canvas")


def test_infinite_and_undefined_cost_an_image_not_the_curve(
    tmp_path: Path, looked_at: Callable[[Path], Any]
):
    """An infinite PSNR and an MS-SSIM that is not defined are named, and cost one image each."""
    rows = grid(["jpeg", "webp"], images=3)
    for line in rows:
        if line["image"] == "i0.png" and line["codec"] == "webp":
            line["psnr_db"] = float("inf")
        if line["image"] == "i1.png":
            line["ms_ssim"] = None
    path = page_of(tmp_path, rows)
    (dataset,) = numbers(path)["datasets"]
    page = looked_at(path)

    assert 2 == page.evaluate("() => curves.chart.curves.length")
    for metric, image in (("psnr_db", "i0.png"), ("ms_ssim_db", "i1.png")):
        assert "Means over 2 of 3 images. Left out of the means of" in dataset["coverage"][metric]
        assert f": {image}: " in dataset["coverage"][metric]
        assert dataset["coverage"][metric] in page.inner_text("#answer")
    assert "MS-SSIM over 2 of 3 images" in page.inner_text("#tables")
    assert dataset["coverage"]["ms_ssim_db"] == page.inner_text("#coverage")
    assert "i0.png" in page.inner_text("#failures")


def test_rate_and_quality_of_a_point_are_of_the_same_images(tmp_path: Path):
    """The MS-SSIM of one image stands at that image's rate, not at the mean of both."""
    rows = grid(["jpeg", "webp"])
    for line in rows:
        if line["image"] == "i0.png":
            line |= {"ms_ssim": None, "bpp": 5 * float(str(line["bpp"]))}
    (dataset,) = numbers(page_of(tmp_path, rows))["datasets"]
    point = next(p for p in dataset["points"] if p["full"] == '{"quality": 1}')

    assert {"psnr_db": 0.6, "ms_ssim_db": 0.2} == point["rate"]
    assert 10 == point["mean"]["ms_ssim_db"]


def test_speed_is_nowhere(tmp_path: Path):
    """Times that were taken with other work beside them are not in the page's data or tables."""
    rows = [line | {"encode_s": 0.123456, "decode_s": 0.654321} for line in grid(["jpeg", "webp"])]
    text = page_of(tmp_path, rows).read_text(encoding="utf-8")

    assert "encode_s" not in text
    assert "123456" not in text
    assert "654321" not in text


def test_a_family_stands_apart(tmp_path: Path, looked_at: Callable[[Path], Any]):
    """Variants have a section, a plot and tables of their own, and no part in the answer."""
    rows = [
        line | {"bpp": float(str(line["bpp"])) * (0.5 if line["codec"] == "b" else 1.0)}
        for line in grid(["a", "b", "jpeg", "webp"])
    ]
    page = looked_at(page_of(tmp_path, rows, {"families": {"a": ["a", "b"]}}))
    drawn = "() => core.dataset().families.map((f) => new Set(f.points.map((p) => p.codec)).size)"

    assert 2 == page.evaluate("() => curves.chart.curves.length")
    assert [2] == page.evaluate(drawn)
    assert page.is_visible(".family-chart canvas")
    assert "Variants of a" in page.inner_text("#variants")
    assert "50.00" in page.inner_text("#variants table >> nth=0")
    assert "b" not in page.inner_text("#answer .bars >> nth=0").split()
    page.click("#metric label:has(input[value=ms_ssim_db])")
    assert page.is_visible(".family-chart canvas")
