"""Take the README's picture of the page: ``python docs/page_picture.py``.

The page is that of ``results/kodak``; the browser is Playwright's or the system's Chromium.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "page.webp"
WIDTH, HEIGHT = 1440, 980  # what a laptop shows of it, down to the end of the answer


def main() -> None:
    """Write the page, open it, and keep what is seen first."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        words = ["report", "--out", str(ROOT / "results" / "kodak"), "--html", str(page)]
        # Without the originals no picture is decoded: none is seen at the top of the page.
        bare = {"BENCH_DATA": folder, "XDG_CACHE_HOME": folder, "BENCH_OFFLINE": "1"}
        command = [sys.executable, "-m", "bench", *words]
        subprocess.run(command, check=True, env={**os.environ, **bare})
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            tab.goto(page.as_uri())
            seen = tab.screenshot()
            browser.close()
    PICTURE.parent.mkdir(exist_ok=True)
    Image.open(io.BytesIO(seen)).convert("RGB").save(PICTURE, quality=80, method=6)
    sys.stdout.write(f"{PICTURE.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
