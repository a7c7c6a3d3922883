"""The picture viewer in a real browser: what it shows is what was measured.

The fixture ``visit`` fails a test on any console error, uncaught exception or outside request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import image, run
from bench.image import Image
from bench.rate_search import Target
from bench.report import write

pytestmark = pytest.mark.slow  # pages of odd results open in Chromium at every change

Visit = Callable[..., Any]
Helper = Callable[..., Any]
SHOWN = """side => core.data.shots[
  viewer.state.scene.rates[viewer.state.rate].shots[viewer.state[side]]]"""
SAMPLE = """([fx, fy]) => {
  const canvas = document.getElementById("canvas");
  const probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  probe.drawImage(canvas, -Math.floor(fx * canvas.width), -Math.floor(fy * canvas.height));
  return [...probe.getImageData(0, 0, 1, 1).data];
}"""
CENTRE = """() => document.getElementById("stage")
  .scrollIntoView({ behavior: "instant", block: "center" })"""


def test_pictures_are_the_measured_ones(page: Any, drawn: Helper):
    """The PSNR that the browser computes from the pictures is the one that was stored."""
    for scene in page.evaluate("() => pictures.scenes().map((s) => s.image)"):
        page.evaluate("image => viewer.look(image, 0)", scene)
        drawn(page)
        stored = [page.evaluate(SHOWN, side)["values"]["psnr_db"] for side in "ab"]
        page.wait_for_function("() => document.querySelectorAll('#versus .here').length == 2")
        here = [float(cell.inner_text()) for cell in page.query_selector_all("#versus .here")]

        assert pytest.approx(stored, abs=0.0051) == here


def test_slider_by_mouse_and_keyboard(page: Any):
    """The divider follows the mouse and the arrows, within its ends."""
    page.evaluate(CENTRE)
    box = page.query_selector("#stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 40, steps=3)
    page.mouse.up()
    dragged = page.evaluate("() => viewer.stage.split")
    page.focus("#divider")
    page.keyboard.press("ArrowRight")
    stepped = page.evaluate("() => viewer.stage.split")
    page.keyboard.press("End")

    assert pytest.approx(0.25, abs=0.01) == dragged
    assert pytest.approx(dragged + 0.02) == stepped
    assert page.get_attribute("#divider", "aria-valuenow") == "100"


def test_slider_shows_one_picture_on_each_side(page: Any, drawn: Helper):
    """Left of the divider lies the left codec's picture, right of it the right one's."""
    samples = {}
    for share in (0.0, 1.0):
        page.evaluate("share => viewer.divide(share)", share)
        samples[share] = [page.evaluate(SAMPLE, [0.5, k / 20]) for k in range(1, 20)]
    page.evaluate("() => viewer.setMode('side')")
    drawn(page)

    assert samples[0.0] != samples[1.0]


def test_side_by_side_moves_together(page: Any, drawn: Helper, mode: Helper):
    """Both panes show the same part at the same zoom: swapping the same picture changes nothing."""
    page.select_option("#codec-b", page.input_value("#codec-a"))
    page.click("#between")
    drawn(page)
    mode(page, "side")
    for _ in range(3):
        page.click("#zoom-in")
    page.evaluate("() => viewer.stage.move(40, -25)")
    left = [page.evaluate(SAMPLE, [0.1 + 0.02 * k, 0.5]) for k in range(12)]
    right = [page.evaluate(SAMPLE, [0.6 + 0.02 * k, 0.5]) for k in range(12)]

    assert len({tuple(sample) for sample in left}) > 3
    assert left == right


def test_zoom_of_the_picture(page: Any, mode: Helper):
    """Buttons, double click and Ctrl with the wheel zoom; Fit shows all again."""
    scale = "() => viewer.stage.scale"
    fitted = page.evaluate(scale)
    mode(page, "flicker")  # no divider to catch the mouse
    page.click("#zoom-real")
    assert page.evaluate(scale) == 1
    assert page.inner_text("#zoom-now") == "100 %"
    page.evaluate(CENTRE)
    box = page.query_selector("#stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -500)
    page.keyboard.up("Control")
    page.wait_for_function("() => viewer.stage.scale > 6")
    before = page.evaluate("() => viewer.stage.centre[1]")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3 - 50, steps=3)
    page.mouse.up()
    assert page.evaluate("() => viewer.stage.centre[1]") > before
    page.click("#zoom-fit")
    assert page.evaluate(scale) == fitted


def test_flicker(page: Any, drawn: Helper):
    """Flicker changes the picture by itself, no faster than is safe, and stops when asked."""
    page.keyboard.press("f")
    drawn(page)
    first = page.inner_text("#tag-a")
    page.wait_for_function("text => document.getElementById('tag-a').innerText !== text", arg=first)
    page.click("#flicker-play")
    still = page.inner_text("#tag-a")
    page.wait_for_timeout(900)

    assert page.inner_text("#tag-a") == still
    page.focus("#stage")
    page.keyboard.press(" ")
    page.wait_for_function("text => document.getElementById('tag-a').innerText !== text", arg=still)
    page.keyboard.press("f")
    drawn(page)
    assert page.evaluate("() => viewer.state.mode") == "slider"


def test_flicker_respects_reduced_motion(visit: Visit, drawn: Helper, mode: Helper):
    """Whoever asked for less motion starts the flicker himself."""
    page = visit(reduced_motion="reduce")
    drawn(page)
    mode(page, "flicker")

    assert page.inner_text("#flicker-play") == "Play"


def test_error_map_of_the_original_is_empty(page: Any, drawn: Helper, mode: Helper):
    """Compared with itself the original has no error: one colour, the scale's first."""
    page.select_option("#codec-a", "original")
    drawn(page)
    mode(page, "error")
    samples = [tuple(page.evaluate(SAMPLE, [0.25, k / 10])) for k in range(3, 8)]
    other = {tuple(page.evaluate(SAMPLE, [0.75, k / 40])) for k in range(8, 32)}

    assert {(68, 1, 84, 255)} == set(samples)
    assert len(other) > 3


