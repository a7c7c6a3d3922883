"""The page in a real browser: every control used, nothing in the console, nothing loaded.

The fixture ``visit`` fails a test on any console error, uncaught exception or outside request.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # pages of odd results open in Chromium at every change

Visit = Callable[..., Any]
Helper = Callable[..., Any]
CENTRE = """() => document.getElementById("stage")
  .scrollIntoView({ behavior: "instant", block: "center" })"""
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}

AXE = """async () => {
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await axe.run(document, { runOnly: { type: "tag", values: tags } });
  return found.violations.flatMap((rule) =>
    rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 120)}`));
}"""


def test_every_control_is_used(page: Any, drawn: Helper):
    """Each button, choice and fold is pressed; the fixture checks that nothing breaks."""
    for summary in page.query_selector_all("summary"):
        if summary.is_visible():
            summary.click()
    pressed = 0
    for selector in ("main button", "footer button", ".tools button"):
        for button in page.query_selector_all(selector):
            if button.is_visible() and button.is_enabled() and button.get_attribute("id") != "full":
                button.click()
                pressed += 1
                page.keyboard.press("Escape")
    for label in page.query_selector_all(".segmented label"):
        if label.is_visible():
            label.click()
            pressed += 1
    for select in page.query_selector_all("select"):
        values = select.evaluate("s => [...s.options].map((o) => o.value)")
        for value in values if select.is_visible() else []:
            select.select_option(value)
            pressed += 1
    drawn(page)

    assert pressed > 80


def test_words_explain_themselves(page: Any):
    """A term opens by hover, by click, closes by Escape, and is announced as its description."""
    term = page.query_selector(".card .term")
    term.click()
    assert page.is_visible("#tip")
    assert term.get_attribute("aria-describedby") == "tip"
    assert "signal-to-noise" in page.inner_text("#tip")
    page.keyboard.press("Escape")
    assert not page.is_visible("#tip")


def test_help_and_theme(page: Any):
    """? shows the keys; t walks through the themes, and the page and its plot change colour."""
    page.keyboard.press("?")
    assert "Pictures, anywhere" in page.inner_text("#help-box")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help-box")
    paper = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.keyboard.press("t")
    dark = page.evaluate(paper)

    assert light != dark
    assert page.get_attribute("html", "data-theme") == "dark"
    assert page.evaluate("() => core.colour('k0')") != ""
    page.keyboard.press("t")
    assert page.evaluate(paper) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(visit: Visit, scheme: str):
    """Every text on paper or panel has a contrast of at least 4.5 (WCAG 2.1, AA)."""
    page = visit(color_scheme=scheme)
    worst = page.evaluate("""() => {
      const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const rgb = (text) => {
        probe.clearRect(0, 0, 1, 1);
        probe.fillStyle = text;
        probe.fillRect(0, 0, 1, 1);
        return [...probe.getImageData(0, 0, 1, 1).data];
      };
      const light = (c) => c.slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const behind = (node) => {
        for (let at = node; at; at = at.parentElement) {
          const colour = rgb(getComputedStyle(at).backgroundColor);
          if (colour[3] === 255) return colour;
        }
        return [255, 255, 255, 255];
      };
      let found = [99, ""];
      for (const node of document.querySelectorAll("main *, footer *, nav *")) {
        const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own || !node.checkVisibility()) continue;
        if (node.closest(".stage, .u-over, [disabled]")) continue;
        const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < found[0] && !node.matches(".sort"))
          found = [contrast, node.outerHTML.slice(0, 120)];
      }
      return found;
    }""")

    assert worst[0] >= 4.5, worst[1]


def test_datasets_change_everything(page: Any, drawn: Helper):
    """The other dataset has its own answer, curves, pictures and tables."""
    before = page.inner_text("#answer .dataset:not([hidden]) .cards")
    images = page.evaluate("() => core.dataset().images")
    page.select_option("#dataset", "1")
    drawn(page)

    assert page.evaluate("() => core.dataset().images") != images
    assert page.inner_text("#answer .dataset:not([hidden]) .cards") != before
    assert page.evaluate("() => viewer.state.scene.dataset") == 1
    assert len(page.query_selector_all("#tables .dataset:not([hidden])")) == 1


def test_hostile_names_do_nothing(page: Any):
    """A file called like a script is a name in a table."""
    assert page.evaluate("() => window.owned") is None
    assert page.evaluate("() => core.data.datasets.some((d) => d.images.join().includes('<img'))")


def test_phone(visit: Visit, drawn: Helper, mode: Helper, point: Helper):
    """On a phone nothing is wider than the screen; tap and pinch do what the mouse does."""
    page = visit(**PHONE)
    drawn(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    x, y, *_ = point(page, 0, 3)
    page.touchscreen.tap(x, y)
    page.wait_for_selector("#drill:not([hidden])")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    page.evaluate(CENTRE)
    box = page.query_selector("#stage").bounding_box()
    before = page.evaluate("() => viewer.stage.scale")
    touch = page.context.new_cdp_session(page)
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    for kind, gap in (("touchStart", 20), ("touchMove", 60), ("touchMove", 100)):
        points = [{"x": middle[0] - gap, "y": middle[1]}, {"x": middle[0] + gap, "y": middle[1]}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.evaluate("() => viewer.stage.scale") > 2 * before
    mode(page, "side")
    assert page.evaluate("() => viewer.stage.stacked")


def test_without_scripts(visit: Visit):
    """Without JavaScript the answer and every table are still there, and the page says so."""
    page = visit(java_script_enabled=False)

    assert page.is_visible(".answer >> nth=0")
    assert page.is_visible("noscript p")
    assert page.locator("#tables table >> nth=0").is_visible()


def test_controls_have_names(page: Any):
    """Every control that a keyboard reaches has a name for those who do not see it."""
    nameless = page.evaluate("""() =>
      [...document.querySelectorAll("button, select, input, [tabindex='0']")]
        .filter((n) => n.checkVisibility())
        .filter((n) => !(n.getAttribute("aria-label") || n.getAttribute("aria-labelledby")
          || n.innerText?.trim() || n.labels?.[0]?.innerText.trim() || n.title))
        .map((n) => n.outerHTML.slice(0, 100))""")

    assert [] == nameless


@pytest.mark.parametrize("options", [{}, PHONE])
def test_accessible(visit: Visit, drawn: Helper, point: Helper, options: dict[str, object]):
    """Neither WCAG 2.2 AA nor the best practices of axe-core are broken, everything unfolded."""
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    page = visit(**options)
    drawn(page)
    x, y, *_ = point(page, 0, 1)
    page.mouse.click(x, y)
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.evaluate((files(axe) / "axe.min.js").read_text(encoding="utf-8"))
    assert [] == page.evaluate(AXE)
    page.emulate_media(color_scheme="dark")
    assert [] == page.evaluate(AXE)
