"""The public functions for one image, for folders of results, and the line of progress."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from forkserver import Here

import bench
from bench import image
from bench.image import Image
from bench.measurement import progress
from bench.measurement.progress import Line


@pytest.fixture(scope="module")
def small(photo: Image) -> Image:
    """A piece of the photograph, 64x80."""
    return photo[40:104, 60:140].copy()


def test_encode_and_decode(small: Image, tmp_path: Path):
    """A word with options, a codec, an array, a path, bytes and a file give the same."""
    image.save(small, tmp_path / "x.png")
    found = bench.encode(small, "jpeg:subsampling=4:4:4", quality=60)
    (tmp_path / "x.jpg").write_bytes(found.data)

    assert found.setting == bench.Setting(
        quality=60, subsampling="4:4:4", optimize=False, progressive=False
    )
    assert found.bpp == 8 * len(found.data) / (64 * 80)
    assert found == bench.encode(str(tmp_path / "x.png"), "jpeg:subsampling=4:4:4", quality=60)
    codec = bench.create_codec("jpeg")
    expected = codec.decode(codec.encode(small, found.setting))
    for given in (found, found.data, tmp_path / "x.jpg", str(tmp_path / "x.jpg")):
        assert np.array_equal(expected, bench.decode(given))
    assert np.array_equal(expected, bench.decode(found, codec))
    middle = bench.encode(small, codec).setting
    assert middle == bench.encode(small, "jpeg").setting == codec_middle(codec)


def codec_middle(codec: bench.Codec) -> bench.Setting:
    """Return the complete setting in the middle of a ladder."""
    ladder = codec.ladder()
    wanted = ladder[len(ladder) // 2]["quality"]
    return bench.Setting(quality=wanted, subsampling="4:2:0", optimize=False, progressive=False)


def test_encode_to_a_rate(small: Image):
    """The nearest file by its real size, and whether the rate was reached."""
    found = bench.encode(small, "webp", bpp=2.0)

    assert abs(found.bpp - 2.0) < 0.15
    assert not bench.encode(small, "jpeg", bpp=0.01).reached
    aimed = bench.encode(small, "webp", target="psnr=30")
    assert bench.score(small, bench.decode(aimed), ["psnr"])["psnr_db"] == aimed.value


def test_score(small: Image, tmp_path: Path):
    """Column -> value; NaN where a metric is not defined; metrics by name, family or object."""
    image.save(small, tmp_path / "x.png")
    other = small // 2
    psnr = bench.create_metric("psnr")
    found = bench.score(tmp_path / "x.png", other)

    assert ["psnr_db", "ms_ssim"] == list(found)
    assert psnr(small, other) == found["psnr_db"]
    assert math.isnan(found["ms_ssim"])  # under 161 pixels a side
    assert {"psnr_db": math.inf} == bench.score(small, small, "psnr")
    assert {"psnr_db": psnr(small, other)} == bench.score(small, other, [psnr])


def test_wrong_use_is_one_line(small: Image, tmp_path: Path):
    """As on the command line: what was wrong, and what is near."""
    with pytest.raises(bench.UsageError, match="exclude each other"):
        bench.encode(small, "jpeg", quality=5, bpp=1.0)
    with pytest.raises(bench.UsageError, match="Did you mean jpeg"):
        bench.encode(small, "jpge")
    with pytest.raises(bench.SettingError, match="quality must be"):
        bench.encode(small, "jpeg", quality=101)
    with pytest.raises(bench.UsageError, match="has options"):
        bench.create_codec("avif:speed=4")
    with pytest.raises(bench.UsageError, match="unknown device"):
        bench.create_codec("avif", "tpu")
    with pytest.raises(bench.ImageError, match="wanted uint8"):
        bench.encode(small / 255, "jpeg")
    with pytest.raises(bench.UsageError, match="not a file of any codec"):
        bench.decode(b"no image at all")
    with pytest.raises(bench.UsageError, match="cannot read"):
        bench.decode(tmp_path / "gone.jpg")
    with pytest.raises(bench.MetricError, match="different shapes"):
        bench.score(small, small[1:])
    with pytest.raises(bench.UsageError, match="Did you mean psnr"):
        bench.score(small, small, ["psnrr"])
    deep = bench.create_codec("bpg")
    data = deep.encode(small, bench.Setting(depth=10))
    with pytest.raises(bench.DecodeError, match="deeper than 8 bits: bpg codes 10"):
        bench.decode(data)


def _run(folder: Path, codec: str, out: Path) -> bench.Results:
    here = {"make_executor": Here}
    return bench.run([f"folder:{folder}"], [codec], ["psnr"], points=1, out=out, **here)


def test_compare_and_merge(crops: Path, tmp_path: Path):
    """Folders and results alike; frames come out."""
    runs = [_run(crops, "jpeg", tmp_path / name) for name in ("a", "b")]
    assert not bench.compare(runs[0], tmp_path / "b").any
    other = _run(crops, "webp", tmp_path / "c")
    changed = bench.compare(str(tmp_path / "a"), other)
    both = bench.merge(runs[0], tmp_path / "c", out=tmp_path / "both")

    assert {"jpeg", "webp"} == set(changed.codecs["codec"])
    assert {"jpeg", "webp"} == set(both.rows["codec"])
    assert 8 == len(bench.load_results(tmp_path / "both").rows)


def _cells(total: int, stored: int = 0) -> tuple[SimpleNamespace, SimpleNamespace]:
    plan = SimpleNamespace(tasks=[None] * total)
    return plan, SimpleNamespace(every_row=[None] * (total + stored))


def test_line_of_progress(monkeypatch: pytest.MonkeyPatch):
    """What must be known stays above; the line is renewed now and then, and at the end."""
    shown: list[str] = []
    now_s = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s[0])
    line = Line(shown.append)
    plan, results = _cells(3, stored=2)
    line.say("a whisper")
    line.say("another library", loud=True)
    line.planned(plan)
    for error in ("", "it broke", ""):
        now_s[0] += 0.4
        line.measured(SimpleNamespace(codec="jpeg", error=error))
    line.finished(results)

    assert [
        "another library\n0 of 3 cells, 0 s: measuring",
        "another library\n2 of 3 cells, 1 failed, 1 s: jpeg",
        "another library\n3 of 3 cells, 1 failed, 1 s: done, 2 cells stored before",
    ] == shown


def test_terminal_and_log(monkeypatch: pytest.MonkeyPatch):
    """On a terminal the line is written over; in a log each has a line of its own."""
    for over, expected in (
        (True, "\r\x1b[Ktold\n\r\x1b[K1\r\x1b[K2: done\n"),
        (False, "told\n1\n2: done\n"),
    ):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        terminal = progress._Terminal(over=over)
        terminal.show("told\n1")
        terminal.show("told\n2: done")
        assert expected == sys.stderr.getvalue()


def test_notebook(monkeypatch: pytest.MonkeyPatch):
    """In a kernel the line is one output that is updated; elsewhere IPython is not imported."""
    updates: list[str] = []
    handle = SimpleNamespace(update=lambda data, **_: updates.append(data["text/plain"]))
    modules = {
        "IPython": SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())),
        "IPython.display": SimpleNamespace(display=lambda *_, **__: handle),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    plan, results = _cells(0)
    line = Line()
    line.planned(plan)
    line.finished(results)

    assert ["0 of 0 cells, 0 s: measuring", "0 of 0 cells, 0 s: done"] == updates
