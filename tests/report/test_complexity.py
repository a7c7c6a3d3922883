"""Parameters and kMAC a pixel on the page: of the networks of the run, or how to count them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from bench.codec import Complexity, Setting
from bench.measurement.complexity import Line
from bench.output import complexity
from bench.report import write
from bench.report.html import NO_VALUE

LABELS = {"jpeg": "JPEG 4:2:0 8-bit (v1)", "agvae-small": "AG-VAE small RGB 8-bit (v1)"}


def _cells(page: str, codec: str) -> list[str]:
    """Return the texts of a line of the table of codecs."""
    table = page[page.index("<caption>Codecs, kodak") :]
    line = next(row for row in table.split("<tr") if LABELS[codec] in row)
    cells = re.findall("<td[^>]*>(.*?)</td>", line, re.DOTALL)
    return [re.sub("<[^>]*>", "", cell).strip() for cell in cells]


def test_the_page_with_counts_without_and_of_other_weights(tmp_path: Path):
    """Columns only where something was counted; a codec without network has a dash."""
    settings = [Setting(level=place).json for place in range(1, 5)]
    rows = [
        {
            "dataset": "kodak",
            "image": "a",
            "codec": codec,
            "label": label,
            "setting": setting,
            "bytes": 1000.0 * place,
            "bpp": 0.1 * 2**place,
            "psnr_db": 24.0 + 3 * place,
            "bitstream_sha256": "0" * 64,
            "error": "",
        }
        for codec, label in LABELS.items()
        for place, setting in enumerate(settings, 1)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "run.json").write_text(json.dumps({}))

    def page() -> str:
        return write(tmp_path, tmp_path / "page.html").path.read_text(encoding="utf-8")

    found = Complexity(7_030_000, 4_000_000, 3_500_000, 11.25, 22.5, 33.75)
    label = LABELS["agvae-small"]
    without = page()
    complexity.write([Line("agvae-small", label, tuple(settings), found)], tmp_path, {})
    counted = page()
    complexity.write([Line("agvae-small", "of others", tuple(settings), found)], tmp_path, {})
    others = page()

    command = '<code>bench complexity <span class="nb">--results</span> OUT</code>'
    assert command in without
    assert not any("kMAC/px" in text for text in (without, others))
    assert command not in counted
    assert ["7.03", "11.25", "22.50"] == _cells(counted, "agvae-small")[-4:-1]
    assert [NO_VALUE] * 3 == _cells(counted, "jpeg")[-4:-1]
    assert "of others was counted, another network" in others
