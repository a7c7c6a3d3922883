"""Proof by mutation: break a codec or a metric on purpose, and read what the gate says of it."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap

import numpy as np
import pytest

from bench import registry
from bench.codec import Setting
from bench.codecs.jpeg import Jpeg
from bench.codecs.webp import WebP as Webp
from bench.errors import Unavailable
from bench.gate.cells import Change
from bench.gate.check import Report
from bench.gate.curves import CurveResult
from bench.gate.images import Verdict
from bench.gate.report import lines, markdown
from bench.gate.rows import Locked
from bench.image.numba_jit import Loop
from bench.metrics import _ms_ssim_loops
from bench.metrics.psnr import Psnr


def curve_of(report: Report, name: str) -> CurveResult:
    """Return the verdict on one curve."""
    return next(result for result in report.curves if result.curve == name)


def only_failing(report: Report, name: str) -> CurveResult:
    """Return the verdict on ``name`` after checking that the gate blames it and nobody else."""
    assert report.exit_code == 1
    assert [name] == [result.curve for result in report.regressed]
    others = {r.verdict for r in report.curves if r.curve != name}
    assert others <= {Verdict.IDENTICAL}
    return curve_of(report, name)


def mutate(monkeypatch: pytest.MonkeyPatch, owner: type, function: str, old: str, new: str) -> None:
    """Replace a method of a class by its own source with ``old`` written as ``new``."""
    source = textwrap.dedent(inspect.getsource(getattr(owner, function)))
    assert source.count(old) == 1, f"{function} has no longer one {old!r}"
    module = sys.modules[owner.__module__]
    space = dict(vars(module))
    exec(compile(source.replace(old, new), str(module.__file__), "exec"), space)
    monkeypatch.setattr(owner, function, space[function])


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_unchanged_tree_gives_no_alarm(gate, locked, times: int):
    """Real measurements of an unchanged tree are identical to the byte, every time."""
    for _ in range(times):
        report = gate.check(locked)

        assert 0 == report.exit_code
        assert {Verdict.IDENTICAL} == {result.verdict for result in report.curves}
        assert {Change.IDENTICAL} == {c.change for r in report.curves for c in r.cells}


def test_quality_off_by_one_rung(gate, locked, monkeypatch):
    """Each setting gives the next rung's file: settings moved, and the gate says which to which."""
    rungs = [int(s["quality"]) for s in Jpeg().ladder()]
    encode = Jpeg.encode

    def off_by_one(self, image, setting):
        position = rungs.index(int(setting["quality"]))
        return encode(self, image, setting.replace(quality=rungs[min(position + 1, 7)]))

    monkeypatch.setattr(Jpeg, "encode", off_by_one)
    result = only_failing(gate.check(locked), "jpeg")

    assert Verdict.MOVED == result.verdict
    assert ["crop0.png", "crop1.png", "crop2.png"] == result.failing_images
    # 6 of 8 rungs are locked; those whose next rung is locked too are recognised by hash.
    assert any("changed files are another rung's: quality=" in note for note in result.notes)
    assert any(note.startswith("the setting is another: today quality=") for note in result.notes)


def test_quality_off_by_one(gate, locked, monkeypatch):
    """An encoder that takes 1 more than it is told is named by the setting it takes."""
    encode = Webp.encode
    monkeypatch.setattr(
        Webp,
        "encode",
        lambda self, image, s: encode(self, image, s.replace(quality=min(s["quality"] + 1, 100))),
    )
    result = only_failing(gate.check(locked), "webp")
    told = re.findall(
        r"today quality=(\d+) gives the file that quality=(\d+) gave", result.notes[-1]
    )

    assert result.verdict in (Verdict.MOVED, Verdict.WORSE)
    assert [1] == [int(before) - int(today) for today, before in told]


def test_ladder_shifted_by_one_rung(gate, locked, monkeypatch):
    """The codec's own operating points changed: same files at the locked settings, still told."""
    ladder = Jpeg.ladder
    monkeypatch.setattr(Jpeg, "ladder", lambda self: [*ladder(self)[1:], Setting(quality=97)])
    result = only_failing(gate.check(locked), "jpeg")

    assert Verdict.MOVED == result.verdict
    assert any("the ladder changed, 1 of 8 rungs are gone" in note for note in result.notes)


