"""The address of the page: what is seen is in it, and comes back from it.

The fixture ``visit`` fails a test on any console error, uncaught exception or outside request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # pages of odd results open in Chromium at every change

Visit = Callable[..., Any]
Helper = Callable[..., Any]
STATE = """() => ({ dataset: core.state.dataset, metric: curves.state.metric,
  log: curves.state.log, hidden: [...curves.state.hidden], image: viewer.state.scene.image,
  rate: viewer.state.rate, a: viewer.state.a, b: viewer.state.b, mode: viewer.state.mode,
  split: viewer.state.split, between: viewer.state.between, gain: viewer.state.gain,
  zoom: viewer.zoomed()?.flat().map((v) => v.toFixed(2)) ?? null })"""
GONE_TO = """words => new Promise((done) => {
  addEventListener("hashchange", done, { once: true }); location.hash = words; })
  .then(() => null)"""
WRITTEN = "() => location.hash === `#pictures&${address.written()}`"


def test_a_reload_shows_the_same(visit: Visit, drawn: Helper, mode: Helper):
    """Dataset, plot, image, rate, pair, mode, divider, zoom and scale come back."""
    page = visit()
    drawn(page)
    fresh = page.evaluate(STATE)
    assert "" == page.evaluate("() => location.hash")
    page.select_option("#dataset", "1")
    page.click("#metric label:has(input[value=ms_ssim_db])")
    page.click("#scale label:has(input[value=linear])")
    page.click("#chips button >> nth=1")
    drawn(page)
    page.keyboard.press(".")
    page.keyboard.press("x")
    page.keyboard.press("o")
    mode(page, "error")
    page.select_option("#gain", "64")
    mode(page, "side")
    page.click("#zoom-in")
    page.wait_for_function(WRITTEN)
    page.evaluate("() => viewer.divide(0.3)")  # alone, with nothing else that would write it
    page.wait_for_function(WRITTEN)
    before = page.evaluate(STATE)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    drawn(page)

    assert before == page.evaluate(STATE)
    assert [key for key in fresh if fresh[key] == before[key]] == []
    assert page.evaluate(
        "() => document.getElementById('pictures').getBoundingClientRect().top < 99"
    )


def test_a_link_to_a_section_keeps_it(page: Any, mode: Helper):
    """Going to the tables leaves the choices in the address; a fresh page's stays plain."""
    page.click(".top nav a[href='#tables']")
    assert "#tables" == page.evaluate("() => location.hash")
    mode(page, "flicker")
    page.wait_for_function(WRITTEN)
    page.click(".top nav a[href='#codecs']")
    page.wait_for_function("() => location.hash.startsWith('#codecs&')")

    assert "by=flicker" in page.evaluate("() => location.hash")


NONSENSE = (
    *("x", "&", "pictures&image=nowhere&rate=x", "__proto__&metric=__proto__&by=__proto__"),
    "pictures&image=face.png&rate=NaN&a=-1&b=nobody&by=<img src=x onerror=owned=1>&at=1e999",
    "pictures&image=face.png&zoom=Infinity%200%200&gain=1e9&at=-5&hide=nobody&dataset=%00",
    "pictures&image=face.png&zoom=1e300%201e300%20-1e300&a=original&b=original",
)


def test_an_address_of_nonsense_is_harmless(page: Any, drawn: Helper):
    """What the page does not know is passed over, and nothing of it becomes part of the page."""
    for words in NONSENSE:
        page.evaluate(GONE_TO, words)
        drawn(page)

        assert page.evaluate("() => window.owned") is None
        assert page.evaluate("() => viewer.stage.scale > 0 && viewer.stage.scale <= 32")
        assert page.is_visible("#versus tr >> nth=0")
