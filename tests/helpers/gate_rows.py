"""A baseline of invented rows, mutations of them, and the gate run on both in this process."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree as ET

from typer.testing import CliRunner

from bench.cli import command_line
from bench.gate import baseline
from bench.gate.rows import Locked, Row, by_key

IMAGES = ("one.png", "two.png")
CODECS = ("jpeg", "webp")
app = command_line(["check"])
Rows = list[Row]


def digest(*words: object) -> str:
    """Return a hash that stands for some bytes."""
    return sha256(repr(words).encode()).hexdigest()


def row(codec: str, image: str, step: int) -> Row:
    """Return a point of a plausible curve: 6 dB for each doubling of the size."""
    ms_ssim = 1 - 10 ** -(0.5 + 0.3 * step)
    return Row(
        *("made", image, codec, codec, f'{{"quality":{10 * step}}}', f"{codec} 1", 512, 512),
        pixels_sha256=digest(image),
        size_bytes=4000 * 2**step,
        scores={"psnr_db": 30.0 + 6 * step, "ms_ssim": round(ms_ssim, 9)},
        bitstream_sha256=digest(codec, image, step),
        decoded_sha256=digest("decoded", codec, image, step),
    )


def rows() -> Rows:
    """Return two curves of two images, five rungs each."""
    return [row(codec, image, step) for codec in CODECS for image in IMAGES for step in range(5)]


def write(path: Path, found: Sequence[Row], **more: object) -> Path:
    """Write a baseline."""
    baseline.write(path, Locked(by_key(found), {"versions": {}}, **more))
    return path


def scored(old: Row, **scores: float | None) -> Row:
    """Return a row with other scores."""
    return replace(old, scores={**old.scores, **scores})


def recoded(old: Row, size: float = 1.0, db: float = 0.0, **more: object) -> Row:
    """Return a row of another file: ``size`` times as large, ``db`` better in PSNR."""
    new = scored(old, psnr_db=old.scores["psnr_db"] + db)
    changed = {"bitstream_sha256": digest("other", old.key), "decoded_sha256": ""}
    return replace(new, **{"size_bytes": round(old.size_bytes * size), **changed, **more})


def along(old: Row, size: float) -> Row:
    """Return a row further along the same curve: ``size`` times as large, and better for it."""
    ms_ssim = 1 - (1 - old.scores["ms_ssim"]) * 10 ** -(0.3 * math.log2(size))
    return scored(recoded(old, size, 6 * math.log2(size)), ms_ssim=ms_ssim)


def failed(old: Row, error: str) -> Row:
    """Return a row that failed."""
    blank = dict.fromkeys(old.scores)
    hashes = {"bitstream_sha256": "", "decoded_sha256": ""}
    return replace(old, size_bytes=None, error=error, scores=blank, **hashes)


def lossless(old: Row) -> Row:
    """Return a row whose picture is equal to its source."""
    return scored(old, psnr_db=math.inf, ms_ssim=1.0)


def undefined(old: Row, why: str) -> Row:
    """Return a row without MS-SSIM, for a stated reason."""
    return replace(scored(old, ms_ssim=None), undefined={"ms_ssim": why})


def at(change: Callable[[Row], Row], *steps: int, image: str = "one.png") -> Callable[[Rows], Rows]:
    """Return a mutation of some rungs of JPEG on one image."""
    settings = {f'{{"quality":{10 * step}}}' for step in steps or (2,)}
    return lambda found: [
        change(r) if (r.codec, r.image) == ("jpeg", image) and r.setting in settings else r
        for r in found
    ]


def jpeg(change: Callable[[Row], Row]) -> Callable[[Rows], Rows]:
    """Return a mutation of every row of JPEG."""
    return lambda found: [change(r) if r.codec == "jpeg" else r for r in found]


def without(codec: str = "jpeg", image: str = "", step: int | None = None):
    """Return a mutation that leaves out the rows that fit."""
    return lambda found: [
        r
        for r in found
        if r.codec != codec
        or (image and r.image != image)
        or (step is not None and r.setting != f'{{"quality":{10 * step}}}')
    ]


def swapped_pictures(found: Rows) -> Rows:
    """Exchange the names of the two pictures."""
    other = dict(zip(IMAGES, reversed(IMAGES), strict=True))
    return [replace(r, image=other[r.image]) for r in found]


def next_rung(found: Rows) -> Rows:
    """Give each setting of JPEG the file of the next one."""
    known = {r.key: r for r in found}
    new = []
    for r in found:
        step = json.loads(r.setting)["quality"] // 10
        source = row("jpeg", r.image, min(step + 1, 4)) if r.codec == "jpeg" else known[r.key]
        new.append(replace(source, setting=r.setting))
    return new


def same(found: Rows) -> Rows:
    """Change nothing."""
    return found


def newer(change: Callable[[Row], Row]) -> Callable[[Rows], Rows]:
    """Return a mutation of JPEG by another version of its library."""
    return jpeg(lambda r: replace(change(r), version="jpeg 2"))


ERROR = "crashed: ZeroDivisionError: a bug (codecs/jpeg.py:31)"


def gate(folder: Path, *options: object) -> tuple[int, str, dict[str, object]]:
    """Run the gate; return exit code, output and JSON after checking that all forms agree."""
    files = {form: folder / f"gate.{form}" for form in ("markdown", "junit", "json")}
    words = ["check", "--baseline", folder / "base.csv", *options]
    for form, path in files.items():
        words += [f"--{form}", path]
    done = CliRunner().invoke(app, [str(word) for word in words])
    data = json.loads(files["json"].read_text())
    page, xml = files["markdown"].read_text(), ET.fromstring(files["junit"].read_text())
    tests = [int(xml.get(key)) for key in ("tests", "failures", "errors")]

    assert done.exit_code == data["exit_code"]
    assert [len(xml.findall(f".//{tag}")) for tag in ("testcase", "failure", "error")] == tests
    assert {0: (0, 0), 1: (1, 0), 2: (0, 1)}[done.exit_code][0] == bool(tests[1])
    assert (done.exit_code != 0) == bool(tests[1] + tests[2])
    assert {0: "\u2705", 1: "\u274c", 2: "\u26a0"}[done.exit_code] == page.split()[1][0]
    assert "Traceback" not in done.output
    return done.exit_code, done.output, data