def test_chroma_switched_in_the_encoder(gate, locked, monkeypatch):
    """4:4:4 where 4:2:0 was asked for: every image named, and the setting without effect."""
    encode = Jpeg.encode
    monkeypatch.setattr(
        Jpeg,
        "encode",
        lambda self, image, s: encode(self, image, s.replace(subsampling="4:4:4")),
    )
    result = only_failing(gate.check(locked), "jpeg")

    assert ["crop0.png", "crop1.png", "crop2.png"] == result.failing_images
    assert any(note.startswith("subsampling has no effect") for note in result.notes)


def test_chroma_formats_swapped(gate, locked, monkeypatch):
    """Where 4:2:0 and 4:4:4 are swapped, the gate says which setting gives the old file."""
    swap = {"4:2:0": "4:4:4", "4:4:4": "4:2:0"}
    encode = Jpeg.encode
    monkeypatch.setattr(
        Jpeg,
        "encode",
        lambda self, image, s: encode(self, image, s.replace(subsampling=swap[s["subsampling"]])),
    )
    result = only_failing(gate.check(locked), "jpeg")

    assert any("today subsampling=4:4:4 gives the file" in note for note in result.notes)


def test_default_chroma_changed(gate, locked, monkeypatch):
    """A changed default leaves the locked settings alone, and is told as a changed ladder."""
    parameters = tuple(
        type(p)(p.name, "4:4:4", p.help, p.choices, p.low, p.high) if p.name == "subsampling" else p
        for p in Jpeg.parameters
    )
    monkeypatch.setattr(Jpeg, "parameters", parameters)
    result = only_failing(gate.check(locked), "jpeg")

    assert Verdict.MOVED == result.verdict
    assert {Change.IDENTICAL} == {cell.change for cell in result.cells}
    assert any("the ladder changed, 8 of 8 rungs are gone" in note for note in result.notes)


@pytest.mark.parametrize("codec", [Jpeg, Webp])
def test_one_broken_picture_is_not_hidden_by_the_mean(codec, gate, locked, monkeypatch):
    """One picture of three decodes half a step darker: it alone is named, by each of its points."""
    decode = codec.decode

    def darker(self, data):
        image = decode(self, data)
        return image if image[0, 0].sum() % 3 else np.where(image > 0, image - 1, 0).astype("uint8")

    monkeypatch.setattr(codec, "decode", darker)
    result = only_failing(gate.check(locked), codec.name)
    worse = [cell for cell in result.cells if cell.change == Change.WORSE]

    assert Verdict.WORSE == result.verdict
    assert worse
    assert all("same bytes, other pixels: the decoder changed" == cell.why for cell in worse)
    assert {c.before.image for c in worse} == set(result.failing_images)


@pytest.fixture
def constants_for_samples_to_1(monkeypatch):
    """MS-SSIM's loops, compiled anew with constants for samples in 0..1, for a while."""
    loops = [loop for loop in vars(_ms_ssim_loops).values() if isinstance(loop, Loop)]
    monkeypatch.setattr(_ms_ssim_loops, "_C1", np.float32((0.01 * 1) ** 2))
    monkeypatch.setattr(_ms_ssim_loops, "_C2", (0.03 * 1) ** 2)
    kept = [dict(vars(loop)) for loop in loops]
    for loop in loops:
        vars(loop).pop("by_numba", None)
        loop._ready = {}
    yield
    for loop, before in zip(loops, kept, strict=True):
        vars(loop).clear()
        vars(loop).update(before)


@pytest.mark.usefixtures("constants_for_samples_to_1")
def test_data_range_of_ms_ssim_wrong(gate, locked):
    """Same pixels, other score, so the metric and no codec."""
    report = gate.check(locked)

    assert 1 == report.exit_code
    assert {Verdict.METRIC} == {result.verdict for result in report.curves}
    assert ["ms_ssim"] == list(report.drifted)
    assert "ms_ssim probe" in report.drifted["ms_ssim"]
    assert "the metric changed" in markdown(report)


def test_data_range_of_psnr_wrong(gate, locked, monkeypatch):
    """A peak of 256 in place of 255 is 0.034 dB: the metric is named, not the codecs."""
    mutate(monkeypatch, Psnr, "score", "255**2", "256**2")
    report = gate.check(locked)

    assert 1 == report.exit_code
    assert {Verdict.METRIC} == {result.verdict for result in report.curves}
    assert ["psnr_db"] == list(report.drifted)


