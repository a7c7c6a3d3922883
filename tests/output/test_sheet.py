"""The drawing engine: text is never markup, nothing is small, labels cover no marker."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image as PILImage

from bench.output.axes import log_axis
from bench.output.figure import MEASURED, join, series
from bench.output.figure_text import short_svg, shortened
from bench.output.label_placement import densify
from bench.output.plot_styles import styles
from bench.output.sheet import FORMATS, RATE, RC, Key, Sheet, encode

HOSTILE = [
    "p$_^$q",
    r"\input{/etc/passwd} 50 % of #1 & {a_b} ~ ^",
    "two\nlines\tand a bell \x07 and a null \x00",
    "a lone surrogate \udce9",
    "turned \u202e txt \u200f",
    "x" * 300,
    "\u6f22\u5b57 \U0001f600 e\u0301",
    '<b onload="x">&amp;</b>',
]


def drawn(name: str, count: int = 4) -> Figure:
    """Return a figure with ``name`` in every place where a user's words may stand."""
    with mpl.rc_context(RC):
        sheet = Sheet([["rd"]], height_in=2.5, small_print=f"{name} \u00b7 commit abc")
        sheet.panel("rd", f"{name}, mean of 3 images", x=RATE, y=f"against {name} (%)")
        x = np.geomspace(0.1, 2, 7)
        data = join(
            series("rd", str(i), MEASURED, x=("bpp", x), y=("dB", 30 + i + 5 * np.log(x)))
            for i in range(count)
        )
        for i, style in zip(range(count), styles("abcdefgh").values(), strict=False):
            sheet.line(data, "rd", str(i), style, label=shortened(f"{name} {i}", 30))
        sheet.note("rd", name)
        sheet.rate_axis("rd", "log")
        return sheet.finish()


@pytest.mark.parametrize("name", ["codec", "x" * 300])
def test_a_key_stands_between_the_panels_and_the_small_print(name: str):
    """In two columns where the names allow it, within the paper, every name in it."""
    entries = [(f"{i} {name}", style) for i, style in enumerate(styles("abcde").values())]
    with mpl.rc_context(RC):
        sheet = Sheet([["rd"]], height_in=2, small_print="a\n" * 3, key=Key("all", entries))
        sheet.panel("rd", "heading", x=RATE, y="dB")
        figure = sheet.finish()

    [legend], [below, *_] = figure.legends, figure.texts
    box = legend.get_window_extent()
    assert 5 == len(legend.get_texts())
    assert below.get_window_extent().y1 <= box.y0 + 1
    assert box.y1 <= figure.axes[0].get_tightbbox().y0 + 1
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
    columns = {round(text.get_window_extent().x0) for text in legend.get_texts()}
    assert (2 if name == "codec" else 1) == len(columns)


@pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name)[:20] for name in HOSTILE])
def test_no_name_is_markup_or_breaks_a_file(name: str, tmp_path: Path):
    """Every format is written and readable, and the SVG holds the words that were given."""
    figure = drawn(name)
    with mpl.rc_context(RC):
        files = {suffix: encode(figure, suffix, title=name, origin="x") for suffix in FORMATS}

    assert FORMATS == tuple(files)
    svg = ET.fromstring(files["svg"])
    texts = " ".join("".join(node.itertext()) for node in svg.findall(".//{*}text"))
    words = re.findall(r"[a-z]{5,}", name)
    assert all(word in texts or "\u2026" in texts for word in words)
    (tmp_path / "a.png").write_bytes(files["png"])
    with PILImage.open(tmp_path / "a.png") as picture:
        assert 1050 == picture.width
    assert files["pdf"].startswith(b"%PDF")


def test_an_svg_has_places_to_a_hundredth_of_a_point():
    """Texts, scales and numbers that are short stay as they are, no place moves by more."""
    before = (
        b'<path d="M 1234567.56789 0.000123 L 0.1 7"/><g transform="scale(0.015625)">0.1234</g>'
    )

    assert (
        b'<path d="M 1234567.57 0 L 0.1 7"/><g transform="scale(0.015625)">0.1234</g>'
        == short_svg(before)
    )


