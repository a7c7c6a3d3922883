"""Real results to report on: two small datasets, measured once by the command itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench import image
from bench.report import Options, Outcome, write

HOSTILE = "</script><img src=x onerror=window.owned=1>.png"
QUALITY = "5,12,25,50,75,92"
POINT = """([codec, place]) => {
  document.getElementById("chart").scrollIntoView({ behavior: "instant", block: "center" });
  const { chart } = curves;
  const curve = chart.curves.find((c) => c.codec === codec);
  const point = curve.points[place];
  const box = chart.plot.over.getBoundingClientRect();
  return [box.left + chart.plot.valToPos(point.x, "x"), box.top + chart.plot.valToPos(point.y, "y"),
    point.x, point.y, point.setting];
}"""
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def results_dir(tmp_path_factory: pytest.TempPathFactory, photo, run_bench) -> Path:
    """A folder of results: two photographs of two codecs, and one large one of another dataset."""
    base = tmp_path_factory.mktemp("report")
    crops, large = base / "crops", base / "large"
    for folder in (crops, large):
        folder.mkdir()
    image.save(photo[:200, :240], crops / "face.png")
    image.save(photo[90:290, 200:440], crops / "fur.png")
    # no suite calls its files so, but a folder of somebody's may
    (crops / "fur.png").rename(crops / HOSTILE.replace("/", "\N{DIVISION SLASH}"))
    image.save(photo.repeat(2, axis=0).repeat(2, axis=1), large / "large.png")
    common = ("--quality", QUALITY, "--metric", "psnr", "--metric", "ms_ssim", "--offline", "-j1")
    out = base / "out"
    datasets = ("-d", f"folder:{crops}", "-d", f"folder:{large}")
    run_bench("all", *datasets, "-c", "jpeg", "-c", "webp", *common, "-o", out, workers=False)
    return out


@pytest.fixture(scope="session")
def outcome(results_dir: Path) -> Outcome:
    """The page of those results, pictures at two rates."""
    return write(results_dir, results_dir / "report.html", Options(rates=(0.5, 1.0)))


@pytest.fixture(scope="session")
def html(outcome: Outcome) -> str:
    """The text of that page."""
    return outcome.path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright; without them, what needs a browser is skipped."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield started
        started.close()


def _until(page: Any, script: str, arg: object = None) -> None:
    """Wait until a script is true.

    Playwright's own function evaluates it within the page where the first look is not enough, which
    the page's content policy forbids.
    """
    for _ in range(600):
        if page.evaluate(script, arg):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"after a minute this is not true: {script}")


@pytest.fixture
def visit(browser: Any, outcome: Outcome) -> Iterator[Callable[..., Any]]:
    """Return a function that opens the page; fails the test on an error or a request outside."""
    contexts, troubles = [], []

    def open_page(**options: object) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # of a machine with other work
        page.wait_for_function = partial(_until, page)
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: message.type in ("error", "warning") and troubles.append(message.text),
        )
        page.on(
            "request",
            lambda request: (
                request.url.split(":")[0] in ("file", "blob", "data")
                or troubles.append(f"request: {request.url}")
            ),
        )
        page.goto(outcome.path.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()

    assert [] == troubles


@pytest.fixture(scope="session")
def drawn() -> Callable[[Any], None]:
    """Return a function that waits until the viewer shows what was asked for."""

    def wait(page: Any) -> None:
        page.wait_for_function("viewer.stage.panes.length && viewer.stage.box.ariaBusy === 'false'")
        page.wait_for_timeout(120)

    return wait


@pytest.fixture(scope="session")
def mode(drawn: Callable[[Any], None]) -> Callable[[Any, str], None]:
    """Return a function that chooses how to compare."""

    def choose(page: Any, name: str) -> None:
        page.click(f"#mode label:has(input[value={name}])")
        drawn(page)

    return choose


@pytest.fixture(scope="session")
def point() -> Callable[[Any, int, int], list[Any]]:
    """Return a function: codec, place on its curve -> x, y on screen, bpp, value, setting."""
    return lambda page, codec, place: page.evaluate(POINT, [codec, place])


@pytest.fixture
def page(visit: Callable[..., Any], drawn: Callable[[Any], None]) -> Any:
    """The page on a desktop, pictures decoded."""
    opened = visit()
    drawn(opened)
    return opened