def test_error_scale(page: Any, drawn: Helper, mode: Helper):
    """A finer scale makes the same errors brighter."""
    mode(page, "error")
    brightness = []
    for gain in ("128", "8"):
        page.select_option("#gain", gain)
        drawn(page)
        brightness.append(sum(page.evaluate(SAMPLE, [0.25, k / 40])[1] for k in range(8, 32)))

    assert brightness[1] > 1.5 * brightness[0]


def test_who_is_closer(page: Any, drawn: Helper, mode: Helper):
    """The original is closer to itself than any codec, everywhere."""
    page.select_option("#codec-a", "original")
    drawn(page)
    mode(page, "closer")
    share = page.evaluate("() => viewer.state.share")

    assert share > 0.99
    page.keyboard.press("x")
    drawn(page)
    assert page.evaluate("() => viewer.state.share") < 0.01


def test_the_original_lies_between(page: Any, drawn: Helper, mode: Helper):
    """Between two equal pictures the middle is another, the original, until it is switched off."""
    page.select_option("#codec-b", page.input_value("#codec-a"))
    drawn(page)
    places = [[0.5, 0.3 + 0.01 * k] for k in range(40)]

    def middle() -> list[object]:
        return [page.evaluate(SAMPLE, place) for place in places]

    with_it = middle()
    assert page.is_visible("#tag-o")
    page.keyboard.press("o")
    drawn(page)
    without = middle()
    assert "false" == page.get_attribute("#between", "aria-pressed")
    assert not page.is_visible("#tag-o")
    page.select_option("#codec-b", "original")
    page.evaluate("() => viewer.divide(0)")
    drawn(page)

    assert with_it != without
    assert with_it == middle()
    page.click("#between")
    mode(page, "side")
    assert 3 == page.evaluate("() => viewer.stage.panes.length")