def test_metric_and_codec_broken_together(gate, locked, monkeypatch):
    """A wrong metric does not hide a worse codec: its files are larger, and that is told."""
    mutate(monkeypatch, Psnr, "score", "255**2", "256**2")
    encode = Webp.encode
    monkeypatch.setattr(Webp, "encode", lambda self, i, s: encode(self, i, s.replace(method=0)))
    report = gate.check(locked)

    assert Verdict.METRIC == curve_of(report, "jpeg").verdict
    assert Verdict.WORSE == curve_of(report, "webp").verdict


def test_empty_comment_in_the_file(gate, locked, monkeypatch):
    """A deterministic codec may not grow by four bytes for nothing."""
    encode = Jpeg.encode

    def commented(self, image, setting):
        data = encode(self, image, setting)
        return data[:2] + b"\xff\xfe\0\2" + data[2:]

    monkeypatch.setattr(Jpeg, "encode", commented)
    result = only_failing(gate.check(locked), "jpeg")

    assert Verdict.WORSE == result.verdict
    assert {"same pixels, other bytes: the entropy coder or the header changed"} == {
        cell.why for cell in result.cells
    }


def test_encoder_that_fails_on_one_image(gate, locked, monkeypatch):
    """A cell that worked and fails now is a regression with its error."""
    encode = Webp.encode

    def fails(self, image, setting):
        if setting["quality"] > 70 and image[0, 0].sum() % 3:
            raise ZeroDivisionError("a bug")
        return encode(self, image, setting)

    monkeypatch.setattr(Webp, "encode", fails)
    result = only_failing(gate.check(locked), "webp")
    failed = [cell for cell in result.cells if cell.change == Change.FAILED]

    assert failed
    assert all("ZeroDivisionError: a bug" in cell.why for cell in failed)


@pytest.fixture(scope="module")
def locked_bpg(gate) -> Locked:
    """BPG at five rungs of three crops."""
    try:
        registry.create("bpg")
    except Unavailable as error:
        pytest.skip(str(error))
    return gate.lock({"bpg": gate.ladder("bpg", 5)})


def truncated_planes(image, *_):
    """Return full-range BT.601 planes of 8 bits, 4:4:4, cut where they should be rounded."""
    red, green, blue = np.moveaxis(image.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = [luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128]
    return [np.clip(np.floor(plane), 0, 255).astype(np.uint8) for plane in planes]


def truncated_rgb(planes, header):
    """Return the picture of such planes, cut as well."""
    luma, blue, red = (p[: header.height, : header.width].astype(float) for p in planes)
    red, blue = 1.402 * (red - 128), 1.772 * (blue - 128)
    green = -(0.299 * red + 0.114 * blue) / 0.587
    rgb = luma[..., None] + np.stack([red, green, blue], -1)
    return np.clip(np.floor(rgb), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("function", "mutant"),
    [("rgb_to_planes", truncated_planes), ("planes_to_rgb", truncated_rgb)],
    ids=["encoder", "decoder"],
)
def test_truncation_in_the_colour_conversion(function, mutant, gate, locked_bpg, monkeypatch):
    """Truncating where BPG rounds costs a fraction of a dB at the high rates: all images named."""
    from bench.codecs.bpg import colour

    monkeypatch.setattr(colour, function, mutant)
    result = only_failing(gate.check(locked_bpg), "bpg")
    worst = result.changed[0]

    assert Verdict.WORSE == result.verdict
    assert ["crop0.png", "crop1.png", "crop2.png"] == result.failing_images
    assert -1.5 < worst.gain("psnr_db") < -0.1
    assert "qp=22" == result.rung(worst)  # the loss is largest where quality is highest


def test_better_codec_passes(gate, locked, monkeypatch):
    """Optimised Huffman tables give smaller files of the same pixels: different bytes, better."""
    encode = Jpeg.encode
    monkeypatch.setattr(
        Jpeg, "encode", lambda self, image, s: encode(self, image, s.replace(optimize=True))
    )
    report = gate.check(locked)
    result = curve_of(report, "jpeg")

    assert 0 == report.exit_code
    assert Verdict.BETTER == result.verdict
    assert result.bd_rate_percent["psnr_db"] < -1
    assert any("--update" in line for line in lines(report))
