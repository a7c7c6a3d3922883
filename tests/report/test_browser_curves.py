"""Plot, drill-down and tables in a real browser, by mouse and by keyboard.

The fixture ``visit`` fails a test on any console error, uncaught exception or outside request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # pages of odd results open in Chromium at every change

Helper = Callable[..., Any]


def test_hover_tells_the_values(page: Any, point: Helper):
    """The point under the mouse is told with its rate and quality."""
    x, y, bpp, psnr, setting = point(page, 0, 2)
    page.mouse.move(x, y)
    told = page.inner_text(".card-tip")

    assert f"{bpp:.3f}" in told
    assert f"{psnr:.2f}" in told
    assert setting in told


def test_zoom_move_and_whole_plot(page: Any, point: Helper):
    """A box zooms, Shift moves, Ctrl with the wheel zooms, a double click shows all again."""
    view = "() => JSON.stringify(curves.chart.view)"
    whole = page.evaluate(view)
    x, y, *_ = point(page, 0, 2)
    page.mouse.move(x - 90, y - 70)
    page.mouse.down()
    page.mouse.move(x + 90, y + 70, steps=4)
    page.mouse.up()
    zoomed = page.evaluate("() => curves.chart.view")
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    moved = page.evaluate("() => curves.chart.view")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function(
        "v => curves.chart.view.y[1] - curves.chart.view.y[0] < v",
        arg=(0.9 * (moved["y"][1] - moved["y"][0])),
    )
    page.mouse.dblclick(x, y)

    assert zoomed["x"][0] > 0
    assert whole != page.evaluate("v => JSON.stringify(v)", zoomed)
    assert moved["x"][0] > zoomed["x"][0]
    assert moved["y"][0] < zoomed["y"][0]
    assert whole == page.evaluate(view)


def test_a_plain_wheel_scrolls_the_page(page: Any, point: Helper):
    """The plot does not catch the reader who scrolls past it."""
    x, y, *_ = point(page, 0, 2)
    before = page.evaluate("() => [scrollY, JSON.stringify(curves.chart.view)]")
    page.mouse.move(x, y)
    page.mouse.wheel(0, 150)
    page.wait_for_function("y => scrollY > y", arg=before[0])

    assert before[1] == page.evaluate("() => JSON.stringify(curves.chart.view)")


def test_axes_metrics_and_codecs(page: Any):
    """Rate axis, metric and codecs shown are the reader's choice."""
    assert page.evaluate("() => curves.chart.plot.scales.x.distr") == 3
    page.click("#scale label:has(input[value=linear])")
    assert page.evaluate("() => curves.chart.plot.scales.x.distr") == 1
    page.click("#metric label:has(input[value=ms_ssim_db])")
    assert page.evaluate("() => curves.chart.metric") == "ms_ssim_db"
    page.click("#chips button >> nth=0")
    assert page.evaluate("() => curves.chart.curves.map((c) => c.codec)") == [1]
    assert page.get_attribute("#chips button >> nth=0", "aria-pressed") == "false"
    page.click("#chips .all")
    assert page.evaluate("() => curves.chart.curves.length") == 2


def test_a_point_opens_its_images(page: Any, drawn: Helper, point: Helper):
    """Behind a point stands every image with its own size and curve, and the way to its picture."""
    x, y, *_, setting = point(page, 0, 1)
    page.mouse.click(x, y)
    rows = page.query_selector_all("#drill tbody tr")
    expected = page.evaluate("() => core.dataset().points[1].each.bytes")
    shown = [int(row.query_selector_all("td")[1].inner_text().replace(",", "")) for row in rows]

    assert setting in page.inner_text("#drill-title")
    assert expected == shown
    assert page.evaluate("() => curves.chart.cloud.length") == len(shown)
    rows[-1].click()
    assert rows[-1].get_attribute("aria-selected") == "true"
    page.click("#drill-look")
    drawn(page)
    assert page.evaluate("() => viewer.state.scene.image") in rows[-1].inner_text()
    page.click("#drill-close")
    assert not page.is_visible("#drill")
    assert page.evaluate("() => document.activeElement.id") == "chart"


def test_the_plot_by_keyboard(page: Any):
    """Arrows walk along and across curves, Enter opens, Escape closes."""
    page.focus("#chart")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    here = page.evaluate("() => [curves.chart.input.hot.curve.codec, curves.chart.input.hot.index]")
    page.keyboard.press("ArrowDown")
    there = page.evaluate("() => curves.chart.input.hot.curve.codec")
    page.wait_for_function("() => document.getElementById('say').textContent.includes('bpp')")
    page.keyboard.press("Enter")

    assert here[1] >= 1
    assert here[0] != there
    assert page.is_visible("#drill")
    page.keyboard.press("Escape")
    assert not page.is_visible("#drill")


def test_every_table_is_whole_on_a_desktop(page: Any):
    """At 1440 pixels no column of a table and no command is cut off; nothing widens the page."""
    page.set_viewport_size({"width": 1440, "height": 900})
    cut = page.evaluate("""() => [...document.querySelectorAll(".tablebox, pre")]
      .filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1)
      .map((box) => box.getAttribute("aria-label"))""")

    assert [] == cut
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1440


def test_each_image_against_the_anchor(page: Any):
    """The images that a codec loses on come first when its column is sorted down."""
    table = page.query_selector('.dataset:not([hidden]) table[data-name^="images-"]')
    shown = """t => [...t.tBodies[0].rows].filter((r) => !r.hidden)
      .map((r) => [r.cells[0].textContent, +r.cells[2].dataset.v])"""
    first = table.evaluate(shown)
    sort = table.query_selector_all("thead th")[2].query_selector(".sort")
    sort.click()
    sort.click()
    sorted_down = table.evaluate(shown)

    assert {"PSNR"} == {metric for metric, _ in first}
    assert page.evaluate("() => core.dataset().images.length") == len(first)
    assert sorted(first, key=lambda row: -row[1]) == sorted_down


def test_tables_sort_and_filter(page: Any):
    """A head sorts up, then down, by number; a filter leaves one codec; CSV has what is shown."""
    column = """t => [...t.tBodies[0].rows].filter((r) => !r.hidden)
      .map((r) => +r.cells[2].dataset.v)"""
    table = page.query_selector('table[data-name^="summary"]')
    head = table.query_selector_all("thead th")[2]
    head.click(position={"x": 3, "y": 3})
    up = table.evaluate(column)
    head.query_selector(".sort").click()
    down = table.evaluate(column)

    assert sorted(up) == up
    assert up[::-1] == down
    assert head.get_attribute("aria-sort") == "descending"
    box = table.evaluate_handle("t => t.closest('.tablebox').previousElementSibling")
    box.query_selector("select").select_option(index=1)
    assert len(table.evaluate(column)) == len(up) // 2
    with page.expect_download() as download:
        box.query_selector(".csv").click()
    lines = download.value.path().read_text().strip().splitlines()
    assert len(lines) == 1 + len(up) // 2
    assert lines[0].startswith("Codec,Setting,bpp")


def test_all_rows_as_csv(page: Any):
    """Every measured row can be taken away."""
    with page.expect_download() as download:
        page.click("#rows-csv")
    lines = download.value.path().read_text().strip().splitlines()

    assert len(lines) == 1 + page.evaluate(
        "() => core.data.datasets.reduce((n, d) => n + d.points.length * d.images.length, 0)"
    )