def test_flicker_passes_the_original(page: Any, mode: Helper):
    """With the original between, flicker shows it after each of the two."""
    mode(page, "flicker")
    page.click("#flicker-play")
    page.evaluate("() => { viewer.state.frame = 0; viewer.update(); }")
    seen = []
    for _ in range(4):
        seen.append(page.inner_text("#tag-a").split("\n")[0])
        page.click("#flicker-swap")
        page.wait_for_function("viewer.stage.box.ariaBusy === 'false'")

    assert [seen[0], "original", seen[2], "original"] == seen
    assert seen[0] != seen[2]


def test_scores_stand_on_the_stage(page: Any):
    """Rate and every metric of both files are written on their pictures."""
    for side in "ab":
        shot = page.evaluate(SHOWN, side)
        text = page.inner_text(f"#tag-{side}")

        assert f"{shot['bpp']:.3f} bpp" in text
        assert f"PSNR {shot['values']['psnr_db']:.2f} dB" in text
        assert "MS-SSIM" in text


def test_the_viewer_fits_the_screen(page: Any, drawn: Helper):
    """From the thumbnails to the line on the match, all is in sight below the bar."""
    needed = """() => document.getElementById("match").getBoundingClientRect().bottom
      - document.getElementById("viewer").getBoundingClientRect().top
      + document.querySelector(".top").offsetHeight"""
    for width, height in ((1280, 800), (1440, 900)):
        page.set_viewport_size({"width": width, "height": height})
        drawn(page)

        assert page.evaluate(needed) <= height
        assert page.evaluate("() => viewer.stage.height") >= 300


def test_unequal_rates_are_told(page: Any):
    """Where the two rates do not match, the page says who spends more."""
    told = page.inner_text("#match")
    a, b = (page.evaluate(SHOWN, side)["bpp"] for side in "ab")
    more = round(100 * (max(a / b, b / a) - 1))

    assert ("Matched" in told) == (more <= 2)
    assert more <= 2 or f"{more} % more bits" in told


def test_images_and_rates_by_keyboard(page: Any, drawn: Helper):
    """Brackets step through images, comma and full stop through rates, digits through modes."""
    first = page.evaluate("() => viewer.state.scene.image")
    page.keyboard.press("]")
    assert page.evaluate("() => viewer.state.scene.image") != first
    page.keyboard.press("[")
    assert page.evaluate("() => viewer.state.scene.image") == first
    page.keyboard.press(",")
    low = page.evaluate("() => viewer.state.rate")
    page.keyboard.press(".")
    assert page.evaluate("() => viewer.state.rate") == low + 1
    for key, name in enumerate(("slider", "side", "flicker", "error", "closer"), start=1):
        page.keyboard.press(str(key))
        assert page.evaluate("() => viewer.state.mode") == name
    drawn(page)


def test_targets_of_a_run_that_searched(browser: Any, photo: Image, tmp_path: Path):
    """Each target is offered with the files that hit it, and who needs more bits is said."""
    (tmp_path / "in").mkdir()
    image.save(photo[:96, :128], tmp_path / "in" / "a.png")
    aims = [Target("psnr", 32.0), Target("psnr", 36.0)]
    where = {"out": tmp_path, "jobs": 1, "download": False}
    run([f"folder:{tmp_path / 'in'}"], ["jpeg", "webp"], ["psnr"], targets=aims, **where)
    path = write(tmp_path, tmp_path / "page.html").path
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    page.wait_for_selector("#match:not(:empty)")
    told = page.inner_text("#match")
    names = page.locator("#rate label").all_inner_texts()
    page.close()

    assert ["psnr=32", "psnr=36"] == names
    assert re.fullmatch(r"At equal quality, psnr=3[26]: JPEG needs \d+ % more bits on this.*", told)