@pytest.mark.parametrize(("alpha", "mode"), [(255, "RGB"), (254, "RGBA")])
def test_opaque_pictures_of_an_svg_have_no_alpha(alpha: int, mode: str):
    """They are shorter and look the same; one that is transparent somewhere stays as it is."""
    pixels = np.full((64, 64, 4), 255, np.uint8)
    pixels[..., :3] = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    pixels[5, 5, 3] = alpha
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, "PNG")
    before = b'<image href="data:image/png;base64,\n%s"/>' % base64.b64encode(buffer.getvalue())
    after = short_svg(before)
    data = after.removeprefix(b'<image href="data:image/png;base64,\n').removesuffix(b'"/>')
    found = PILImage.open(io.BytesIO(base64.b64decode(data)))

    assert mode == found.mode
    assert np.array_equal(pixels[..., :3], np.array(found)[..., :3])
    assert (len(after) < len(before)) == (alpha == 255)


def test_a_dollar_sign_is_a_dollar_sign():
    """What mathematics would swallow stands in the picture as it was typed."""
    with mpl.rc_context(RC):
        svg = encode(drawn("p$_^$q"), "svg", title="p$_^$q", origin="x").decode()

    assert "p$_^$q, mean of 3 images" in svg
    assert "against p$_^$q (%)" in svg


def test_no_text_is_under_six_points():
    """Headings, axes, labels, notes and small print can be read in print."""
    figure = drawn("name")

    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]

    assert 6 <= min(sizes)


def test_no_label_lies_over_a_marker():
    """Four curves whose ends are close: every label is clear of every curve's points."""
    figure = drawn("name", 4)
    axes = figure.axes[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    labels = [t for t in axes.texts if re.fullmatch(r"name \d", t.get_text())]
    markers = np.vstack([axes.transData.transform(line.get_xydata()) for line in axes.lines])

    assert 4 == len(labels)
    for label in labels:
        box = label.get_window_extent(renderer)
        x, y = markers.T
        inside = (x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)
        assert not inside.any()


@pytest.mark.parametrize("rising", [True, False])
def test_names_of_curves_on_each_other_hide_none(rising: bool):
    """They stand beside line and marker, where neither curve runs."""
    with mpl.rc_context(RC):
        sheet = Sheet([["rd"]], height_in=1.9, small_print="")
        axes = sheet.panel("rd", "heading", x=RATE, y="dB")
        x = np.geomspace(0.1, 2, 7)
        y = 30 + 5 * np.log(x) * (1 if rising else -1)
        named = list(zip(("a name of some length", "another"), styles("ab").values(), strict=True))
        data = join(series("rd", name, MEASURED, x=("bpp", x), y=("dB", y)) for name, _ in named)
        for name, style in named:
            sheet.line(data, "rd", name, style)
        sheet.words("rd", named)
        sheet.finish()

    legend = axes.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    course = densify(axes.transData.transform(np.column_stack([x, y])), 1.0)
    assert [style.marker for _, style in named] == [h.get_marker() for h in legend.legend_handles]
    assert [name for name, _ in named] == [text.get_text() for text in legend.get_texts()]
    assert not ((course > box.p0) & (course < box.p1)).all(axis=1).any()


def test_a_logarithmic_axis_has_plain_numbers_and_free_ends():
    """Ticks are 0.1 and 1, not powers; the asked shares stay free."""
    figure = Figure()
    axes = figure.add_subplot()

    log_axis(axes, "x", 0.1, 1.0, before=0.25, after=0.25)
    FigureCanvasAgg(figure).draw()

    low, high = axes.get_xlim()
    assert pytest.approx((10**-1.5, 10**0.5)) == (low, high)
    assert {"0.1", "0.2", "0.5", "1"} <= {label.get_text() for label in axes.get_xticklabels()}


def test_a_file_is_one_drawing_whatever_the_user_configured(monkeypatch: pytest.MonkeyPatch):
    """The layout is fixed when a figure is finished; no file moves or computes it again."""
    with mpl.rc_context({"figure.constrained_layout.use": True, "figure.autolayout": True}):
        figure = drawn("codec", 1)
        places = [axes.get_position().bounds for axes in figure.axes]
        drawings = []
        monkeypatch.setattr(type(figure), "draw", lambda *_: drawings.append(1))
        encode(figure, "png", title="t", origin="o")

    assert 1 == len(drawings)
    assert places == [axes.get_position().bounds for axes in figure.axes]
